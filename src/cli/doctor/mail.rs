//! How messages leave: the SMTP server, the folder of caught ones, addresses of pages.

use std::time::Duration;

use crate::config::{Audience, Config, Smtp};
use crate::provider::Answer;

use super::super::outgoing;
use super::Line;
use super::files::room;

/// How long the SMTP server may take to let us in.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn mail(config: &Config) -> Vec<Line> {
    let deliver = &config.deliver;
    let mut lines = Vec::new();
    if let Some(configured) = &deliver.smtp {
        lines.push(smtp(configured).await);
    }
    if let Some(twilio) = &deliver.twilio {
        lines.push(Line::ok("sms", format!("SMS go to {}, which was not asked", twilio.url)));
    }
    if deliver.smtp.is_none() || deliver.twilio.is_none() {
        lines.push(room("caught", &deliver.caught));
    }
    if let Some(dkim) = &deliver.dkim {
        lines.push(match outgoing::keys(config) {
            Ok(_) => Line::ok("dkim", format!("mails are signed for {}", dkim.domain)),
            Err(error) => Line::error("dkim", format!("{error:#}")),
        });
    }
    lines.extend(audience(config));
    lines.push(pages(config));
    lines
}

async fn smtp(configured: &Smtp) -> Line {
    let place = format!("{}:{}", configured.host, configured.port);
    let server = match outgoing::smtp(configured) {
        Ok(server) => server,
        Err(error) => return Line::error("smtp", format!("{error:#}")),
    };
    let said = match tokio::time::timeout(PATIENCE, server.probe()).await {
        Ok(Ok(())) => {
            let login = if configured.login.is_some() { ", and the login is right" } else { "" };
            return Line::ok("smtp", format!("{place} answers{login}"));
        }
        Ok(Err(Answer::Refused { phase, reply, .. })) => format!("refuses ({phase}): {reply}"),
        Ok(Err(Answer::NotSent { phase, why })) => format!("can't be used ({phase}): {why}"),
        Ok(Err(Answer::InDoubt { why })) => why,
        Ok(Err(Answer::Accepted { reply, .. })) => reply,
        Err(_) => format!("did not answer within {} s", PATIENCE.as_secs()),
    };
    let way_out = "check smtp.host, smtp.port, smtp.tls, smtp.user and smtp.password";
    Line::error("smtp", format!("{place} {said}; {way_out}"))
}

/// Whom a provider may write to, where there is one.
fn audience(config: &Config) -> Option<Line> {
    if config.deliver.smtp.is_none() && config.deliver.twilio.is_none() {
        return None;
    }
    Some(match &config.deliver.audience {
        Audience::Everybody => Line::ok("audience", "everybody: `environment: production`"),
        Audience::Only { only_to, redirect_email: None, redirect_sms: None }
            if only_to.is_empty() =>
        {
            let text = "nobody is written to: add addresses to `deliver.only_to`, or say \
                        `environment: production`";
            Line::warning("audience", text)
        }
        Audience::Only { only_to, .. } => Line::warning(
            "audience",
            format!(
                "not production: messages go to {} named addresses, all others are redirected or \
                 cancelled",
                only_to.len()
            ),
        ),
    })
}

/// Whether customers can reach the pages that mails link to.
fn pages(config: &Config) -> Line {
    let shops: Vec<(&str, Option<&str>)> =
        std::iter::once(("default", config.default_shop.public_url.as_deref()))
            .chain(config.shops.iter().map(|(code, shop)| (&**code, shop.public_url.as_deref())))
            .collect();
    if let Some((code, _)) = shops.iter().find(|(_, url)| url.is_none()) {
        let text = format!(
            "shops.{code}.public_url is not set: links that unsubscribe lead to http://{}, which \
             customers can't reach",
            config.http.public
        );
        return Line::warning("public_url", text);
    }
    let insecure = |url: &str| url.starts_with("http://");
    if let Some((code, _)) = shops.iter().find(|(_, url)| url.is_some_and(insecure)) {
        let text = format!(
            "shops.{code}.public_url is without TLS: mail programs unsubscribe by https only (RFC \
             8058)"
        );
        return Line::warning("public_url", text);
    }
    Line::ok("public_url", "every shop has one")
}
