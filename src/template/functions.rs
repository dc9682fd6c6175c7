//! The functions of templates: what each takes, what it gives, how it is computed. All are total:
//! what does not fit is a [`Misuse`], and a value that is missing is `null`.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};
use serde_json::Value as Json;

use crate::model::{Amount, Currency, Money, Timestamp, Zone};

use super::format;
use super::link;
use super::markup::SAFE_URL;
use super::schema::Kind;
use super::with::With;

/// The most products that a loop shows.
pub(super) const ITEMS_MAX: u64 = 50;

/// A function of templates.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// What it gives.
    pub meaning: &'static str,
    /// What it takes.
    pub(super) takes: &'static [Takes],
    /// How many of these must be given.
    pub(super) needed: usize,
    /// Whether more of the last may follow.
    pub(super) more: bool,
    /// Whether it takes `name=value` as well.
    pub(super) options: bool,
    pub(super) gives: Gives,
    run: fn(&Call<'_>) -> Result<Json, Misuse>,
}

/// What a function takes at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// A value of one of these kinds that is there.
    A(&'static [Kind]),
    /// A value of one of these kinds that may be missing; none means any.
    Maybe(&'static [Kind]),
    /// One of these words, in quotes.
    Word(&'static [&'static str]),
    /// A number from 1 to [`ITEMS_MAX`], as digits.
    Count,
}

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    A(Kind),
    /// The kind of what it is given first.
    Same,
}

/// Why a function can't work with what it is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// A value is missing, or not of the kind that belongs there.
    #[error("`{function}` is given {found}, which is not {wanted}")]
    Value {
        /// The function.
        function: &'static str,
        /// What it was given, shortened.
        found: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// An address that can't stand in a mail.
    #[error(
        "`{url}` can't stand in a mail: an address begins with https://, http://, mailto: or tel:"
    )]
    Address {
        /// The address, shortened.
        url: String,
    },
}

const TEXT: &[Kind] = &[Kind::Text];
const INT: &[Kind] = &[Kind::Int];
const ITEMS: &[Kind] = &[Kind::Items];
const PRINTABLE: &[Kind] = &[Kind::Text, Kind::Int];
const NUMBERS: &[Kind] = &[Kind::Int, Kind::Money];
const PLAIN: &[Kind] = &[Kind::Text, Kind::Int, Kind::Bool];
const SCALARS: &[Kind] = &[Kind::Text, Kind::Int, Kind::Bool, Kind::Money, Kind::Time];
const ITEM_TEXTS: &[&str] = &["sku", "name", "category", "brand", "options"];

const fn function(
    name: &'static str,
    usage: &'static str,
    meaning: &'static str,
    takes: &'static [Takes],
    gives: Kind,
    run: fn(&Call<'_>) -> Result<Json, Misuse>,
) -> Function {
    let (needed, gives) = (takes.len(), Gives::A(gives));
    Function { name, usage, meaning, takes, needed, more: false, options: false, gives, run }
}

/// Every function, in the order of the reference.
pub const FUNCTIONS: &[Function] = &[
    function(
        "money",
        "money cart.total",
        "Money as the language writes it: € 1.234,50 in Dutch, €1,234.50 in English.",
        &[Takes::A(&[Kind::Money])],
        Kind::Text,
        |call| Ok(format::money(call.money(0)?, call.locale()).into()),
    ),
    Function {
        needed: 1,
        ..function(
            "date",
            "date orders.last_at \"long\"",
            "A time in the customer's zone and the mail's language: short, long (without a word), full (with the weekday), day (without the year), weekday or time.",
            &[Takes::A(&[Kind::Time]), Takes::Word(&format::DATES)],
            Kind::Text,
            |call| {
                let how = call.value(1).as_str().unwrap_or("long");
                Ok(format::date(call.time(0)?, &call.zone(), call.locale(), how).into())
            },
        )
    },
    function(
        "plural",
        "plural cart.count \"item\" \"items\"",
        "The first word for one, the second for any other number.",
        &[Takes::A(INT), Takes::A(TEXT), Takes::A(TEXT)],
        Kind::Text,
        |call| {
            let one = call.int(0)? == 1;
            Ok(call.text(if one { 1 } else { 2 })?.into())
        },
    ),
    Function {
        gives: Gives::Same,
        ..function(
            "default",
            "default customer.first_name \"there\"",
            "The first value, and where it is missing or empty the second.",
            &[Takes::Maybe(SCALARS), Takes::A(SCALARS)],
            Kind::Text,
            |call| {
                let first = call.value(0);
                let empty = first.is_null() || first.as_str().is_some_and(|text| text.is_empty());
                Ok(call.value(usize::from(empty)).clone())
            },
        )
    },
    function(
        "first",
        "#each (first cart.items 3)",
        "The first products of a list, at most 50.",
        &[Takes::A(ITEMS), Takes::Count],
        Kind::Items,
        |call| {
            let count = usize::try_from(call.int(1)?.clamp(0, 50)).unwrap_or(0);
            Ok(call.items(0)?.iter().take(count).cloned().collect())
        },
    ),
    function(
        "more",
        "more cart.items 3",
        "How many products are left after the first so many.",
        &[Takes::A(ITEMS), Takes::Count],
        Kind::Int,
        |call| {
            let count = usize::try_from(call.int(1)?).unwrap_or(0);
            Ok(call.items(0)?.len().saturating_sub(count).into())
        },
    ),
    function(
        "without",
        "#each (first (without browse.items orders.last_items) 3)",
        "The products of the first list that are not in the second, told by their sku.",
        &[Takes::A(ITEMS), Takes::A(ITEMS)],
        Kind::Items,
        |call| {
            let skus: Vec<&Json> = call.items(1)?.iter().map(|item| &item["sku"]).collect();
            let left = call.items(0)?.iter().filter(|item| !skus.contains(&&item["sku"]));
            Ok(left.cloned().collect())
        },
    ),
    function(
        "join",
        "join (first cart.items 3) \"name\" \", \"",
        "One field of each product, where it is there, with a text between them.",
        &[Takes::A(ITEMS), Takes::Word(ITEM_TEXTS), Takes::A(TEXT)],
        Kind::Text,
        |call| {
            let field = call.text(1)?;
            let of = |item: &'_ Json| item.get(&field).and_then(Json::as_str).map(str::to_owned);
            let items = call.items(0)?.iter().take(50).filter_map(of);
            Ok(items.collect::<Vec<String>>().join(&call.text(2)?).into())
        },
    ),
    Function {
        options: true,
        ..function(
            "link",
            "link cart_url utm_campaign=\"cart\"",
            "An address with parameters for your statistics; those it has already stay.",
            &[Takes::A(TEXT)],
            Kind::Text,
            |call| Ok(link::with_parameters(&call.text(0)?, call.options()).into()),
        )
    },
    function(
        "url",
        "url customer.id",
        "A value as a part of an address, encoded.",
        &[Takes::A(PRINTABLE)],
        Kind::Text,
        |call| Ok(link::encode(&call.text(0)?).into()),
    ),
    function(
        "upper",
        "upper event.coupon",
        "In capital letters.",
        &[Takes::A(TEXT)],
        Kind::Text,
        |call| Ok(call.text(0)?.to_uppercase().into()),
    ),
    function(
        "lower",
        "lower event.coupon",
        "In small letters.",
        &[Takes::A(TEXT)],
        Kind::Text,
        |call| Ok(call.text(0)?.to_lowercase().into()),
    ),
    function(
        "title",
        "title customer.first_name",
        "Each word with a capital letter first.",
        &[Takes::A(TEXT)],
        Kind::Text,
        |call| Ok(title(&call.text(0)?).into()),
    ),
    function(
        "truncate",
        "truncate shop.name 40",
        "At most so many characters, the last of them … where something was cut off.",
        &[Takes::A(TEXT), Takes::A(INT)],
        Kind::Text,
        |call| Ok(truncate(&call.text(0)?, call.int(1)?).into()),
    ),
    function(
        "eq",
        "eq event.channel \"app\"",
        "Whether two values are the same.",
        &[Takes::Maybe(PLAIN), Takes::Maybe(PLAIN)],
        Kind::Bool,
        |call| Ok((call.value(0) == call.value(1)).into()),
    ),
    function(
        "ne",
        "ne customer.country \"NL\"",
        "Whether two values differ.",
        &[Takes::Maybe(PLAIN), Takes::Maybe(PLAIN)],
        Kind::Bool,
        |call| Ok((call.value(0) != call.value(1)).into()),
    ),
    function(
        "gt",
        "gt cart.total 50",
        "Whether the first number or amount is greater; false where one is missing.",
        &[Takes::Maybe(NUMBERS), Takes::Maybe(NUMBERS)],
        Kind::Bool,
        |call| Ok(call.both_numbers()?.is_some_and(|(a, b)| a > b).into()),
    ),
    function(
        "lt",
        "lt cart.count 2",
        "Whether the first number or amount is smaller; false where one is missing.",
        &[Takes::Maybe(NUMBERS), Takes::Maybe(NUMBERS)],
        Kind::Bool,
        |call| Ok(call.both_numbers()?.is_some_and(|(a, b)| a < b).into()),
    ),
    Function {
        more: true,
        ..function(
            "and",
            "and customer.first_name cart.total",
            "Whether all of these are there, true and not empty.",
            &[Takes::Maybe(&[]), Takes::Maybe(&[])],
            Kind::Bool,
            |call| Ok(call.values.iter().all(|value| is_true(value)).into()),
        )
    },
    Function {
        more: true,
        ..function(
            "or",
            "or event.coupon (gt orders.count 3)",
            "Whether one of these is there, true and not empty.",
            &[Takes::Maybe(&[]), Takes::Maybe(&[])],
            Kind::Bool,
            |call| Ok(call.values.iter().any(|value| is_true(value)).into()),
        )
    },
    function(
        "not",
        "not customer.known",
        "The opposite.",
        &[Takes::Maybe(&[])],
        Kind::Bool,
        |call| Ok((!is_true(call.value(0))).into()),
    ),
    function(
        "len",
        "len browse.items",
        "How many products a list has, or characters a text.",
        &[Takes::A(&[Kind::Items, Kind::Text])],
        Kind::Int,
        |call| match call.value(0) {
            Json::Array(items) => Ok(items.len().into()),
            Json::String(text) => Ok(text.chars().count().into()),
            _ => Err(call.misuse(0, "a list or a text")),
        },
    ),
];

/// What is put around a value that begins an address.
const SAFE: Function = function(SAFE_URL, "", "", &[Takes::A(TEXT)], Kind::Text, |call| {
    let url = call.text(0)?;
    if link::is_safe(&url) { Ok(url.into()) } else { Err(Misuse::Address { url: shortened(&url) }) }
});

/// The function of a name, also the one that authors don't write.
pub(super) fn named(name: &str) -> Option<&'static Function> {
    static SAFE_FUNCTION: Function = SAFE;
    if name == SAFE_URL {
        return Some(&SAFE_FUNCTION);
    }
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Makes the functions known; the crate's own that templates do without are removed.
pub(super) fn register(registry: &mut Handlebars<'static>) {
    for name in ["lookup", "log", "raw", "gte", "lte", "and", "or", "not"] {
        registry.unregister_helper(name);
    }
    for function in FUNCTIONS.iter().filter_map(|function| named(function.name)) {
        registry.register_helper(function.name, Box::new(Defined(function)));
    }
    registry.register_helper("with", Box::new(With));
    if let Some(safe) = named(SAFE_URL) {
        registry.register_helper(SAFE_URL, Box::new(Defined(safe)));
    }
}

struct Defined(&'static Function);

impl HelperDef for Defined {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        if helper.params().is_empty() {
            // A field of the same name: `{{url}}` of a product.
            let field = render.evaluate(context, &format!("this.{}", self.0.name))?;
            return match field.as_json() {
                Json::Null => Err(RenderError::strict_error(Some(&self.0.name.to_owned()))),
                value => Ok(ScopedJson::Derived(value.clone())),
            };
        }
        let call = Call {
            function: self.0.name,
            values: helper.params().iter().map(|param| param.value()).collect(),
            options: helper.hash().iter().map(|(name, value)| (*name, value.value())).collect(),
            frame: context.data().get("frame").unwrap_or(&Json::Null),
        };
        if let (Some(Takes::A(_)), Some(param)) = (self.0.takes.first(), helper.param(0))
            && param.value().is_null()
        {
            return Err(RenderError::strict_error(param.relative_path()));
        }
        (self.0.run)(&call)
            .map(ScopedJson::Derived)
            .map_err(|misuse| RenderErrorReason::NestedError(Box::new(misuse)).into())
    }
}

/// What a function is given.
struct Call<'a> {
    function: &'static str,
    values: Vec<&'a Json>,
    options: Vec<(&'a str, &'a Json)>,
    /// Language, zone and currency of the message.
    frame: &'a Json,
}

impl Call<'_> {
    fn value(&self, index: usize) -> &Json {
        self.values.get(index).copied().unwrap_or(&Json::Null)
    }

    fn misuse(&self, index: usize, wanted: &'static str) -> Misuse {
        let found = shortened(&self.value(index).to_string());
        Misuse::Value { function: self.function, found, wanted }
    }

    fn text(&self, index: usize) -> Result<String, Misuse> {
        match self.value(index) {
            Json::String(text) => Ok(text.clone()),
            Json::Number(number) => Ok(number.to_string()),
            _ => Err(self.misuse(index, "a text")),
        }
    }

    fn int(&self, index: usize) -> Result<i64, Misuse> {
        self.value(index).as_i64().ok_or_else(|| self.misuse(index, "a whole number"))
    }

    fn items(&self, index: usize) -> Result<&Vec<Json>, Misuse> {
        self.value(index).as_array().ok_or_else(|| self.misuse(index, "a list of products"))
    }

    /// Money as the engine writes it; without a currency it is the shop's.
    fn money(&self, index: usize) -> Result<Money, Misuse> {
        let wrong = || self.misuse(index, "money");
        let value = self.value(index);
        let amount = value.get("amount").and_then(Json::as_str).ok_or_else(wrong)?;
        let amount: Amount = amount.parse().map_err(|_| wrong())?;
        let currency = value.get("currency").or_else(|| self.frame.get("currency"));
        let currency = currency.and_then(Json::as_str).and_then(Currency::new);
        Ok(Money { amount, currency })
    }

    fn time(&self, index: usize) -> Result<Timestamp, Misuse> {
        let text = self.value(index).as_str().ok_or_else(|| self.misuse(index, "a time"))?;
        text.parse().map_err(|_| self.misuse(index, "a time"))
    }

    /// A number or the amount of money, exact; `None` where it is missing.
    fn number(&self, index: usize) -> Result<Option<Amount>, Misuse> {
        let text = match self.value(index) {
            Json::Null => return Ok(None),
            Json::Number(number) => number.to_string(),
            Json::Object(money) => {
                money.get("amount").and_then(Json::as_str).unwrap_or_default().to_owned()
            }
            _ => return Err(self.misuse(index, "a number or money")),
        };
        text.parse().map(Some).map_err(|_| self.misuse(index, "a number or money"))
    }

    fn both_numbers(&self) -> Result<Option<(Amount, Amount)>, Misuse> {
        Ok(self.number(0)?.zip(self.number(1)?))
    }

    fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().filter_map(|(name, value)| Some((*name, value.as_str()?)))
    }

    fn locale(&self) -> &str {
        self.frame.get("locale").and_then(Json::as_str).unwrap_or("en")
    }

    fn zone(&self) -> Zone {
        let name = self.frame.get("zone").and_then(Json::as_str);
        name.and_then(Zone::named).unwrap_or_else(Zone::utc)
    }
}

/// What `{{#if}}` takes for true.
fn is_true(value: &Json) -> bool {
    handlebars::JsonTruthy::is_truthy(value, false)
}

fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut first = true;
    for letter in text.chars() {
        if first {
            titled.extend(letter.to_uppercase());
        } else {
            titled.extend(letter.to_lowercase());
        }
        first = letter.is_whitespace() || letter == '-';
    }
    titled
}

fn truncate(text: &str, most: i64) -> String {
    let most = usize::try_from(most).unwrap_or(0);
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
