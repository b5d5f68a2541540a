//! What readiness asks of services.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chatbus_bus::{BatchHandler, HandlerError, Outgoing, Record};
use chatbus_event_router::BookStatus;
use chatbus_ops::{Check, ReadinessCheck};
use tokio::sync::watch;

use super::super::storing::Storing;

/// Asks whether the store is in reach. What does not need it works without.
pub(super) struct StoreCheck(pub(super) Storing);

/// Asks whether a service reads its topics.
pub(super) struct ServiceCheck {
    pub(super) role: &'static str,
    pub(super) running: watch::Receiver<bool>,
}

/// Tells how rules or a policy are.
type Tell = Box<dyn Fn() -> BookStatus + Send + Sync>;

/// Asks whether all of a book is in force.
pub(super) struct BookCheck {
    role: &'static str,
    what: &'static str,
    tell: Mutex<Option<Tell>>,
}

/// A service that reads nothing.
pub(super) struct Nothing;

// === impl BookCheck ===

impl BookCheck {
    pub(super) fn new(role: &'static str, what: &'static str) -> Self {
        Self { role, what, tell: Mutex::new(None) }
    }

    /// From now on this is asked.
    pub(super) fn ask(&self, tell: Tell) {
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }
}

impl ReadinessCheck for StoreCheck {
    fn role(&self) -> Option<&str> {
        None
    }

    fn check(&self) -> Check {
        let ready = self.0.is_ready();
        Check { waiting_for: if ready { vec![] } else { vec!["store".to_owned()] }, degraded: vec![] }
    }
}

impl ReadinessCheck for ServiceCheck {
    fn role(&self) -> Option<&str> {
        Some(self.role)
    }

    fn check(&self) -> Check {
        let ready = *self.running.borrow();
        let waiting_for = if ready { vec![] } else { vec![format!("subscriptions:{}", self.role)] };
        Check { waiting_for, degraded: vec![] }
    }
}

impl ReadinessCheck for BookCheck {
    fn role(&self) -> Option<&str> {
        Some(self.role)
    }

    fn check(&self) -> Check {
        let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(status) = tell.as_ref().map(|tell| tell()) else { return Check::default() };
        let mut check = Check::default();
        if !status.loaded {
            check.waiting_for.push(self.what.to_owned());
        } else if !status.is_well() {
            let broken = status.sources.iter().filter(|source| !source.problems.is_empty());
            check.degraded.extend(broken.map(|source| format!("{}:{}", self.what, source.name)));
            if status.left_out > 0 {
                check.degraded.push(format!("{}:too many", self.what));
            }
        }
        check
    }
}

#[async_trait]
impl BatchHandler for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    async fn handle(&self, inputs: &[&Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        inputs.iter().map(|_| Ok(Vec::new())).collect()
    }
}
