//! What `waypost.yaml` looks like. The comments are the descriptions in the JSON Schema and in the
//! reference.

use std::collections::BTreeMap;

use crate::journey::{ConsentMode, OnCap};
use crate::model::{Currency, Delay, EventName, MessageChannel, Zone};
use crate::yaml::{OneOrMany, Spanned, record};

use super::Secret;
use super::properties::{Plain, Properties};
use super::words::{
    Address, ByteSize, Country, EmailWord, EnvironmentWord, FilePath, FormatWord, KeptFor, Listen,
    Locale, SmsWord, TlsWord, Url,
};

/// The JSON Schema of the configuration, as formatted JSON.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<ConfigFile>();
    crate::yaml::schema_text(schema, "Waypost configuration")
}

record! {
    /// The configuration of a worker.
    pub(super) struct ConfigFile("the configuration") {
        /// The SQLite store; not used with `kafka` and `postgres`.
        store "store": optional Spanned<StoreSyntax>,
        /// The Kafka cluster of the log and of the inputs; needs `postgres`.
        kafka "kafka": optional Spanned<KafkaSyntax>,
        /// The database of the state; needs `kafka`.
        postgres "postgres": optional Spanned<PostgresSyntax>,
        /// Directory of journey files. Default: `journeys`.
        journeys "journeys": optional FilePath,
        /// Directory of templates. Default: `templates`.
        templates "templates": optional FilePath,
        /// The sources of events, by name.
        inputs "inputs": optional BTreeMap<String, Spanned<InputSyntax>>,
        /// The HTTP server.
        http "http": optional HttpSyntax,
        /// How time passes.
        ticks "ticks": optional TicksSyntax,
        /// When state is written.
        checkpoint "checkpoint": optional CheckpointSyntax,
        /// How long what is over is kept.
        keep "keep": optional KeepSyntax,
        /// How much of the working set is kept in memory. Default: 256 MB.
        cache_bytes "cache_bytes": optional Spanned<ByteSize>,
        /// Shops by website or store view code; `default` completes the others.
        shops "shops": optional BTreeMap<String, ShopSyntax>,
        /// What counts as consent; without a rule the customer must have said yes.
        consent "consent": optional Vec<Spanned<ConsentSyntax>>,
        /// Limits on marketing messages over all journeys.
        limits "limits": optional Vec<LimitSyntax>,
        /// `production` or `test`. Default: `test`, in which a provider is given only messages to
        /// `deliver.only_to`.
        environment "environment": optional EnvironmentWord,
        /// How messages leave.
        deliver "deliver": optional Spanned<DeliverSyntax>,
        /// The SMTP server, where `deliver.email` is `smtp`.
        smtp "smtp": optional Spanned<SmtpSyntax>,
        /// The signature of mails.
        dkim "dkim": optional DkimSyntax,
        /// The SMS provider, where `deliver.sms` is `twilio`.
        twilio "twilio": optional Spanned<TwilioSyntax>,
        /// Traces of the worker's work.
        telemetry "telemetry": optional TelemetrySyntax,
    }
}

record! {
    /// Traces of the worker's work.
    pub(super) struct TelemetrySyntax("`telemetry`") {
        /// The OpenTelemetry collector that traces go to, as in `http://127.0.0.1:4318` (OTLP over
        /// HTTP). Default: what `OTEL_EXPORTER_OTLP_ENDPOINT` says, else no traces.
        otlp "otlp": optional Url,
    }
}

record! {
    /// How messages leave.
    pub(super) struct DeliverSyntax("`deliver`") {
        /// `caught`: mails become files and nothing leaves the machine. `smtp`: they are sent.
        /// Default: `caught`.
        email "email": optional EmailWord,
        /// `caught`: messages become files and nothing leaves the machine. `twilio`: they are sent.
        /// Default: `caught`.
        sms "sms": optional SmsWord,
        /// Folder of caught messages. Default: `data/caught`.
        caught "caught": optional FilePath,
        /// The only addresses that messages go to outside production: `ann@shop.example`, a phone
        /// number as in +31612345678, or a whole domain as in `@shop.example`.
        only_to "only_to": optional OneOrMany<Spanned<String>>,
        /// Where all other messages go outside production: one mail address, one phone number.
        redirect_to "redirect_to": optional OneOrMany<Spanned<String>>,
        /// How many messages are handed over at one time, 1 to 256. Default: 8.
        at_once "at_once": optional Spanned<u32>,
    }
}

record! {
    /// The SMTP server.
    pub(super) struct SmtpSyntax("`smtp`") {
        /// Its name or address.
        host "host": required String,
        /// Its port. Default: 465 with `tls: implicit`, else 587.
        port "port": optional u16,
        /// `implicit`, `starttls`, or `none`, which is for this machine only. Default: `implicit`.
        tls "tls": optional Spanned<TlsWord>,
        /// File with certificates (PEM) that are trusted beside the well-known ones.
        ca_file "ca_file": optional FilePath,
        /// User to sign in with.
        user "user": optional Spanned<String>,
        /// Their password.
        password "password": optional Secret,
    }
}

record! {
    /// The signature of mails.
    pub(super) struct DkimSyntax("`dkim`") {
        /// The signing domain, as in `shop.example`.
        domain "domain": required String,
        /// The selector under which the key is published.
        selector "selector": required String,
        /// File with the private key (PEM).
        key_file "key_file": required FilePath,
    }
}

record! {
    /// The SMS provider.
    pub(super) struct TwilioSyntax("`twilio`") {
        /// The account's SID.
        account "account": required String,
        /// The account's token.
        token "token": required Secret,
        /// The number that sends, as in +31612345678.
        from "from": optional String,
        /// The messaging service that sends, instead of `from`.
        messaging_service "messaging_service": optional String,
        /// Another address of the same shape. Default: `https://api.twilio.com`.
        url "url": optional Url,
    }
}

record! {
    /// The SQLite store.
    pub(super) struct StoreSyntax("`store`") {
        /// File of states, messages and traces. Default: `data/state.db`.
        state "state": optional FilePath,
        /// File of the log. Default: `data/log.db`.
        log "log": optional FilePath,
        /// Partitions of the log, 1 to 256; fixed once the log exists. Default: 1.
        partitions "partitions": optional Spanned<u32>,
    }
}

record! {
    /// A Kafka cluster.
    pub(super) struct KafkaSyntax("`kafka`") {
        /// Servers to begin with, as in `kafka-1:9092`; several in a list, or with commas.
        brokers "brokers": required Spanned<OneOrMany<Spanned<String>>>,
        /// What the names of Waypost's topics (`NAME.log`, `NAME.feedback`), groups and
        /// transactions begin with. Default: `waypost`.
        name "name": optional Spanned<String>,
        /// Partitions of the log, 1 to 1024; fixed once the log exists. Default: 64.
        partitions "partitions": optional Spanned<u32>,
        /// Replicas of the topics that Waypost makes. Default: as the cluster has it.
        replication "replication": optional Spanned<u16>,
        /// How long the log keeps records, if Waypost makes it. Default: without end.
        retention "retention": optional Spanned<Delay>,
        /// The topic to which dead letters are written, too. Default: none.
        dead_letters "dead_letters": optional Spanned<String>,
        /// A property of librdkafka, such as `security.protocol`; in a variable's name `_` stands
        /// for the dots.
        properties "properties": optional Properties<Plain>,
        /// A property whose value is not shown, such as `sasl.password`.
        secrets "secrets": optional Properties<Secret>,
        /// File whose first line is the value of a property, such as `sasl.password`.
        secret_files "secret_files": optional Properties<FilePath>,
    }
}

record! {
    /// A Postgres database.
    pub(super) struct PostgresSyntax("`postgres`") {
        /// Its address, as in `postgres://waypost@db.example/waypost`.
        url "url": required Spanned<Secret>,
        /// The password of its user.
        password "password": optional Secret,
        /// File whose first line is the password.
        password_file "password_file": optional FilePath,
        /// The most connections of one process, 2 to 1000. Default: 10.
        connections "connections": optional Spanned<u32>,
    }
}

record! {
    /// A source of events.
    pub(super) struct InputSyntax("an input") {
        /// How its records are read: `xdm`, `cloudevents` or `mapping`.
        format "format": required Spanned<FormatWord>,
        /// The Kafka topic of its records; needed with `kafka`.
        topic "topic": optional Spanned<String>,
        /// Whether time waits for its records; without it they may come late. Default: true.
        blocking "blocking": optional Spanned<bool>,
        /// The mapping file, where `format` is `mapping`.
        mapping "mapping": optional Spanned<FilePath>,
        /// How long after it happened an event may come. Default: 0s.
        settle "settle": optional Delay,
        /// Which events it carries. Default: any.
        carries "carries": optional OneOrMany<EventName>,
    }
}

record! {
    /// The HTTP server.
    pub(super) struct HttpSyntax("`http`") {
        /// Address and port. Default: `127.0.0.1:7070`.
        listen "listen": optional Spanned<Listen>,
        /// Address and port of the pages that customers see: unsubscribing. Default:
        /// `127.0.0.1:7071`.
        public "public": optional Spanned<Listen>,
        /// What a caller must show as a bearer token, at least 16 characters; needed unless `listen`
        /// is a loopback address.
        token "token": optional Spanned<Secret>,
        /// The largest request body. Default: 16 MB.
        body_limit "body_limit": optional Spanned<ByteSize>,
    }
}

record! {
    /// How time passes.
    pub(super) struct TicksSyntax("`ticks`") {
        /// How often a tick is written. Default: 1s.
        every "every": optional Spanned<Delay>,
        /// How far a tick stays behind the inputs, so that events come in order. Default: 10s.
        grace "grace": optional Spanned<Delay>,
    }
}

record! {
    /// When state is written.
    pub(super) struct CheckpointSyntax("`checkpoint`") {
        /// The most records that are read and committed together. Default: 20000.
        records "records": optional Spanned<u32>,
    }
}

record! {
    /// How long what is over is kept, or `forever`.
    pub(super) struct KeepSyntax("`keep`") {
        /// Messages, from when they were due, once they have ended; at least 7 days. Default: 400
        /// days.
        messages "messages": optional Spanned<KeptFor>,
        /// What happened in runs, for `why` and reports; at least 1 day. Default: 400 days.
        trace "trace": optional Spanned<KeptFor>,
        /// What could not become an event; at least 1 day. Default: 30 days.
        dead_letters "dead_letters": optional Spanned<KeptFor>,
    }
}

record! {
    /// One shop: a website or store view.
    pub(super) struct ShopSyntax("a shop") {
        /// Its name, as customers know it.
        name "name": optional String,
        /// Sender of its mails: `shop@shop.example` or `Shop <shop@shop.example>`.
        sender "sender": optional Address,
        /// Postal address that its marketing mails carry.
        postal_address "postal_address": optional String,
        /// Its currency, for amounts that name none.
        currency "currency": optional Currency,
        /// Its zone, for customers whose zone is not known.
        zone "zone": optional Zone,
        /// Its language, such as `nl-BE`.
        locale "locale": optional Locale,
        /// Its country, two letters, for customers whose country is not known.
        country "country": optional Country,
        /// Address under which Waypost's pages are reachable.
        public_url "public_url": optional Url,
        /// Address of a product page, with `{sku}` in it.
        product_url "product_url": optional Spanned<Url>,
        /// Address of the cart; `{cart_id}` in it is replaced.
        cart_url "cart_url": optional Url,
    }
}

record! {
    /// What counts as consent.
    pub(super) struct ConsentSyntax("a consent rule") {
        /// By which channel: `email` or `sms`.
        channel "channel": required MessageChannel,
        /// In which country, two letters; without it in all others.
        country "country": optional Country,
        /// `opt_in`: the customer said yes. `soft_opt_in`: or has ordered and not said no.
        /// `double_opt_in`: said yes and confirmed it.
        mode "mode": required ConsentMode,
    }
}

record! {
    /// At most so many marketing messages in a sliding window.
    pub(super) struct LimitSyntax("a limit") {
        /// For one channel; without it for all together.
        channel "channel": optional MessageChannel,
        /// For one topic; without it for all together.
        topic "topic": optional String,
        /// How many: 1 to 256.
        at_most "at_most": required Spanned<u32>,
        /// In what time, at most 92 days.
        per "per": required Spanned<Delay>,
        /// What happens to a message without room: `skip` (the default) or `wait`.
        on_cap "on_cap": optional OnCap,
    }
}
