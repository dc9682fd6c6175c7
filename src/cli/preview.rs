//! `waypost preview`: a template as a customer would get it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::deliver::Composer;
use crate::diagnostic::did_you_mean;
use crate::identity::Identify;
use crate::journey::{Rules, Shop};
use crate::log::{LogReader, ReadLog};
use crate::model::{CustomerId, MessageChannel, MessageId, Text, Timestamp, Zone, derive};
use crate::store::{Ledger, Outgoing, SqliteLedger};
use crate::template::{Email, Frame, Sms, Templates, example_shop};

use super::send_test::decision;
use super::talk::say;
use super::{Outcome, production, setup};

/// Show a template as a customer would get it; it never sends
///
/// It is rendered with its sample.json, with data from a file, or with the newest message that was
/// decided for a real customer. What the configuration does not say of the shop is made up.
/// Without --out one part goes to stdout; with it every part is written as files, in every language
/// or in that of --locale.
///
/// Examples:
///   waypost preview abandoned-cart/first > first.html
///   waypost preview abandoned-cart/first --locale nl --as text
///   waypost preview abandoned-cart/first --customer ann@shop.example --as json
///   waypost preview --out previews
///   waypost preview abandoned-cart/first --locale nl --out previews
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The template, such as abandoned-cart/first; all of them without it, which needs --out.
    template: Option<String>,
    /// The language; the data's customer's without it.
    #[arg(long, value_name = "LOCALE", value_parser = setup::locale, conflicts_with = "all_locales")]
    locale: Option<String>,
    /// Every language the template is written in.
    #[arg(long)]
    all_locales: bool,
    /// What to show; html without it, sms where the template has no mail.
    #[arg(long = "as", value_name = "PART")]
    part: Option<Part>,
    /// A file with a decision's data as JSON, instead of the template's sample.json.
    #[arg(long, value_name = "FILE", conflicts_with = "customer")]
    data: Option<PathBuf>,
    /// A customer as events name them: the data of the newest message decided for them.
    #[arg(long, value_name = "NAME")]
    customer: Option<String>,
    /// A folder for files instead of stdout: HTML, text, whole mail and SMS, in every language or
    /// the one of --locale.
    #[arg(long, value_name = "DIR", conflicts_with = "part")]
    out: Option<PathBuf>,
    /// The folder of templates; the configured one without it.
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

/// What is shown of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The mail's HTML.
    Html,
    /// The mail's text part.
    Text,
    /// The mail as it goes over the wire, unsigned.
    Eml,
    /// The SMS.
    Sms,
    /// Everything, one JSON object a line for each channel and language.
    Json,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    let config = setup::configuration(config)?.config;
    let folder = args.templates.as_deref().unwrap_or(&config.templates);
    let (templates, report) = setup::templates(folder)?;
    setup::show(&report);
    if report.has_errors() {
        return Ok(Outcome::Found);
    }
    let names = names(args, &templates)?;
    let given = match (&args.data, &args.customer) {
        (Some(file), _) => Some(read(file)?),
        (None, Some(customer)) => {
            setup::needs_store(&config)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let template = args.template.as_deref();
            Some(runtime.block_on(data_of(customer, template, &config))?)
        }
        (None, None) => None,
    };
    for name in &names {
        let data = given.as_ref().or_else(|| templates.sample(name)).cloned().unwrap_or_default();
        let shown = Shown { templates: &templates, name, data: &data, config: &config };
        shown.say_default(args.locale.as_deref());
        match &args.out {
            Some(folder) => shown.write(folder, args.locale.as_ref())?,
            None => shown.print(args)?,
        }
    }
    Ok(Outcome::Done)
}

/// The templates to show.
fn names(args: &Args, templates: &Templates) -> anyhow::Result<Vec<String>> {
    let known: Vec<&str> = templates.names().collect();
    match &args.template {
        Some(name) if known.contains(&name.as_str()) => Ok(vec![name.clone()]),
        Some(name) => {
            let hint = did_you_mean(name, known.iter().copied())
                .unwrap_or_else(|| format!("there are {}", known.join(", ")));
            bail!("there is no template `{name}`; {hint}")
        }
        None if args.out.is_some() => Ok(known.into_iter().map(str::to_owned).collect()),
        None => bail!(
            "name a template, or write all of them with --out DIR; there are {}",
            known.join(", ")
        ),
    }
}

/// Data from a file: a decision's data, or the whole line of a replay.
fn read(file: &Path) -> anyhow::Result<Json> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let data: Json = serde_json::from_str(&text)
        .with_context(|| format!("{} is not one JSON object", file.display()))?;
    match data.get("data") {
        Some(inner) if inner.is_object() => Ok(inner.clone()),
        _ if data.is_object() => Ok(data),
        _ => bail!("{} is not one JSON object", file.display()),
    }
}

/// The data of the newest message decided for a customer: of the template's, if there is one.
async fn data_of(customer: &str, template: Option<&str>, config: &Config) -> anyhow::Result<Json> {
    let namespaces = setup::namespaces(config)?;
    match &config.production {
        Some(production) => {
            let (log, store) = production::opened(production).await?;
            newest_data(customer, template, &namespaces, &log, store.ledger()).await
        }
        None => {
            let log = LogReader::open(&config.store.log).await?;
            let ledger = SqliteLedger::open(&config.store.state).await?;
            newest_data(customer, template, &namespaces, &log, &ledger).await
        }
    }
}

async fn newest_data(
    customer: &str,
    template: Option<&str>,
    namespaces: &[Text],
    log: &impl ReadLog,
    ledger: &impl Ledger,
) -> anyhow::Result<Json> {
    let mut identify = Identify::stored(log.identity_key().await?);
    let mut messages = Vec::new();
    for id in identify.named(log, customer, namespaces).await? {
        messages.extend(ledger.messages_of(id).await?);
    }
    messages.retain(|message| !message.erased && !message.decision.data.is_empty());
    let newest = messages
        .iter()
        .max_by_key(|message| {
            let same = template.is_some_and(|name| message.decision.template == name);
            (same, message.seq)
        })
        .with_context(|| format!("no message was decided for `{customer}` yet"))?;
    let decision = &newest.decision;
    say(&format!(
        "with the data of {} {}, decided for {}",
        decision.channel.as_str(),
        decision.template,
        decision.at
    ));
    serde_json::from_str(&decision.data).context("the message's data is no JSON")
}

/// A template with the data it is shown with.
struct Shown<'a> {
    templates: &'a Templates,
    name: &'a str,
    data: &'a Json,
    config: &'a Config,
}

impl Shown<'_> {
    /// The languages of a channel: the one asked for, all, or the data's customer's.
    fn locales(&self, args: &Args, channel: MessageChannel) -> Vec<Option<String>> {
        if args.all_locales {
            return self.all(channel);
        }
        let of_data = || self.text(&["customer", "locale"]).map(str::to_owned);
        vec![args.locale.clone().or_else(of_data)]
    }

    fn all(&self, channel: MessageChannel) -> Vec<Option<String>> {
        if !self.templates.has(self.name, channel) {
            return Vec::new();
        }
        let written = self.templates.locales(self.name, channel);
        // A language that nobody writes in is the default.
        std::iter::once(None).chain(written.into_iter().map(|tag| Some(tag.to_owned()))).collect()
    }

    /// Says if the default text is shown where a language was asked for.
    fn say_default(&self, asked: Option<&str>) {
        let Some(asked) = asked else { return };
        let channels = [MessageChannel::Email, MessageChannel::Sms];
        let written = channels.map(|channel| self.templates.locales(self.name, channel)).concat();
        let language = |tag: &str| tag.split(['-', '_']).next().unwrap_or(tag).to_lowercase();
        if !written.iter().any(|tag| language(tag) == language(asked)) {
            say(&format!("{} is not written in `{asked}`: the default text is shown", self.name));
        }
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(self.data, |value, name| value.get(name))?.as_str()
    }

    /// The shop of the data, completed by one that is made up.
    fn shop(&self) -> Shop {
        let rules = self.config.rules();
        let code = self.text(&["event", "shop"]).map(Text::from);
        let shop = rules.shop(code.as_ref()).clone();
        let example = example_shop();
        Shop {
            name: shop.name.or(example.name),
            sender: shop.sender.or(example.sender),
            postal_address: shop.postal_address.or(example.postal_address),
            currency: shop.currency.or(example.currency),
            zone: shop.zone.or(example.zone),
            locale: shop.locale,
            country: shop.country,
            public_url: shop.public_url.or(example.public_url),
            product_url: shop.product_url.or(example.product_url),
            cart_url: shop.cart_url.or(example.cart_url),
        }
    }

    fn email(&self, locale: Option<&str>) -> anyhow::Result<Email> {
        self.framed(locale, |frame| self.templates.email(self.name, self.data, frame))
    }

    /// The mail as delivery would put it together, without a signature.
    fn eml(&self, locale: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let mut shop = self.shop();
        let mut data = self.data.clone();
        let Some(fields) = data.as_object_mut() else { bail!("the data is no JSON object") };
        let customer = fields.entry("customer").or_insert_with(|| json!({}));
        if customer.get("email").is_none() {
            customer["email"] = json!("customer@shop.example");
        }
        match locale {
            Some(locale) => customer["locale"] = json!(locale),
            None => {
                shop.locale = None;
                customer.as_object_mut().map(|customer| customer.remove("locale"));
            }
        }
        // The same each time: what is shown of one template differs by its content alone.
        let message = MessageId(derive("preview", &[self.name.as_bytes()]));
        let at = self.text(&["now"]).and_then(|now| now.parse().ok());
        let at = at.unwrap_or(Timestamp::from_ms(0));
        let decision = decision(self.name, MessageChannel::Email, message, at, &data);
        let composer = Composer {
            templates: self.templates.clone(),
            rules: Arc::new(Rules { default_shop: shop, ..Rules::default() }),
            keys: Arc::from([]),
            secret: [0; 32],
            pages: String::new(),
            mark: "",
        };
        Ok(composer.compose(&decision, CustomerId(0), 1, at)?.body)
    }

    fn sms(&self, locale: Option<&str>) -> anyhow::Result<Sms> {
        self.framed(locale, |frame| self.templates.sms(self.name, self.data, frame))
    }

    fn framed<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        locale: Option<&str>,
        render: impl Fn(&Frame<'_>) -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let mut shop = self.shop();
        if locale.is_none() {
            // The default is asked for, not the variant in the shop's language.
            shop.locale = None;
        }
        let zone = self.text(&["customer", "zone"]).and_then(Zone::named);
        let zone = zone.or_else(|| shop.zone.clone()).unwrap_or_else(Zone::utc);
        let public = shop.public_url.clone().unwrap_or_default();
        let unsubscribe = format!("{}/unsubscribe/preview", public.trim_end_matches('/'));
        let frame = Frame { shop: &shop, locale, zone, unsubscribe_url: Some(&unsubscribe) };
        Ok(render(&frame)?)
    }

    /// One part to stdout.
    fn print(&self, args: &Args) -> anyhow::Result<()> {
        let has_mail = self.templates.has(self.name, MessageChannel::Email);
        let part = args.part.unwrap_or(if has_mail { Part::Html } else { Part::Sms });
        if args.all_locales && part != Part::Json {
            bail!("several languages need --as json, or --out DIR");
        }
        let mut out = std::io::stdout().lock();
        match part {
            Part::Json => {
                for line in self.json(args)? {
                    writeln!(out, "{line}")?;
                }
            }
            Part::Html | Part::Text => {
                for locale in self.locales(args, MessageChannel::Email) {
                    let mail = self.email(locale.as_deref())?;
                    say(&format!("subject: {}", mail.subject));
                    say(&format!("preheader: {}", mail.preheader));
                    let shown = if part == Part::Html { &mail.html } else { &mail.text };
                    writeln!(out, "{}", shown.trim_end())?;
                }
            }
            Part::Eml => {
                for locale in self.locales(args, MessageChannel::Email) {
                    out.write_all(&self.eml(locale.as_deref())?)?;
                }
            }
            Part::Sms => {
                for locale in self.locales(args, MessageChannel::Sms) {
                    writeln!(out, "{}", self.sms(locale.as_deref())?.text)?;
                }
            }
        }
        Ok(())
    }

    fn json(&self, args: &Args) -> anyhow::Result<Vec<Json>> {
        let mut lines = Vec::new();
        if self.templates.has(self.name, MessageChannel::Email) {
            for locale in self.locales(args, MessageChannel::Email) {
                let mail = self.email(locale.as_deref())?;
                lines.push(json!({
                    "template": self.name, "channel": "email", "locale": mail.locale,
                    "subject": mail.subject, "preheader": mail.preheader, "html": mail.html,
                    "text": mail.text, "from": mail.from, "reply_to": mail.reply_to,
                }));
            }
        }
        if self.templates.has(self.name, MessageChannel::Sms) {
            for locale in self.locales(args, MessageChannel::Sms) {
                let sms = self.sms(locale.as_deref())?;
                lines.push(json!({
                    "template": self.name, "channel": "sms", "locale": sms.locale,
                    "text": sms.text,
                }));
            }
        }
        Ok(lines)
    }

    /// Every part in every language, or in the one asked for, as files named as the template's own.
    fn write(&self, out: &Path, asked: Option<&String>) -> anyhow::Result<()> {
        let folder = out.join(self.name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        let keep = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).with_context(|| format!("can't write {}", path.display()))
        };
        let dot = |locale: &Option<String>| {
            locale.as_ref().map(|locale| format!(".{locale}")).unwrap_or_default()
        };
        let locales = |channel| match asked {
            Some(_) if !self.templates.has(self.name, channel) => Vec::new(),
            Some(locale) => vec![Some(locale.clone())],
            None => self.all(channel),
        };
        for locale in locales(MessageChannel::Email) {
            let mail = self.email(locale.as_deref())?;
            let suffix = dot(&mail.locale);
            say(&format!(
                "{}: {}",
                folder.join(format!("email{suffix}.html")).display(),
                mail.subject
            ));
            keep(format!("email{suffix}.html"), mail.html.as_bytes())?;
            keep(format!("email{suffix}.txt"), mail.text.as_bytes())?;
            keep(format!("email{suffix}.eml"), &self.eml(locale.as_deref())?)?;
        }
        for locale in locales(MessageChannel::Sms) {
            let sms = self.sms(locale.as_deref())?;
            let name = format!("sms{}.txt", dot(&sms.locale));
            say(&format!("{}: {}", folder.join(&name).display(), sms.text));
            keep(name, sms.text.as_bytes())?;
        }
        Ok(())
    }
}
