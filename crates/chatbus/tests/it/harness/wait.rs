//! Waiting for conditions, with a deadline and a word on what was waited for.

use std::time::{Duration, Instant};

use chatbus_event::Clock as _;
use chatbus_runtime::SystemClock;

/// For what takes milliseconds on an idle machine.
pub(crate) const SHORT: Duration = Duration::from_secs(20);
/// For what involves an outage or many messages.
pub(crate) const LONG: Duration = Duration::from_secs(90);

const POLL: Duration = Duration::from_millis(25);

pub(crate) fn now() -> Instant {
    SystemClock.instant()
}

/// Asks again and again until there is an answer. What `probe` says when there is none yet is shown
/// when the time is over.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = now() + within;
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(why) if now() >= deadline => panic!("{what}: not within {within:?}; last: {why}"),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
