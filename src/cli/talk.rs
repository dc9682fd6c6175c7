//! Talk: what people read on stderr while stdout carries data.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Sends logs to stderr, without colour where there is no terminal or `NO_COLOR` is set.
pub(super) fn init(level: &str) {
    let filter = match level {
        "error" | "warn" | "info" | "debug" | "trace" => {
            EnvFilter::new(format!("warn,waypost={level}"))
        }
        filter => EnvFilter::new(filter),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours())
        .init();
}

/// Whether stderr may be coloured.
pub(super) fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Says a line.
pub(super) fn say(line: &str) {
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
