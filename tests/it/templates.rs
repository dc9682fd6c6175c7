//! Templates from outside: their documentation, and `waypost preview`.

use std::path::Path;

use waypost::template::{FUNCTIONS, TemplateFile, Templates, Variable, item_fields, variables};

use crate::support::{update, waypost};

const REFERENCE: &str = "docs/templates.md";

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
    let text = std::fs::read_to_string(&path).expect("the reference");
    let functions: String = FUNCTIONS
        .iter()
        .map(|function| format!("| `{}` | {} |\n", function.usage, function.meaning))
        .collect();
    let mut expected = text.clone();
    for (section, head, rows) in [
        (
            "variables",
            "| variable | kind | always there | meaning |\n|---|---|---|---|\n",
            rows(&variables()),
        ),
        (
            "items",
            "| field | kind | always there | meaning |\n|---|---|---|---|\n",
            rows(&item_fields()),
        ),
        ("functions", "| function | gives |\n|---|---|\n", functions),
    ] {
        let (open, close) = (format!("<!-- {section} -->\n"), format!("<!-- /{section} -->"));
        let (before, rest) = expected.split_once(&open).expect("the section begins");
        let (_, after) = rest.split_once(&close).expect("the section ends");
        expected = format!("{before}{open}{head}{rows}{close}{after}");
    }
    if update() {
        std::fs::write(&path, expected).expect("the reference is written");
        return;
    }
    assert_eq!(text, expected, "{REFERENCE} is stale: run the tests with UPDATE=1");
}

fn rows(variables: &[Variable]) -> String {
    let row = |var: &Variable| {
        format!("| `{}` | {} | {} | {} |\n", var.path, var.kind, var.always, var.meaning)
    };
    variables.iter().map(row).collect()
}

/// Each example is compiled: a mail as it stands, a part of a text as an SMS, and each function's.
#[test]
fn examples_in_the_reference_compile() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE));
    let text = text.expect("the reference");
    let blocks = |language: &str| -> Vec<String> {
        let open = format!("```{language}\n");
        text.split(&open)
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .map(Into::into)
            .collect()
    };
    let layout = "<mjml><mj-body>{{> body}}</mj-body></mjml>";
    let (mails, parts) = (blocks("mjml"), blocks("handlebars"));
    assert!(!mails.is_empty() && !parts.is_empty());
    for (name, content) in mails
        .iter()
        .map(|mail| ("a/email.mjml", mail.clone()))
        .chain(parts.iter().map(|part| ("a/sms.txt", part.clone())))
        .chain(FUNCTIONS.iter().map(|function| ("a/sms.txt", usage(function.usage))))
    {
        compiles(&[(name, &content), ("_layout.mjml", layout), ("a/sample.json", SAMPLE)]);
    }
}

const SAMPLE: &str = include_str!("../../templates/abandoned-cart/second/sample.json");

/// A function's example, in an `if` for each value that may be missing.
fn usage(usage: &str) -> String {
    let name = usage.split(' ').next().unwrap_or_default();
    let call = match usage.strip_prefix('#') {
        Some(block) => format!("{{{{#{block}}}}}x{{{{/each}}}}"),
        None if ["eq", "ne", "gt", "lt", "and", "or", "not"].contains(&name) => {
            format!("{{{{#if ({usage})}}}}x{{{{/if}}}}")
        }
        None => format!("{{{{{usage}}}}}"),
    };
    let may_be_missing = variables().into_iter().filter(|var| var.always.is_empty());
    let whole = may_be_missing
        .filter(|var| usage.contains(var.path))
        .fold(call, |whole, var| format!("{{{{#if {}}}}}{whole}{{{{/if}}}}", var.path));
    format!("x {whole}")
}

fn compiles(files: &[(&str, &str)]) {
    let files: Vec<TemplateFile> = files
        .iter()
        .map(|(path, text)| TemplateFile { path: (*path).to_owned(), bytes: (*text).into() })
        .collect();
    let (_, report) = Templates::compile(&files, "templates");
    assert!(report.is_empty(), "{}", report.render(false));
}

/// What ships compiles and renders; `check` looks at journeys with it.
#[test]
fn shipped_templates_are_sound() {
    let output = waypost().arg("check").output().expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("templates checked: no mistakes"), "{said}");
    // There is no configuration: `run` would say the same.
    assert!(said.contains("will fail") && said.contains(" shops.default.name"), "{said}");
}

/// A configuration that lacks what templates print would make each message fail.
#[test]
fn check_names_what_the_configuration_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = env!("CARGO_MANIFEST_DIR");
    let write = |shop: &str| {
        let text = format!(
            "journeys: {root}/journeys\ntemplates: {root}/templates\nshops: {{ default: {{ {shop} }} }}\n"
        );
        std::fs::write(folder.path().join("waypost.yaml"), text).expect("a file");
        let output = waypost().current_dir(folder.path()).arg("check").output();
        let output = output.expect("the command runs");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = write("name: Fernhill");
    assert!(told.contains("set shops.default.cart_url, "), "{told}");
    assert!(told.contains(" shops.default.postal_address"), "{told}");
    assert!(!told.contains("shops.default.name"), "{told}");
    let told = write("name: F, postal_address: Main Street 1, cart_url: 'https://f.example/cart'");
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn preview_shows_what_a_customer_would_get() {
    let folder = tempfile::tempdir().expect("a folder");
    let templates = folder.path().join("templates");
    for (path, text) in [
        ("cart/sms.txt", "Hi {{default customer.first_name \"there\"}}: {{cart_url}}"),
        ("cart/sms.nl.txt", "Dag {{default customer.first_name \"jij\"}}: {{cart_url}}"),
        ("cart/sample.json", SAMPLE),
        (
            "mail/email.html",
            "---\nsubject: Hi\npreheader: \"\"\n---\n<html><body><p>Hi {{shop.name}}</p></body></html>",
        ),
        ("mail/sample.json", "{}"),
    ] {
        let path = templates.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let line =
        r#"{"channel":"sms","data":{"customer":{"first_name":"Bo","locale":"en"},"cart":{}}}"#;
    std::fs::write(folder.path().join("line.json"), line).expect("a file");
    let run = |arguments: &[&str]| {
        let mut command = waypost();
        let output = command.current_dir(folder.path()).arg("preview").args(arguments).output();
        let output = output.expect("the command runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let link = "https://shop.example/cart?id=500033";
    // The sample's customer speaks nl-BE.
    assert_eq!(run(&["cart"]).1, format!("Dag Ann: {link}\n"));
    assert_eq!(run(&["cart", "--locale", "en"]).1, format!("Hi Ann: {link}\n"));
    assert_eq!(run(&["cart", "--data", "line.json"]).1, "Hi Bo: https://shop.example/\n");
    assert_eq!(run(&["mail", "--as", "text"]).1, "Hi Your shop\n");
    let json = run(&["cart", "--all-locales", "--as", "json"]).1;
    let locales: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (&locales[0]["locale"], &locales[1]["locale"]),
        (&serde_json::Value::Null, &"nl".into())
    );
    assert_eq!(run(&["--out", "shown"]).0, Some(0));
    for (file, text) in [
        ("cart/sms.nl.txt", "Dag Ann"),
        ("cart/sms.txt", "Hi Ann"),
        ("mail/email.html", "<p>Hi Your shop</p>"),
    ] {
        let shown = std::fs::read_to_string(folder.path().join("shown").join(file));
        assert!(shown.expect("a file").contains(text), "{file}");
    }
    let (code, _, told) = run(&["cart", "--locale", "nl", "--out", "dutch"]);
    assert!(code == Some(0) && !told.contains("default text"), "{told}");
    let files = std::fs::read_dir(folder.path().join("dutch/cart")).expect("a folder");
    let files: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(files, ["sms.nl.txt"]);
    let (_, shown, told) = run(&["cart", "--locale", "fr"]);
    assert_eq!(shown, format!("Hi Ann: {link}\n"));
    assert!(told.contains("cart is not written in `fr`: the default text is shown"), "{told}");
    for (arguments, code, said) in [
        (&["cart", "--customer", "ann"][..], 3, "A demo or a replay keeps none"),
        (&["crat"], 3, "did you mean `cart`?"),
        (&[], 3, "there are cart, mail"),
        (&["mail", "--as", "sms"], 3, "template mail has nothing for sms"),
        (&["cart", "--all-locales"], 3, "--out DIR"),
        (&["cart", "--data", "none.json"], 3, "can't read none.json"),
        (&["cart", "--locale", "zz_!!"], 2, "a language is written as in nl or nl-BE"),
        (&["cart", "--templates", "none"], 3, "there are no templates at none; "),
        (&["cart", "--templates", "none"], 3, "`templates:` in waypost.yaml, --templates for"),
    ] {
        let (found, _, told) = run(arguments);
        assert!(found == Some(code) && told.contains(said), "{arguments:?}: {told}");
    }
    std::fs::write(templates.join("cart/sms.txt"), "Hi {{customer.first_name}}").expect("a file");
    let (code, shown, told) = run(&["cart"]);
    assert_eq!((code, shown.as_str()), (Some(1), ""));
    assert!(told.contains("sms.txt:1:6") && told.contains("may be missing"), "{told}");
}

/// What people may type by mistake, in any order.
const PIECES: [&str; 48] = [
    "<mjml>",
    "</mjml>",
    "<mj-head>",
    "</mj-head>",
    "<mj-body>",
    "</mj-body>",
    "<mj-section>",
    "</mj-section>",
    "<mj-column>",
    "</mj-column>",
    "<mj-text>",
    "</mj-text>",
    "<mj-text",
    "<mj-button href=\"",
    "<mj-image src=",
    "<mj-style inline=\"inline\">",
    "</mj-style>",
    "<style>",
    "</style>",
    ".a { color: red",
    "}",
    "<mj-raw>",
    "<mj-attributes>",
    "<mj-all",
    "<!--",
    "-->",
    "<!--[if mso]>",
    "<![endif]-->",
    "<",
    ">",
    "\"",
    "'",
    "/>",
    "&amp;",
    "&#x",
    "{{",
    "}}",
    "{{#if cart.id}}",
    "{{else}}",
    "{{/if}}",
    "{{cart.count}}",
    "{{#each (first cart.items 2)}}",
    "{{/each}}",
    "{{sku}}",
    "{{default name \"é\"}}",
    "{{> p}}",
    "---\n",
    "é\u{a0}\n",
];

proptest::proptest! {
    /// Whatever stands in a file is reported or compiled; nothing panics.
    #[test]
    fn any_file_is_reported_or_compiled(
        picks in proptest::collection::vec(0..PIECES.len(), 0..60),
        cut in 0..40_usize,
    ) {
        let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        let front = "---\nsubject: x\npreheader: x\n---\n";
        let whole = format!("{front}<mjml><mj-body><mj-section><mj-column>{text}</mj-column></mj-section></mj-body></mjml>");
        let cut: String = text.chars().skip(cut).collect();
        for (path, content) in [
            ("a/email.mjml", format!("{front}{text}")),
            ("a/email.mjml", whole),
            ("a/email.html", format!("{front}<html><body>{text}</body></html>")),
            ("a/email.html", text.clone()),
            ("a/sms.txt", cut.clone()),
            ("_layout.mjml", text.clone()),
            ("_brand.yaml", cut.clone()),
            ("a/sample.json", cut),
        ] {
            let files = [(path, content), ("_partials/p.mjml", text.clone()), ("a/sample.json", "{}".into())]
                .map(|(path, text)| TemplateFile { path: path.to_owned(), bytes: text.into_bytes() });
            let (templates, report) = Templates::compile(&files, "templates");
            proptest::prop_assert!(report.has_errors() || templates.names().count() <= 1);
        }
    }
}
