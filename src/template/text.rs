//! The text part of a mail for which none is written: what its HTML says, with the addresses of its
//! links. Handlebars tags stay where they are, so it is derived once, at load time.

use super::markup::end_tag;
use super::tags::{self, Tag, TagKind};

/// Elements that begin a line of their own.
const LINES: [&str; 18] = [
    "address",
    "blockquote",
    "body",
    "br",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "h5",
    "h6",
    "li",
    "ol",
    "section",
    "table",
    "tbody",
    "td",
    "ul",
];
/// Elements with an empty line around them.
const PARAGRAPHS: [&str; 7] = ["p", "h1", "h2", "h3", "h4", "hr", "tr"];
/// Elements of which nothing is read, as of a link that says so: `<a aria-hidden="true">`.
const SILENT: [&str; 5] = ["head", "script", "style", "title", "noscript"];

/// The text of a mail's HTML.
pub(super) fn derive(html: &str) -> String {
    let tags = tags::tags(html).unwrap_or_default();
    let mut writer = Writer { html, tags: &tags, out: String::new(), at: 0, link: None };
    writer.run();
    tidy(&writer.out)
}

/// Without spaces at the ends of lines, and with at most one empty line in a row.
pub(super) fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !tidied.is_empty() {
            tidied.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        tidied.push_str(line);
    }
    if !tidied.is_empty() {
        tidied.push('\n');
    }
    tidied
}

struct Writer<'a> {
    html: &'a str,
    tags: &'a [Tag<'a>],
    out: String,
    at: usize,
    link: Option<Link>,
}

/// A link that is open.
struct Link {
    href: String,
    /// Where its text begins in what is written.
    start: usize,
    /// The text of its picture.
    alt: String,
}

impl<'a> Writer<'a> {
    fn rest(&self) -> &'a str {
        &self.html[self.at..]
    }

    fn run(&mut self) {
        while !self.rest().is_empty() {
            let next = self.rest().find(['<', '{', '&']).unwrap_or(self.rest().len());
            self.words(self.at + next);
            let rest = self.rest();
            let index = self.tags.partition_point(|tag| tag.span.start < self.at);
            if let Some(tag) = self.tags.get(index).filter(|tag| tag.span.start == self.at) {
                self.out.push_str(&self.html[tag.span.clone()]);
                self.at = tag.span.end;
            } else if rest.starts_with("<!--") {
                let end = rest.find("-->").map_or(rest.len(), |end| end + 3);
                self.comment(self.at + end);
            } else if rest.starts_with("<!") {
                self.at += rest.find('>').map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with('<') {
                self.element();
            } else if rest.starts_with('&') {
                let (text, length) = entity(rest);
                self.out.push_str(&text);
                self.at += length;
            } else if let Some(c) = rest.chars().next() {
                self.out.push(c);
                self.at += c.len_utf8();
            }
        }
    }

    /// Text up to a place; any white space is one space.
    fn words(&mut self, end: usize) {
        let text = &self.html[self.at..end];
        self.at = end;
        for c in text.chars() {
            if !c.is_ascii_whitespace() {
                self.out.push(c);
            } else if !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
                self.out.push(' ');
            }
        }
    }

    /// A comment up to a place. Nothing of it is read, but its blocks hold: MJML puts what stands
    /// between the sections of a wrapper into the comments that it writes for Outlook.
    fn comment(&mut self, end: usize) {
        for tag in self.tags {
            let in_comment = self.at <= tag.span.start && tag.span.end <= end;
            if in_comment
                && matches!(tag.kind, TagKind::Open(_) | TagKind::Else | TagKind::Close(_))
            {
                self.out.push_str(&self.html[tag.span.clone()]);
            }
        }
        self.at = end;
    }

    fn element(&mut self) {
        let end = self.element_end();
        let inner = self.html[self.at + 1..end].trim_end_matches('>');
        self.at = end;
        let closes = inner.starts_with('/');
        let name_end = inner[usize::from(closes)..]
            .find(|c: char| !c.is_ascii_alphanumeric())
            .map_or(inner.len(), |length| length + usize::from(closes));
        let name = inner[usize::from(closes)..name_end].to_ascii_lowercase();
        let attributes = &inner[name_end..];
        let hidden = name == "a" && attribute(attributes, "aria-hidden").as_deref() == Some("true");
        if (hidden || SILENT.contains(&name.as_str())) && !closes {
            self.at += end_tag(self.rest(), &name);
            return;
        }
        match name.as_str() {
            "a" if closes => self.end_link(),
            "a" => {
                let href = attribute(attributes, "href").unwrap_or_default();
                let start = self.out.len();
                self.link = Some(Link { href: decoded(&href), start, alt: String::new() });
            }
            "img" => {
                if let Some(link) = &mut self.link {
                    link.alt = decoded(&attribute(attributes, "alt").unwrap_or_default());
                }
            }
            "li" if !closes => {
                self.line();
                self.out.push_str("- ");
            }
            name if PARAGRAPHS.contains(&name) => {
                self.line();
                self.out.push('\n');
            }
            name if LINES.contains(&name) => self.line(),
            _ => {}
        }
    }

    /// Past the `>` of the element that begins here; quoted texts may hold one.
    fn element_end(&self) -> usize {
        let mut quote = None;
        for (offset, c) in self.rest().char_indices().skip(1) {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c == '>' => return self.at + offset + 1,
                None => {}
            }
        }
        self.html.len()
    }

    fn line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn end_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        let text = self.out[link.start..].trim();
        if link.href.is_empty() || link.href.starts_with('#') || text == link.href {
            return;
        }
        if text.is_empty() {
            // A picture with a link, without words: read aloud.
            if link.alt.is_empty() {
                return;
            }
            self.out.push_str(&link.alt);
        }
        while self.out.ends_with([' ', '\n']) {
            self.out.pop();
        }
        // RFC 3986, appendix C: brackets say where an address in a text ends.
        self.out.push_str(" <");
        self.out.push_str(&link.href);
        self.out.push('>');
    }
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let lower = attributes.to_ascii_lowercase();
    let at = lower.match_indices(name).find(|(at, _)| {
        lower[..*at].ends_with(|c: char| c.is_ascii_whitespace())
            && lower[at + name.len()..].trim_start().starts_with('=')
    })?;
    let value = attributes[at.0 + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(value, _)| value.to_owned())
}

/// A text with its entities decoded; Handlebars tags stay as they are.
fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (text, length) = entity(&rest[at..]);
        out.push_str(&text);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// What the entity that begins a text stands for, and its length.
fn entity(text: &str) -> (String, usize) {
    let literal = || ("&".to_owned(), 1);
    let Some(end) = text.char_indices().take(12).find(|(_, c)| *c == ';').map(|(at, _)| at) else {
        return literal();
    };
    let name = &text[1..end];
    let number = name.strip_prefix("#x").or(name.strip_prefix("#X"));
    let code = match (number, name.strip_prefix('#')) {
        (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
        (None, Some(decimal)) => decimal.parse().ok(),
        (None, None) => None,
    };
    let shown = match (code, name) {
        // What pads a mail is not read.
        (Some(847 | 8203 | 8204 | 173), _) | (None, "zwnj" | "shy") => String::new(),
        (Some(160), _) | (None, "nbsp") => " ".to_owned(),
        (Some(code), _) => match char::from_u32(code).filter(|c| !c.is_control()) {
            Some(c) => c.to_string(),
            None => return literal(),
        },
        (None, "amp") => "&".to_owned(),
        (None, "lt") => "<".to_owned(),
        (None, "gt") => ">".to_owned(),
        (None, "quot") => "\"".to_owned(),
        (None, "apos" | "rsquo") => "'".to_owned(),
        (None, "euro") => "€".to_owned(),
        (None, "copy") => "©".to_owned(),
        (None, "hellip") => "…".to_owned(),
        (None, "ndash") => "–".to_owned(),
        (None, "mdash") => "—".to_owned(),
        (None, "middot") => "·".to_owned(),
        (None, "times") => "×".to_owned(),
        (None, "rarr") => "→".to_owned(),
        _ => return literal(),
    };
    (shown, end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mail_says_is_kept_as_text() {
        for (html, text) in [
            ("<p>One\n  two</p><p>three</p>", "One two\n\nthree\n"),
            ("<style>p{}</style><head><title>x</title></head><b>a</b> b", "a b\n"),
            (
                "a <a href=\"https://s.example/?a=1&amp;b=2\">shop</a>, b",
                "a shop <https://s.example/?a=1&b=2>, b\n",
            ),
            ("<a href='https://s.example'>https://s.example</a>", "https://s.example\n"),
            (
                "<a href=\"{{cart_url}}\"><img src=\"x\" alt=\"Your {{x}}\"></a>",
                "Your {{x}} <{{cart_url}}>\n",
            ),
            ("<a href=\"https://s.example\"><img alt=\"\"></a>", ""),
            (
                "<a href=\"https://s.example\" aria-hidden=\"true\"><img src=\"x\" alt=\"Sock\"></a><b>Sock</b>",
                "Sock\n",
            ),
            ("<img src=\"x\" alt=\"\" aria-hidden=\"true\">a", "a\n"),
            ("a<!--[if mso]><p>Outlook</p><![endif]-->b", "ab\n"),
            ("<!--[if !mso]><!--><p>all</p><!--<![endif]-->", "all\n"),
            (
                "{{#each (first x 2)}}<tr><td>{{name}}</td></tr>{{/each}}",
                "{{#each (first x 2)}}\n\n{{name}}\n\n{{/each}}\n",
            ),
            (
                "a<!--[if mso]></tr>{{#if x}}<tr title=\"{{y}}\"><![endif]-->b<!--{{else}}-->c<!--{{/if}}-->",
                "a{{#if x}}b{{else}}c{{/if}}\n",
            ),
            ("{{f \"<p>&amp;\"}}", "{{f \"<p>&amp;\"}}\n"),
            (
                "1 &lt; 2 &amp;&nbsp;3 &#8364; &#x20AC; &bogus; &#847;&zwnj;",
                "1 < 2 & 3 € € &bogus;\n",
            ),
            ("<ul><li>a</li><li>b</li></ul>", "- a\n- b\n"),
            ("a<br>b<br/><br/>c", "a\nb\nc\n"),
        ] {
            assert_eq!(derive(html), text, "{html}");
        }
    }
}
