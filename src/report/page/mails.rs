//! Messages as they would be sent, in frames that run nothing and load nothing.

use super::super::SampleMail;
use super::write::Html;

/// The messages, if there are any, with a switch of their width.
pub(super) fn all(mails: &[SampleMail]) -> Option<Html> {
    if mails.is_empty() {
        return None;
    }
    let mut html = Html::default();
    if mails.iter().any(|mail| mail.html.is_some()) {
        html.put("<p class=\"muted\">Pictures from elsewhere are not loaded here.</p>\n");
        html.put("<fieldset class=\"widths\">\n<legend class=\"unseen\">Width of the mails</legend>\n<label><input type=\"radio\" name=\"width\" id=\"narrow\" checked=\"checked\" /> phone</label>\n<label><input type=\"radio\" name=\"width\" id=\"wide\" /> desktop</label>\n</fieldset>\n");
    }
    html.put("<div class=\"mails\">\n");
    for mail in mails {
        one(&mut html, mail);
    }
    html.put("</div>\n");
    Some(html)
}

/// What stands for a picture that is not loaded: a plain grey tile, instead of a browser's sign for
/// a broken one.
const TILE: &str = "data:image/gif;base64,R0lGODlhAQABAPAAAOTk5AAAACwAAAAAAQABAAACAkQBADs=";

/// A mail with tiles for pictures that would have to be loaded.
fn without_pictures(mail: &str) -> String {
    let mut out = String::with_capacity(mail.len());
    let mut rest = mail;
    while let Some(at) = rest.find("<img") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = tag.find('>').map_or(tag.len(), |end| end + 1);
        let (tag, after) = tag.split_at(end);
        out.push_str(&with_tile(tag));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn with_tile(tag: &str) -> String {
    let Some((before, rest)) = tag.split_once(" src=\"") else { return tag.to_owned() };
    match rest.split_once('"') {
        Some((address, after)) if !address.starts_with("data:") => {
            format!("{before} src=\"{TILE}\"{after}")
        }
        _ => tag.to_owned(),
    }
}

fn one(html: &mut Html, mail: &SampleMail) {
    html.put("<figure class=\"mail\">\n<figcaption><b>");
    html.text(mail.subject.as_deref().unwrap_or("Text message"));
    html.put("</b>\n<span class=\"muted\">to ").text(&mail.to).put(", ");
    html.time(mail.at, "%a %-d %b, %H:%M").put("<br />").text(mail.channel.as_str()).put(" ");
    html.text(&mail.template).put(" of ").text(&mail.journey).put("</span></figcaption>\n");
    match &mail.html {
        Some(source) => {
            // An empty sandbox: no script, no form, no way out of the frame.
            html.put("<iframe sandbox=\"\" title=\"")
                .text(mail.subject.as_deref().unwrap_or("Mail"));
            html.put("\" srcdoc=\"").text(without_pictures(source)).put("\"></iframe>\n");
            html.put("<details><summary>Text part</summary>\n<pre>").text(&mail.text);
            html.put("</pre>\n</details>\n");
        }
        None => {
            html.put("<p class=\"sms\">").text(&mail.text).put("</p>\n");
        }
    }
    html.put("</figure>\n");
}
