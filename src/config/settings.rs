//! The configuration as it holds: every key with its value and where the value comes from.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::journey::{Cap, ConsentMode, ConsentRule, OnCap, Shop};
use crate::model::Delay;
use crate::yaml::{Kind, Node};

use super::env::Overlaid;
use super::{
    Audience, Config, Deliver, Input, InputFormat, Production, Protection, Secret, TwilioSender,
};

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path, such as `http.listen`.
    pub key: String,
    /// Its value, in the words of the file; null where there is none. A secret is `***`.
    pub value: Value,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file, with the line.
    File(String, usize),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{path}:{line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Where each key that somebody set comes from, by its path.
pub type Origins = BTreeMap<String, Origin>;

/// The origins of what stands in a tree.
pub(super) fn origins(overlaid: &Overlaid) -> Origins {
    let mut origins = Origins::new();
    walk(&overlaid.root, "", overlaid, &mut origins);
    origins
}

fn walk(node: &Node, path: &str, overlaid: &Overlaid, origins: &mut Origins) {
    match &node.kind {
        Kind::Scalar { .. } | Kind::List(_) => {
            origins.insert(path.to_owned(), overlaid.origin(&node.span));
        }
        Kind::Map(entries) => {
            for (key, node) in entries {
                let path =
                    if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                walk(node, &path, overlaid, origins);
            }
        }
    }
}

impl Config {
    /// Every key with its value, in the order of the paths. Paths are relative to the working
    /// directory; of a shop only what is known is listed, and of stores the one that is used.
    #[must_use]
    pub fn settings(&self, origins: &Origins) -> Vec<Setting> {
        let mut all = Settings { origins, settings: Vec::new() };
        match &self.production {
            Some(production) => all.production(production),
            None => {
                all.add("store.state", self.store.state.display().to_string());
                all.add("store.log", self.store.log.display().to_string());
                all.add("store.partitions", self.store.partitions);
            }
        }
        all.add("journeys", self.journeys.display().to_string());
        all.add("templates", self.templates.display().to_string());
        for (name, input) in &self.inputs {
            all.input(name, input);
        }
        all.add("http.listen", self.http.listen.to_string());
        all.add("http.public", self.http.public.to_string());
        all.add("http.token", secret(self.http.token.as_ref()));
        all.add("http.body_limit", self.http.body_limit);
        all.add("ticks.every", duration(self.ticks.every_ms));
        all.add("ticks.grace", duration(self.ticks.grace_ms));
        all.add("checkpoint.records", self.checkpoint.records);
        let kept = |kept: Option<Delay>| kept.map_or("forever".to_owned(), |kept| kept.to_string());
        all.add("keep.messages", kept(self.keep.messages));
        all.add("keep.trace", kept(self.keep.trace));
        all.add("keep.dead_letters", kept(self.keep.dead_letters));
        all.add("cache_bytes", self.cache_bytes);
        all.shop("default", &self.default_shop);
        for (code, shop) in &self.shops {
            all.shop(code, shop);
        }
        all.add("consent", self.consent.iter().map(consent).collect::<Vec<_>>());
        all.add("limits", self.limits.iter().map(limit).collect::<Vec<_>>());
        all.deliver(&self.deliver);
        all.add("telemetry.otlp", self.otlp.as_ref().map(ToString::to_string));
        all.settings.sort_by(|a, b| a.key.cmp(&b.key));
        all.settings
    }
}

struct Settings<'a> {
    origins: &'a Origins,
    settings: Vec<Setting>,
}

impl Settings<'_> {
    fn add(&mut self, key: &str, value: impl Into<Value>) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        self.settings.push(Setting { key: key.to_owned(), value: value.into(), origin });
    }

    fn input(&mut self, name: &str, input: &Input) {
        let (format, mapping) = match &input.format {
            InputFormat::Xdm => ("xdm", None),
            InputFormat::CloudEvents => ("cloudevents", None),
            InputFormat::Mapping(file) => ("mapping", Some(file.display().to_string())),
        };
        self.add(&format!("inputs.{name}.format"), format);
        if mapping.is_some() {
            self.add(&format!("inputs.{name}.mapping"), mapping);
        }
        if let Some(topic) = &input.topic {
            self.add(&format!("inputs.{name}.topic"), topic.as_str());
            self.add(&format!("inputs.{name}.blocking"), input.blocking);
        }
        self.add(&format!("inputs.{name}.settle"), input.settle.to_string());
        let carries = input.carries.as_ref();
        let carries = carries.map(|events| events.iter().map(|e| e.as_str().to_owned()).collect());
        self.add(&format!("inputs.{name}.carries"), carries.map(|names: Vec<String>| json!(names)));
    }

    fn production(&mut self, production: &Production) {
        let Production { kafka, postgres } = production;
        self.add("kafka.brokers", json!(kafka.brokers));
        self.add("kafka.name", kafka.name.as_str());
        self.add("kafka.partitions", kafka.partitions);
        self.add("kafka.replication", kafka.replication);
        self.add("kafka.retention", kafka.retention.map(|delay| delay.to_string()));
        self.add("kafka.dead_letters", kafka.dead_letters.as_deref());
        for (name, value) in &kafka.properties {
            self.add(&format!("kafka.properties.{name}"), value.as_str());
        }
        for (name, value) in &kafka.secrets {
            self.add(&format!("kafka.secrets.{name}"), secret(Some(value)));
        }
        for (name, file) in &kafka.secret_files {
            self.add(&format!("kafka.secret_files.{name}"), file.display().to_string());
        }
        self.add("postgres.url", postgres.shown());
        self.add("postgres.password", secret(postgres.password.as_ref()));
        let file = postgres.password_file.as_ref();
        self.add("postgres.password_file", file.map(|file| file.display().to_string()));
        self.add("postgres.connections", postgres.connections);
    }

    fn deliver(&mut self, deliver: &Deliver) {
        let environment = match &deliver.audience {
            Audience::Everybody => "production",
            Audience::Only { only_to, redirect_email, redirect_sms } => {
                self.add("deliver.only_to", json!(only_to));
                let redirect: Vec<_> =
                    [redirect_email, redirect_sms].into_iter().flatten().collect();
                self.add("deliver.redirect_to", json!(redirect));
                "test"
            }
        };
        self.add("environment", environment);
        self.add("deliver.email", if deliver.smtp.is_some() { "smtp" } else { "caught" });
        self.add("deliver.sms", if deliver.twilio.is_some() { "twilio" } else { "caught" });
        self.add("deliver.caught", deliver.caught.display().to_string());
        self.add("deliver.at_once", deliver.at_once);
        if let Some(smtp) = &deliver.smtp {
            self.add("smtp.host", smtp.host.as_str());
            self.add("smtp.port", smtp.port);
            let tls = match smtp.tls {
                Protection::Implicit => "implicit",
                Protection::StartTls => "starttls",
                Protection::None => "none",
            };
            self.add("smtp.tls", tls);
            self.add("smtp.ca_file", smtp.ca_file.as_ref().map(|file| file.display().to_string()));
            self.add("smtp.user", smtp.login.as_ref().map(|(user, _)| user.as_str()));
            self.add("smtp.password", secret(smtp.login.as_ref().map(|(_, password)| password)));
        }
        if let Some(dkim) = &deliver.dkim {
            self.add("dkim.domain", dkim.domain.as_str());
            self.add("dkim.selector", dkim.selector.as_str());
            self.add("dkim.key_file", dkim.key_file.display().to_string());
        }
        if let Some(twilio) = &deliver.twilio {
            self.add("twilio.account", twilio.account.as_str());
            self.add("twilio.token", secret(Some(&twilio.token)));
            let (number, service) = match &twilio.sender {
                TwilioSender::Number(number) => (Some(number.as_str()), None),
                TwilioSender::Service(service) => (None, Some(service.as_str())),
            };
            self.add("twilio.from", number);
            self.add("twilio.messaging_service", service);
            self.add("twilio.url", twilio.url.as_str());
        }
    }

    fn shop(&mut self, code: &str, shop: &Shop) {
        let text = |value: &Option<crate::model::Text>| value.as_ref().map(ToString::to_string);
        for (field, value) in [
            ("name", text(&shop.name)),
            ("sender", text(&shop.sender)),
            ("postal_address", text(&shop.postal_address)),
            ("currency", shop.currency.map(|currency| currency.to_string())),
            ("zone", shop.zone.as_ref().map(|zone| zone.name().to_owned())),
            ("locale", text(&shop.locale)),
            ("country", text(&shop.country)),
            ("public_url", text(&shop.public_url)),
            ("product_url", text(&shop.product_url)),
            ("cart_url", text(&shop.cart_url)),
        ] {
            let Some(value) = value else { continue };
            let key = format!("shops.{code}.{field}");
            // What a shop leaves out comes from where the default shop has it.
            let own = self.origins.get(&key);
            let from = own.or_else(|| self.origins.get(&format!("shops.default.{field}")));
            let origin = from.cloned().unwrap_or(Origin::Default);
            self.settings.push(Setting { key, value: value.into(), origin });
        }
    }
}

fn secret(secret: Option<&Secret>) -> Option<&'static str> {
    secret.map(|_| "***")
}

fn duration(ms: i64) -> String {
    Delay::exact(ms).to_string()
}

fn consent(rule: &ConsentRule) -> Value {
    let mode = match rule.mode {
        ConsentMode::Explicit => "opt_in",
        ConsentMode::Soft => "soft_opt_in",
        ConsentMode::Double => "double_opt_in",
    };
    known(json!({
        "channel": rule.channel.as_str(),
        "country": rule.country.as_deref(),
        "mode": mode,
    }))
}

fn limit(cap: &Cap) -> Value {
    let on_cap = match cap.on_cap {
        OnCap::Skip => "skip",
        OnCap::Wait => "wait",
    };
    known(json!({
        "channel": cap.channel.map(crate::model::MessageChannel::as_str),
        "topic": cap.topic.as_deref(),
        "at_most": cap.at_most,
        "per": cap.per.to_string(),
        "on_cap": on_cap,
    }))
}

/// A mapping without what is not there.
fn known(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    value
}
