//! Every variable and function of a template held against what a message sees.
//!
//! A value that may be missing must stand where its author says what then: in `{{#if}}`, in
//! `{{#with}}`, or in `{{default}}`. What passes here renders with any decision's data.

use std::collections::BTreeMap;
use std::ops::Range;

use handlebars::template::{BlockParam, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, Template};
use serde_json::Value as Json;

use crate::diagnostic::{Code, Report, did_you_mean};

use super::functions::{self, FUNCTIONS, Function, Gives, ITEMS_MAX, Takes};
use super::schema::{Kind, Known, Schema};
use super::scope::{Scopes, Value};
use super::spliced::Spliced;
use super::tags::LEVELS_MAX;

/// The deepest nesting of loops: with lists of 50 products, three would print 125,000.
const LOOPS_MAX: usize = 2;

/// Where each variable that a template names first stands, as `file:line`.
pub(super) type Lines = BTreeMap<String, String>;

/// Parses a text and checks what it names; mistakes go to the report.
pub(super) fn check(whole: &Spliced, schema: Schema<'_>, lines: &mut Lines, report: &mut Report) {
    let starts = line_starts(&whole.text);
    let template = match Template::compile(&whole.text) {
        Ok(template) => template,
        Err(error) => {
            let at =
                error.pos().map_or(0, |(line, column)| offset(&whole.text, &starts, line, column));
            let end = whole.text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            // Blocks are known to end: what is left is the inside of a tag.
            let message = "this is not written correctly";
            if let Some(found) = whole.error(Code::TemplateSyntax, at..end, message) {
                let help = "write a function first, then what it takes; texts stand in quotes";
                report.push(found.help(help));
            }
            return;
        }
    };
    let mut checker = Checker {
        whole,
        lines,
        report,
        starts,
        scopes: Scopes::new(schema),
        levels: 0,
        known: Vec::new(),
        tag: 0,
    };
    checker.template(&template);
}

/// Where each line of a text begins.
fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The byte at a line and column, both from 1, as the parser counts them.
fn offset(text: &str, starts: &[usize], line: usize, column: usize) -> usize {
    let start = starts.get(line.saturating_sub(1)).copied().unwrap_or(text.len());
    let rest = text[start..].char_indices().nth(column.saturating_sub(1));
    rest.map_or(text.len(), |(at, _)| start + at)
}

/// What an expression is.
#[derive(Clone, Debug)]
struct Typed {
    kind: Kind,
    /// The name under which it may be missing; `None` if it is there.
    missing: Option<String>,
}

struct Checker<'a> {
    whole: &'a Spliced,
    lines: &'a mut Lines,
    report: &'a mut Report,
    starts: Vec<usize>,
    scopes: Scopes<'a>,
    levels: usize,
    /// Names that are there at this place, because a block asked.
    known: Vec<String>,
    /// Where the tag that is looked at begins.
    tag: usize,
}

impl Checker<'_> {
    fn template(&mut self, template: &Template) {
        self.levels += 1;
        // Parsing has held them to this; chains of `else if` nest here, too.
        if self.levels <= LEVELS_MAX * 4 {
            for (index, element) in template.elements.iter().enumerate() {
                if let Some(place) = template.mapping.get(index) {
                    self.tag = offset(&self.whole.text, &self.starts, place.0, place.1);
                }
                self.element(element);
            }
        } else {
            let help = "use fewer `{{else if}}` one after another";
            self.fail(Code::TemplateSyntax, self.tag_span(), "blocks are nested too deeply", help);
        }
        self.levels -= 1;
    }

    fn element(&mut self, element: &TemplateElement) {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(tag) => self.print(tag),
            TemplateElement::HelperBlock(block) => self.block(block),
            _ => {
                // The tags were looked at before; this is for what they did not tell apart.
                let help = "print a value, call a function, or use if, unless, each and with";
                let message = "templates do without this";
                self.fail(Code::TemplateSyntax, self.tag_span(), message, help);
            }
        }
    }

    /// `{{x}}` or `{{f x}}`.
    fn print(&mut self, tag: &HelperTemplate) {
        let name = name_of(&tag.name);
        let is_call = !tag.params.is_empty() || !tag.hash.is_empty();
        let shown = match &tag.name {
            Parameter::Subexpression(_) => "this".to_owned(),
            _ => name.clone(),
        };
        let typed = if is_call {
            self.call(&name, tag)
        } else {
            self.value(&tag.name).and_then(|typed| self.present(typed, &shown))
        };
        let Some(kind) = typed else { return };
        let help = match kind {
            Kind::Text | Kind::Int => return,
            Kind::Money if is_call => format!("write `{{{{money ({shown} …)}}}}`"),
            Kind::Money => format!("write `{{{{money {shown}}}}}`"),
            Kind::Time => format!("write `{{{{date {shown} \"long\"}}}}`"),
            Kind::Bool if is_call => format!("write `{{{{#if ({shown} …)}}}} … {{{{/if}}}}`"),
            Kind::Bool => format!("write `{{{{#if {shown}}}}} … {{{{/if}}}}`"),
            Kind::Items if is_call => {
                "write `{{#each (first cart.items 3)}} … {{/each}}`".to_owned()
            }
            Kind::Items => format!("write `{{{{#each (first {shown} 3)}}}} … {{{{/each}}}}`"),
            Kind::Item => "write one of its fields, such as `{{name}}`".to_owned(),
            Kind::Group(_) | Kind::Attributes => format!("write one of them, after `{shown}.`"),
        };
        let span = self.locate(&shown);
        let message = format!("{} can't be printed as it is", kind.words());
        self.fail(Code::WrongUse, span, message, help);
    }

    fn block(&mut self, block: &HelperTemplate) {
        let name = name_of(&block.name);
        if !matches!(name.as_str(), "if" | "unless" | "each" | "with") {
            let blocks = ["if", "unless", "each", "with"];
            let help = match functions::named(&name) {
                Some(_) => format!("write `{{{{#if ({name} …)}}}}`"),
                None => did_you_mean(&name, blocks)
                    .unwrap_or_else(|| "possible are if, unless, each and with".to_owned()),
            };
            let span = self.locate(&name);
            let message = format!("there is no block `{name}`");
            return self.fail(Code::UnknownVariable, span, message, help);
        }
        let [param] = block.params.as_slice() else {
            let help = format!("write `{{{{#{name} x}}}}`, and functions in parentheses");
            let span = self.locate(&name);
            return self.fail(Code::WrongUse, span, format!("`{name}` takes one value"), help);
        };
        match name.as_str() {
            "if" | "unless" => self.condition(block, param, name == "if"),
            "each" => self.each(block, param),
            _ => self.with(block, param),
        }
    }

    fn condition(&mut self, block: &HelperTemplate, param: &Parameter, positive: bool) {
        self.value(param);
        let yes = self.implied(param, true);
        let no = self.implied(param, false);
        let (then, otherwise) = if positive { (yes, no) } else { (no, yes) };
        self.part(block.template.as_ref(), then);
        self.part(block.inverse.as_ref(), otherwise);
    }

    /// A part of a block, with what is known to be there in it.
    fn part(&mut self, template: Option<&Template>, known: Vec<String>) {
        let before = (self.known.len(), self.tag);
        self.known.extend(known);
        if let Some(template) = template {
            self.template(template);
        }
        self.known.truncate(before.0);
        self.tag = before.1;
    }

    /// What is there if a condition is true, or false.
    fn implied(&mut self, param: &Parameter, positive: bool) -> Vec<String> {
        match param {
            Parameter::Path(path) if positive => {
                self.scopes.resolve(raw(path)).map(|(name, _)| vec![name]).unwrap_or_default()
            }
            Parameter::Subexpression(call) => {
                let params = call.params().map(Vec::as_slice).unwrap_or_default();
                let deeper = match (call.name(), positive) {
                    ("and" | "gt" | "lt", true) | ("or", false) => positive,
                    ("not", _) => !positive,
                    _ => return Vec::new(),
                };
                params.iter().flat_map(|param| self.implied(param, deeper)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn each(&mut self, block: &HelperTemplate, param: &Parameter) {
        let is_first = matches!(param, Parameter::Subexpression(call) if call.name() == "first");
        let typed = self.value(param).map(|typed| typed.kind);
        match typed {
            Some(Kind::Items) if !is_first => {
                let list = shown(param);
                let help = format!(
                    "write `{{{{#each (first {list} 10)}}}}`, and `{{{{more {list} 10}}}}` says how many are left"
                );
                let span = self.locate(&list);
                self.fail(Code::WrongUse, span, "a list may be long: say how many to show", help);
            }
            Some(Kind::Items) | None => {}
            Some(kind) => {
                let span = self.locate(&shown(param));
                let message = format!("`each` goes through a list, this is {}", kind.words());
                let help = "lists are cart.items, event.items, orders.last_items and browse.items";
                self.fail(Code::WrongUse, span, message, help);
            }
        }
        self.scopes.loops += 1;
        if self.scopes.loops > LOOPS_MAX {
            let span = self.locate("each");
            let help = "at most two loops may stand inside of each other";
            self.fail(Code::WrongUse, span, "loops are nested too deeply", help);
        }
        let alias = match &block.block_param {
            Some(BlockParam::Single(name)) => Some(name_of(name)),
            Some(BlockParam::Pair((name, _))) => Some(name_of(name)),
            _ => None,
        };
        self.scope(Value::Item, alias, block.template.as_ref(), Vec::new());
        self.scopes.loops -= 1;
        self.part(block.inverse.as_ref(), Vec::new());
    }

    fn with(&mut self, block: &HelperTemplate, param: &Parameter) {
        let alias = match &block.block_param {
            Some(BlockParam::Single(name)) => Some(name_of(name)),
            _ => None,
        };
        let known = self.implied(param, true);
        let value = match param {
            Parameter::Path(path) => {
                if self.value(param).is_none() {
                    None
                } else {
                    // Inside it is there: else the block is left out.
                    self.scopes.lead(raw(path)).map(|(_, value)| match value {
                        Value::At(path, known) => Value::At(path, Known { always: true, ..known }),
                        other => other,
                    })
                }
            }
            _ => self.value(param).map(|typed| Value::Made(typed.kind)),
        };
        // What can't be resolved has been reported; what stands inside would only follow.
        if let Some(value) = value {
            self.scope(value, alias, block.template.as_ref(), known);
        }
        self.part(block.inverse.as_ref(), Vec::new());
    }

    fn scope(
        &mut self,
        value: Value,
        alias: Option<String>,
        template: Option<&Template>,
        known: Vec<String>,
    ) {
        self.scopes.enter(value, alias);
        self.part(template, known);
        self.scopes.leave();
    }

    /// What a parameter is; `None` if that was reported.
    fn value(&mut self, param: &Parameter) -> Option<Typed> {
        match param {
            Parameter::Path(path) => self.path(raw(path)),
            Parameter::Name(name) => self.path(name),
            Parameter::Literal(literal) => {
                let kind = match literal {
                    Json::String(_) => Kind::Text,
                    Json::Number(_) => Kind::Int,
                    Json::Bool(_) => Kind::Bool,
                    _ => {
                        let help = "write a text in quotes, or a number";
                        let span = self.tag_span();
                        self.fail(Code::WrongUse, span, "templates have no such values", help);
                        return None;
                    }
                };
                Some(Typed { kind, missing: None })
            }
            Parameter::Subexpression(call) => match call.as_element() {
                TemplateElement::Expression(tag) if !tag.params.is_empty() => {
                    self.call(call.name(), tag).map(|kind| Typed { kind, missing: None })
                }
                TemplateElement::Expression(tag) => self.value(&tag.name),
                _ => None,
            },
            _ => None,
        }
    }

    fn path(&mut self, path: &str) -> Option<Typed> {
        match self.scopes.resolve(path) {
            Ok((name, known)) => {
                if let Some(line) = self.whole.line_of(self.locate(path).start) {
                    self.lines.entry(path.to_owned()).or_insert(line);
                }
                let there = known.always || self.known.contains(&name);
                Some(Typed { kind: known.kind, missing: (!there).then_some(name) })
            }
            Err(unknown) => {
                let span = self.locate(path);
                self.fail(Code::UnknownVariable, span, unknown.message, unknown.help);
                None
            }
        }
    }

    /// Reports a value that may be missing.
    fn present(&mut self, typed: Typed, shown: &str) -> Option<Kind> {
        if typed.missing.is_none() {
            return Some(typed.kind);
        }
        let span = self.locate(shown);
        let message = format!("`{shown}` may be missing");
        let help = match typed.kind {
            Kind::Text => format!(
                "write `{{{{default {shown} \"…\"}}}}`, or put it into `{{{{#if {shown}}}}} … {{{{/if}}}}`"
            ),
            _ => format!("put it into `{{{{#if {shown}}}}} … {{{{/if}}}}`"),
        };
        self.fail(Code::MayBeMissing, span, message, help);
        None
    }

    /// What a call gives; `None` if something of it was reported.
    fn call(&mut self, name: &str, tag: &HelperTemplate) -> Option<Kind> {
        let Some(function) = functions::named(name) else {
            let names = FUNCTIONS.iter().map(|function| function.name);
            let help = did_you_mean(name, names.clone())
                .unwrap_or_else(|| format!("there are {}", names.collect::<Vec<_>>().join(", ")));
            let span = self.locate(name);
            let message = format!("there is no function `{name}`");
            self.fail(Code::UnknownVariable, span, message, help);
            return None;
        };
        let given = tag.params.len();
        let too_many = given > function.takes.len() && !function.more;
        let stray = if function.options { 0 } else { tag.hash.len() };
        if given < function.needed || too_many || stray > 0 {
            let span = self.locate(name);
            let help = format!("write it as in `{}`", function.usage);
            let message = format!("`{name}` does not take what it is given");
            self.fail(Code::WrongUse, span, message, help);
            return None;
        }
        let mut kinds = Vec::new();
        for (index, param) in tag.params.iter().enumerate() {
            let takes = function.takes.get(index).or(function.takes.last())?;
            kinds.push(self.argument(function, *takes, param));
        }
        let mut options: Vec<_> = tag.hash.iter().collect();
        options.sort_by_key(|(name, _)| *name);
        for (_, option) in options {
            kinds.push(self.argument(function, Takes::A(&[Kind::Text]), option));
        }
        let first = kinds.first().copied().flatten();
        if kinds.iter().any(Option::is_none) {
            return None;
        }
        match function.gives {
            Gives::A(kind) => Some(kind),
            Gives::Same => {
                if kinds.iter().any(|kind| *kind != first) {
                    let words = first.map_or("", Kind::words);
                    let span = self.locate(name);
                    let message = format!("both values of `{name}` must be of one kind");
                    let help =
                        format!("the first is {words}; use `{{{{#if}}}}` to print something else");
                    self.fail(Code::WrongUse, span, message, help);
                    return None;
                }
                first
            }
        }
    }

    fn argument(&mut self, function: &Function, takes: Takes, param: &Parameter) -> Option<Kind> {
        let shown = shown(param);
        let span = |checker: &Self| checker.locate(&shown);
        let kinds = match takes {
            Takes::Maybe(kinds) => kinds,
            Takes::A(kinds) => kinds,
            Takes::Word(words) => {
                if let Parameter::Literal(Json::String(word)) = param
                    && words.contains(&word.as_str())
                {
                    return Some(Kind::Text);
                }
                let known = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
                let help = did_you_mean(&shown, words.iter().copied())
                    .unwrap_or_else(|| format!("possible are {}", known.join(", ")));
                let message = format!("`{}` does not know this", function.name);
                self.fail(Code::WrongUse, span(self), message, help);
                return None;
            }
            Takes::Count => {
                if let Parameter::Literal(Json::Number(number)) = param
                    && number.as_u64().is_some_and(|count| (1..=ITEMS_MAX).contains(&count))
                {
                    return Some(Kind::Int);
                }
                let message = format!("`{}` takes a number of products", function.name);
                let help = format!("write a number from 1 to {ITEMS_MAX}");
                self.fail(Code::WrongUse, span(self), message, help);
                return None;
            }
        };
        let typed = self.value(param)?;
        let kind = match takes {
            Takes::Maybe(_) => typed.kind,
            _ => self.present(typed, &shown)?,
        };
        if !kinds.is_empty() && !kinds.contains(&kind) {
            let wanted: Vec<&str> = kinds.iter().map(|kind| kind.words()).collect();
            let message = format!("`{}` takes {}", function.name, wanted.join(" or "));
            let help =
                format!("this is {}; it is written as in `{}`", kind.words(), function.usage);
            self.fail(Code::WrongUse, span(self), message, help);
            return None;
        }
        Some(kind)
    }

    /// Where a name stands, looked for from the tag on.
    fn locate(&self, name: &str) -> Range<usize> {
        let text = &self.whole.text;
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '/' | '-');
        let found = text[self.tag..].match_indices(name).find(|(at, _)| {
            let (start, end) = (self.tag + at, self.tag + at + name.len());
            !text[..start].chars().next_back().is_some_and(is_word)
                && !text[end..].chars().next().is_some_and(is_word)
        });
        match found {
            Some((at, _)) if !name.is_empty() => self.tag + at..self.tag + at + name.len(),
            _ => self.tag_span(),
        }
    }

    fn tag_span(&self) -> Range<usize> {
        let length = self.whole.text[self.tag..].find("}}").map_or(1, |end| end + 2);
        self.tag..(self.tag + length).min(self.whole.text.len())
    }

    fn fail(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if let Some(found) = self.whole.error(code, span, message) {
            self.report.push(found.help(help));
        }
    }
}

/// A path as it is written.
fn raw(path: &Path) -> &str {
    match path {
        Path::Relative((_, raw)) | Path::Local((_, _, raw)) => raw,
    }
}

fn name_of(param: &Parameter) -> String {
    match param {
        Parameter::Name(name) => name.clone(),
        Parameter::Path(path) => raw(path).to_owned(),
        Parameter::Literal(literal) => literal.to_string(),
        Parameter::Subexpression(call) => call.name().to_owned(),
        _ => String::new(),
    }
}

/// A parameter as it is written, or the part of it that can be found again.
fn shown(param: &Parameter) -> String {
    match param {
        Parameter::Literal(Json::String(text)) => text.clone(),
        Parameter::Subexpression(call) => match call.as_element() {
            TemplateElement::Expression(tag) => name_of(&tag.name),
            _ => String::new(),
        },
        other => name_of(other),
    }
}
