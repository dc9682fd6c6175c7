//! What a template sees: every variable with its kind, and whether it is always there.
//!
//! Always there is what the engine writes into every decision (`engine::context`), what a shop must
//! have to send at all, and the address that a message goes to. Everything else may be missing.

use crate::diagnostic::{did_you_mean, nearest};
use crate::journey::{Type, Var};
use crate::model::MessageChannel;

use super::brand::Brand;

/// What kind of value something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Text,
    Money,
    Time,
    /// A list of product lines.
    Items,
    /// One product line.
    Item,
    /// Variables under one name, such as `customer`.
    Group(&'static str),
    /// `customer.attributes`: what else the shop says of a customer, as texts.
    Attributes,
}

impl Kind {
    /// As a sentence names it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a number",
            Self::Text => "a text",
            Self::Money => "money",
            Self::Time => "a time",
            Self::Items => "a list of products",
            Self::Item => "a product",
            Self::Group(_) => "a group of variables",
            Self::Attributes => "a group of texts",
        }
    }
}

/// A variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub kind: Kind,
    pub always: bool,
}

/// A name that is not known, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub message: String,
    pub help: String,
}

/// The fields of a product line, as the engine writes them: name, kind, whether always there,
/// meaning.
pub(super) const ITEM: &[(&str, Kind, bool, &str)] = &[
    ("sku", Kind::Text, true, "Stock keeping unit."),
    ("quantity", Kind::Int, true, "How many."),
    ("name", Kind::Text, false, "Its name."),
    ("price", Kind::Money, false, "Price of one."),
    ("total", Kind::Money, false, "Price of the line."),
    ("image", Kind::Text, false, "Address of its picture."),
    (
        "url",
        Kind::Text,
        false,
        "Address of its page; from the shop's `product_url` where the event names none.",
    ),
    ("category", Kind::Text, false, "Its category."),
    ("brand", Kind::Text, false, "Its brand."),
    ("options", Kind::Text, false, "Chosen options, as `color: red, size: 42`."),
];

/// What a message has beside the decision's data: path, kind, whether always there, meaning.
pub(super) const FRAME: &[(&str, Kind, bool, &str)] = &[
    ("shop.name", Kind::Text, true, "The shop's name."),
    ("shop.postal_address", Kind::Text, true, "The shop's postal address."),
    ("shop.url", Kind::Text, true, "The shop's address, the beginning of its cart's or products'."),
    (
        "cart_url",
        Kind::Text,
        true,
        "The way back to the very cart; to the shop where the cart has no id.",
    ),
    ("unsubscribe_url", Kind::Text, false, "Where to unsubscribe; marketing mails have it."),
];

/// Groups of a decision's data, in the order of the reference.
pub(super) const GROUPS: [&str; 6] = ["customer", "cart", "event", "orders", "browse", "run"];
/// Groups of what surrounds it.
const FRAME_GROUPS: [&str; 2] = ["shop", "brand"];

fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.into_iter().chain(FRAME_GROUPS)
}

/// What a message by a channel sees.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    pub channel: MessageChannel,
    pub brand: &'a Brand,
}

impl Schema<'_> {
    /// The variable of a path from the root.
    pub(super) fn variable(&self, path: &[&str]) -> Result<Known, Unknown> {
        let known = |kind, always| Ok(Known { kind, always });
        if let Some((_, kind, always, _)) = FRAME.iter().find(|(known, ..)| is_path(known, path)) {
            return known(*kind, *always);
        }
        if let Some((var, _, ty, _)) = Var::ALL.iter().find(|(_, known, ..)| is_path(known, path)) {
            return known(kind_of(*ty), self.is_always(*var));
        }
        match path {
            ["customer", "attributes"] => known(Kind::Attributes, false),
            ["customer", "attributes", _] => known(Kind::Text, false),
            ["brand", name] if self.brand.contains_key(*name) => known(Kind::Text, true),
            [group] => match groups().find(|known| known == group) {
                Some(group) => known(Kind::Group(group), true),
                None => Err(self.unknown(path)),
            },
            _ => Err(self.unknown(path)),
        }
    }

    /// A field of a product line.
    pub(super) fn item_field(&self, field: &str) -> Result<Known, Unknown> {
        match ITEM.iter().find(|(name, ..)| *name == field) {
            Some((_, kind, always, _)) => Ok(Known { kind: *kind, always: *always }),
            None => {
                let names: Vec<&str> = ITEM.iter().map(|(name, ..)| *name).collect();
                let outer = self.variable(&field.split('.').collect::<Vec<_>>()).is_ok();
                let help = match did_you_mean(field, names.iter().copied()) {
                    _ if outer => format!("outside of the product it is `@root.{field}`"),
                    Some(help) => help,
                    None => format!("a product has {}", names.join(", ")),
                };
                Err(Unknown { message: format!("a product has no `{field}`"), help })
            }
        }
    }

    fn unknown(&self, path: &[&str]) -> Unknown {
        let whole = path.join(".");
        let all = || {
            let vars = Var::ALL.iter().map(|(_, path, ..)| *path);
            vars.chain(FRAME.iter().map(|(path, ..)| *path))
        };
        let field = path.get(1).copied().unwrap_or_default();
        let mut fields: Vec<&str> = all()
            .filter_map(|known| known.split_once('.'))
            .filter(|(group, _)| Some(group) == path.first())
            .map(|(_, field)| field)
            .collect();
        match path.first() {
            Some(&"customer") => fields.push("attributes"),
            Some(&"brand") => fields.extend(self.brand.keys().map(String::as_str)),
            _ => {}
        }
        if let Some(outer) = all().find(|known| whole.starts_with(&format!("{known}."))) {
            let help = match Var::named(outer).map(Var::ty) {
                Some(Type::Money) => format!("write `{{{{money {outer}}}}}`"),
                Some(Type::Items) => {
                    format!("write `{{{{#each (first {outer} 3)}}}} … {{{{/each}}}}`")
                }
                _ => format!("write `{{{{{outer}}}}}`"),
            };
            return Unknown { message: format!("`{outer}` has no fields"), help };
        }
        let suggestion = nearest(field, fields.iter().copied())
            .map(|field| format!("{}.{field}", path[0]))
            .or_else(|| nearest(&whole, all()).map(str::to_owned))
            .map(|path| format!("did you mean `{path}`?"));
        if fields.is_empty() {
            let groups = groups().collect::<Vec<_>>().join(", ");
            let known = format!("known are {groups}, now, cart_url and unsubscribe_url");
            let message = format!("no variable is called `{whole}`");
            return Unknown { message, help: suggestion.unwrap_or(known) };
        }
        let known = format!("`{}` has {}", path[0], fields.join(", "));
        let message = format!("`{}` has no `{}`", path[0], path[1..].join("."));
        Unknown { message, help: suggestion.unwrap_or(known) }
    }

    /// What the engine writes into every decision of a run, by this channel.
    const fn is_always(&self, var: Var) -> bool {
        match var {
            Var::CustomerEmail => matches!(self.channel, MessageChannel::Email),
            Var::CustomerPhone => matches!(self.channel, MessageChannel::Sms),
            Var::CustomerKnown
            | Var::CustomerSignedIn
            | Var::CartCount
            | Var::CartLines
            | Var::CartItems
            | Var::CartCheckout
            | Var::EventName
            | Var::EventTime
            | Var::EventChannel
            | Var::EventItems
            | Var::OrdersCount
            | Var::OrdersTotal
            | Var::OrdersLastItems
            | Var::BrowseItems
            | Var::BrowseCount
            | Var::RunStartedAt
            | Var::RunMessages
            | Var::RunKey
            | Var::Now => true,
            _ => false,
        }
    }
}

const fn kind_of(ty: Type) -> Kind {
    match ty {
        Type::Bool => Kind::Bool,
        Type::Int | Type::Duration => Kind::Int,
        Type::Text | Type::Texts => Kind::Text,
        Type::Money => Kind::Money,
        Type::Time => Kind::Time,
        Type::Items => Kind::Items,
    }
}

fn is_path(known: &str, path: &[&str]) -> bool {
    known.split('.').eq(path.iter().copied())
}

/// A variable, for the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// As it is written.
    pub path: &'static str,
    /// What kind of value it is.
    pub kind: &'static str,
    /// Where it is always there: `yes`, `in a mail`, `in an SMS` or nowhere.
    pub always: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// Every variable of a template, in the order of the reference.
#[must_use]
pub fn variables() -> Vec<Variable> {
    let brand = Brand::new();
    let of = |channel| Schema { channel, brand: &brand };
    let vars = Var::ALL.iter().map(|(var, path, ty, meaning)| {
        let by = |channel| of(channel).is_always(*var);
        let always = match (by(MessageChannel::Email), by(MessageChannel::Sms)) {
            (true, true) => "yes",
            (true, false) => "in a mail",
            (false, true) => "in an SMS",
            (false, false) => "",
        };
        Variable { path, kind: kind_of(*ty).words(), always, meaning }
    });
    vars.chain(FRAME.iter().map(described)).collect()
}

/// Every field of a product.
#[must_use]
pub fn item_fields() -> Vec<Variable> {
    ITEM.iter().map(described).collect()
}

fn described(row: &(&'static str, Kind, bool, &'static str)) -> Variable {
    let (path, kind, always, meaning) = *row;
    Variable { path, kind: kind.words(), always: if always { "yes" } else { "" }, meaning }
}
