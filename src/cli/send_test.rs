//! `waypost send-test`: one message to one's own address, outside ledger and caps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::config::Config;
use crate::deliver::Composer;
use crate::diagnostic::did_you_mean;
use crate::engine::Decision;
use crate::journey::{Class, Version};
use crate::model::{CustomerId, MessageChannel, MessageId, RunId, Text, Timestamp, derive};
use crate::provider::Answer;
use crate::template::Templates;
use crate::worker::{Clock, SystemClock};

use super::talk::say;
use super::{Outcome, outgoing, setup};

/// What stands before the subject and before an SMS.
const MARK: &str = "[TEST] ";

/// Send a template to your own address
///
/// It is rendered with the template's sample.json and leaves the way that is configured, marked
/// [TEST]. It counts nowhere: not in limits, not in the store. Outside production the address must
/// be named by `deliver.only_to`, as for every message.
///
/// Examples:
///   waypost send-test abandoned-cart/first --to ann@shop.example
///   waypost send-test abandoned-cart/first --to ann@shop.example --locale nl
///   waypost send-test abandoned-cart/last --to +31612345678
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The template, as journeys name it.
    template: String,
    /// A mail address, or a phone number as in +31612345678.
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// The language, such as nl or nl-BE.
    #[arg(long, value_name = "LOCALE", value_parser = setup::locale)]
    locale: Option<String>,
    /// The data to render with, instead of sample.json.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let configured = setup::configuration(config)?;
    let config = configured.config;
    let templates = setup::sound_templates(&config.templates, &[])?.compiled;
    let channel = match (args.to.contains('@'), args.to.starts_with('+')) {
        (true, _) => MessageChannel::Email,
        (false, true) => MessageChannel::Sms,
        (false, false) => bail!(
            "`{}` is no address: write a mail address, or a phone number as in +31612345678",
            args.to
        ),
    };
    if !templates.has(&args.template, channel) {
        let hint = did_you_mean(&args.template, templates.names());
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        let name = channel.as_str();
        let folder = config.templates.display();
        bail!("there is no template `{}` for {name} in {folder}{hint}", args.template);
    }
    let data = data(args, &templates)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(send(args, &config, templates, channel, data))
}

async fn send(
    args: &Args,
    config: &Config,
    templates: Templates,
    channel: MessageChannel,
    data: Value,
) -> anyhow::Result<Outcome> {
    let now = SystemClock.now();
    // Another one each time: two tests in one inbox are two messages.
    let message = MessageId(derive("send-test", &[args.to.as_bytes(), &now.ms().to_le_bytes()]));
    let decision = decision(&args.template, channel, message, now, &data);
    let composer = Composer {
        templates,
        rules: Arc::new(config.rules()),
        keys: outgoing::keys(config)?,
        // The links of a test unsubscribe nobody.
        secret: [0; 32],
        pages: format!("http://{}", config.http.public),
        mark: MARK,
    };
    let pinned = composer.compose(&decision, CustomerId(0), 1, now)?;
    let routes = outgoing::routes(config)?;
    match routes.send_once(&decision, pinned, now).await {
        None => bail!(
            "this is not production, and `deliver.only_to` does not name {}: add it there",
            args.to
        ),
        Some(Answer::Accepted { reply, .. }) => {
            say(&format!("sent to {}: {reply}", args.to));
            Ok(Outcome::Done)
        }
        Some(Answer::Refused { phase, reply, .. }) => bail!("refused ({phase}): {reply}"),
        Some(Answer::NotSent { phase, why }) => bail!("not sent ({phase}): {why}"),
        Some(Answer::InDoubt { why }) => bail!("no answer came; it may have been sent: {why}"),
    }
}

/// A message that nobody decided, to show or try a template with.
pub(super) fn decision(
    template: &str,
    channel: MessageChannel,
    message: MessageId,
    at: Timestamp,
    data: &Value,
) -> Decision {
    Decision {
        message,
        customer: Text::const_new("test"),
        journey: Text::const_new("test"),
        version: Version(0),
        run: RunId(0),
        step: Text::const_new("test"),
        occurrence: 0,
        channel,
        template: Text::new(template),
        topic: None,
        class: Class::Marketing,
        at,
        settle_ms: 0,
        expires: None,
        window_end: None,
        withheld: None,
        data: data.to_string(),
    }
}

/// The sample, or the file, with the address in it.
fn data(args: &Args, templates: &Templates) -> anyhow::Result<Value> {
    let mut data = match &args.data {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("can't read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?
        }
        None => templates.sample(&args.template).cloned().with_context(|| {
            format!("template {} has no sample.json; name a file with --data", args.template)
        })?,
    };
    let Value::Object(fields) = &mut data else { bail!("the data is no JSON object") };
    let customer = fields.entry("customer").or_insert_with(|| json!({}));
    let field = if args.to.contains('@') { "email" } else { "phone" };
    customer[field] = json!(args.to);
    if let Some(locale) = &args.locale {
        customer["locale"] = json!(locale);
    }
    Ok(data)
}
