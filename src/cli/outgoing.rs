//! How messages leave, as configured: providers, keys, and the folder of caught ones.

use std::sync::Arc;

use anyhow::Context;

use crate::config::{self, Audience, Config, Secret, TwilioSender};
use crate::deliver::{Routes, Way};
use crate::mail::{Dkim, Security, Smtp, SmtpSettings, Timeouts};
use crate::provider::Caught;
use crate::sms::{self, Sender, Twilio, TwilioSettings};

/// The ways out of both channels.
pub(super) fn routes(config: &Config) -> anyhow::Result<Routes> {
    let deliver = &config.deliver;
    let mut folder: Option<Arc<Caught>> = None;
    let mut caught = || -> anyhow::Result<Arc<Caught>> {
        if let Some(folder) = &folder {
            return Ok(Arc::clone(folder));
        }
        let opened = Arc::new(Caught::open(&deliver.caught)?);
        folder = Some(Arc::clone(&opened));
        Ok(opened)
    };
    Ok(Routes {
        email: match &deliver.smtp {
            Some(smtp) => Way::Provider(self::smtp(smtp)?),
            None => Way::Caught(caught()?),
        },
        sms: match &deliver.twilio {
            Some(twilio) => Way::Provider(self::twilio(twilio)?),
            None => Way::Caught(caught()?),
        },
        audience: deliver.audience.clone(),
    })
}

/// The keys that sign mails.
pub(super) fn keys(config: &Config) -> anyhow::Result<Arc<[Dkim]>> {
    let Some(dkim) = &config.deliver.dkim else { return Ok(Arc::from([])) };
    let file = dkim.key_file.display();
    let pem = std::fs::read_to_string(&dkim.key_file)
        .with_context(|| format!("can't read the DKIM key {file}"))?;
    let key = Dkim::new(&dkim.domain, &dkim.selector, &Secret::new(pem))
        .with_context(|| format!("the DKIM key {file}"))?;
    Ok(Arc::from([key]))
}

/// Says how messages leave, in a line.
pub(super) fn told(config: &Config) -> String {
    let deliver = &config.deliver;
    let email = match &deliver.smtp {
        Some(smtp) => format!("mails go to {}:{}", smtp.host, smtp.port),
        None => format!("mails are caught in {}", deliver.caught.display()),
    };
    let sms = match &deliver.twilio {
        Some(twilio) => format!("SMS go to {}", twilio.url),
        None => "SMS are caught".to_owned(),
    };
    let provider = deliver.smtp.is_some() || deliver.twilio.is_some();
    let audience = match &deliver.audience {
        Audience::Only { only_to, redirect_email, redirect_sms } if provider => {
            let redirected = redirect_email.is_some() || redirect_sms.is_some();
            let others = if redirected { "others are redirected" } else { "nobody else" };
            format!("; not production: to {} named addresses, {others}", only_to.len())
        }
        Audience::Only { .. } | Audience::Everybody => String::new(),
    };
    format!("{email}; {sms}{audience}")
}

/// The SMTP server.
pub(super) fn smtp(smtp: &config::Smtp) -> anyhow::Result<Smtp> {
    let login = smtp.login.as_ref();
    let settings = SmtpSettings {
        host: smtp.host.clone(),
        port: smtp.port,
        security: match smtp.tls {
            config::Protection::Implicit => Security::Implicit,
            config::Protection::StartTls => Security::StartTls,
            config::Protection::None => Security::None,
        },
        allow_clear: false,
        hello: hello(),
        login: login.cloned(),
        ca_file: smtp.ca_file.clone(),
        timeouts: Timeouts::default(),
    };
    Smtp::new(settings).context("the SMTP server of `smtp`")
}

fn twilio(twilio: &config::Twilio) -> anyhow::Result<Twilio> {
    let settings = TwilioSettings {
        base_url: twilio.url.to_string(),
        account: twilio.account.clone(),
        token: twilio.token.clone(),
        sender: match &twilio.sender {
            TwilioSender::Number(number) => Sender::From(number.clone()),
            TwilioSender::Service(service) => Sender::MessagingService(service.clone()),
        },
        ca_file: None,
        timeouts: sms::Timeouts::default(),
    };
    Twilio::new(settings).context("the SMS provider of `twilio`")
}

/// The name this machine gives itself to an SMTP server.
fn hello() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let name = name.trim();
    let fits = !name.is_empty() && name.len() <= 255 && name.bytes().all(plain);
    // What a client without a name says (RFC 5321 section 4.1.3).
    if fits { name.to_owned() } else { "[127.0.0.1]".to_owned() }
}
