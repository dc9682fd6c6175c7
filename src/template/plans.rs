//! Journeys held against the templates they name.

use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile, did_you_mean};
use crate::journey::{Class, Plan, Step};
use crate::model::MessageChannel;

use super::Templates;
use super::tags;

/// Which of the variables that a marketing mail must print both of its parts print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    unsubscribe: bool,
    address: bool,
}

impl Named {
    /// Of a mail's HTML and text.
    pub(super) fn of(html: &str, text: &str) -> Self {
        let both = |name: &str| prints(html, name) && prints(text, name);
        Self { unsubscribe: both("unsubscribe_url"), address: both("shop.postal_address") }
    }
}

fn prints(text: &str, name: &str) -> bool {
    let tags = tags::tags(text).unwrap_or_default();
    tags.iter().any(|tag| {
        matches!(tag.kind, tags::TagKind::Print(inner) if inner.split([' ', '(', ')']).any(|word| word == name))
    })
}

/// Every message step of every journey.
pub(super) fn check(templates: &Templates, plans: &[Plan]) -> Report {
    let mut report = Report::default();
    for plan in plans {
        for node in &plan.nodes {
            if let Step::Message { channel, template, class, .. } = &node.step {
                message(templates, plan, template, *channel, *class, &mut report);
            }
        }
    }
    report.sort();
    report
}

fn message(
    templates: &Templates,
    plan: &Plan,
    name: &str,
    channel: MessageChannel,
    class: Class,
    report: &mut Report,
) {
    let journey = &plan.name;
    let word = channel.as_str();
    let Some(template) = templates.inner.templates.get(name) else {
        let file = Arc::new(SourceFile::new(format!("templates/{name}"), ""));
        let message = format!("the journey `{journey}` names a template that is not there");
        let help = did_you_mean(name, templates.names())
            .unwrap_or_else(|| "make the folder, with an email.mjml or sms.txt".to_owned());
        report.push(Diagnostic::error(Code::UnknownTemplate, &file, 0..0, message).help(help));
        return;
    };
    if !template.channels.contains(&channel) {
        let message = format!("the journey `{journey}` sends this by {word}, and it has no {word}");
        let help = match channel {
            MessageChannel::Email => "write email.mjml (or email.html) beside this file",
            MessageChannel::Sms => "write sms.txt beside this file",
        };
        report.push(Diagnostic::error(Code::NoChannel, &template.file, 0..0, message).help(help));
        return;
    }
    if class != Class::Marketing || channel != MessageChannel::Email {
        return;
    }
    for variant in template.emails.values() {
        for (named, what, help) in [
            (
                variant.names.unsubscribe,
                "does not say how to unsubscribe",
                "print it in HTML and text: `{{#if unsubscribe_url}}<a href=\"{{unsubscribe_url}}\">Unsubscribe</a>{{/if}}`",
            ),
            (
                variant.names.address,
                "does not say where the shop is",
                "print `{{shop.postal_address}}` in HTML and text, or make the step `class: transactional`",
            ),
        ] {
            if !named {
                let message = format!("the marketing mail of the journey `{journey}` {what}");
                let found = Diagnostic::error(Code::NoUnsubscribe, &variant.file, 0..0, message);
                report.push(found.help(help));
            }
        }
    }
}
