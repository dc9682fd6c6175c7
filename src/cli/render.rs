//! What a replay decided, as its templates say it: files in a folder, and mails in a report.

use std::path::Path;
use std::sync::Arc;

use crate::deliver::{Composer, Rendered};
use crate::engine::Decision;
use crate::journey::Rules;
use crate::model::{CustomerId, MessageChannel};
use crate::provider::{Caught, Note};
use crate::replay::grouped;
use crate::report::{Gather, SampleMail, masked};
use crate::template::Templates;

use super::talk::say;

/// Where links that unsubscribe lead: they are shown, and nobody answers there.
const NOWHERE: &str = "https://waypost.invalid";

/// Renders messages of a replay. There is nothing in it that could send.
pub(super) struct Renderer {
    composer: Composer,
    folder: Option<Caught>,
    kept: u64,
    failed: u64,
    first: Option<String>,
}

impl Renderer {
    /// With a folder, every message to be sent becomes a file in it.
    pub(super) fn new(
        templates: Templates,
        rules: Rules,
        folder: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let composer = Composer {
            templates,
            rules: Arc::new(rules),
            keys: Arc::from([]),
            secret: [0; 32],
            pages: NOWHERE.to_owned(),
            mark: "",
        };
        let folder = folder.map(Caught::open).transpose()?;
        Ok(Self { composer, folder, kept: 0, failed: 0, first: None })
    }

    /// Keeps a message that is to be sent. One that can't be rendered is counted; a folder that
    /// can't be written ends the replay.
    pub(super) fn decision(&mut self, decision: &Decision) -> std::io::Result<()> {
        let Some(folder) = self.folder.as_ref().filter(|_| decision.withheld.is_none()) else {
            return Ok(());
        };
        let pinned = match self.composer.compose(decision, CustomerId(0), 1, decision.at) {
            Ok(pinned) => pinned,
            Err(error) => {
                self.failed += 1;
                self.first.get_or_insert_with(|| format!("{}: {error}", decision.message));
                return Ok(());
            }
        };
        let (channel, extension) = match decision.channel {
            MessageChannel::Email => ("email", "eml"),
            MessageChannel::Sms => ("sms", "txt"),
        };
        let note = Note {
            at: decision.at,
            message: decision.message,
            channel,
            to: &pinned.address,
            subject: pinned.subject.as_deref(),
            template: &decision.template,
        };
        folder.keep(&note, extension, &pinned.body).map_err(std::io::Error::other)?;
        self.kept += 1;
        Ok(())
    }

    /// The first message of each step, as it would have been sent.
    pub(super) fn samples(&self, gather: &Gather) -> Vec<SampleMail> {
        gather.samples().filter_map(|decision| self.sample(decision)).collect()
    }

    fn sample(&self, decision: &Decision) -> Option<SampleMail> {
        let data: serde_json::Value = serde_json::from_str(&decision.data).ok()?;
        let field = match decision.channel {
            MessageChannel::Email => "/customer/email",
            MessageChannel::Sms => "/customer/phone",
        };
        let to = data.pointer(field).and_then(serde_json::Value::as_str).map(masked);
        let (subject, html, text) = match self.composer.show(decision).ok()? {
            Rendered::Email(email) => (Some(email.subject), Some(email.html), email.text),
            Rendered::Sms(sms) => (None, None, sms.text),
        };
        Some(SampleMail {
            at: decision.at,
            journey: decision.journey.to_string(),
            channel: decision.channel,
            template: decision.template.to_string(),
            to: to.unwrap_or_else(|| "nobody: no address is known".to_owned()),
            subject,
            html,
            text,
        })
    }

    /// Says what was kept, and what could not be rendered.
    pub(super) fn tell(&self, folder: &Path) {
        say(&format!("rendered {} messages: {}", grouped(self.kept), folder.display()));
        if let Some(first) = &self.first {
            say(&format!("{} could not be rendered; the first: {first}", grouped(self.failed)));
        }
    }
}
