//! The metrics by name: what each says, and what tells its series apart.

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;

/// A metric as it is exposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name, with its unit and ending.
    pub name: String,
    /// What it is: `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The labels of its series.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Registers metrics, and remembers how.
pub(super) struct Names {
    pub(super) registry: Registry,
    pub(super) all: Vec<Described>,
}

const PREFIX: &str = "waypost";
const SECONDS: Option<Unit> = Some(Unit::Seconds);

impl Names {
    fn add(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        labels: &'static [&'static str],
        help: &'static str,
        metric: impl EncodeMetric + Send + Sync + std::fmt::Debug + 'static,
    ) {
        let (kind, end) = match metric.metric_type() {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            _ => ("gauge", ""),
        };
        let measured = unit.as_ref().map_or(String::new(), |unit| format!("_{}", unit.as_str()));
        let full = format!("{PREFIX}_{name}{measured}{end}");
        self.all.push(Described { name: full, kind, labels, help });
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, metric),
            None => self.registry.register(name, help, metric),
        }
    }

    /// All metrics.
    pub(super) fn of(metrics: &Metrics) -> Self {
        let mut names = Self { registry: Registry::with_prefix(PREFIX), all: Vec::new() };
        names.ingest(metrics);
        names.lanes(metrics);
        names.messages(metrics);
        names
    }

    fn ingest(&mut self, metrics: &Metrics) {
        let help = "Records that were taken in from a source";
        self.add("records_taken_in", None, &["source"], help, metrics.taken_in.clone());
        let help = "Records of a source that became dead letters";
        self.add("dead_letters", None, &["source"], help, metrics.dead_letters.clone());
        let labels = &["source", "partition"];
        let help = "Records of an input that were not taken in yet";
        self.add("ingest_lag_records", None, labels, help, metrics.ingest_lag_records.clone());
        let help = "Age of the oldest record of an input that was not taken in yet; 0 without one";
        self.add("ingest_lag", SECONDS, labels, help, metrics.ingest_lag_seconds.clone());
        let help =
            "How far a source that time waits for holds the watermark back; 0 if it does not";
        self.add("watermark_held_back", SECONDS, &["source"], help, metrics.held_back.clone());
        let help = "Transactions of ingest that were given up; their records are read again";
        self.add("transactions_aborted", None, &[], help, metrics.aborted.clone());
        let help = "Records in the outbox that the log does not have yet";
        self.add("outbox_rows", None, &[], help, metrics.outbox.clone());
    }

    fn lanes(&mut self, metrics: &Metrics) {
        let help = "How far the watermark of a lane is behind the clock";
        self.add("watermark_age", SECONDS, &["partition"], help, metrics.watermark_age.clone());
        let help = "Lanes that this worker runs";
        self.add("lanes_held", None, &[], help, metrics.lanes_held.clone());
        let help = "Records that lanes applied";
        self.add("records_applied", None, &[], help, metrics.applied.clone());
        let help = "Records that came after the watermark had passed their time";
        self.add("records_late", None, &[], help, metrics.late.clone());
        let help = "States in memory";
        self.add("states_resident", None, &[], help, metrics.states.clone());
        let help = "What the states in memory take, as they are encoded";
        self.add("cache", Some(Unit::Bytes), &[], help, metrics.cache_bytes.clone());
        let help = "How long committing a checkpoint took";
        self.add("checkpoint_duration", SECONDS, &[], help, metrics.checkpoint_seconds.clone());
        let help = "States that a checkpoint wrote";
        self.add("checkpoint_states", None, &[], help, metrics.checkpoint_states.clone());
        let help = "Messages that a checkpoint decided or changed";
        self.add("checkpoint_messages", None, &[], help, metrics.checkpoint_messages.clone());
        let help = "Checkpoints that are being committed";
        self.add("checkpoints_under_way", None, &[], help, metrics.checkpoints_under_way.clone());
        let help = "Failures of Postgres that pass, after which the same is tried again";
        self.add("postgres_retries", None, &[], help, metrics.postgres_retries.clone());
        let help = "Rows of a table that were removed because they were kept long enough";
        self.add("rows_removed", None, &["table"], help, metrics.removed.clone());
    }

    fn messages(&mut self, metrics: &Metrics) {
        let help = "Messages that were decided, withheld or cancelled; with the reason";
        let labels = &["journey", "status", "reason"];
        self.add("messages_decided", None, labels, help, metrics.decided.clone());
        let help = "Messages that had started when a stop became known that had happened before";
        self.add("reminders_overtaken", None, &["journey"], help, metrics.overtaken.clone());
        let help = "Messages that ended here, by the status of their end";
        self.add("deliveries", None, &["channel", "status"], help, metrics.deliveries.clone());
        let help = "Tries to hand a message over that failed for now";
        self.add("delivery_tries_again", None, &["channel"], help, metrics.tries_again.clone());
        let help = "Messages that this worker is handing over";
        self.add("messages_being_handed_over", None, &[], help, metrics.handovers.clone());
        let help = "Messages that wait for their time or another try, in the store";
        self.add("messages_waiting", None, &[], help, metrics.waiting.clone());
        let help = "Messages of which nobody knows whether they were sent, in the store";
        self.add("messages_in_doubt", None, &[], help, metrics.in_doubt.clone());
        let help = "How long the oldest message that was not sent could have gone; 0 without one";
        self.add("message_due_age", SECONDS, &[], help, metrics.due_age.clone());
    }
}
