//! Samples: the data that a template is shown and tried with.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::journey::{Shop, Type, Var};
use crate::model::{Amount, Currency, Timestamp, Zone};

use super::Templates;
use super::data::Frame;
use super::folder::Folder;
use super::schema::{GROUPS, ITEM, Kind};

/// The sample of a template, if it is one; mistakes go to the report.
pub(super) fn read(name: &str, folder: &Folder, report: &mut Report) -> Option<Json> {
    let Some(file) = &folder.sample else {
        let file = folder.any()?;
        let message = format!("the template `{name}` has no sample.json");
        let help = "copy the `data` of a decision: a line of `waypost replay`";
        report.push(Diagnostic::error(Code::BadSample, file, 0..0, message).help(help));
        return None;
    };
    let sample: Json = match serde_json::from_str(&file.text) {
        Ok(sample) => sample,
        Err(error) => {
            let at = offset(&file.text, error.line(), error.column());
            let message = format!("the sample is no JSON: {}", plain(&error));
            report.push(Diagnostic::error(Code::BadSample, file, at..at + 1, message));
            return None;
        }
    };
    let before = report.error_count();
    match &sample {
        Json::Object(groups) => fits(groups, file, report),
        _ => {
            let message = "a sample is an object: customer, cart, event, …";
            report.push(Diagnostic::error(Code::BadSample, file, 0..1, message));
        }
    }
    (report.error_count() == before).then_some(sample)
}

fn plain(error: &serde_json::Error) -> String {
    let shown = error.to_string();
    shown.split(" at line ").next().unwrap_or_default().to_owned()
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// Each value of a sample has the kind that decisions have.
fn fits(groups: &Map<String, Json>, file: &Arc<SourceFile>, report: &mut Report) {
    let mut fail = |path: &str, message: String| {
        let last = path.rsplit('.').next().unwrap_or(path);
        let quoted = format!("\"{last}\"");
        let at = file.text.find(&quoted).unwrap_or(0);
        let span = at..(at + quoted.len()).min(file.text.len());
        report.push(
            Diagnostic::error(Code::BadSample, file, span, message)
                .help("docs/templates.md lists what a template sees"),
        );
    };
    for (name, value) in groups {
        let Json::Object(fields) = value else {
            match Var::named(name) {
                Some(var) if is_of(value, var.ty()) => {}
                Some(var) => fail(name, format!("`{name}` must be {}", words(var.ty()))),
                None => fail(name, format!("decisions have no `{name}`")),
            }
            continue;
        };
        if !GROUPS.contains(&name.as_str()) {
            fail(name, format!("decisions have no `{name}`"));
            continue;
        }
        for (field, value) in fields {
            let path = format!("{name}.{field}");
            match Var::named(&path) {
                Some(var) if is_of(value, var.ty()) => {}
                Some(var) => fail(&path, format!("`{path}` must be {}", words(var.ty()))),
                None if path == "customer.attributes" && value.is_object() => {}
                None => fail(&path, format!("decisions have no `{path}`")),
            }
        }
    }
}

const fn words(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "true or false",
        Type::Int | Type::Duration => "a whole number",
        Type::Text => "a text",
        Type::Money => "money, such as {\"amount\": \"20.00\", \"currency\": \"EUR\"}",
        Type::Time => "a time, such as \"2026-03-02T01:07:15Z\"",
        Type::Items => "a list of products, each with a sku and what docs/templates.md lists",
        Type::Texts => "a list of texts",
    }
}

fn is_of(value: &Json, ty: Type) -> bool {
    match ty {
        Type::Bool => value.is_boolean(),
        Type::Int | Type::Duration => value.is_i64(),
        Type::Text => value.is_string(),
        Type::Money => is_money(value),
        Type::Time => value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        Type::Items => value.as_array().is_some_and(|items| items.iter().all(is_item)),
        Type::Texts => value.as_array().is_some_and(|texts| texts.iter().all(Json::is_string)),
    }
}

fn is_money(value: &Json) -> bool {
    let text = |name: &str| value.get(name).and_then(Json::as_str);
    text("amount").is_some_and(|amount| amount.parse::<Amount>().is_ok())
        && value.get("currency").is_none_or(|_| text("currency").and_then(Currency::new).is_some())
}

fn is_item(item: &Json) -> bool {
    let Some(fields) = item.as_object() else { return false };
    let of_kind =
        |(name, value): (&String, &Json)| match ITEM.iter().find(|(known, ..)| known == name) {
            Some((_, Kind::Int, ..)) => value.is_i64(),
            Some((_, Kind::Money, ..)) => is_money(value),
            Some(_) => value.is_string(),
            None => false,
        };
    let needed = ITEM.iter().filter(|(_, _, always, _)| *always);
    needed.into_iter().all(|(name, ..)| fields.contains_key(*name)) && fields.iter().all(of_kind)
}

/// A shop to show templates with where none is configured.
#[must_use]
pub fn example_shop() -> Shop {
    Shop {
        name: Some("Your shop".into()),
        sender: Some("Your shop <shop@shop.example>".into()),
        postal_address: Some("Your shop, Main Street 1, 1000 Town".into()),
        currency: Currency::new("EUR"),
        zone: Zone::named("Europe/Amsterdam"),
        locale: None,
        country: None,
        public_url: Some("https://waypost.shop.example".into()),
        product_url: Some("https://shop.example/products/{sku}".into()),
        cart_url: Some("https://shop.example/cart?id={cart_id}".into()),
    }
}

/// Renders every variant with its sample, and with the least that a decision holds: what passed the
/// check must render with both.
pub(super) fn render(templates: &Templates, report: &mut Report) {
    let shop = example_shop();
    let least = least();
    for (name, template) in &templates.inner.templates {
        let samples = [template.sample.as_ref(), Some(&least)];
        for data in samples.into_iter().flatten() {
            for (locale, variant) in &template.emails {
                let frame = frame(&shop, locale.as_deref());
                if let Err(error) = templates.email(name, data, &frame) {
                    fail(&variant.file, &error.to_string(), report);
                }
            }
            for locale in template.sms.keys() {
                let frame = frame(&shop, locale.as_deref());
                if let Err(error) = templates.sms(name, data, &frame) {
                    fail(&template.file, &error.to_string(), report);
                }
            }
        }
    }
}

const fn frame<'a>(shop: &'a Shop, locale: Option<&'a str>) -> Frame<'a> {
    Frame { shop, locale, zone: Zone::utc(), unsubscribe_url: None }
}

fn fail(file: &Arc<SourceFile>, why: &str, report: &mut Report) {
    report.push(Diagnostic::error(Code::BadSample, file, 0..0, why));
}

/// The least data that a decision holds, by either channel.
fn least() -> Json {
    let at = "2026-03-02T01:07:15Z";
    json!({
        "customer": {
            "email": "ann@shop.example", "phone": "+31612345678",
            "known": true, "signed_in": false,
        },
        "cart": { "count": 0, "lines": 0, "items": [{ "sku": "A", "quantity": 1 }], "checkout": false },
        "event": {
            "name": "cart.changed", "time": at, "channel": "web",
            "items": [{ "sku": "A", "quantity": 1 }],
        },
        "orders": {
            "count": 0, "total": { "amount": "0.00" },
            "last_items": [{ "sku": "A", "quantity": 1 }],
        },
        "browse": { "items": [{ "sku": "A", "quantity": 1 }], "count": 1 },
        "run": { "started_at": at, "messages": 0, "key": "" },
        "now": at,
    })
}
