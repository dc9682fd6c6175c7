//! Variables and fields: what exists, what means something here, what was meant.

use cel::common::ast::{Expr as Cel, IdedExpr, SelectExpr};

use crate::diagnostic::{did_you_mean, did_you_mean_within, nearest};
use crate::journey::{Type, Var};
use crate::model::{EventName, Zone};
use crate::yaml::EVENT_MISTAKES_MAX;

use super::super::node::{ItemField, Node};
use super::functions::FUNCTIONS;
use super::{Checker, ExprErrorKind, Typed, name_of};

impl Checker<'_> {
    /// A variable, or a field of a bound item.
    pub(super) fn name(&mut self, tree: &IdedExpr) -> Option<Typed> {
        let Some(path) = path(tree) else {
            return self.unsupported(tree, "only variables have fields");
        };
        let (root, field) = path.split_once('.').unwrap_or((path.as_str(), ""));
        if let Some(outwards) = self.bound.iter().rev().position(|bound| bound == root) {
            return self.item_field(tree, root, field, outwards);
        }
        let Some(var) = Var::named(&path) else { return self.unknown_variable(tree, &path) };
        let problem = match var {
            Var::Now if !self.scope.now => Some((
                "`now` can't be read here: nothing wakes this condition when time passes",
                "journeys that start by `schedule` or `absent` may read it",
            )),
            _ if root == "event" && !self.scope.event => Some((
                "`event` can't be read here: no event is involved",
                "read `customer`, `cart`, `orders`, `browse` or `run`",
            )),
            _ => None,
        };
        if let Some((message, help)) = problem {
            return self.fail(ExprErrorKind::Scope, self.range(tree), message, Some(help));
        }
        self.vars.insert(var);
        Some((Node::Var(var), var.ty()))
    }

    fn item_field(
        &mut self,
        tree: &IdedExpr,
        root: &str,
        field: &str,
        outwards: usize,
    ) -> Option<Typed> {
        if let Some((_, field, ty)) = ItemField::ALL.iter().find(|(name, ..)| *name == field) {
            return Some((Node::Field(outwards, *field), *ty));
        }
        let names = || ItemField::ALL.iter().map(|(name, ..)| *name);
        if field.is_empty() {
            let message = format!("`{root}` is a whole item; compare one of its fields");
            let help = format!("write `{root}.sku`");
            return self.fail(ExprErrorKind::Type, self.range(tree), message, Some(&help));
        }
        let help = did_you_mean(field, names())
            .unwrap_or_else(|| format!("possible are {}", names().collect::<Vec<_>>().join(", ")));
        let message = format!("an item has no `{field}`");
        self.fail(ExprErrorKind::Unknown, self.range(tree), message, Some(&help))
    }

    fn unknown_variable(&mut self, tree: &IdedExpr, path: &str) -> Option<Typed> {
        let all = || Var::ALL.iter().map(|(_, path, ..)| *path);
        if let Some((variable, part)) = path.rsplit_once('.')
            && let Some(var) = Var::named(variable)
        {
            let message = format!("`{variable}` is {}, which has no fields", name_of(var.ty()));
            let help = match var.ty() {
                Type::Items => "write `cart.items.exists(i, i.sku == 'A')`".to_owned(),
                _ if FUNCTIONS.iter().any(|(name, ..)| *name == part) => {
                    format!("write `{variable}.{part}(…)`")
                }
                _ => format!("compare `{variable}` itself"),
            };
            return self.fail(ExprErrorKind::Unknown, self.range(tree), message, Some(&help));
        }
        let (root, field) = path.split_once('.').unwrap_or((path, ""));
        let fields: Vec<&str> = all()
            .filter_map(|path| path.split_once('.'))
            .filter(|(group, _)| *group == root)
            .map(|(_, field)| field)
            .collect();
        let suggestion = nearest(field, fields.iter().copied())
            .map(|field| format!("{root}.{field}"))
            .or_else(|| nearest(path, all()).map(str::to_owned))
            .map(|path| format!("did you mean `{path}`?"));
        let (message, help) = if fields.is_empty() {
            let groups = "known are customer, cart, event, orders, browse, run and now";
            (format!("no variable is called `{path}`"), suggestion.unwrap_or(groups.into()))
        } else if field.is_empty() {
            let example = format!("`{root}` has fields: {}", fields.join(", "));
            (format!("`{root}` alone is no value"), example)
        } else {
            let known = format!("`{root}` has {}", fields.join(", "));
            (format!("`{root}` has no `{field}`"), suggestion.unwrap_or(known))
        };
        self.fail(ExprErrorKind::Unknown, self.range(tree), message, Some(&help))
    }

    /// Whether a variable can have the value it is compared with; if not, it is reported, because
    /// such a comparison would silently be the same always.
    pub(super) fn possible(&mut self, tree: &IdedExpr, variable: &Node, value: &Node) -> bool {
        let (Node::Var(var), Node::Text(text)) = (variable, value) else { return true };
        let text: &str = text;
        let (fits, help) = match var {
            Var::EventChannel => {
                let help = did_you_mean(text, CHANNELS.iter().copied());
                let all = || format!("it is one of {}", CHANNELS.join(", "));
                (CHANNELS.contains(&text), help.unwrap_or_else(all))
            }
            Var::EventName => {
                let known = || EventName::KNOWN.iter().map(|(_, name, _)| *name);
                let is_known = !matches!(EventName::new(text), EventName::Custom(_));
                let help = did_you_mean_within(text, EVENT_MISTAKES_MAX, known());
                (is_known || help.is_none(), help.unwrap_or_default())
            }
            Var::CustomerCountry => {
                let fits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
                (fits, "write two capital letters, as in 'NL'".to_owned())
            }
            Var::CustomerZone => (
                Zone::named(text).is_some(),
                "write an IANA name, as in 'Europe/Berlin'".to_owned(),
            ),
            _ => return true,
        };
        if !fits {
            let message = format!("`{}` is never '{text}'", var.path());
            self.fail::<()>(ExprErrorKind::Type, self.range(tree), message, Some(&help));
        }
        fits
    }

    pub(super) fn has(&mut self, select: &SelectExpr) -> Option<Typed> {
        let plain = IdedExpr {
            id: select.operand.id,
            expr: Cel::Select(SelectExpr { test: false, ..select.clone() }),
        };
        let (node, _) = self.name(&plain)?;
        Some((Node::Has(Box::new(node)), Type::Bool))
    }
}

/// What `event.channel` can be.
const CHANNELS: [&str; 5] = ["web", "app", "store", "phone", "unknown"];

/// The dotted path of a variable; `None` for anything else.
fn path(tree: &IdedExpr) -> Option<String> {
    match &tree.expr {
        Cel::Ident(name) => Some(name.clone()),
        Cel::Select(select) if !select.test => {
            Some(format!("{}.{}", path(&select.operand)?, select.field))
        }
        _ => None,
    }
}
