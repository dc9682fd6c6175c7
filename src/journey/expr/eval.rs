//! Evaluation of a checked condition: exact, without floats, clocks or look-ups by name.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::journey::{Env, Value, Var};
use crate::model::{Amount, Item, Money, Text};

use super::EvalError;
use super::node::{Comparison, ItemField, Node, Operation, Quantifier, TextTest};

/// Where variables and loop variables have their values.
#[derive(Clone, Copy)]
pub(super) struct Cx<'v> {
    env: &'v dyn Env,
    innermost: Option<&'v Frame<'v>>,
}

/// An item bound by a loop, and the loop around it.
struct Frame<'v> {
    item: &'v Item,
    outer: Option<&'v Self>,
}

impl<'v> Cx<'v> {
    pub(super) fn new(env: &'v dyn Env) -> Self {
        Self { env, innermost: None }
    }

    fn item(self, outwards: usize) -> Option<&'v Item> {
        let mut frame = self.innermost;
        for _ in 0..outwards {
            frame = frame?.outer;
        }
        frame.map(|frame| frame.item)
    }
}

impl Node {
    /// The value as a truth; what is not known counts as false.
    pub(super) fn truth(&self, cx: Cx<'_>) -> Result<bool, EvalError> {
        match self {
            Self::Not(inner) => Ok(!inner.truth(cx)?),
            Self::And(a, b) => Ok(a.truth(cx)? && b.truth(cx)?),
            Self::Or(a, b) => Ok(a.truth(cx)? || b.truth(cx)?),
            Self::Compare(how, a, b) => compare(*how, &a.value(cx)?, &b.value(cx)?),
            Self::In(wanted, among) => {
                let wanted = wanted.value(cx)?;
                for one in among {
                    if compare(Comparison::Equal, &wanted, &one.value(cx)?)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::InTexts(wanted, var) => Ok(match (wanted.value(cx)?, cx.env.value(*var)) {
                (Value::Text(wanted), Value::Texts(texts)) => {
                    texts.iter().any(|text| text.as_str() == wanted.as_ref())
                }
                _ => false,
            }),
            Self::TextTest(how, text, part) => Ok(match (text.value(cx)?, part.value(cx)?) {
                (Value::Text(text), Value::Text(part)) => match how {
                    TextTest::Contains => text.contains(part.as_ref()),
                    TextTest::StartsWith => text.starts_with(part.as_ref()),
                    TextTest::EndsWith => text.ends_with(part.as_ref()),
                },
                _ => false,
            }),
            Self::Has(inner) => Ok(inner.value(cx)? != Value::Null),
            Self::Loop(quantifier, var, body) => run_loop(*quantifier, *var, body, cx),
            Self::Choose(condition, yes, no) => {
                if condition.truth(cx)? {
                    yes.truth(cx)
                } else {
                    no.truth(cx)
                }
            }
            Self::Bool(value) => Ok(*value),
            _ => Ok(self.value(cx)? == Value::Bool(true)),
        }
    }

    /// The value.
    fn value<'v>(&'v self, cx: Cx<'v>) -> Result<Value<'v>, EvalError> {
        Ok(match self {
            Self::Int(value) => Value::Int(*value),
            Self::Text(value) => Value::Text(Cow::Borrowed(value)),
            Self::Money(value) => Value::Money(*value),
            Self::Time(value) => Value::Time(*value),
            Self::Duration(value) => Value::Duration(*value),
            Self::Var(var) => cx.env.value(*var),
            Self::Field(outwards, field) => {
                cx.item(*outwards).map_or(Value::Null, |item| item_field(item, *field))
            }
            Self::Arithmetic(operation, a, b) => {
                arithmetic(*operation, &a.value(cx)?, &b.value(cx)?)?
            }
            Self::Negate(inner) => match inner.value(cx)? {
                Value::Int(value) => Value::Int(value.checked_neg().ok_or(EvalError::Overflow)?),
                Value::Duration(value) => {
                    Value::Duration(value.checked_neg().ok_or(EvalError::Overflow)?)
                }
                Value::Money(money) => Value::Money(subtract(Money::default(), money)?),
                _ => Value::Null,
            },
            Self::Lower(inner) => match inner.value(cx)? {
                Value::Text(text) => Value::Text(Cow::Owned(text.to_lowercase())),
                _ => Value::Null,
            },
            Self::Size(inner) => match inner.value(cx)? {
                Value::Text(text) => count(text.chars().count()),
                Value::Items(items) => count(items.len()),
                Value::Texts(texts) => count(texts.len()),
                _ => Value::Null,
            },
            Self::Choose(condition, yes, no) => {
                if condition.truth(cx)? {
                    yes.value(cx)?
                } else {
                    no.value(cx)?
                }
            }
            Self::Bool(_)
            | Self::Not(_)
            | Self::And(..)
            | Self::Or(..)
            | Self::Compare(..)
            | Self::In(..)
            | Self::InTexts(..)
            | Self::TextTest(..)
            | Self::Has(_)
            | Self::Loop(..) => Value::Bool(self.truth(cx)?),
        })
    }
}

fn run_loop(quantifier: Quantifier, var: Var, body: &Node, cx: Cx<'_>) -> Result<bool, EvalError> {
    // Of items that are not known nothing is claimed, not even that all of them are something.
    let Value::Items(items) = cx.env.value(var) else { return Ok(false) };
    let mut hits = 0_usize;
    for item in items.iter() {
        let frame = Frame { item, outer: cx.innermost };
        let holds = body.truth(Cx { env: cx.env, innermost: Some(&frame) })?;
        match quantifier {
            Quantifier::Exists if holds => return Ok(true),
            Quantifier::All if !holds => return Ok(false),
            Quantifier::ExistsOne => hits += usize::from(holds),
            Quantifier::Exists | Quantifier::All => (),
        }
    }
    Ok(match quantifier {
        Quantifier::Exists => false,
        Quantifier::All => true,
        Quantifier::ExistsOne => hits == 1,
    })
}

fn item_field(item: &Item, field: ItemField) -> Value<'_> {
    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }
    match field {
        ItemField::Sku => text(&item.sku),
        ItemField::Quantity => Value::Int(item.quantity),
        ItemField::Price => item
            .price
            .map_or(Value::Null, |amount| Value::Money(Money { amount, currency: item.currency })),
        ItemField::Name => item.name().map(Text::as_str).map_or(Value::Null, text),
        ItemField::Category => item.category().map(Text::as_str).map_or(Value::Null, text),
        ItemField::Brand => item.brand().map(Text::as_str).map_or(Value::Null, text),
    }
}

fn count(count: usize) -> Value<'static> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn compare(how: Comparison, a: &Value<'_>, b: &Value<'_>) -> Result<bool, EvalError> {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (Value::Money(a), Value::Money(b)) => {
            same_currency(*a, *b)?;
            a.amount.cmp(&b.amount)
        }
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        // Something is not known.
        _ => return Ok(how == Comparison::NotEqual),
    };
    Ok(match how {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterEqual => order != Ordering::Less,
    })
}

fn arithmetic(
    operation: Operation,
    a: &Value<'_>,
    b: &Value<'_>,
) -> Result<Value<'static>, EvalError> {
    use Operation as Op;
    let whole = |value: Option<i64>| value.map(Value::Int).ok_or(EvalError::Overflow);
    let length = |value: Option<i64>| value.map(Value::Duration).ok_or(EvalError::Overflow);
    match (operation, a, b) {
        (Op::AddInts, Value::Int(a), Value::Int(b)) => whole(a.checked_add(*b)),
        (Op::SubtractInts, Value::Int(a), Value::Int(b)) => whole(a.checked_sub(*b)),
        (Op::MultiplyInts, Value::Int(a), Value::Int(b)) => whole(a.checked_mul(*b)),
        (Op::AddMoney, Value::Money(a), Value::Money(b)) => {
            let currency = same_currency(*a, *b)?;
            let amount = a.amount.plus(b.amount).ok_or(EvalError::Overflow)?;
            Ok(Value::Money(Money { amount, currency }))
        }
        (Op::SubtractMoney, Value::Money(a), Value::Money(b)) => subtract(*a, *b).map(Value::Money),
        (Op::MultiplyMoney, Value::Money(money), Value::Int(count)) => {
            let micros = money.amount.micros().checked_mul(*count).ok_or(EvalError::Overflow)?;
            Ok(Value::Money(Money { amount: Amount::from_micros(micros), ..*money }))
        }
        (Op::AddDurations, Value::Duration(a), Value::Duration(b)) => length(a.checked_add(*b)),
        (Op::SubtractDurations, Value::Duration(a), Value::Duration(b)) => {
            length(a.checked_sub(*b))
        }
        (Op::MultiplyDuration, Value::Duration(a), Value::Int(b)) => length(a.checked_mul(*b)),
        (Op::AddToTime, Value::Time(time), Value::Duration(ms)) => {
            Ok(Value::Time(time.plus_ms(*ms)))
        }
        (Op::SubtractFromTime, Value::Time(time), Value::Duration(ms)) => {
            Ok(Value::Time(time.plus_ms(ms.saturating_neg())))
        }
        (Op::Between, Value::Time(a), Value::Time(b)) => Ok(Value::Duration(a.since_ms(*b))),
        _ => Ok(Value::Null),
    }
}

fn subtract(a: Money, b: Money) -> Result<Money, EvalError> {
    let currency = same_currency(a, b)?;
    let micros = a.amount.micros().checked_sub(b.amount.micros()).ok_or(EvalError::Overflow)?;
    Ok(Money { amount: Amount::from_micros(micros), currency })
}

/// The currency of two amounts; one that names none goes with any.
fn same_currency(a: Money, b: Money) -> Result<Option<crate::model::Currency>, EvalError> {
    match (a.currency, b.currency) {
        (Some(a), Some(b)) if a != b => {
            Err(EvalError::Currency(a.code().to_owned(), b.code().to_owned()))
        }
        (a, b) => Ok(a.or(b)),
    }
}
