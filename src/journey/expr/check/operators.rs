//! Operators: which types go together, and what to write where they do not.

use cel::common::ast::{CallExpr, Expr as Cel, IdedExpr, operators};

use crate::journey::Type;

use super::super::node::{Comparison, Node, Operation};
use super::{Checker, ExprErrorKind, Typed, name_of};

impl Checker<'_> {
    pub(super) fn call(&mut self, tree: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        let both = |checker: &mut Self| {
            let a = checker.typed(&call.args[0]);
            let b = checker.typed(&call.args[1]);
            Some((a?, b?))
        };
        match (name, call.args.len()) {
            (operators::LOGICAL_NOT, 1) => {
                Some((Node::Not(Box::new(self.truth(&call.args[0])?)), Type::Bool))
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, 2) => {
                let a = self.truth(&call.args[0]);
                let b = self.truth(&call.args[1]);
                let (a, b) = (Box::new(a?), Box::new(b?));
                let is_and = name == operators::LOGICAL_AND;
                Some((if is_and { Node::And(a, b) } else { Node::Or(a, b) }, Type::Bool))
            }
            (operators::CONDITIONAL, 3) => self.conditional(tree, call),
            (operators::NEGATE, 1) => match self.typed(&call.args[0])? {
                (node, ty @ (Type::Int | Type::Duration | Type::Money)) => {
                    Some((Node::Negate(Box::new(node)), ty))
                }
                (_, ty) => self.unsupported(tree, &format!("{} has no negative", name_of(ty))),
            },
            (operators::IN, 2) => self.is_in(call),
            (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY, 2) => {
                let (a, b) = both(self)?;
                self.arithmetic(tree, name, a, b)
            }
            (operators::DIVIDE | operators::MODULO, 2) => {
                self.unsupported(tree, "division is not known here: it is not exact")
            }
            (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, _) => {
                self.unsupported(tree, "elements can't be taken by number; use `exists`")
            }
            _ => match comparison(name) {
                Some(how) if call.args.len() == 2 => {
                    let (a, b) = both(self)?;
                    self.compare(tree, how, a, b)
                }
                _ => self.function(tree, call),
            },
        }
    }

    fn conditional(&mut self, tree: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let condition = self.truth(&call.args[0]);
        let yes = self.typed(&call.args[1]);
        let no = self.typed(&call.args[2]);
        let (condition, (yes, ty), (no, other)) = (condition?, yes?, no?);
        if ty != other {
            let message = format!("the two results differ: {} and {}", name_of(ty), name_of(other));
            return self.fail(ExprErrorKind::Type, self.range(tree), message, None);
        }
        Some((Node::Choose(Box::new(condition), Box::new(yes), Box::new(no)), ty))
    }

    fn is_in(&mut self, call: &CallExpr) -> Option<Typed> {
        let wanted = self.typed(&call.args[0]);
        let Cel::List(list) = &call.args[1].expr else {
            let among = self.typed(&call.args[1]);
            return match (wanted?, among?) {
                ((wanted, Type::Text), (Node::Var(var), Type::Texts)) => {
                    Some((Node::InTexts(Box::new(wanted), var), Type::Bool))
                }
                (_, (_, ty)) => {
                    let message = format!("a list belongs after `in`, this is {}", name_of(ty));
                    let help = match ty {
                        Type::Items => "write `cart.items.exists(i, i.sku == 'A')`",
                        Type::Bool
                        | Type::Int
                        | Type::Text
                        | Type::Money
                        | Type::Time
                        | Type::Duration
                        | Type::Texts => "write a list such as ['NL', 'BE']",
                    };
                    let range = self.range(&call.args[1]);
                    self.fail(ExprErrorKind::Type, range, message, Some(help))
                }
            };
        };
        let elements: Vec<Option<Typed>> =
            list.elements.iter().map(|element| self.typed(element)).collect();
        let (wanted, ty) = wanted?;
        let mut among = Vec::new();
        for (element, tree) in elements.into_iter().zip(&list.elements) {
            let (node, other) = element?;
            let fits = self.comparable(tree, Comparison::Equal, ty, other)
                && self.possible(tree, &wanted, &node);
            if !fits {
                return None;
            }
            among.push(node);
        }
        Some((Node::In(Box::new(wanted), among), Type::Bool))
    }

    fn compare(
        &mut self,
        tree: &IdedExpr,
        how: Comparison,
        (a, ty): Typed,
        (b, other): Typed,
    ) -> Option<Typed> {
        let fits = self.comparable(tree, how, ty, other)
            && self.possible(tree, &a, &b)
            && self.possible(tree, &b, &a);
        fits.then(|| (Node::Compare(how, Box::new(a), Box::new(b)), Type::Bool))
    }

    /// Whether two types can be compared; if not, it is reported.
    fn comparable(&mut self, tree: &IdedExpr, how: Comparison, ty: Type, other: Type) -> bool {
        let ordered = !matches!(how, Comparison::Equal | Comparison::NotEqual);
        if ty != other {
            let message = format!("{} is compared with {}", name_of(ty), name_of(other));
            let help = match (ty, other) {
                (Type::Money, _) | (_, Type::Money) => Some("write amounts as money('20 EUR')"),
                (Type::Duration, _) | (_, Type::Duration) => {
                    Some("write durations as days(90), hours(4) or minutes(30)")
                }
                (Type::Time, _) | (_, Type::Time) => {
                    Some("write times as date('2026-03-01') or time('2026-03-01T12:00:00Z')")
                }
                (Type::Int, Type::Text) | (Type::Text, Type::Int) => {
                    Some("write numbers without quotes, texts with them")
                }
                _ => None,
            };
            self.fail::<()>(ExprErrorKind::Type, self.range(tree), message, help);
            return false;
        }
        let fits = match ty {
            Type::Int | Type::Money | Type::Time | Type::Duration => true,
            Type::Text | Type::Bool => !ordered,
            Type::Items | Type::Texts => false,
        };
        if !fits {
            let message = if ordered {
                format!("{} has no order", name_of(ty))
            } else {
                format!("{} can't be compared as a whole", name_of(ty))
            };
            let help = match ty {
                Type::Items | Type::Texts => Some("use `exists`, `all` or `size(…)`"),
                Type::Bool | Type::Int | Type::Text | Type::Money | Type::Time | Type::Duration => {
                    None
                }
            };
            self.fail::<()>(ExprErrorKind::Type, self.range(tree), message, help);
        }
        fits
    }

    fn arithmetic(
        &mut self,
        tree: &IdedExpr,
        name: &str,
        (a, ty): Typed,
        (b, other): Typed,
    ) -> Option<Typed> {
        use {Operation as Op, Type as T};
        let sign = match name {
            operators::ADD => '+',
            operators::SUBSTRACT => '-',
            _ => '*',
        };
        let (operation, result, swapped) = match (sign, ty, other) {
            ('+', T::Int, T::Int) => (Op::AddInts, T::Int, false),
            ('-', T::Int, T::Int) => (Op::SubtractInts, T::Int, false),
            ('*', T::Int, T::Int) => (Op::MultiplyInts, T::Int, false),
            ('+', T::Money, T::Money) => (Op::AddMoney, T::Money, false),
            ('-', T::Money, T::Money) => (Op::SubtractMoney, T::Money, false),
            ('*', T::Money, T::Int) => (Op::MultiplyMoney, T::Money, false),
            ('*', T::Int, T::Money) => (Op::MultiplyMoney, T::Money, true),
            ('+', T::Duration, T::Duration) => (Op::AddDurations, T::Duration, false),
            ('-', T::Duration, T::Duration) => (Op::SubtractDurations, T::Duration, false),
            ('*', T::Duration, T::Int) => (Op::MultiplyDuration, T::Duration, false),
            ('*', T::Int, T::Duration) => (Op::MultiplyDuration, T::Duration, true),
            ('+', T::Time, T::Duration) => (Op::AddToTime, T::Time, false),
            ('+', T::Duration, T::Time) => (Op::AddToTime, T::Time, true),
            ('-', T::Time, T::Duration) => (Op::SubtractFromTime, T::Time, false),
            ('-', T::Time, T::Time) => (Op::Between, T::Duration, false),
            _ => {
                let message =
                    format!("`{sign}` does not join {} and {}", name_of(ty), name_of(other));
                let help = match (ty, other) {
                    (T::Time, T::Int) => Some("write durations as days(90)"),
                    (T::Money, T::Int) if sign != '*' => Some("write amounts as money('20 EUR')"),
                    _ => None,
                };
                return self.fail(ExprErrorKind::Type, self.range(tree), message, help);
            }
        };
        let (first, second) = if swapped { (b, a) } else { (a, b) };
        Some((Node::Arithmetic(operation, Box::new(first), Box::new(second)), result))
    }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterEqual,
        _ => return None,
    })
}
