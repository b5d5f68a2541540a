//! What is to happen to a connection later: verdicts that a test slowed down, closes that follow a
//! RECONNECT or a failed login. Bounded: when full, it happens at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chatbus_event::Clock;
use tokio::sync::Notify;

const MAX_DELAYED: usize = 10_000;

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// These lines are told.
    Tell(String),
    /// What is queued is written and the connection closed.
    Close,
    /// Closed, unless the client has logged in by then.
    CloseUnlessLoggedIn,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    order: u64,
    connection: u64,
    action: Action,
}

/// Actions by time.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    heap: Mutex<(u64, BinaryHeap<Reverse<Due>>)>,
    earlier: Notify,
}

// === impl Delayed ===

impl Delayed {
    /// Plans an action; gives it back when there is no room.
    pub(super) fn plan(&self, at: Instant, connection: u64, action: Action) -> Result<(), Action> {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        if heap.1.len() >= MAX_DELAYED {
            return Err(action);
        }
        heap.0 += 1;
        let order = heap.0;
        heap.1.push(Reverse(Due { at, order, connection, action }));
        drop(heap);
        self.earlier.notify_one();
        Ok(())
    }

    /// The next action, when its time has come. For one task only.
    pub(super) async fn next(&self, clock: &dyn Clock) -> (u64, Action) {
        loop {
            let wait = {
                let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
                let now = clock.instant();
                match heap.1.peek() {
                    Some(Reverse(due)) if due.at <= now => match heap.1.pop() {
                        Some(Reverse(due)) => return (due.connection, due.action),
                        None => None,
                    },
                    Some(Reverse(due)) => Some(due.at.saturating_duration_since(now)),
                    None => None,
                }
            };
            match wait {
                Some(wait) => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    pub(super) fn clear(&self) {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}
