//! `waypost config`: the configuration checked, and as it holds.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::config::{self, Config, Setting};
use crate::kafka;

use super::talk::say;
use super::{Outcome, setup};

/// Check the configuration, or show it as it holds
///
/// Examples:
///   waypost config check
///   waypost config show
///   waypost config show --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check the file, the `WAYPOST_...` variables, and the mapping files and properties of Kafka
    /// that they name
    ///
    /// Every mistake is shown with its place and the way out; the exit code is 1 if there is one.
    #[command(verbatim_doc_comment)]
    Check,
    /// Show every key with its value and where it comes from; secrets are hidden
    ///
    /// As YAML with the origin of each value as a comment. Paths are relative to the working
    /// directory, so the output is for reading, not for use as a configuration in another folder.
    #[command(verbatim_doc_comment)]
    Show {
        /// Write one JSON object a line for each key instead: `key`, `value`, `from`.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<Outcome> {
    match args.what {
        What::Check => check(config),
        What::Show { json } => show(config, json),
    }
}

fn check(named: Option<&Path>) -> anyhow::Result<Outcome> {
    let (config, report) = config::load(named)?;
    setup::show(&report);
    let Some(config) = config.filter(|_| !report.has_errors()) else { return Ok(Outcome::Found) };
    if !mappings_are_fine(&config) {
        return Ok(Outcome::Found);
    }
    if let Some(production) = &config.production
        && let Err(error) = kafka::Settings::new(&production.kafka)
    {
        say(&error.to_string());
        return Ok(Outcome::Found);
    }
    match setup::configuration_file(named) {
        Some(file) => say(&format!("{} checked: no mistakes", file.display())),
        None => say("no configuration file; defaults and variables checked: no mistakes"),
    }
    Ok(Outcome::Done)
}

/// Whether the mapping files that inputs name can be used; says why not.
fn mappings_are_fine(config: &Config) -> bool {
    let mut fine = true;
    for (name, input) in &config.inputs {
        if let Err(error) = setup::input_decoder(&input.format, config) {
            say(&format!("inputs.{name}: {error:#}"));
            fine = false;
        }
    }
    fine
}

fn show(named: Option<&Path>, json: bool) -> anyhow::Result<Outcome> {
    let (config, origins, report) = config::load_with_origins(named)?;
    setup::show(&report);
    let Some(config) = config.filter(|_| !report.has_errors()) else { return Ok(Outcome::Found) };
    let settings = config.settings(&origins);
    let mut out = std::io::stdout().lock();
    if json {
        for Setting { key, value, origin } in settings {
            let from = origin.to_string();
            writeln!(out, "{}", serde_json::json!({ "key": key, "value": value, "from": from }))?;
        }
    } else {
        out.write_all(yaml(&settings).as_bytes())?;
    }
    Ok(Outcome::Done)
}

/// The settings as YAML, each with where it comes from. A key without a value is a comment.
fn yaml(settings: &[Setting]) -> String {
    let mut out = String::new();
    let mut open: Vec<&str> = Vec::new();
    for Setting { key, value, origin } in settings {
        let mut parts: Vec<&str> = key.split('.').collect();
        let Some(last) = parts.pop() else { continue };
        let same = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        // A mapping of nothing but comments would have no value.
        if value.is_null() {
            out.push_str(&format!("# {key}: not set\n"));
            continue;
        }
        for (depth, part) in parts.iter().enumerate().skip(same) {
            out.push_str(&format!("{}{}:\n", "  ".repeat(depth), scalar(part)));
        }
        let line = format!("{}{last}: {}", "  ".repeat(parts.len()), shown(value));
        out.push_str(&format!("{line:<44} # {origin}\n"));
        open = parts;
    }
    out
}

/// A value on one line.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // JSON is YAML's flow form.
        other => other.to_string(),
    }
}

/// A text, quoted unless nothing could take it for anything else.
fn scalar(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-/. ".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && crate::yaml::trap(text).is_none()
        && !text.ends_with(' ');
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::diagnostic::SourceFile;

    const FILE: &str = r#"
cache_bytes: 64 MB
store: { partitions: 4 }
inputs:
  storefront: { format: xdm, settle: 90s, carries: order.placed }
http: { token: very-secret-token }
journeys: my journeys
shops:
  default: { name: "Shop: one", zone: Europe/Amsterdam, product_url: "https://shop.example/{sku}" }
  "no": { country: "NO" }
consent: [ { channel: email, country: "NO", mode: soft_opt_in } ]
limits: [ { at_most: 3, per: 7 days } ]
"#;

    const PRODUCTION: &str = r#"
kafka:
  brokers: kafka-1:9092
  properties: { security.protocol: SASL_SSL, sasl.mechanism: PLAIN, linger.ms: 20 }
  secrets: { sasl.password: very-secret }
  retention: 400 days
  dead_letters: shop.dead
postgres: { url: "postgres://db/waypost", password: very-secret }
inputs: { web: { topic: shop.web, format: xdm, blocking: false } }
"#;

    fn read(text: &str, variables: &[(&str, &str)]) -> (Config, String) {
        let file = SourceFile::new("waypost.yaml", text);
        let variables =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (config, origins, report) =
            Config::read_with_origins(Some(&file), Path::new(""), &variables);
        let config = config.unwrap_or_else(|| panic!("{}\n{text}", report.render(false)));
        let shown = yaml(&config.settings(&origins));
        (config, shown)
    }

    #[test]
    fn what_is_shown_says_where_it_comes_from_and_hides_secrets() {
        let check = |text: &str, variable: (&str, &str), lines: &[(&str, &str)]| {
            let (_, shown) = read(text, &[variable]);
            for (line, origin) in lines {
                let found = shown.lines().any(|shown| {
                    shown
                        .split_once(" # ")
                        .is_some_and(|(a, b)| a.trim_end() == *line && b == *origin)
                });
                assert!(found, "`{line}` from {origin} in\n{shown}");
            }
            assert!(!shown.contains("very-secret"), "{shown}");
        };
        check(
            FILE,
            ("WAYPOST_HTTP_LISTEN", "127.0.0.1:8080"),
            &[
                ("cache_bytes: 64000000", "waypost.yaml:2"),
                ("  listen: \"127.0.0.1:8080\"", "WAYPOST_HTTP_LISTEN"),
                ("  token: \"***\"", "waypost.yaml:6"),
                ("journeys: my journeys", "waypost.yaml:7"),
                ("  every: \"1s\"", "default"),
                ("    name: \"Shop: one\"", "waypost.yaml:9"),
                ("    zone: Europe/Amsterdam", "waypost.yaml:9"),
                (
                    "limits: [{\"at_most\":3,\"on_cap\":\"skip\",\"per\":\"7 days\"}]",
                    "waypost.yaml:12",
                ),
            ],
        );
        let variable = "WAYPOST_KAFKA_SECRETS_SSL_KEY_PASSWORD";
        check(
            PRODUCTION,
            (variable, "very-secret"),
            &[
                ("      protocol: SASL_SSL", "waypost.yaml:4"),
                ("      password: \"***\"", "waypost.yaml:5"),
                ("        password: \"***\"", variable),
                ("  retention: \"400 days\"", "waypost.yaml:6"),
            ],
        );
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same_configuration() {
        for text in
            [FILE, "{}\n", "inputs: { erp: { format: mapping, mapping: a b.yaml } }\n", PRODUCTION]
        {
            let (config, shown) = read(text, &[]);
            let again = shown
                .replace("token: \"***\"", "token: very-secret-token")
                .replace("password: \"***\"", "password: very-secret");
            assert_eq!(read(&again, &[]).0, config, "{shown}");
        }
    }

    #[test]
    fn every_key_is_shown() {
        let (config, _) = read(FILE, &[]);
        let shown: BTreeMap<String, Value> = config
            .settings(&config::Origins::new())
            .into_iter()
            .map(|setting| (setting.key, setting.value))
            .collect();
        for key in config::keys() {
            // Of shops, mappings and providers only what is known is shown.
            let only_known = ["shops.", "smtp.", "dkim.", "twilio.", "kafka.", "postgres."];
            if only_known.iter().any(|start| key.path.starts_with(start))
                || [".mapping", ".topic", ".blocking"].iter().any(|end| key.path.ends_with(end))
            {
                continue;
            }
            let path = key.path.replace("<name>", "storefront");
            assert!(shown.contains_key(&path), "{path} is not shown");
        }
    }
}
