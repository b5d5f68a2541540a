//! What becomes of messages after Twilio took them: who waits for it, and what was told before anyone did.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// What Twilio tells of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// `queued`, `sent`, `delivered`, `undelivered`, `failed`, …
    pub(crate) status: String,
    pub(crate) code: Option<u32>,
}

/// A status can come before the answer that says which message it is of. So many of these are kept.
const KEPT: usize = 1_024;

/// Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statuses(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<String, oneshot::Sender<Report>>,
    early: VecDeque<(String, Report)>,
}

/// Waits for the status of one message; nobody does once it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    statuses: Statuses,
    sid: String,
    report: oneshot::Receiver<Report>,
}

// === impl Report ===

impl Report {
    /// Whether it says what became of the message, or that it is on its way to the recipient.
    pub(crate) fn decides(&self) -> bool {
        self.is_failure() || matches!(&*self.status, "sent" | "delivered" | "read")
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(&*self.status, "failed" | "undelivered" | "canceled")
    }
}

// === impl Statuses ===

impl Statuses {
    /// Waits for the status of this message.
    pub(crate) fn wait(&self, sid: &str) -> Waiting {
        let (sender, report) = oneshot::channel();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.early.iter().position(|(known, _)| known == sid).and_then(|at| inner.early.remove(at)) {
            // The receiver is right here.
            Some((_, early)) => drop(sender.send(early)),
            None => drop(inner.waiting.insert(sid.to_owned(), sender)),
        }
        Waiting { statuses: self.clone(), sid: sid.to_owned(), report }
    }

    /// Tells what was reported; says whether somebody waits for that message.
    pub(crate) fn tell(&self, sid: &str, report: Report) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !report.decides() {
            return inner.waiting.contains_key(sid);
        }
        if let Some(waiting) = inner.waiting.remove(sid) {
            return waiting.send(report).is_ok();
        }
        inner.early.retain(|(known, _)| known != sid);
        inner.early.push_back((sid.to_owned(), report));
        if inner.early.len() > KEPT {
            inner.early.pop_front();
        }
        false
    }
}

// === impl Waiting ===

impl Waiting {
    /// What is reported, once it is.
    pub(crate) async fn report(&mut self) -> Option<Report> {
        (&mut self.report).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.statuses.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.sid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: &str) -> Report {
        Report { status: status.to_owned(), code: None }
    }

    #[tokio::test]
    async fn a_status_reaches_who_waits_whether_it_comes_before_or_after() {
        let statuses = Statuses::default();
        assert!(!statuses.tell("SM1", report("sent")), "nobody waits yet");
        assert_eq!(statuses.wait("SM1").report().await, Some(report("sent")));
        let mut waiting = statuses.wait("SM2");
        assert!(statuses.tell("SM2", report("queued")), "it is not what is waited for, but nobody else's");
        assert!(statuses.tell("SM2", report("failed")));
        assert_eq!(waiting.report().await, Some(report("failed")));
        assert!(!statuses.tell("SM2", report("undelivered")), "it was told already");
    }

    #[test]
    fn nobody_waits_after_giving_up_and_what_is_kept_is_bounded() {
        let statuses = Statuses::default();
        drop(statuses.wait("SM1"));
        for n in 0..3 * KEPT {
            assert!(!statuses.tell(&format!("SM{n}"), report("delivered")));
        }
        let inner = statuses.0.lock().unwrap();
        assert_eq!((inner.waiting.len(), inner.early.len()), (0, KEPT));
    }
}
