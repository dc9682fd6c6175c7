//! Functions: their arguments, and the list of them all.

use cel::common::ast::{CallExpr, Expr as Cel, IdedExpr, LiteralValue};

use crate::diagnostic::did_you_mean;
use crate::journey::Type;
use crate::model::{DAY_MS, HOUR_MS, MINUTE_MS};

use super::super::node::{Node, Operation, TextTest};
use super::{Checker, ExprErrorKind, Typed, name_of};

impl Checker<'_> {
    pub(super) fn function(&mut self, tree: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        match (name, &call.target, call.args.as_slice()) {
            ("contains" | "startsWith" | "endsWith", Some(target), [part]) => {
                let text = self.argument(target, Type::Text);
                let part = self.argument(part, Type::Text);
                let how = match name {
                    "contains" => TextTest::Contains,
                    "startsWith" => TextTest::StartsWith,
                    _ => TextTest::EndsWith,
                };
                Some((Node::TextTest(how, Box::new(text?), Box::new(part?)), Type::Bool))
            }
            ("lower", Some(target), []) => {
                Some((Node::Lower(Box::new(self.argument(target, Type::Text)?)), Type::Text))
            }
            ("size", Some(of), []) => self.size(of),
            ("size", None, [of]) => self.size(of),
            ("money" | "date" | "time", None, [argument]) => self.literal_of(tree, name, argument),
            ("days" | "hours" | "minutes", None, [argument]) => {
                let unit = match name {
                    "days" => DAY_MS,
                    "hours" => HOUR_MS,
                    _ => MINUTE_MS,
                };
                let count = self.argument(argument, Type::Int)?;
                if let Node::Int(count) = count {
                    let Some(ms) = count.checked_mul(unit) else {
                        return self.unsupported(tree, "this duration is too long");
                    };
                    return Some((Node::Duration(ms), Type::Duration));
                }
                let unit = Box::new(Node::Duration(unit));
                let node = Node::Arithmetic(Operation::MultiplyDuration, unit, Box::new(count));
                Some((node, Type::Duration))
            }
            _ => self.unknown_function(tree, call),
        }
    }

    fn argument(&mut self, tree: &IdedExpr, wanted: Type) -> Option<Node> {
        let (node, ty) = self.typed(tree)?;
        if ty == wanted {
            return Some(node);
        }
        let message = format!("{} belongs here, this is {}", name_of(wanted), name_of(ty));
        self.fail(ExprErrorKind::Type, self.range(tree), message, None)
    }

    fn size(&mut self, of: &IdedExpr) -> Option<Typed> {
        match self.typed(of)? {
            (node, Type::Text | Type::Items | Type::Texts) => {
                Some((Node::Size(Box::new(node)), Type::Int))
            }
            (_, ty) => {
                let message = format!("{} has no size", name_of(ty));
                self.fail(ExprErrorKind::Type, self.range(of), message, None)
            }
        }
    }

    /// `money('20 EUR')`, `date('2026-03-01')` and `time('2026-03-01T12:00:00Z')`.
    fn literal_of(&mut self, tree: &IdedExpr, name: &str, argument: &IdedExpr) -> Option<Typed> {
        let Cel::Literal(LiteralValue::String(text)) = &argument.expr else {
            let message = format!("`{name}` takes a text in quotes");
            let help = format!("write {}", example(name));
            return self.fail(ExprErrorKind::Type, self.range(tree), message, Some(&help));
        };
        let text = text.inner();
        let value = match name {
            "money" => text.parse().ok().map(|money| (Node::Money(money), Type::Money)),
            "date" if text.len() == 10 => {
                format!("{text}T00:00:00Z").parse().ok().map(|time| (Node::Time(time), Type::Time))
            }
            "time" => text.parse().ok().map(|time| (Node::Time(time), Type::Time)),
            _ => None,
        };
        if value.is_some() {
            return value;
        }
        let message = format!("`{text}` can't be read by `{name}`");
        let help = format!("write it as in {}", example(name));
        self.fail(ExprErrorKind::Type, self.range(argument), message, Some(&help))
    }

    fn unknown_function(&mut self, tree: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        let known = FUNCTIONS.iter().map(|(name, ..)| *name);
        let (message, help) = match FUNCTIONS.iter().find(|(known, ..)| *known == name) {
            Some((_, usage, _)) => {
                (format!("`{name}` is not used like this"), Some(format!("write it as in {usage}")))
            }
            None => {
                let help = ELSEWHERE.iter().find(|(theirs, _)| *theirs == name);
                let help = help.map(|(_, ours)| format!("write {ours}"));
                let help = help.or_else(|| did_you_mean(name, known));
                (format!("no function is called `{name}`"), help)
            }
        };
        self.fail(ExprErrorKind::Unknown, self.range(tree), message, help.as_deref())
    }
}

fn example(function: &str) -> &'static str {
    FUNCTIONS.iter().find(|(name, ..)| *name == function).map_or("", |(_, usage, _)| usage)
}

/// Functions that CEL has elsewhere, and what takes their place.
const ELSEWHERE: &[(&str, &str)] = &[
    ("timestamp", "time('2026-03-01T12:00:00Z') or date('2026-03-01')"),
    ("duration", "days(90), hours(4) or minutes(30)"),
    ("matches", "contains, startsWith or endsWith"),
    ("lowerAscii", "lower()"),
];

/// Every function: its name, how it is used and what it gives.
pub const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("money", "money('20 EUR')", "An exact amount; without a currency it goes with any."),
    ("days", "days(90)", "So many times 24 hours."),
    ("hours", "hours(4)", "So many hours."),
    ("minutes", "minutes(30)", "So many minutes."),
    ("date", "date('2026-03-01')", "The beginning of a day, in UTC."),
    ("time", "time('2026-03-01T12:00:00Z')", "An instant, in RFC 3339."),
    ("has", "has(customer.country)", "Whether a fact is known."),
    ("size", "size(cart.items)", "How many items or characters."),
    ("contains", "event.query.contains('shoe')", "Whether a text contains another."),
    ("startsWith", "customer.locale.startsWith('nl')", "Whether a text begins so."),
    ("endsWith", "customer.email.endsWith('.nl')", "Whether a text ends so."),
    ("lower", "event.query.lower()", "The text in lower case."),
    ("exists", "cart.items.exists(i, i.sku == 'A')", "Whether it holds for an item."),
    ("all", "cart.items.all(i, i.quantity < 5)", "Whether it holds for every item."),
    (
        "exists_one",
        "cart.items.exists_one(i, i.brand == 'X')",
        "Whether it holds for exactly one item.",
    ),
];
