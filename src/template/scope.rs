//! What a name means at a place: blocks like `{{#each}}` and `{{#with}}` change it.

use super::schema::{Kind, Known, Schema, Unknown};

/// What names without a path mean at a place.
struct Scope {
    id: usize,
    value: Value,
    alias: Option<String>,
}

/// A value that names lead into.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Root,
    Item,
    /// A path from the root, such as `cart`.
    At(Vec<String>, Known),
    /// What a function gave.
    Made(Kind),
}

/// The blocks that are open at a place, from the outermost to the innermost.
pub(super) struct Scopes<'a> {
    schema: Schema<'a>,
    open: Vec<Scope>,
    next_id: usize,
    /// How many of them are loops.
    pub loops: usize,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(schema: Schema<'a>) -> Self {
        let root = Scope { id: 0, value: Value::Root, alias: None };
        Self { schema, open: vec![root], next_id: 1, loops: 0 }
    }

    pub(super) fn enter(&mut self, value: Value, alias: Option<String>) {
        self.open.push(Scope { id: self.next_id, value, alias });
        self.next_id += 1;
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// The variable of a path as it is written, and a name for it that is one wherever it is
    /// written.
    pub(super) fn resolve(&self, path: &str) -> Result<(String, Known), Unknown> {
        let (name, value) = self.lead(path).ok_or_else(|| self.unknown(path))?;
        let known = match value {
            Value::Root => return Err(self.unknown(path)),
            Value::Item => Known { kind: Kind::Item, always: true },
            Value::At(_, known) => known,
            Value::Made(kind) => Known { kind, always: true },
        };
        Ok((name, known))
    }

    /// Where a path leads, with its name; `None` if nowhere.
    pub(super) fn lead(&self, path: &str) -> Option<(String, Value)> {
        let mut rest = path;
        let mut depth = self.open.len() - 1;
        if let Some(local) = rest.strip_prefix('@') {
            if let Some(rest) = local.strip_prefix("root.") {
                return self.of_root(rest);
            }
            let kind = match local {
                "index" if self.loops > 0 => Kind::Int,
                "first" | "last" if self.loops > 0 => Kind::Bool,
                _ => return None,
            };
            return Some((path.to_owned(), Value::Made(kind)));
        }
        while let Some(outer) = rest.strip_prefix("../") {
            depth = depth.checked_sub(1)?;
            rest = outer;
        }
        let upwards = depth + 1 < self.open.len();
        rest = rest.strip_prefix("./").unwrap_or(rest);
        if let Some(of_this) = rest.strip_prefix("this.").or_else(|| rest.strip_prefix("this/")) {
            return self.within(&self.open[depth], of_this);
        }
        if rest == "this" {
            let scope = &self.open[depth];
            return Some((format!("{}#", scope.id), scope.value.clone()));
        }
        let (head, tail) = rest.split_once('.').unwrap_or((rest, ""));
        let aliased = self.open.iter().rev().find(|scope| scope.alias.as_deref() == Some(head));
        if let Some(scope) = aliased.filter(|_| !upwards) {
            if tail.is_empty() {
                return Some((format!("{}#", scope.id), scope.value.clone()));
            }
            return self.within(scope, tail);
        }
        self.within(&self.open[depth], rest)
    }

    fn of_root(&self, path: &str) -> Option<(String, Value)> {
        let segments = segments(path);
        let known = self.schema.variable(&borrowed(&segments)).ok()?;
        Some((segments.join("."), Value::At(segments, known)))
    }

    fn within(&self, scope: &Scope, path: &str) -> Option<(String, Value)> {
        match &scope.value {
            Value::Root => self.of_root(path),
            Value::Item => {
                let known = self.schema.item_field(path).ok()?;
                let name = format!("{}#{path}", scope.id);
                Some((name, Value::At(vec![path.to_owned()], known)))
            }
            Value::At(outer, _) => {
                let whole: Vec<String> = outer.iter().cloned().chain(segments(path)).collect();
                self.of_root(&whole.join("."))
            }
            Value::Made(_) => None,
        }
    }

    fn unknown(&self, path: &str) -> Unknown {
        if path.starts_with('@') && !path.starts_with("@root.") {
            return Unknown {
                message: format!("there is no `{path}` here"),
                help: "within a loop there are @index, @first and @last".to_owned(),
            };
        }
        let plain = path.trim_start_matches("@root.").trim_start_matches("../");
        let plain = plain.strip_prefix("this.").unwrap_or(plain);
        let scope =
            self.open.last().filter(|_| !path.starts_with("@root.") && !path.starts_with("../"));
        let (head, tail) = plain.split_once('.').unwrap_or((plain, ""));
        let of_item = scope.is_some_and(|scope| scope.value == Value::Item);
        let aliased = self.open.iter().any(|scope| scope.alias.as_deref() == Some(head));
        if aliased && let Err(unknown) = self.schema.item_field(tail) {
            return unknown;
        }
        if of_item && let Err(unknown) = self.schema.item_field(plain) {
            return unknown;
        }
        let whole = match scope.map(|scope| &scope.value) {
            Some(Value::At(outer, _)) => outer.iter().cloned().chain(segments(plain)).collect(),
            _ => segments(plain),
        };
        match self.schema.variable(&borrowed(&whole)) {
            Err(unknown) => unknown,
            Ok(_) => Unknown {
                message: format!("there is no `{path}` here"),
                help: format!("write `@root.{}`", whole.join(".")),
            },
        }
    }
}

/// The names of a path; `[two words]` is one name.
fn segments(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, after)) => (name, after.strip_prefix(['.', '/']).unwrap_or(after)),
            None => rest.split_once(['.', '/']).unwrap_or((rest, "")),
        };
        found.push(name.to_owned());
        rest = after;
    }
    found
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
