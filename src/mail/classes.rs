//! What an SMTP reply means, as a table.

use std::time::Duration;

use crate::provider::{Class, Phase};

/// A row of the table. The first row that fits decides.
struct Rule {
    /// In which phases; all, if empty.
    phases: &'static [Phase],
    /// The reply code; `_` stands for any digit.
    code: &'static str,
    /// The enhanced code; `*` stands for any number, an empty text for none needed.
    enhanced: &'static str,
    class: Class,
}

const fn rule(
    phases: &'static [Phase],
    code: &'static str,
    enhanced: &'static str,
    class: Class,
) -> Rule {
    Rule { phases, code, enhanced, class }
}

use Class::{ChannelFault, Content, Transient};

const BAD_ADDRESS: Class = Class::Permanent { address_is_bad: true };
const REFUSED: Class = Class::Permanent { address_is_bad: false };

/// Where the reply speaks of the recipient.
const RECIPIENT: &[Phase] = &[Phase::Rcpt, Phase::Data, Phase::Dot];
const ALL: &[Phase] = &[];

/// Codes of RFC 5321 section 4.2, enhanced codes of RFC 3463 and its registry, RFC 7505 (5.1.10).
/// An address is called bad only where the reply says so beyond doubt: policy and reputation
/// (5.7) are ours to mend.
const RULES: &[Rule] = &[
    rule(ALL, "421", "", Transient),
    rule(ALL, "454", "", ChannelFault),
    rule(ALL, "530", "", ChannelFault),
    rule(ALL, "534", "", ChannelFault),
    rule(ALL, "535", "", ChannelFault),
    rule(ALL, "538", "", ChannelFault),
    // Too many recipients (RFC 5321 section 4.5.3.1.10), unless it says which size or box is full.
    rule(&[Phase::Rcpt], "552", "5.5.3", Transient),
    rule(ALL, "4__", "", Transient),
    rule(RECIPIENT, "5__", "5.1.1", BAD_ADDRESS),
    rule(RECIPIENT, "5__", "5.1.2", BAD_ADDRESS),
    rule(RECIPIENT, "5__", "5.1.3", BAD_ADDRESS),
    rule(RECIPIENT, "5__", "5.1.6", BAD_ADDRESS),
    rule(RECIPIENT, "5__", "5.1.10", BAD_ADDRESS),
    rule(RECIPIENT, "5__", "5.2.1", BAD_ADDRESS),
    rule(RECIPIENT, "5__", "5.2.2", REFUSED),
    rule(ALL, "5__", "5.3.4", Content),
    rule(RECIPIENT, "5__", "5.4.*", Transient),
    rule(ALL, "5__", "5.6.*", Content),
    rule(ALL, "5__", "5.7.*", ChannelFault),
    rule(RECIPIENT, "552", "", Content),
    rule(&[Phase::Mail], "552", "", Content),
    // Commands refused as such: what is special in these phases is the recipient, elsewhere it is us.
    rule(&[Phase::Rcpt], "5__", "", REFUSED),
    rule(&[Phase::Data, Phase::Dot], "50_", "", ChannelFault),
    rule(&[Phase::Data, Phase::Dot], "5__", "5.5.*", ChannelFault),
    rule(&[Phase::Data], "5__", "", REFUSED),
    // The recipient was fine; what was refused then is what we said.
    rule(&[Phase::Dot], "5__", "", Content),
    rule(ALL, "5__", "", ChannelFault),
];

/// How long greylisting lasts, at most servers.
const GREYLISTED: Duration = Duration::from_secs(300);

/// What a negative reply means.
pub(super) fn class(phase: Phase, code: u16, enhanced: Option<&str>) -> Class {
    let fits = |rule: &&Rule| {
        (rule.phases.is_empty() || rule.phases.contains(&phase))
            && code_fits(rule.code, code)
            && (rule.enhanced.is_empty()
                || enhanced.is_some_and(|e| enhanced_fits(rule.enhanced, e)))
    };
    RULES.iter().find(fits).map_or(ChannelFault, |rule| rule.class)
}

/// How long to wait at least, where the reply tells.
pub(super) fn retry_after(code: u16, enhanced: Option<&str>) -> Option<Duration> {
    let greylisted = matches!((code, enhanced), (450 | 451, Some("4.7.1" | "4.2.0")));
    greylisted.then_some(GREYLISTED)
}

/// The enhanced code that a reply's text begins with, if it agrees with the code (RFC 2034 section 4).
pub(super) fn enhanced(code: u16, text: &str) -> Option<&str> {
    let word = text.split(' ').next()?;
    let mut parts = word.split('.');
    let number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let class = parts.next()?;
    let agrees = class == (code / 100).to_string();
    let rest: Vec<&str> = parts.collect();
    (agrees && rest.len() == 2 && rest.into_iter().all(number)).then_some(word)
}

fn code_fits(pattern: &str, code: u16) -> bool {
    let code = code.to_string();
    pattern.len() == code.len()
        && pattern.bytes().zip(code.bytes()).all(|(p, c)| p == b'_' || p == c)
}

fn enhanced_fits(pattern: &str, enhanced: &str) -> bool {
    let mut parts = enhanced.split('.');
    pattern.split('.').all(|p| parts.next().is_some_and(|part| p == "*" || p == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_mean_what_they_should() {
        use Phase::{Auth, Data, Dot, Greeting, Hello, Mail, Rcpt, Tls};
        for (phase, reply, expected) in [
            (Greeting, "421 busy", Transient),
            (Greeting, "554 5.7.1 you are listed", ChannelFault),
            (Greeting, "554 no SMTP here", ChannelFault),
            (Hello, "504 5.5.2 need a name", ChannelFault),
            (Tls, "454 4.7.0 TLS not available", ChannelFault),
            (Auth, "535 5.7.8 wrong password", ChannelFault),
            (Auth, "421 4.7.0 too many", Transient),
            (Mail, "530 5.7.0 use STARTTLS first", ChannelFault),
            (Mail, "550 5.1.8 sender has no domain", ChannelFault),
            (Mail, "550 5.1.1 sender unknown", ChannelFault),
            (Mail, "552 5.3.4 too big", Content),
            (Mail, "552 too big", Content),
            (Mail, "452 4.3.1 no room", Transient),
            (Rcpt, "450 4.2.0 greylisted", Transient),
            (Rcpt, "451 4.7.1 later", Transient),
            (Rcpt, "452 4.2.2 mailbox full", Transient),
            (Rcpt, "454 4.7.1 relay access denied", ChannelFault),
            (Rcpt, "550 5.1.1 unknown", BAD_ADDRESS),
            (Rcpt, "556 5.1.10 null MX", BAD_ADDRESS),
            (Rcpt, "553 5.1.3 syntax", BAD_ADDRESS),
            (Rcpt, "550 5.2.1 disabled", BAD_ADDRESS),
            (Rcpt, "552 5.2.2 mailbox full", REFUSED),
            (Rcpt, "552 5.5.3 too many recipients", Transient),
            (Rcpt, "550 5.4.1 access denied", Transient),
            (Rcpt, "550 no", REFUSED),
            (Rcpt, "501 5.5.4 syntax", REFUSED),
            (Rcpt, "554 5.7.1 relay access denied", ChannelFault),
            (Rcpt, "550 5.7.515 not authenticated", ChannelFault),
            (Data, "554 no valid recipients", REFUSED),
            (Data, "503 5.5.1 sequence", ChannelFault),
            (Dot, "550 5.1.1 unknown", BAD_ADDRESS),
            (Dot, "554 5.6.0 bad content", Content),
            (Dot, "554 rejected as spam", Content),
            (Dot, "552 too big", Content),
            (Dot, "550 5.7.26 not authenticated", ChannelFault),
            (Dot, "451 4.3.0 later", Transient),
        ] {
            let (code, text) = reply.split_once(' ').unwrap();
            let code = code.parse().unwrap();
            assert_eq!(class(phase, code, enhanced(code, text)), expected, "{phase}: {reply}");
        }
    }

    #[test]
    fn every_rule_is_of_use() {
        for (at, rule) in RULES.iter().enumerate() {
            let code: u16 = rule.code.replace('_', "9").parse().unwrap();
            let enhanced = rule.enhanced.replace('*', "9");
            let phases =
                if rule.phases.is_empty() { &[Phase::Mail, Phase::Rcpt] } else { rule.phases };
            let reached = phases.iter().any(|phase| {
                RULES.iter().position(|rule| {
                    (rule.phases.is_empty() || rule.phases.contains(phase))
                        && code_fits(rule.code, code)
                        && (rule.enhanced.is_empty() || enhanced_fits(rule.enhanced, &enhanced))
                }) == Some(at)
            });
            assert!(
                reached,
                "no reply reaches {} {} in {:?}",
                rule.code, rule.enhanced, rule.phases
            );
        }
    }

    #[test]
    fn enhanced_codes_agree_with_the_code() {
        for (code, text, found) in [
            (550, "5.1.1 unknown", Some("5.1.1")),
            (550, "5.1.10", Some("5.1.10")),
            (450, "5.1.1 unknown", None),
            (550, "5.1 unknown", None),
            (550, "5.1.1.1 unknown", None),
            (550, "5.1.x unknown", None),
            (550, "", None),
        ] {
            assert_eq!(enhanced(code, text), found, "{code} {text}");
        }
        assert_eq!(retry_after(450, Some("4.2.0")), Some(GREYLISTED));
        assert_eq!(retry_after(450, Some("4.3.0")), None);
    }
}
