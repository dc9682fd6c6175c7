//! From CEL's syntax to the typed tree: names, types and what to write instead.

mod functions;
mod names;
mod operators;
mod place;
mod syntax;

use std::collections::BTreeSet;
use std::ops::Range;

use cel::common::ast::{ComprehensionExpr, Expr as Cel, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::Parser;

use crate::journey::{Type, Var};

use super::node::{Node, Quantifier};
use super::{CONDITION_BYTES_MAX, ExprError, ExprErrorKind, Scope};

pub use functions::FUNCTIONS;

/// How deep a condition may nest; the parser has a limit of its own, but not for long sums.
const DEPTH_MAX: usize = 64;

/// The checked tree of a condition and the variables that it reads.
pub(super) fn check(source: &str, scope: Scope) -> Result<(Node, BTreeSet<Var>), Vec<ExprError>> {
    let whole = 0..source.len();
    let syntax = |message: String| {
        vec![ExprError { kind: ExprErrorKind::Syntax, range: whole.clone(), message, help: None }]
    };
    if source.trim().is_empty() {
        return Err(syntax("the condition is empty".into()));
    }
    if source.len() > CONDITION_BYTES_MAX {
        return Err(syntax(format!("the condition is longer than {CONDITION_BYTES_MAX} bytes")));
    }
    let (tree, info) = Parser::default()
        .parse_with_source_info(source)
        .map_err(|errors| vec![syntax::first_error(source, &errors.errors)])?;
    let mut checker = Checker {
        source,
        info,
        scope,
        errors: Vec::new(),
        vars: BTreeSet::new(),
        bound: Vec::new(),
        depth: 0,
    };
    let root = checker.truth(&tree);
    match root {
        Some(root) if checker.errors.is_empty() => Ok((root, checker.vars)),
        _ => Err(checker.errors),
    }
}
struct Checker<'s> {
    source: &'s str,
    info: SourceInfo,
    scope: Scope,
    errors: Vec<ExprError>,
    vars: BTreeSet<Var>,
    /// The loop variables in scope, outermost first.
    bound: Vec<String>,
    depth: usize,
}

type Typed = (Node, Type);

impl Checker<'_> {
    /// A part that must be true or false.
    fn truth(&mut self, tree: &IdedExpr) -> Option<Node> {
        let (node, ty) = self.typed(tree)?;
        if ty == Type::Bool {
            return Some(node);
        }
        let help = match ty {
            Type::Bool => None,
            Type::Items | Type::Texts => Some("test its size: `size(…) > 0`"),
            Type::Int | Type::Text | Type::Money | Type::Time | Type::Duration => {
                Some("compare it with something, or ask `has(…)`")
            }
        };
        let message = format!("true or false belongs here, this is {}", name_of(ty));
        self.fail(ExprErrorKind::Type, self.range(tree), message, help)
    }

    fn typed(&mut self, tree: &IdedExpr) -> Option<Typed> {
        if self.depth >= DEPTH_MAX {
            let message = format!("the condition nests deeper than {DEPTH_MAX} levels");
            return self.fail(ExprErrorKind::Syntax, self.range(tree), message, None);
        }
        self.depth += 1;
        let typed = match &tree.expr {
            Cel::Literal(literal) => self.literal(tree, literal),
            Cel::Ident(_) => self.name(tree),
            Cel::Select(select) if select.test => self.has(select),
            Cel::Select(_) => self.name(tree),
            Cel::Call(call) => self.call(tree, call),
            Cel::Comprehension(comprehension) => self.comprehension(tree, comprehension),
            Cel::List(_) => self.unsupported(tree, "a list stands only after `in`"),
            Cel::Map(_) | Cel::Struct(_) => self.unsupported(tree, "mappings are not known here"),
            Cel::Unspecified => self.unsupported(tree, "something is missing here"),
        };
        self.depth -= 1;
        typed
    }

    fn literal(&mut self, tree: &IdedExpr, literal: &LiteralValue) -> Option<Typed> {
        Some(match literal {
            LiteralValue::Boolean(value) => (Node::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Node::Int(*value.inner()), Type::Int),
            LiteralValue::String(value) => (Node::Text(value.inner().into()), Type::Text),
            LiteralValue::Null => {
                let help = "ask `has(…)` or `!has(…)`";
                let message = "nothing can be compared with null";
                return self.fail(ExprErrorKind::Type, self.range(tree), message, Some(help));
            }
            LiteralValue::Double(_) => {
                let help = "write amounts as money('19.99 EUR')";
                let message = "numbers with fractions are not exact, so they are not known here";
                return self.fail(ExprErrorKind::Type, self.range(tree), message, Some(help));
            }
            LiteralValue::UInt(_) | LiteralValue::Bytes(_) => {
                return self.unsupported(tree, "this kind of literal is not known here");
            }
        })
    }

    fn comprehension(&mut self, tree: &IdedExpr, loop_: &ComprehensionExpr) -> Option<Typed> {
        let Cel::Call(step) = &loop_.loop_step.expr else {
            return self.unsupported(tree, LOOPS);
        };
        let (quantifier, body) = match &loop_.accu_init.expr {
            Cel::Literal(LiteralValue::Boolean(init)) if *init.inner() => {
                (Quantifier::All, step.args.get(1))
            }
            Cel::Literal(LiteralValue::Boolean(_)) => (Quantifier::Exists, step.args.get(1)),
            Cel::Literal(LiteralValue::Int(_)) => (Quantifier::ExistsOne, step.args.first()),
            _ => return self.unsupported(tree, LOOPS),
        };
        let (Some(body), None) = (body, &loop_.iter_var2) else {
            return self.unsupported(tree, LOOPS);
        };
        let range = self.typed(&loop_.iter_range);
        self.bound.push(loop_.iter_var.clone());
        let body = self.truth(body);
        self.bound.pop();
        match range? {
            (Node::Var(var), Type::Items) => {
                Some((Node::Loop(quantifier, var, Box::new(body?)), Type::Bool))
            }
            (_, ty) => {
                let message = format!("items belong before the dot, this is {}", name_of(ty));
                let help = "write `cart.items.exists(i, i.sku == 'A')`";
                let range = self.range(&loop_.iter_range);
                self.fail(ExprErrorKind::Type, range, message, Some(help))
            }
        }
    }

    fn unsupported<T>(&mut self, tree: &IdedExpr, message: &str) -> Option<T> {
        self.fail(ExprErrorKind::Syntax, self.range(tree), message, None)
    }

    fn fail<T>(
        &mut self,
        kind: ExprErrorKind,
        range: Range<usize>,
        message: impl Into<String>,
        help: Option<&str>,
    ) -> Option<T> {
        self.errors.push(ExprError {
            kind,
            range,
            message: message.into(),
            help: help.map(str::to_owned),
        });
        None
    }
}

const LOOPS: &str = "of CEL's loops, `exists`, `all` and `exists_one` are known here";

/// A type as a message names it.
fn name_of(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "a truth",
        Type::Int => "a number",
        Type::Text => "a text",
        Type::Money => "money",
        Type::Time => "a time",
        Type::Duration => "a duration",
        Type::Items => "a list of items",
        Type::Texts => "a list of texts",
    }
}
