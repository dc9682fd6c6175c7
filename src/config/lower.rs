//! From what is written to the checked configuration with its defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Report, SourceFile};
use crate::engine::{SENT_MARK_MS, SENT_MAX};
use crate::journey::{Cap, ConsentRule, Shop};
use crate::model::{DAY_MS, Delay, MINUTE_MS, SECOND_MS, Text};
use crate::yaml::{self, Kind, Node, OneOrMany, Read, Reader, Spanned};

use super::deliver;
use super::env;
use super::production;
use super::settings::origins;
use super::syntax::{
    CheckpointSyntax, ConfigFile, ConsentSyntax, HttpSyntax, InputSyntax, KeepSyntax, LimitSyntax,
    ShopSyntax, StoreSyntax, TicksSyntax,
};
use super::words::{FilePath, FormatWord, KeptFor};
use super::{Checkpoint, Config, Http, Input, InputFormat, Keep, Origins, Store, Ticks};

/// The most partitions of a log.
pub const PARTITIONS_MAX: u32 = 256;

/// The shortest token of the HTTP server, in characters.
pub const HTTP_TOKEN_CHARS_MIN: usize = 16;

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7070);
const PUBLIC_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7071);
const BODY_LIMIT_DEFAULT: u64 = 16_000_000;
const CACHE_BYTES_DEFAULT: u64 = 256_000_000;
const TICK_EVERY_MS_DEFAULT: i64 = SECOND_MS;
const GRACE_MS_DEFAULT: i64 = 10 * SECOND_MS;
const CHECKPOINT_RECORDS_DEFAULT: u32 = 20_000;
/// Messages and trace together, so that reports count the same time of both: over a year, to compare
/// with the last one.
const KEEP_DAYS_DEFAULT: i32 = 400;
const KEEP_LETTERS_DAYS_DEFAULT: i32 = 30;
/// Bounces and complaints name the message: until they have come its address is needed.
const KEEP_MESSAGES_DAYS_MIN: i32 = 7;

/// The longest time between two ticks.
const TICK_EVERY_MS_MAX: i64 = 10 * MINUTE_MS;

impl Config {
    /// Reads a configuration file, or none, with environment variables laid over it.
    ///
    /// Relative paths are taken from `base`, the directory of the file. The configuration is
    /// `None` if the report has errors.
    #[must_use]
    pub fn read(
        file: Option<&SourceFile>,
        base: &Path,
        environment: &BTreeMap<String, String>,
    ) -> (Option<Self>, Report) {
        let (config, _, report) = Self::read_with_origins(file, base, environment);
        (config, report)
    }

    /// As [`Self::read`], and says where each key comes from that somebody set.
    #[must_use]
    pub fn read_with_origins(
        file: Option<&SourceFile>,
        base: &Path,
        environment: &BTreeMap<String, String>,
    ) -> (Option<Self>, Origins, Report) {
        let mut report = Report::default();
        let file = Arc::new(file.cloned().unwrap_or_else(|| SourceFile::new("waypost.yaml", "")));
        let Some(root) = tree(&file, &mut report) else {
            return (None, Origins::new(), report);
        };
        let overlaid = env::overlay(&file, root, environment, &mut report);
        let mut found = Report::default();
        let mut reader = Reader { file: &overlaid.file, report: &mut found };
        let config = ConfigFile::read(&overlaid.root, &mut reader)
            .map(|syntax| Lower { file: &overlaid.file, base, report: &mut found }.config(syntax));
        overlaid.restore(&found, &mut report);
        report.sort();
        (config.filter(|_| !report.has_errors()), origins(&overlaid), report)
    }
}

/// The file's tree; a file of comments alone configures nothing.
fn tree(file: &Arc<SourceFile>, report: &mut Report) -> Option<Node> {
    let blank = |line: &str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    if file.text.lines().all(blank) {
        return Some(Node { span: 0..0, kind: Kind::Map(Vec::new()) });
    }
    yaml::parse(file, report)
}

pub(super) struct Lower<'a> {
    pub(super) file: &'a Arc<SourceFile>,
    pub(super) base: &'a Path,
    pub(super) report: &'a mut Report,
}

impl Lower<'_> {
    fn config(&mut self, mut syntax: ConfigFile) -> Config {
        let written = deliver::Written::take(&mut syntax);
        let production = production::Written::take(&mut syntax);
        let (default_shop, shops) = self.shops(syntax.shops.unwrap_or_default());
        let others = shops.iter().map(|(code, shop)| (code.as_str(), shop));
        let all: Vec<_> = std::iter::once(("default", &default_shop)).chain(others).collect();
        let deliver = self.deliver(written, &all);
        Config {
            store: self.store(syntax.store.map(|store| store.value)),
            production: self.production(production),
            journeys: self.path(syntax.journeys, "journeys"),
            templates: self.path(syntax.templates, "templates"),
            inputs: syntax
                .inputs
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(name, input)| Some((Text::from(name), self.input(input)?)))
                .collect(),
            http: self.http(syntax.http),
            ticks: self.ticks(syntax.ticks),
            checkpoint: self.checkpoint(syntax.checkpoint),
            keep: self.keep(syntax.keep),
            cache_bytes: syntax.cache_bytes.map_or(CACHE_BYTES_DEFAULT, |size| size.value.0),
            default_shop,
            shops,
            consent: self.consent(syntax.consent.unwrap_or_default()),
            limits: self.limits(syntax.limits.unwrap_or_default()),
            deliver,
            otlp: syntax.telemetry.and_then(|telemetry| Some(telemetry.otlp?.0)),
        }
    }

    pub(super) fn fail(
        &mut self,
        code: Code,
        span: &std::ops::Range<usize>,
        message: impl Into<String>,
        help: &str,
    ) {
        self.report.push(Diagnostic::error(code, self.file, span.clone(), message).help(help));
    }

    pub(super) fn path(&self, path: Option<FilePath>, default: &str) -> PathBuf {
        self.base.join(path.map_or_else(|| PathBuf::from(default), |path| path.0))
    }

    fn store(&mut self, store: Option<StoreSyntax>) -> Store {
        let (state, log, partitions) = match store {
            Some(store) => (store.state, store.log, store.partitions),
            None => (None, None, None),
        };
        let partitions = partitions.map_or(1, |partitions| {
            if !(1..=PARTITIONS_MAX).contains(&partitions.value) {
                let message = format!("a log has 1 to {PARTITIONS_MAX} partitions");
                self.fail(
                    Code::BadValue,
                    &partitions.span,
                    message,
                    "one is enough for one process",
                );
            }
            partitions.value
        });
        Store {
            state: self.path(state, "data/state.db"),
            log: self.path(log, "data/log.db"),
            partitions,
        }
    }

    fn input(&mut self, input: Spanned<InputSyntax>) -> Option<Input> {
        let Spanned { value: input, span } = input;
        let (topic, blocking) = production::topic(&input);
        let format = match (input.format.value, input.mapping) {
            (FormatWord::Xdm, None) => InputFormat::Xdm,
            (FormatWord::CloudEvents, None) => InputFormat::CloudEvents,
            (FormatWord::Mapping, Some(path)) => InputFormat::Mapping(self.base.join(path.value.0)),
            (FormatWord::Mapping, None) => {
                let help = "add `mapping: mappings/shop-csv.yaml`";
                self.fail(Code::MissingField, &span, "`format: mapping` needs `mapping`", help);
                return None;
            }
            (FormatWord::Xdm | FormatWord::CloudEvents, Some(path)) => {
                let message = "`mapping` has a meaning only with `format: mapping`";
                self.fail(Code::Conflict, &path.span, message, "leave it out, or change `format`");
                return None;
            }
        };
        let carries = input.carries.map(OneOrMany::into_vec);
        let carries = carries.map(|events| events.into_iter().collect::<BTreeSet<_>>());
        let settle = input.settle.unwrap_or_default();
        Some(Input { format, topic, blocking, settle, carries })
    }

    fn http(&mut self, http: Option<HttpSyntax>) -> Http {
        let Some(http) = http else {
            return Http {
                listen: LISTEN_DEFAULT,
                public: PUBLIC_DEFAULT,
                token: None,
                body_limit: BODY_LIMIT_DEFAULT,
            };
        };
        if let (Some(listen), None) = (&http.listen, &http.token)
            && !listen.value.0.ip().is_loopback()
        {
            let message = "a server that others can reach needs `http.token`";
            let help = "set WAYPOST_HTTP_TOKEN, or listen on 127.0.0.1";
            self.fail(Code::MissingField, &listen.span, message, help);
        }
        if let Some(token) = &http.token
            && token.value.expose().chars().count() < HTTP_TOKEN_CHARS_MIN
        {
            let message = format!("`http.token` has fewer than {HTTP_TOKEN_CHARS_MIN} characters");
            self.fail(Code::BadValue, &token.span, message, "make one with `openssl rand -hex 32`");
        }
        if let Some(limit) = &http.body_limit
            && limit.value.0 == 0
        {
            let message = "a request without a body carries no events";
            self.fail(Code::BadValue, &limit.span, message, "write a size such as 16 MB");
        }
        Http {
            listen: http.listen.map_or(LISTEN_DEFAULT, |listen| listen.value.0),
            public: http.public.map_or(PUBLIC_DEFAULT, |listen| listen.value.0),
            token: http.token.map(|token| token.value),
            body_limit: http.body_limit.map_or(BODY_LIMIT_DEFAULT, |limit| limit.value.0),
        }
    }

    fn ticks(&mut self, ticks: Option<TicksSyntax>) -> Ticks {
        let (every, grace) = ticks.map_or((None, None), |ticks| (ticks.every, ticks.grace));
        Ticks {
            every_ms: self.length(every, TICK_EVERY_MS_DEFAULT, TICK_EVERY_MS_MAX),
            grace_ms: self.length(grace, GRACE_MS_DEFAULT, i64::MAX),
        }
    }

    fn checkpoint(&mut self, checkpoint: Option<CheckpointSyntax>) -> Checkpoint {
        let records = checkpoint.and_then(|checkpoint| checkpoint.records);
        if let Some(records) = &records
            && records.value == 0
        {
            let message = "a checkpoint holds at least one record";
            self.fail(Code::BadValue, &records.span, message, "leave it out for 20000");
        }
        Checkpoint { records: records.map_or(CHECKPOINT_RECORDS_DEFAULT, |records| records.value) }
    }

    fn keep(&mut self, keep: Option<KeepSyntax>) -> Keep {
        let keep = keep.map(|keep| (keep.messages, keep.trace, keep.dead_letters));
        let (messages, trace, letters) = keep.unwrap_or_default();
        Keep {
            messages: self.kept(messages, KEEP_DAYS_DEFAULT, KEEP_MESSAGES_DAYS_MIN),
            trace: self.kept(trace, KEEP_DAYS_DEFAULT, 1),
            dead_letters: self.kept(letters, KEEP_LETTERS_DAYS_DEFAULT, 1),
        }
    }

    fn kept(
        &mut self,
        written: Option<Spanned<KeptFor>>,
        default_days: i32,
        min_days: i32,
    ) -> Option<Delay> {
        let Some(Spanned { value: KeptFor(kept), span }) = written else {
            return Some(Delay::days(default_days));
        };
        let min = Delay::days(min_days);
        if kept.is_some_and(|kept| kept.nominal_ms() < min.nominal_ms()) {
            let help = format!("write at least {min}, or `forever`");
            self.fail(Code::BadDuration, &span, "this would be gone too soon", &help);
        }
        kept
    }

    /// An exact length of time of at least a millisecond.
    fn length(&mut self, delay: Option<Spanned<Delay>>, default_ms: i64, max_ms: i64) -> i64 {
        let Some(delay) = delay else { return default_ms };
        let ms = delay.value.nominal_ms();
        if !(1..=max_ms).contains(&ms) {
            let max = Delay::exact(max_ms);
            let help = if max_ms == i64::MAX {
                "write at least 1ms".to_owned()
            } else {
                format!("write 1ms to {max}")
            };
            self.fail(Code::BadDuration, &delay.span, "this duration is out of range", &help);
        }
        ms
    }

    fn shops(&mut self, written: BTreeMap<String, ShopSyntax>) -> (Shop, BTreeMap<Text, Shop>) {
        for url in written.values().filter_map(|shop| shop.product_url.as_ref()) {
            if !url.value.0.contains("{sku}") {
                let message = "every product would have this one address";
                let help = "write `{sku}` where the product's number belongs";
                self.fail(Code::BadValue, &url.span, message, help);
            }
        }
        completed(written)
    }

    fn consent(&mut self, rules: Vec<Spanned<ConsentSyntax>>) -> Vec<ConsentRule> {
        let mut kept: Vec<ConsentRule> = Vec::new();
        for Spanned { value: rule, span } in rules {
            let country = rule.country.map(|country| country.0);
            if kept.iter().any(|other| (other.channel, &other.country) == (rule.channel, &country))
            {
                let message = "a rule for this channel and country stands above";
                self.fail(Code::Conflict, &span, message, "keep one of them");
                continue;
            }
            kept.push(ConsentRule { channel: rule.channel, country, mode: rule.mode });
        }
        // The most specific first.
        kept.sort_by_key(|rule| rule.country.is_none());
        kept
    }

    fn limits(&mut self, limits: Vec<LimitSyntax>) -> Vec<Cap> {
        limits
            .into_iter()
            .map(|limit| {
                if limit.at_most.value == 0 {
                    let message = "a limit of nothing would send nothing";
                    self.fail(Code::BadValue, &limit.at_most.span, message, "write at least 1");
                } else if limit.at_most.value as usize > SENT_MAX {
                    let message =
                        format!("only the last {SENT_MAX} messages of a customer are counted");
                    let help = format!("write 1 to {SENT_MAX}");
                    self.fail(Code::BadValue, &limit.at_most.span, message, &help);
                }
                if limit.per.value.nominal_ms() == 0 {
                    let message = "a duration longer than nothing belongs here";
                    self.fail(Code::BadDuration, &limit.per.span, message, "write as in 7 days");
                } else if limit.per.value.nominal_ms() > SENT_MARK_MS {
                    let days = SENT_MARK_MS / DAY_MS;
                    let message = format!("messages are counted for {days} days");
                    let help = format!("write at most {days} days");
                    self.fail(Code::BadDuration, &limit.per.span, message, &help);
                }
                Cap {
                    channel: limit.channel,
                    topic: limit.topic.map(Text::from),
                    at_most: limit.at_most.value,
                    per: limit.per.value,
                    on_cap: limit.on_cap.unwrap_or_default(),
                }
            })
            .collect()
    }
}

/// The default shop, and the others completed from it.
fn completed(mut written: BTreeMap<String, ShopSyntax>) -> (Shop, BTreeMap<Text, Shop>) {
    let default = written.remove("default").map(shop).unwrap_or_default();
    let complete = |(code, written): (String, ShopSyntax)| {
        let own = shop(written);
        let whole = Shop {
            name: own.name.or_else(|| default.name.clone()),
            sender: own.sender.or_else(|| default.sender.clone()),
            postal_address: own.postal_address.or_else(|| default.postal_address.clone()),
            currency: own.currency.or(default.currency),
            zone: own.zone.or_else(|| default.zone.clone()),
            locale: own.locale.or_else(|| default.locale.clone()),
            country: own.country.or_else(|| default.country.clone()),
            public_url: own.public_url.or_else(|| default.public_url.clone()),
            product_url: own.product_url.or_else(|| default.product_url.clone()),
            cart_url: own.cart_url.or_else(|| default.cart_url.clone()),
        };
        (Text::from(code), whole)
    };
    let shops = written.into_iter().map(complete).collect();
    (default, shops)
}

fn shop(written: ShopSyntax) -> Shop {
    Shop {
        name: written.name.map(Text::from),
        sender: written.sender.map(|sender| sender.0),
        postal_address: written.postal_address.map(Text::from),
        currency: written.currency,
        zone: written.zone,
        locale: written.locale.map(|locale| locale.0),
        country: written.country.map(|country| country.0),
        public_url: written.public_url.map(|url| url.0),
        product_url: written.product_url.map(|url| url.value.0),
        cart_url: written.cart_url.map(|url| url.0),
    }
}
