//! A YAML file as a tree of nodes that know their place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};

/// The largest file read, in bytes.
pub const BYTES_MAX: usize = 1_000_000;

/// The deepest nesting of lists and mappings.
pub const DEPTH_MAX: usize = 48;

/// The most values in one file.
pub const NODES_MAX: usize = 50_000;

/// One value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where to point: the text of a scalar, the key of a list or mapping that has one.
    pub span: Range<usize>,
    /// The value.
    pub kind: Kind,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text or number as written.
    Scalar {
        /// Its text, escapes resolved.
        text: String,
        /// Whether it stands without quotes on one line.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Its place.
    pub span: Range<usize>,
}

impl Node {
    /// Whether nothing was written: an empty value, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The place in the file of a part of a scalar's text; the whole scalar where escapes or
    /// line folding leave no exact place.
    #[must_use]
    pub fn inner_span(&self, file: &SourceFile, part: Range<usize>) -> Range<usize> {
        match &self.kind {
            Kind::Scalar { text, .. } => inner_span(file, &self.span, text, part),
            Kind::List(_) | Kind::Map(_) => self.span.clone(),
        }
    }
}

/// The tree of a file; `None`, with the reason in the report, if it is not YAML within the limits.
pub fn parse(file: &Arc<SourceFile>, report: &mut Report) -> Option<Node> {
    if file.text.len() > BYTES_MAX {
        report.push(
            Diagnostic::error(
                Code::TooLarge,
                file,
                0..0,
                format!("the file has {} bytes; at most {BYTES_MAX} are read", file.text.len()),
            )
            .help("split it into several files"),
        );
        return None;
    }
    match Builder::new(file).run() {
        Ok(root) => Some(root),
        Err(found) => {
            report.push(*found);
            None
        }
    }
}

/// Collections that are open while events come in.
enum Open {
    List(Range<usize>, Vec<Node>),
    Map(OpenMap),
}

struct OpenMap {
    span: Range<usize>,
    entries: Vec<(Key, Node)>,
    /// The key whose value comes next.
    key: Option<Key>,
    /// Where each key was seen: a mapping with thousands of keys must not take thousands squared.
    seen: BTreeMap<String, usize>,
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

type Outcome<T> = Result<T, Box<Diagnostic>>;

impl<'a> Builder<'a> {
    const fn new(file: &'a Arc<SourceFile>) -> Self {
        Self { file, open: Vec::new(), root: None, nodes: 0 }
    }

    fn run(mut self) -> Outcome<Node> {
        let file = self.file;
        let mut documents = 0;
        for next in Parser::new_from_str(&file.text) {
            let (event, place) = next.map_err(|err| {
                let at = err.marker().byte_offset().unwrap_or(file.text.len());
                self.fail(Code::Yaml, at..at + 1, format!("this is not valid YAML: {}", err.info()))
            })?;
            let span = range(&place);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.feature(span, "a second document", "use one file each"));
                    }
                }
                Event::Alias(_) => {
                    return Err(self.feature(span, "an alias", "write the value out"));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_extras(&span, anchor, tag.is_some())?;
                    let plain = style == ScalarStyle::Plain;
                    self.scalar(text.into_owned(), plain, span)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.refuse_extras(&span, anchor, tag.is_some())?;
                    self.open_one(span, true)?;
                }
                Event::MappingStart(_, anchor, tag) => {
                    self.refuse_extras(&span, anchor, tag.is_some())?;
                    self.open_one(span, false)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                _ => (),
            }
        }
        match self.root.take() {
            Some(root) => Ok(root),
            None => Err(self.fail(Code::Yaml, 0..0, "the file is empty")),
        }
    }

    fn scalar(&mut self, text: String, plain: bool, span: Range<usize>) -> Outcome<()> {
        if let Some(Open::Map(map)) = self.open.last_mut()
            && map.key.is_none()
        {
            if let Some(first) = map.seen.insert(text.clone(), span.start) {
                let (line, _) = self.file.line_column(first);
                return Err(Box::new(
                    Diagnostic::error(
                        Code::DuplicateField,
                        self.file,
                        span,
                        format!("`{text}` is given twice"),
                    )
                    .help(format!("the first is in line {line}; keep one of them")),
                ));
            }
            map.key = Some(Key { text, span });
            return Ok(());
        }
        self.add(Node { span, kind: Kind::Scalar { text, plain } })
    }

    fn open_one(&mut self, span: Range<usize>, is_list: bool) -> Outcome<()> {
        if let Some(Open::Map(map)) = self.open.last()
            && map.key.is_none()
        {
            return Err(self.fail(Code::WrongShape, span, "a field's name must be a text"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(self.fail(
                Code::TooLarge,
                span,
                format!("lists and mappings are nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        // A collection is pointed at by its key: its own text may run over many lines.
        let span = match self.open.last() {
            Some(Open::Map(OpenMap { key: Some(key), .. })) => key.span.clone(),
            _ => span,
        };
        self.open.push(if is_list {
            Open::List(span, Vec::new())
        } else {
            Open::Map(OpenMap { span, entries: Vec::new(), key: None, seen: BTreeMap::new() })
        });
        Ok(())
    }

    fn close(&mut self) -> Outcome<()> {
        match self.open.pop() {
            Some(Open::List(span, nodes)) => self.add(Node { span, kind: Kind::List(nodes) }),
            Some(Open::Map(OpenMap { span, entries, .. })) => {
                let has_key = matches!(self.open.last(), Some(Open::Map(..)));
                let span = match entries.first() {
                    Some((key, _)) if !has_key => key.span.clone(),
                    _ => span,
                };
                self.add(Node { span, kind: Kind::Map(entries) })
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node) -> Outcome<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.fail(
                Code::TooLarge,
                node.span,
                format!("the file holds more than {NODES_MAX} values"),
            ));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, nodes)) => nodes.push(node),
            Some(Open::Map(map)) => {
                if let Some(key) = map.key.take() {
                    map.entries.push((key, node));
                }
            }
        }
        Ok(())
    }

    fn refuse_extras(&self, span: &Range<usize>, anchor: usize, has_tag: bool) -> Outcome<()> {
        if anchor != 0 {
            return Err(self.feature(span.clone(), "an anchor", "write each value out"));
        }
        if has_tag {
            return Err(self.feature(span.clone(), "a tag", "leave it out"));
        }
        Ok(())
    }

    fn feature(&self, span: Range<usize>, what: &str, help: &str) -> Box<Diagnostic> {
        let message = format!("{what} has no meaning in this file");
        let found = self.fail(Code::YamlFeature, span, message);
        Box::new(found.help(help))
    }

    fn fail(&self, code: Code, span: Range<usize>, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(code, self.file, span, message))
    }
}

fn range(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

/// Walks the decoded text and the file's text side by side to where `part` begins and ends.
fn inner_span(
    file: &SourceFile,
    span: &Range<usize>,
    text: &str,
    part: Range<usize>,
) -> Range<usize> {
    let Some(source) = file.text.get(span.clone()) else { return span.clone() };
    let quoted = source.starts_with(['"', '\'']);
    let mut rest = source.char_indices().skip(usize::from(quoted));
    let mut start = None;
    let mut after_last = span.start;
    for (at, wanted) in text.char_indices() {
        if at >= part.end {
            break;
        }
        let same = |found: char| found == wanted || wanted.is_whitespace() && found.is_whitespace();
        let Some((offset, found)) = rest.find(|(_, found)| same(*found)) else {
            return span.clone();
        };
        if at >= part.start && start.is_none() {
            start = Some(span.start + offset);
        }
        after_last = span.start + offset + found.len_utf8();
    }
    match start {
        Some(start) => start..after_last.max(start),
        // A part at the very end of the text, such as a missing bracket.
        None => after_last..after_last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Node, String> {
        let file = Arc::new(SourceFile::new("f.yaml", text));
        let mut report = Report::default();
        parse(&file, &mut report).ok_or_else(|| report.diagnostics()[0].message.clone())
    }

    #[test]
    fn keeps_texts_and_places() {
        let root = tree("a: 'x''y'\nb: [1, two]\n").expect("a tree");
        let Kind::Map(entries) = &root.kind else { panic!("a mapping") };
        assert_eq!(entries[0].1.kind, Kind::Scalar { text: "x'y".into(), plain: false });
        assert_eq!(entries[0].1.span, 3..9);
        assert_eq!(entries[1].1.span, 10..11);
        assert_eq!(entries[1].0.span, 10..11);
    }

    #[test]
    fn refuses_what_could_unfold_or_nest_without_end() {
        let bomb = "a: &a [x,x]\nb: [*a,*a]\n";
        assert_eq!(tree(bomb), Err("an anchor has no meaning in this file".into()));
        assert!(tree(&"[".repeat(10_000)).is_err());
        assert!(tree(&"- ".repeat(10_000)).is_err());
        assert!(tree(&"- a\n".repeat(NODES_MAX + 1)).is_err());
        assert!(tree("").is_err());
        assert!(tree("a: 1\n---\nb: 2\n").is_err());
        assert!(tree("a: 1\na: 2\n").is_err());
        assert!(tree("a: [1\n").is_err());
    }

    #[test]
    fn points_inside_quoted_texts() {
        for (text, part, pointed) in [
            ("a: \"x >= 'ü' && yy\"\n", "yy", "yy"),
            ("a: 'x >= ''ü'' && yy'\n", "yy", "yy"),
            ("a: x && yy\n", "yy", "yy"),
            ("a: >\n  x &&\n  yy\n", "yy", "yy"),
        ] {
            let file = SourceFile::new("f.yaml", text);
            let root = tree(text).expect("a tree");
            let Kind::Map(entries) = &root.kind else { panic!("a mapping") };
            let Kind::Scalar { text: decoded, .. } = &entries[0].1.kind else { panic!("a text") };
            let at = decoded.find(part).expect("the part");
            let span = entries[0].1.inner_span(&file, at..at + part.len());
            assert_eq!(&text[span], pointed, "{text}");
        }
    }
}
