use super::*;

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
        "<p style=\"color: #555555;\" class=\"note\">",
        "font-family:Helvetica, 'Arial'",
        "prefers-color-scheme: dark",
    ] {
        assert!(mail.html.contains(part), "{part} is not in\n{}", mail.html);
    }
    assert!(!mail.html.contains("{{") && !mail.html.contains("googleapis"), "{}", mail.html);
    assert_eq!(
        mail.text,
        "Dag\n\n\
         Cedar Track Spike <https://shop.example/products/FH-22-C4?utm_campaign=cart>\n\n\
         Cedar Track Spike, €\u{a0}209,85\n\n\
         Cedar Hammock <https://shop.example/products/FH-32-C5?utm_campaign=cart>\n\n\
         Cedar Hammock, €\u{a0}61,15\n\n\
         and 1 more\n\n\
         Total: €\u{a0}300,85, on dinsdag 3 maart 2026\n\n\
         Back to your cart <https://shop.example/cart?id=500033>\n\n\
         Your shop, Your shop, Main Street 1, 1000 Town Unsubscribe <https://w.shop.example/u/1>\n"
    );
    let sms = templates.sms("cart", &sample, &frame).expect("an SMS");
    assert_eq!(sms.text, "Your shop: 3 items wait. https://shop.example/cart?id=500033");
    assert_eq!(templates.locales("cart", MessageChannel::Email), ["nl"]);
}

/// Templates of one SMS and one HTML mail, which must compile.
fn of(sms: &str, body: &str) -> Templates {
    let mail = format!(
        "---\nsubject: '{{{{default customer.first_name \"you\"}}}}: {{{{join (first cart.items 2) \"name\" \", \"}}}}'\npreheader: \"\"\n---\n<html><body>{body}</body></html>"
    );
    let files =
        [file("a/sms.txt", sms), file("a/email.html", &mail), file("a/sample.json", SAMPLE)];
    let (templates, report) = Templates::compile(&files, "templates");
    assert!(report.is_empty(), "{}", report.render(false));
    templates
}

fn frame(shop: &Shop) -> Frame<'_> {
    Frame { shop, locale: Some("en"), zone: Zone::utc(), unsubscribe_url: None }
}

/// What the checker lets pass means the same to the renderer: with a sample, and (compiling tries
/// it) with the least that a decision holds.
#[test]
fn names_mean_what_the_checker_takes_them_for() {
    let shop = example_shop();
    for (text, shown) in [
        ("{{cart.count}} {{@root.cart.count}} {{this.cart.count}} {{./cart.count}}", "3 3 3 3"),
        (
            "{{#with cart}}{{count}} {{../event.name}} {{@root.event.name}}{{/with}}",
            "3 cart.changed cart.changed",
        ),
        ("{{#with cart as |c|}}{{c.count}}{{/with}}", "3"),
        ("x{{#with event.coupon}}{{this}}{{/with}}", "x"),
        ("{{#with event.coupon}}{{this}}{{else}}none{{/with}}", "none"),
        ("{{#with cart.total}}{{money this}}{{/with}}x", "€300.85x"),
        ("{{#with (default event.coupon \"none\")}}{{this}}{{/with}}", "none"),
        (
            "{{#each (first cart.items 2)}}{{@index}}{{sku}}{{#if @last}}.{{else}},{{/if}}{{/each}}x",
            "0FH-22-C4,1FH-32-C5.x",
        ),
        (
            "{{#each (first cart.items 1) as |item|}}{{item.sku}} {{../cart.count}}{{/each}}x",
            "FH-22-C4 3x",
        ),
        (
            "{{#each (first cart.items 1)}}{{#each (first @root.browse.items 1)}}{{sku}} {{../sku}}{{/each}}{{/each}}x",
            "FH-22-B2 FH-22-C4x",
        ),
        (
            "{{#each (first cart.items 1)}}{{#if price}}{{money price}}{{/if}} {{#if url}}{{url}}{{/if}}{{/each}}x",
            "€209.85 https://shop.example/products/FH-22-C4x",
        ),
        (
            "{{#each (first cart.items 1)}}{{#with price}}{{money this}}{{/with}}{{/each}}x",
            "€209.85x",
        ),
        ("{{#each (first event.items 1)}}x{{else}}none{{/each}}", "x"),
        ("{{#if customer.attributes.city}}{{customer.attributes.city}}{{/if}}x", "Liègex"),
        ("{{#unless event.coupon}}none{{else}}{{event.coupon}}{{/unless}}", "none"),
        ("{{#if event.coupon}}a{{else if cart.id}}{{cart.id}}{{else}}b{{/if}}", "500033"),
        (
            "{{#if (and cart.id (gt cart.total 300.5))}}{{cart.id}}{{money cart.total}}{{/if}}x",
            "500033€300.85x",
        ),
        ("{{#if (not cart.id)}}a{{else}}{{cart.id}}{{/if}}", "500033"),
        ("{{#if (or (lt cart.total 1) (eq cart.count 3))}}yes{{/if}}x", "yesx"),
        ("{{#if (lt orders.last_total 1)}}a{{else}}b{{/if}}", "b"),
        ("{{#if (ne customer.country \"NL\")}}{{upper \"no\"}}{{/if}}x", "NOx"),
        ("{{plural cart.count \"item\" \"items\"}} {{plural 1 \"item\" \"items\"}}", "items item"),
        ("{{more cart.items 1}} {{more cart.items 9}} {{len cart.items}}", "2 0 3"),
        (
            "{{len (without cart.items event.items)}} {{#each (first (without cart.items event.items) 1)}}{{sku}}{{/each}} {{len (without cart.items cart.items)}}",
            "2 FH-32-C5 0",
        ),
        (
            "{{title \"de wit-bos\"}} {{truncate \"Cedar Track Spike\" 12}} {{lower \"ÀB\"}}",
            "De Wit-Bos Cedar Track… àb",
        ),
        (
            "{{url \"a b&c\"}} {{link cart_url utm_source=\"w\" a=\"b\"}}",
            "a%20b%26c https://shop.example/cart?id=500033&a=b&utm_source=w",
        ),
        ("{{date now \"time\"}} {{date now}}", "1:07 AM March 3, 2026"),
        ("{{! a comment }}x{{!-- another {{ --}}y", "xy"),
        ("a\n{{~#if cart.id~}}\nb\n{{~/if~}}\nc", "abc"),
    ] {
        let sms = of(text, "x").sms("a", &sample(), &frame(&shop)).expect(text);
        assert_eq!(sms.text, shown, "{text}");
    }
}

fn sample() -> Json {
    serde_json::from_str(SAMPLE).expect("a sample")
}

/// A profile or a feed that is out to harm is shown as text, in each part.
#[test]
fn values_are_made_safe_for_their_place() {
    let shop = example_shop();
    let body = "<p title=\"{{default customer.first_name 'x'}}\">{{default customer.first_name \"x\"}}</p>\
                <a href=\"{{default event.query shop.url}}\">q</a>\
                <a href=\"https://shop.example/?q={{url (default event.query '')}}\">q</a>";
    let templates = of("{{default customer.first_name \"x\"}}", body);
    let mut data = sample();
    data["customer"]["first_name"] = "<b>\"Ann\"\r\nBcc: x@y.example\u{202e}\u{0}".into();
    data["event"]["query"] = "https://q.example/?a=\"><script>".into();
    let error = templates.email("a", &data, &frame(&shop)).expect_err("no safe address");
    assert!(
        matches!(&error, RenderError::Misuse { misuse: Misuse::Address { .. }, .. }),
        "{error}"
    );
    data["event"]["query"] = "https://q.example/?a='b'&c".into();
    let mail = templates.email("a", &data, &frame(&shop)).expect("a mail");
    let name = "&lt;b&gt;&quot;Ann&quot;  Bcc: x@y.example";
    for part in [
        &format!("<p title=\"{name}\">{name}</p>"),
        "href=\"https://q.example/?a&#x3D;&#x27;b&#x27;&amp;c\"",
        "href=\"https://shop.example/?q=https%3A%2F%2Fq.example%2F%3Fa%3D%27b%27%26c\"",
    ] {
        assert!(mail.html.contains(part), "{part} is not in {}", mail.html);
    }
    assert_eq!(mail.subject, "<b>\"Ann\" Bcc: x@y.example: Cedar Track Spike, Cedar Hammock");
    assert!(mail.text.contains("<b>\"Ann\"  Bcc: x@y.example"), "{}", mail.text);
    for bad in ["javascript:alert(1)", "//q.example", "data:text/html,x", "q"] {
        data["event"]["query"] = bad.into();
        let error = templates.email("a", &data, &frame(&shop)).expect_err(bad);
        assert!(error.to_string().contains("can't stand in a mail"), "{error}");
    }
}

/// Data that a decision should not have ends the message with a reason, and nothing else.
#[test]
fn what_can_not_be_rendered_says_why() {
    let shop = example_shop();
    let loops = "{{#each (first cart.items 50)}}{{#each (first @root.cart.items 50)}}{{default name sku}}{{/each}}{{/each}}";
    let templates = of(&format!("x{{{{cart.count}}}}\n{{{{money orders.total}}}}{loops}"), loops);
    let check = |change: &dyn Fn(&mut Json), expected: &str| {
        let mut data = sample();
        change(&mut data);
        let mail = templates.email("a", &data, &frame(&shop)).map(|_| ());
        let sms = templates.sms("a", &data, &frame(&shop)).map(|_| ());
        let told: Vec<String> =
            [mail, sms].into_iter().filter_map(|done| Some(done.err()?.to_string())).collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{expected}: {told:?}");
    };
    let line =
        "template a (default language), sms: `cart.count` is missing (templates/a/sms.txt:1)";
    check(&|data| data["cart"]["count"] = Json::Null, line);
    check(
        &|data| data["orders"]["total"] = "ten".into(),
        "`money` is given \"ten\", which is not money",
    );
    check(&|data| data["orders"]["total"]["amount"] = 10.5.into(), "which is not money");
    check(&|data| data["cart"]["items"] = Json::Null, "`cart.items` is missing");
    check(&|data| data["cart"]["items"] = "x".into(), "not a list of products");
    check(&|data| *data = Json::Null, "is missing");
    let large: Json = (0..60).map(|_| serde_json::json!({ "sku": "A".repeat(300) })).collect();
    check(&|data| data["cart"]["items"] = large.clone(), "text: larger than 524288 bytes");
    check(&|data| data["cart"]["items"] = large.clone(), "sms: larger than 3200 bytes");
    check(
        &|data| data["customer"]["first_name"] = "A".repeat(2_000).into(),
        "subject: larger than 1000 bytes",
    );
    let empty = of("{{#if (eq cart.count 0)}}x{{/if}}{{#if (eq cart.count 3)}}y{{/if}}", "x");
    let mut data = sample();
    data["cart"]["count"] = 5.into();
    let told = empty.sms("a", &data, &frame(&shop)).expect_err("nothing to send").to_string();
    assert_eq!(told, "template a (default language), sms: it is empty");
    let told = empty.sms("b", &data, &frame(&shop)).expect_err("no template").to_string();
    assert_eq!(told, "there is no template `b`");
}

#[test]
fn what_a_shop_lacks_is_named() {
    let templates =
        of("x{{#with cart}}{{../shop.name}}{{/with}}", "{{shop.postal_address}}{{cart_url}}");
    for (shop, email, sms) in [
        (Shop::default(), vec!["shop.postal_address", "cart_url"], vec!["shop.name"]),
        (example_shop(), vec![], vec![]),
        (Shop { cart_url: None, ..example_shop() }, vec![], vec![]),
        (Shop { name: None, sender: None, ..example_shop() }, vec![], vec!["shop.name"]),
    ] {
        assert_eq!(templates.lacking("a", MessageChannel::Email, &shop), email);
        assert_eq!(templates.lacking("a", MessageChannel::Sms, &shop), sms);
    }
}

#[test]
fn limits_hold_when_templates_are_loaded() {
    let sms = |text: String| vec![file("a/sms.txt", &text), file("a/sample.json", "{}")];
    let html = |body: &str| {
        let mail = format!("---\nsubject: x\npreheader: x\n---\n<html><body>{body}</body></html>");
        vec![file("a/email.html", &mail), file("a/sample.json", "{}")]
    };
    let mut doubling = sms("{{> p0}}".to_owned());
    for level in 0..15 {
        let next = format!("{{{{> p{}}}}}", level + 1).repeat(4);
        doubling.push(file(&format!("_partials/p{level}.txt"), &next));
    }
    doubling.push(file("_partials/p15.txt", "0123456789"));
    let chain = format!("{{{{#if cart.id}}}}a{}{{{{/if}}}}", "{{else if cart.id}}b".repeat(500));
    for (files, expected) in [
        (sms("x".repeat(FILE_BYTES_MAX as usize + 1)), "larger than 256 KB"),
        (vec![TemplateFile { path: "a/sms.txt".into(), bytes: vec![0xff] }], "not UTF-8"),
        (doubling, "too large with its partials"),
        (html(&"<div>".repeat(50_000)), "elements are nested too deeply"),
        (sms(format!("{{{{{}}}}}", "x".repeat(1_001))), "too long"),
        (sms(chain), "nested too deeply"),
    ] {
        let (_, report) = Templates::compile(&files, "templates");
        assert!(report.render(false).contains(expected), "{expected}: {}", report.render(false));
    }
}

/// Styles are put into elements where blocks stand in tables: an HTML parser alone would move them.
#[test]
fn styles_are_inlined_around_blocks() {
    let mail = "---\nsubject: x\npreheader: x\n---\n<html><head><title>{{shop.name}}</title><style>.p { color: red } @media print { p { color: blue } }</style></head><body>\
                <table>{{#each (first cart.items 2)}}<tr class=\"p\"><td>{{sku}}</td></tr>{{/each}}</table>\
                <!-- {{sku}} --><a class=\"p\" href=\"{{cart_url}}\" title=\"{{shop.name}}\">x</a></body></html>";
    let mail = mail.replace("<!-- {{sku}} -->", "<!--[if mso]><b>{{cart.count}}</b><![endif]-->");
    let files = [file("a/email.html", &mail), file("a/sample.json", SAMPLE)];
    let (templates, report) = Templates::compile(&files, "templates");
    assert!(report.is_empty(), "{}", report.render(false));
    let mail = templates.email("a", &sample(), &frame(&example_shop())).expect("a mail");
    for part in [
        "<table><tr style=\"color: red;\" class=\"p\"><td>FH-22-C4</td></tr><tr style=\"color: red;\" class=\"p\"><td>FH-32-C5</td></tr></table>",
        "<!--[if mso]><b>3</b><![endif]-->",
        "href=\"https://shop.example/cart?id&#x3D;500033\" title=\"Your shop\"",
        "<title>Your shop</title>",
        "@media print",
    ] {
        assert!(mail.html.contains(part), "{part} is not in {}", mail.html);
    }
}
