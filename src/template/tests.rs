use super::*;
use crate::model::Zone;

fn file(path: &str, text: &str) -> TemplateFile {
    TemplateFile { path: path.to_owned(), bytes: text.into() }
}

const SAMPLE: &str = include_str!("../../templates/abandoned-cart/second/sample.json");

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
    assert_eq!(mail.subject, "Ann, your cart & more");
    assert_eq!(mail.preheader, "3 items wait");
    assert_eq!(mail.locale.as_deref(), Some("nl"));
    for part in [
        "<html lang=\"nl\"",
        "<title>Ann, your cart &amp; more</title>",
        ">3 items wait&#847;",
        "utm_campaign&#x3D;cart",
        ">Total: €\u{a0}300,85, on dinsdag 3 maart 2026<",
        "href=\"https://shop.example/cart?id&#x3D;500033\"",
        "href=\"https://w.shop.example/u/1\"",
        "<p class=\"note\" style=\"color: #555555",
        "font-family:Helvetica, 'Arial'",
        "prefers-color-scheme: dark",
    ] {
        assert!(mail.html.contains(part), "{part} is not in\n{}", mail.html);
    }
    assert!(!mail.html.contains("{{") && !mail.html.contains("googleapis"), "{}", mail.html);
    assert_eq!(
        mail.text,
        "Dag\n\
         Cedar Track Spike <https://shop.example/products/FH-22-C4?utm_campaign=cart>\n\
         Cedar Track Spike, €\u{a0}209,85\n\
         Cedar Hammock <https://shop.example/products/FH-32-C5?utm_campaign=cart>\n\
         Cedar Hammock, €\u{a0}61,15\n\
         and 1 more\n\n\
         Total: €\u{a0}300,85, on dinsdag 3 maart 2026\n\
         Back to your cart <https://shop.example/cart?id=500033>\n\n\
         Your shop, Your shop, Main Street 1, 1000 Town Unsubscribe <https://w.shop.example/u/1>\n"
    );
    let sms = templates.sms("cart", &sample, &frame).expect("an SMS");
    assert_eq!(sms.text, "Your shop: 3 items wait. https://shop.example/cart?id=500033");
    assert_eq!(templates.locales("cart", MessageChannel::Email), ["nl"]);
}
