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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chatbus_testkit::test_runtime;

    use super::*;

    fn error(kind: StoreErrorKind) -> StoreError {
        StoreError::new(kind, "no")
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_until_the_store_is_in_reach_and_what_is_refused_is_told() {
        let runtime = test_runtime(1);
        let calls = Cell::new(0);
        let answer = until_available(&runtime, "test", || {
            calls.set(calls.get() + 1);
            let answer = match calls.get() {
                0..1_000 => Err(error(StoreErrorKind::Unavailable)),
                1_000 => Err(error(StoreErrorKind::Misconfigured)),
                n => Ok(n),
            };
            async { answer }
        });
        assert_eq!(answer.await.unwrap().unwrap(), 1_001);
        for kind in [StoreErrorKind::Refused, StoreErrorKind::Conflict] {
            let answer = until_available(&runtime, "test", || async { Err::<(), _>(error(kind)) }).await;
            assert_eq!(answer.unwrap().unwrap_err().kind(), kind);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_stop_ends_the_waiting_even_for_a_call_that_never_answers() {
        let runtime = test_runtime(1);
        let stop = async {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            runtime.stop.cancel();
        };
        let down =
            until_available(&runtime, "test", || async { Err::<(), _>(error(StoreErrorKind::Unavailable)) });
        let hung = until_available(&runtime, "test", std::future::pending::<Result<(), StoreError>>);
        let (down, hung, ()) = tokio::join!(down, hung, stop);
        assert!(down.is_none() && hung.is_none());
    }
}
