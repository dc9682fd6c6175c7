//! The typed tree a condition becomes.

use crate::journey::{Type, Var};
use crate::model::{Money, Timestamp};

/// A checked part of a condition. The checker guarantees that operands have fitting types.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Text(Box<str>),
    Money(Money),
    Time(Timestamp),
    Duration(i64),
    /// A variable.
    Var(Var),
    /// A field of an item that `exists`, `all` or `exists_one` has bound, so many loops outwards.
    Field(usize, ItemField),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    Arithmetic(Operation, Box<Self>, Box<Self>),
    Negate(Box<Self>),
    /// Whether a value is one of those written out.
    In(Box<Self>, Vec<Self>),
    /// Whether a text is in a variable that holds texts.
    InTexts(Box<Self>, Var),
    TextTest(TextTest, Box<Self>, Box<Self>),
    Lower(Box<Self>),
    Size(Box<Self>),
    /// Whether a fact is known.
    Has(Box<Self>),
    Loop(Quantifier, Var, Box<Self>),
    Choose(Box<Self>, Box<Self>, Box<Self>),
}

/// The fields of a product line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemField {
    Sku,
    Name,
    Quantity,
    Price,
    Category,
    Brand,
}

impl ItemField {
    pub(super) const ALL: &'static [(&'static str, Self, Type)] = &[
        ("sku", Self::Sku, Type::Text),
        ("name", Self::Name, Type::Text),
        ("quantity", Self::Quantity, Type::Int),
        ("price", Self::Price, Type::Money),
        ("category", Self::Category, Type::Text),
        ("brand", Self::Brand, Type::Text),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Arithmetic, by the types of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    AddInts,
    SubtractInts,
    MultiplyInts,
    AddMoney,
    SubtractMoney,
    /// Money by a whole number, in this order.
    MultiplyMoney,
    AddDurations,
    SubtractDurations,
    /// A duration by a whole number, in this order.
    MultiplyDuration,
    /// A time and a duration, in this order.
    AddToTime,
    SubtractFromTime,
    /// What lies between two times.
    Between,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}
