//! Talk: what people read on stderr while stdout carries data.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::metrics::SPANS;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub(super) struct Logging {
    pub level: String,
    pub format: Format,
}

/// Whether everything that is said is one JSON object a line.
static JSON: AtomicBool = AtomicBool::new(false);

impl Logging {
    /// Sends logs to stderr, without colour where there is no terminal or `NO_COLOR` is set; and
    /// spans to a tracer, if there is one.
    pub(super) fn init(&self, tracer: Option<SdkTracer>) {
        let filter = match self.level.as_str() {
            level @ ("error" | "warn" | "info" | "debug" | "trace") => {
                EnvFilter::new(format!("warn,waypost={level}"))
            }
            // Also a filter for all modules asks for no spans: lines do not tell of them.
            filter => EnvFilter::new(format!("warn,waypost=info,{filter},{SPANS}=off")),
        };
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match self.format {
            Format::Text => lines.with_ansi(colours()).with_filter(filter).boxed(),
            Format::Json => lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter(filter)
                .boxed(),
        };
        // Without a tracer nobody asks for spans, and so none are made.
        let spans = tracer.map(|tracer| {
            let of_work = filter_fn(|metadata| metadata.target() == SPANS);
            tracing_opentelemetry::layer().with_tracer(tracer).with_filter(of_work)
        });
        JSON.store(self.format == Format::Json, Ordering::Relaxed);
        tracing_subscriber::registry().with(lines).with(spans).init();
    }
}

/// Whether stderr may be coloured.
pub(super) fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Says a line.
pub(super) fn say(line: &str) {
    if JSON.load(Ordering::Relaxed) {
        return match line.split_once(": ") {
            Some(("error", why)) => tracing::error!(target: "waypost", "{why}"),
            Some(("warning", what)) => tracing::warn!(target: "waypost", "{what}"),
            _ => tracing::info!(target: "waypost", "{line}"),
        };
    }
    // A stderr that is gone leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says why it could not be done, with all causes.
pub(super) fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !last.contains(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
        }
        last = cause;
    }
    say(&text);
}

/// A progress bar on a terminal, nothing elsewhere.
pub(super) fn bar(what: &str, length: Option<u64>) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(length, target);
    let template = match length {
        Some(_) => "{prefix} [{bar:32}] {human_pos} of {human_len}, {eta} left",
        None => "{prefix} {spinner} {human_pos}, {per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
