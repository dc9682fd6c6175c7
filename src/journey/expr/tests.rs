//! Conditions as data: what they give, and what is said of wrong ones.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::journey::Value;
use crate::model::{Item, ItemFacts, Timestamp};

/// An environment of a few facts; the rest is not known.
struct Facts(BTreeMap<Var, Value<'static>>);

impl Env for Facts {
    fn value(&self, var: Var) -> Value<'_> {
        match self.0.get(&var) {
            None => Value::Null,
            Some(Value::Items(items)) => Value::Items(Cow::Borrowed(items)),
            Some(Value::Text(text)) => Value::Text(Cow::Borrowed(text)),
            Some(other) => other.clone(),
        }
    }
}

fn facts() -> Facts {
    let time = |text: &str| Value::Time(text.parse::<Timestamp>().expect("a time"));
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
    let item = |sku: &str, quantity, price: Option<&str>, brand: Option<&str>| Item {
        sku: sku.into(),
        quantity,
        price: price.map(|price| price.parse().expect("a price")),
        currency: crate::model::Currency::new("EUR"),
        facts: ItemFacts { brand: brand.map(Into::into), ..ItemFacts::default() }.boxed(),
    };
    Facts(BTreeMap::from([
        (Var::CartTotal, Value::Money("60.10 EUR".parse().expect("money"))),
        (Var::CartCount, Value::Int(3)),
        (
            Var::CartItems,
            Value::Items(Cow::Owned(vec![
                item("A", 1, Some("20.10"), Some("Acme")),
                item("B", 2, Some("20"), None),
            ])),
        ),
        (Var::EventItems, Value::Items(Cow::Owned(vec![item("B", 1, None, None)]))),
        (Var::CustomerCountry, text("NL")),
        (Var::CustomerEmail, text("Ann@Shop.example")),
        (Var::CustomerKnown, Value::Bool(true)),
        (Var::OrdersTotal, Value::Money("100 USD".parse().expect("money"))),
        (Var::OrdersLastTotal, Value::Money("60.10".parse().expect("money"))),
        (Var::OrdersLastAt, time("2026-01-01T00:00:00Z")),
        (Var::Now, time("2026-04-01T00:00:00Z")),
    ]))
}

fn check(source: &str, expected: Result<bool, EvalError>) {
    let expr = match Expr::compile(source, Scope::ALL) {
        Ok(expr) => expr,
        Err(errors) => panic!("{source}: {errors:?}"),
    };
    assert_eq!(expr.test(&facts()), expected, "{source}");
}

#[test]
fn conditions_have_exact_values() {
    for (source, expected) in [
        ("cart.total >= money('20 EUR')", true),
        ("cart.total == money('60.10 EUR')", true),
        ("cart.total == money('20.05 EUR') + money('20.05 EUR') + money('20 EUR')", true),
        ("cart.total < money('60.11')", true),
        ("cart.total > money('20.03 EUR') * 3", true),
        ("3 * money('20.04 EUR') > cart.total", true),
        ("cart.total - money('0.10 EUR') == money('60 EUR')", true),
        ("-cart.total < money('0 EUR')", true),
        ("cart.total == orders.last_total", true),
        ("cart.count + 1 == 4 && cart.count * 2 != 5", true),
        ("cart.count > 3 || cart.count == 3", true),
        ("!(cart.count > 3)", true),
        ("customer.country in ['NL', 'BE']", true),
        ("customer.country in ['DE']", false),
        ("customer.country in []", false),
        ("customer.email.lower().endsWith('@shop.example')", true),
        ("customer.email.startsWith('ann')", false),
        ("customer.email.contains('@')", true),
        ("size(customer.country) == 2 && customer.country.size() == 2", true),
        ("size(cart.items) == 2", true),
        ("cart.items.exists(i, i.sku == 'A' && i.price > money('20 EUR'))", true),
        ("cart.items.all(i, i.quantity >= 1)", true),
        ("cart.items.all(i, i.quantity > 1)", false),
        ("cart.items.exists_one(i, i.quantity == 2)", true),
        ("cart.items.exists(i, has(i.brand) && i.brand == 'Acme')", true),
        ("cart.items.all(i, has(i.brand))", false),
        (
            "event.items.exists(e, cart.items.exists(c, c.sku == e.sku && c.quantity > e.quantity))",
            true,
        ),
        ("now - orders.last_at >= days(90)", true),
        ("now - orders.last_at > days(90)", false),
        ("orders.last_at + days(90) == now && now - hours(2160) == orders.last_at", true),
        ("now > date('2026-03-31') && now < time('2026-04-01T02:00:01+02:00')", true),
        ("days(cart.count) == hours(72) && days(1) - hours(23) == minutes(60)", true),
        ("cart.count == 3 ? customer.known : false", true),
        ("(cart.count == 4 ? 1 : 2) == 2", true),
        ("has(customer.country) && !has(customer.zone)", true),
        ("true", true),
    ] {
        check(source, Ok(expected));
    }
}

#[test]
fn what_is_not_known_claims_nothing() {
    for (source, expected) in [
        ("customer.zone == 'Europe/Berlin'", false),
        ("customer.zone != 'Europe/Berlin'", true),
        ("customer.zone in ['UTC']", false),
        ("!(customer.zone == 'UTC')", true),
        ("orders.count > 0", false),
        ("orders.count < 0", false),
        ("orders.count + 1 > 0", false),
        ("cart.checkout", false),
        ("!cart.checkout", true),
        ("browse.items.exists(i, true)", false),
        ("browse.items.all(i, true)", false),
        ("size(browse.items) == 0", false),
        ("customer.zone.contains('')", false),
        ("event.items.exists(i, i.price > money('0'))", false),
        ("now - browse.last_at > days(0)", false),
        ("has(browse.items)", false),
    ] {
        check(source, Ok(expected));
    }
}

#[test]
fn what_has_no_value_says_so() {
    let currencies = Err(EvalError::Currency("EUR".into(), "USD".into()));
    check("cart.total > orders.total", currencies.clone());
    check("cart.total + orders.total > money('1')", currencies);
    check("9223372036854775807 + cart.count > 0", Err(EvalError::Overflow));
    check("money('9000000000000') * cart.count > money('0')", Err(EvalError::Overflow));
    // What is decided before is not asked.
    check("customer.known || cart.total > orders.total", Ok(true));
}

fn wrong(source: &str, scope: Scope) -> String {
    let errors = Expr::compile(source, scope).expect_err(source);
    let shown = |error: &ExprError| {
        let help = error.help.as_deref().unwrap_or("-");
        format!("{} | {} | {help}", &source[error.range.clone()], error.message)
    };
    errors.iter().map(shown).collect::<Vec<_>>().join("\n")
}

/// Conditions with a mistake: what is pointed at, what is said, and the way out.
const MISTAKES: &[(&str, &str)] = &[
    ("cart.totl > money('1')", "cart.totl | `cart` has no `totl` | did you mean `cart.total`?"),
    (
        "crt.total > money('1')",
        "crt.total | no variable is called `crt.total` | did you mean `cart.total`?",
    ),
    (
        "mony('1 EUR') < cart.total",
        "mony('1 EUR') | no function is called `mony` | did you mean `money`?",
    ),
    (
        "cart.total > 20",
        "cart.total > 20 | money is compared with a number | write amounts as money('20 EUR')",
    ),
    (
        "cart.total > 19.99",
        "19.99 | numbers with fractions are not exact, so they are not known here | write amounts as money('19.99 EUR')",
    ),
    ("cart.id == null", "null | nothing can be compared with null | ask `has(…)` or `!has(…)`"),
    (
        "cart.total",
        "cart.total | true or false belongs here, this is money | compare it with something, or ask `has(…)`",
    ),
    (
        "cart.items",
        "cart.items | true or false belongs here, this is a list of items | test its size: `size(…) > 0`",
    ),
    ("customer.country < 'NL'", "customer.country < 'NL' | a text has no order | -"),
    (
        "now - orders.last_at > 90",
        "now - orders.last_at > 90 | a duration is compared with a number | write durations as days(90), hours(4) or minutes(30)",
    ),
    (
        "now > '2026-01-01'",
        "now > '2026-01-01' | a time is compared with a text | write times as date('2026-03-01') or time('2026-03-01T12:00:00Z')",
    ),
    (
        "date('2026-13-01') < now",
        "'2026-13-01' | `2026-13-01` can't be read by `date` | write it as in date('2026-03-01')",
    ),
    ("cart.items.exists(i, i.skuu == 'A')", "i.skuu | an item has no `skuu` | did you mean `sku`?"),
    (
        "cart.items.exist(i, true)",
        "cart.items.exist(i, true) | no function is called `exist` | did you mean `exists`?",
    ),
    (
        "cart.items.map(i, i.sku) == []",
        "cart.items.map(i, i.sku) | of CEL's loops, `exists`, `all` and `exists_one` are known here | -\n[] | a list stands only after `in` | -",
    ),
    ("cart.total > ", " | the condition stops in the middle | -"),
    ("cart.count = 3", "= | a single `=` is not known | compare with `==`"),
    ("cart.count == 3 & true", "& | a single `&` or `|` is not known | write `&&` or `||`"),
    ("cart.count == 3 and true", "and | `and` is not expected here | write `&&`, `||` and `!`"),
    ("cart.count > 99999999999999999999", "99999999999999999999 | this number is too large | -"),
    (
        "cart.items.sku == 'a'",
        "cart.items.sku | `cart.items` is a list of items, which has no fields | write `cart.items.exists(i, i.sku == 'A')`",
    ),
    ("cart.items[0].sku == 'a'", "cart.items[0].sku | only variables have fields | -"),
    (
        "'a' in cart.items",
        "cart.items | a list belongs after `in`, this is a list of items | write `cart.items.exists(i, i.sku == 'A')`",
    ),
    ("cart.count == 1 ? true", " | the condition stops in the middle | -"),
    ("(cart.count == 1", " | a bracket is not closed | -"),
    (
        "cart.total > money('20 EU')",
        "'20 EU' | `20 EU` can't be read by `money` | write it as in money('20 EUR')",
    ),
    (
        "cart.items.exists(i, i)",
        "i | `i` is a whole item; compare one of its fields | write `i.sku`",
    ),
    (
        "duration('1h') > hours(1)",
        "duration('1h') | no function is called `duration` | write days(90), hours(4) or minutes(30)",
    ),
    ("has(cart.totl)", "cart.totl | `cart` has no `totl` | did you mean `cart.total`?"),
    (
        "has(cart)",
        "cart | `has` takes a variable with a dot in it | write it as in has(customer.country)",
    ),
    (
        "customer.email.lower == 'a'",
        "customer.email.lower | `customer.email` is a text, which has no fields | write `customer.email.lower(…)`",
    ),
    ("customer.email == 'unclosed", "' | the text is not closed | close it with its quote"),
    ("cart.count => 3", "= | `=>` is not known | compare with `>=`"),
    ("cart.count <> 3", "> | `<>` is not known | compare with `!=`"),
    (
        "event.channel == 'wbe'",
        "event.channel == 'wbe' | `event.channel` is never 'wbe' | did you mean `web`?",
    ),
    (
        "'order.palced' != event.name",
        "'order.palced' != event.name | `event.name` is never 'order.palced' | did you mean `order.placed`?",
    ),
    (
        "customer.country in ['NL', 'be']",
        "'be' | `customer.country` is never 'be' | write two capital letters, as in 'NL'",
    ),
    (
        "customer.zone == 'CET/Berlin'",
        "customer.zone == 'CET/Berlin' | `customer.zone` is never 'CET/Berlin' | write an IANA name, as in 'Europe/Berlin'",
    ),
    ("cart.count / 2 == 1", "cart.count / 2 | division is not known here: it is not exact | -"),
    (
        "customer.email.lower() == 'x' && orders.cont > 1",
        "orders.cont | `orders` has no `cont` | did you mean `orders.count`?",
    ),
    (
        "'ü' == customer.contry",
        "customer.contry | `customer` has no `contry` | did you mean `customer.country`?",
    ),
    ("", " | the condition is empty | -"),
];

#[test]
fn mistakes_are_named_where_they_are() {
    for (source, expected) in MISTAKES {
        assert_eq!(wrong(source, Scope::ALL), *expected, "{source}");
    }
    let all_at_once = wrong("cart.totl > money('1') && orders.cont > 2", Scope::ALL);
    assert_eq!(all_at_once.lines().count(), 2, "{all_at_once}");
}

#[test]
fn variables_are_read_only_where_they_mean_something() {
    let no_event = Scope { event: false, now: true };
    assert!(wrong("event.name == 'x'", no_event).contains("no event is involved"));
    let no_now = Scope { event: true, now: false };
    assert!(wrong("now > date('2026-01-01')", no_now).contains("nothing wakes this condition"));
}

#[test]
fn white_space_does_not_change_the_canonical_form() {
    let canonical =
        |source| Expr::compile(source, Scope::ALL).map(|expr| expr.canonical()).expect(source);
    assert_eq!(canonical("cart.count>=3"), canonical(" cart.count  >= 3\n"));
    assert_eq!(canonical("customer.first_name   in ['a  b']"), "customer.first_name in['a  b']");
    assert_ne!(canonical("customer.first_name == 'a b'"), canonical("customer.first_name == 'ab'"));
}

#[test]
fn deep_and_long_conditions_are_refused() {
    let deep = format!("{}true{}", "(".repeat(900), ")".repeat(900));
    assert!(Expr::compile(&deep, Scope::ALL).is_err());
    let sum = format!("cart.count{} > 1", " + 1".repeat(400));
    assert!(Expr::compile(&sum, Scope::ALL).is_err());
    assert!(Expr::compile(&"true || ".repeat(1000), Scope::ALL).is_err());
}

proptest! {
    /// Whatever is written, the compiler answers, and with places inside the text.
    #[test]
    fn any_text_is_answered(source in "[a-z.()'\"&|=<>!0-9 ,\\[\\]ü+*-]{0,60}") {
        if let Err(errors) = Expr::compile(&source, Scope::ALL) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(source.get(error.range.clone()).is_some(), "{:?}", error);
            }
        }
    }
}
