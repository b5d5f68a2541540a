//! Asking a store until it answers.

use std::future::Future;
use std::time::Duration;

use chatbus_runtime::{Backoff, Runtime};

use crate::{StoreError, StoreErrorKind};

/// Waits between attempts.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Makes a call until the store is in reach, for as long as that takes; `None` when the stop came first. For
/// services, whose messages wait on the bus meanwhile: an outage of the store, of a minute or of a day, is no
/// failure of a message. A store that can never work as it is configured is waited for as well, since only
/// people can mend it.
///
/// # Errors
/// What trying again cannot help: [`Refused`](StoreErrorKind::Refused) and
/// [`Conflict`](StoreErrorKind::Conflict).
pub async fn until_available<T, F>(
    runtime: &Runtime,
    component: &'static str,
    mut call: impl FnMut() -> F,
) -> Option<Result<T, StoreError>>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let answer = tokio::select! {
            biased;
            answer = call() => answer,
            () = runtime.stop.cancelled() => return None,
        };
        match answer {
            Err(error)
                if matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Misconfigured) =>
            {
                // Said at the first time and then every ten seconds or so.
                tracing::warn!(event = "store.unavailable", component, reason = %error, attempts = backoff.attempts());
            }
            answer => {
                if backoff.attempts() > 0 {
                    tracing::info!(event = "store.available", component, attempts = backoff.attempts());
                }
                return Some(answer);
            }
        }
        tokio::select! {
            () = runtime.stop.cancelled() => return None,
            () = tokio::time::sleep(backoff.next(&*runtime.entropy)) => {}
        }
    }
}
