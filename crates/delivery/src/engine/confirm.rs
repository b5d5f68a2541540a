//! Outcomes that were published and wait for the bus's word, oldest first.
//!
//! Nearly every outcome is stored at the first try, and all that follows is an acknowledgement: that needs no
//! job of its own. Whatever else may follow is a job's: see [`jobs::conclude`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;

use chatbus_bus::{BusError, Delivery, Receipt, Stored};

use super::jobs::{self, Line};
use super::weigh::Slot;
use super::{Engine, Job};
use crate::lanes::WorkId;
use crate::outcome::Outcome;

/// An outcome that was handed to the bus.
pub(super) struct Published {
    pub(super) work: WorkId,
    pub(super) outcome: Outcome,
    pub(super) line: Option<Line>,
    /// What is acknowledged once it is stored.
    pub(super) inputs: Vec<(Slot, Delivery)>,
}

/// Those that wait. As many as may be unconfirmed at all.
#[derive(Default)]
pub(super) struct Confirmations(VecDeque<(Published, Receipt)>);

/// The bus's word on one of them.
pub(super) type Answered = (Published, Result<Stored, BusError>);

// === impl Confirmations ===

impl Confirmations {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, published: Published, receipt: Receipt) {
        self.0.push_back((published, receipt));
    }

    /// The oldest, once the bus has answered; never while there is none. Dropping it loses nothing.
    pub(super) async fn next(&mut self) -> Answered {
        let answer = poll_fn(|cx| match self.0.front_mut() {
            Some((_, receipt)) => Pin::new(receipt).poll(cx),
            None => std::task::Poll::Pending,
        })
        .await;
        match self.0.pop_front() {
            Some((published, _)) => (published, answer),
            None => std::future::pending().await,
        }
    }
}

// === impl Engine ===

impl Engine {
    /// The bus has an outcome, or does not: then a job goes on from there.
    pub(super) fn on_answered(&mut self, (published, answer): Answered) {
        let Published { work, outcome, line, inputs } = published;
        if answer.as_ref().is_ok_and(|stored| !stored.duplicate) {
            return self.on_concluded(work, jobs::acknowledge_known(inputs));
        }
        let shared = self.shared.clone();
        let first = Some(Receipt::ready(answer));
        let job: Job =
            Box::pin(jobs::conclude(shared, work, outcome, first, line, None::<jobs::NoLetter>, inputs));
        self.jobs.push(job);
    }
}
