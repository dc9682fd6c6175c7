//! The end of a worker: what is waited for is named, and not waited for without end.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a worker that stops may take. Kubernetes, which asks it to, kills it after 30 seconds.
pub const STOP_MAX: Duration = Duration::from_secs(25);

/// When what is waited for is first said, and how often after that.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Awaits the end of a worker that was told to stop, and says what it waits for: what it came to, or `None` if it took longer
/// than [`STOP_MAX`].
pub async fn within_time<T>(
    waits_for: impl Fn() -> String,
    end: impl Future<Output = T>,
) -> Option<T> {
    let begun = Instant::now();
    let mut say = begun + SAY_EVERY;
    tokio::pin!(end);
    loop {
        let until = say.min(begun + STOP_MAX);
        tokio::select! {
            biased;
            ended = &mut end => return Some(ended),
            () = sleep_until(until) => {}
        }
        let waits_for = waits_for();
        if begun.elapsed() >= STOP_MAX {
            let after = STOP_MAX.as_secs();
            tracing::warn!("stopping: not finished after {after} s, waited for {waits_for}");
            return None;
        }
        tracing::info!("stopping: waiting for {waits_for}");
        say += SAY_EVERY;
    }
}
