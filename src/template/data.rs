//! What a template is rendered with: the decision's data, and the frame around it.

use serde_json::{Map, Value as Json, json};

use crate::journey::Shop;
use crate::model::Zone;

use super::brand::Brand;
use super::{link, locale};

/// What a message is rendered for, beside its data.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// The shop the customer is in.
    pub shop: &'a Shop,
    /// The customer's language; without it the shop's.
    pub locale: Option<&'a str>,
    /// The zone in which dates are written: the customer's, else the shop's.
    pub zone: Zone,
    /// Where this customer unsubscribes from this kind of mail.
    pub unsubscribe_url: Option<&'a str>,
}

impl Frame<'_> {
    /// The language that is looked for among a template's variants.
    pub(super) fn wanted(&self) -> Option<&str> {
        self.locale.or(self.shop.locale.as_deref())
    }

    /// The tag by which money and dates are written in a text of this language: the customer's or
    /// else the shop's where it is of that language, so that nl-BE stays nl-BE. A text that does not
    /// say its language is taken to be in the shop's.
    pub(super) fn written_in<'a>(&'a self, text: Option<&'a str>) -> &'a str {
        let shop = self.shop.locale.as_deref();
        let Some(text) = text.or(shop) else { return self.locale.unwrap_or("en") };
        let of_text = |tag: &&str| locale::language(tag) == locale::language(text);
        self.locale.into_iter().chain(shop).find(of_text).unwrap_or(text)
    }
}

/// The whole that a template sees. Facts that can't be used (an address that leads nowhere, a text
/// of the wrong shape) are left out, as if they were not known.
pub(super) fn whole(data: &Json, frame: &Frame<'_>, brand: &Brand, locale: &str) -> Json {
    let mut root = match cleaned(data) {
        Json::Object(root) => root,
        _ => Map::new(),
    };
    for path in
        [["cart", "items"], ["event", "items"], ["orders", "last_items"], ["browse", "items"]]
    {
        let items = root.get_mut(path[0]).and_then(|group| group.get_mut(path[1]));
        for item in items.and_then(Json::as_array_mut).into_iter().flatten() {
            complete(item, frame.shop);
        }
    }
    let shop = shop(frame.shop);
    let cart_url = cart_url(&root, frame.shop).or_else(|| shop.get("url").cloned());
    root.insert("shop".to_owned(), Json::Object(shop));
    root.extend(cart_url.map(|url| ("cart_url".to_owned(), url)));
    if let Some(url) = frame.unsubscribe_url {
        root.insert("unsubscribe_url".to_owned(), url.into());
    }
    root.insert("brand".to_owned(), json!(brand));
    let currency = frame.shop.currency.as_ref().map(|currency| currency.code());
    root.insert(
        "frame".to_owned(),
        json!({ "locale": locale, "zone": frame.zone.name(), "currency": currency }),
    );
    Json::Object(root)
}

/// The value without nulls, and without control characters in its texts: they come from profiles
/// and feeds, and would break a subject or turn the direction of a line.
fn cleaned(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(clean(text)),
        Json::Array(values) => values.iter().map(cleaned).collect(),
        Json::Object(fields) => {
            let known = fields.iter().filter(|(_, value)| !value.is_null());
            Json::Object(known.map(|(name, value)| (name.clone(), cleaned(value))).collect())
        }
        other => other.clone(),
    }
}

/// A text without control characters: breaks of lines and tabs become spaces, others are left out.
pub(super) fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if c.is_control() || turns(c) => None,
            c => Some(c),
        })
        .collect()
}

/// A product with its page's address, and without addresses that can't stand in a mail.
fn complete(item: &mut Json, shop: &Shop) {
    let Some(item) = item.as_object_mut() else { return };
    for field in ["url", "image"] {
        let is_web = item
            .get(field)
            .and_then(Json::as_str)
            .is_some_and(|url| link::is_safe(url) && url.to_ascii_lowercase().starts_with("http"));
        if !is_web {
            item.remove(field);
        }
    }
    if let Some(Json::String(options)) = item.get_mut("options") {
        *options = readable(options);
    }
    if let (None, Some(pattern)) = (item.get("url"), &shop.product_url)
        && let Some(sku) = item.get("sku").and_then(Json::as_str)
    {
        let url = pattern.replace("{sku}", &link::encode(sku));
        item.insert("url".to_owned(), url.into());
    }
}

/// Chosen options as a person reads them: `color=red;size=S` is what makes equal choices equal.
fn readable(options: &str) -> String {
    options.split(';').map(|option| option.replacen('=', ": ", 1)).collect::<Vec<_>>().join(", ")
}

/// The way back to the very cart; `None` where the shop names none, or needs an id that is not
/// known.
fn cart_url(root: &Map<String, Json>, shop: &Shop) -> Option<Json> {
    let pattern = shop.cart_url.as_ref()?;
    if !pattern.contains("{cart_id}") {
        return Some(pattern.as_str().into());
    }
    let id = root.get("cart")?.get("id")?.as_str()?;
    Some(pattern.replace("{cart_id}", &link::encode(id)).into())
}

fn shop(shop: &Shop) -> Map<String, Json> {
    let sender = shop.sender.as_deref().and_then(|sender| sender.split_once('<'));
    let name = shop.name.as_deref().or_else(|| {
        let name = sender.map(|(name, _)| name.trim().trim_matches('"'));
        name.filter(|name| !name.is_empty())
    });
    let urls = [&shop.cart_url, &shop.product_url];
    let url = urls.into_iter().flatten().find_map(|url| link::origin(url));
    let fields = [
        ("name", name.map(clean)),
        ("postal_address", shop.postal_address.as_deref().map(clean)),
        ("url", url),
    ];
    let known =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_used_is_left_out() {
        let shop = Shop {
            sender: Some("Fernhill <shop@fernhill.example>".into()),
            cart_url: Some("https://fernhill.example/cart?c={cart_id}".into()),
            product_url: Some("https://fernhill.example/p/{sku}".into()),
            ..Shop::default()
        };
        let frame = Frame { shop: &shop, locale: None, zone: Zone::utc(), unsubscribe_url: None };
        let data = json!({
            "customer": { "first_name": "An\u{202e}n\r\nBcc: x", "last_name": null },
            "cart": {
                "id": "a b/c",
                "items": [
                    {
                        "sku": "A/1", "url": "javascript:alert(1)", "image": "/a.jpg",
                        "options": "color=red;note=a=b;size=S",
                    },
                    { "sku": "B", "url": "https://fernhill.example/b", "image": "https://x.example/b.jpg" },
                ],
            },
        });
        let whole = whole(&data, &frame, &Brand::new(), "en");
        assert_eq!(whole["customer"], json!({ "first_name": "Ann  Bcc: x" }));
        assert_eq!(whole["cart_url"], "https://fernhill.example/cart?c=a%20b%2Fc");
        assert_eq!(
            whole["cart"]["items"][0],
            json!({
                "sku": "A/1",
                "url": "https://fernhill.example/p/A%2F1",
                "options": "color: red, note: a=b, size: S",
            })
        );
        assert_eq!(whole["cart"]["items"][1], data["cart"]["items"][1]);
        assert_eq!(
            whole["shop"],
            json!({ "name": "Fernhill", "url": "https://fernhill.example/" })
        );
    }

    #[test]
    fn a_cart_without_an_id_leads_to_the_shop() {
        let mut shop = Shop {
            cart_url: Some("https://fernhill.example/cart?c={cart_id}".into()),
            ..Shop::default()
        };
        let of = |shop: &Shop| {
            let frame = Frame { shop, locale: None, zone: Zone::utc(), unsubscribe_url: None };
            whole(&json!({ "cart": {} }), &frame, &Brand::new(), "en")["cart_url"].clone()
        };
        assert_eq!(of(&shop), "https://fernhill.example/");
        shop.cart_url = Some("https://fernhill.example/cart".into());
        assert_eq!(of(&shop), "https://fernhill.example/cart");
        assert_eq!(of(&Shop::default()), Json::Null);
    }

    #[test]
    fn money_and_dates_are_written_in_the_language_of_the_text() {
        let dutch = Shop { locale: Some("nl-NL".into()), ..Shop::default() };
        let british = Shop { locale: Some("en-GB".into()), ..Shop::default() };
        for (shop, locale, text, expected) in [
            (&dutch, Some("nl-BE"), Some("nl"), "nl-BE"),
            (&dutch, Some("nl-BE"), None, "nl-BE"),
            (&dutch, Some("fr"), None, "nl-NL"),
            (&dutch, Some("fr"), Some("fr"), "fr"),
            (&dutch, None, None, "nl-NL"),
            (&dutch, Some("fr"), Some("en"), "en"),
            (&british, Some("fr"), Some("en"), "en-GB"),
            (&british, Some("en-IE"), Some("en"), "en-IE"),
            (&Shop::default(), Some("fr"), None, "fr"),
            (&Shop::default(), Some("fr"), Some("en"), "en"),
            (&Shop::default(), None, None, "en"),
        ] {
            let frame = Frame { shop, locale, zone: Zone::utc(), unsubscribe_url: None };
            assert_eq!(frame.written_in(text), expected, "{locale:?} {text:?}");
        }
    }
}
