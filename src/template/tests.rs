use serde_json::json;

use super::*;
use crate::model::Zone;

fn file(path: &str, text: &str) -> TemplateFile {
    TemplateFile { path: path.to_owned(), bytes: text.into() }
}

const SAMPLE: &str = include_str!("../../templates/abandoned-cart/first/sample.json");

const LAYOUT: &str = r#"<mjml>
  <mj-head>
    <mj-title></mj-title>
    <mj-attributes><mj-all font-family="{{brand.font}}" /></mj-attributes>
    <mj-style inline="inline">.note { color: #555555; }</mj-style>
    <mj-style>@media (prefers-color-scheme: dark) { .page { background: #000 !important; } }</mj-style>
  </mj-head>
  <mj-body background-color="{{brand.paper}}" css-class="page">
    {{> body}}
    {{> footer}}
  </mj-body>
</mjml>
"#;

const FOOTER: &str = r#"<mj-section><mj-column><mj-text css-class="note"><p class="note">{{shop.name}}, {{shop.postal_address}}{{#if unsubscribe_url}} <a href="{{unsubscribe_url}}">Unsubscribe</a>{{/if}}</p></mj-text></mj-column></mj-section>
"#;

const FIRST: &str = r#"---
subject: '{{default customer.first_name "Hello"}}, your cart & more'
preheader: '{{cart.count}} {{plural cart.count "item" "items"}} wait'
---
<mj-section><mj-column>
  <mj-text>Hi {{default customer.first_name "there"}},</mj-text>
</mj-column></mj-section>
{{#each (first cart.items 2)}}
<mj-section>
  <mj-column>
    {{#if image}}<mj-image src="{{image}}" alt="{{default name sku}}" href="{{link (default url @root.cart_url) utm_campaign='cart'}}" />{{/if}}
    <mj-text>{{default name sku}}{{#if price}}, {{money price}}{{/if}}</mj-text>
  </mj-column>
</mj-section>
{{/each}}
<mj-section><mj-column>
  {{#if (gt (more cart.items 2) 0)}}<mj-text>and {{more cart.items 2}} more</mj-text>{{/if}}
  {{#if cart.total}}<mj-text>Total: {{money cart.total}}, on {{date now "full"}}</mj-text>{{/if}}
  <mj-button href="{{cart_url}}">Back to your cart</mj-button>
</mj-column></mj-section>
"#;

fn shop_files() -> Vec<TemplateFile> {
    vec![
        file("_brand.yaml", "font: \"Helvetica, 'Arial'\"\npaper: \"#f4f4f2\"\n"),
        file("_layout.mjml", LAYOUT),
        file("_partials/footer.mjml", FOOTER),
        file("cart/email.mjml", FIRST),
        file(
            "cart/email.nl.mjml",
            &FIRST.replace("Hi {{default customer.first_name \"there\"}},", "Dag"),
        ),
        file("cart/sms.txt", "{{shop.name}}: {{cart.count}} items wait. {{cart_url}}"),
        file("cart/sample.json", SAMPLE),
    ]
}

#[test]
fn a_cart_mail() {
    let (templates, report) = Templates::compile(&shop_files(), "templates");
    assert!(report.is_empty(), "{}", report.render(false));
    let sample = templates.sample("cart").expect("a sample").clone();
    let shop = example_shop();
    let frame = Frame {
        shop: &shop,
        locale: Some("nl-BE"),
        zone: Zone::named("Europe/Brussels").expect("a zone"),
        unsubscribe_url: Some("https://w.shop.example/u/1"),
    };
    let mail = templates.email("cart", &sample, &frame).expect("a mail");
    println!("{}\n{}\n{}\n{}", mail.subject, mail.preheader, mail.text, mail.html);
    let _ = json!(null);
}
