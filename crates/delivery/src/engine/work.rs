//! One delivery in the engine's hands.

use std::sync::Arc;

use chatbus_bus::{Delivery, Record};
use chatbus_event::{ErrorInfo, Event, egress_text};

use super::jobs::Input;
use super::weigh::{Fetched, Slot};
use crate::decide::{Ending, Timing};
use crate::finished::Mark;
use crate::lanes::{ConversationId, Key};
use crate::ticket::Ticket;

/// One delivery in the engine's hands, from its first reading to the confirmation of its outcome.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) ticket: Ticket,
    /// By which it is remembered once it ended.
    pub(super) mark: Mark,
    pub(super) timing: Timing,
    pub(super) conversation: Option<ConversationId>,
    /// Where it goes, and which sink serves that, if one does. What has left its conversation has these still.
    pub(super) key: Option<Key>,
    pub(super) sink: Option<usize>,
    pub(super) place: Place,
    /// Its place in the lane topic, when it has a record there: then nothing else need be kept.
    pub(super) lane: Option<u64>,
    /// Lane records of it that the bus lost.
    pub(super) lost: u32,
    /// What is to be acknowledged when it is over; more than one after a redelivery.
    pub(super) inputs: Vec<(Slot, Delivery)>,
    /// The same event, come here again after it was passed on from here: it takes the place of this one,
    /// once what is being done with this one is done.
    pub(super) newer: Option<(Slot, Delivery)>,
    /// Attempts in a row that did not end it, for the growing wait.
    pub(super) failures: u32,
    /// Whether an earlier process may have said it.
    pub(super) may_have_been_sent: bool,
    /// Why the first attempt here had no verdict, where another one is safe.
    pub(super) doubt: Option<Box<ErrorInfo>>,
    /// How it ends, once that is known and its body is not in memory.
    pub(super) ends: Option<Ending>,
}

/// Where a delivery is.
#[derive(Debug)]
pub(super) enum Place {
    /// In memory, waiting for its turn.
    Held(Box<Loaded>),
    /// Being written to the lane.
    Parking(Box<Loaded>),
    /// In the lane only.
    Parked,
    /// Being read from the lane.
    Fetching,
    /// Handed to the sink.
    Sending(Box<Loaded>),
    /// Its outcome is being published.
    Ending,
}

/// The body of a delivery, in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What was read back from the lane; `None` when the input holds it.
    pub(super) record: Option<Fetched>,
    /// `None` for bytes that are no event.
    pub(super) event: Option<Arc<Event>>,
    /// What is to be said. Empty while it is being said.
    pub(super) text: String,
}

// === impl Work ===

impl Work {
    /// Whether a topic's slot is all that holds it, so that giving that back forgets it here.
    pub(super) fn is_from(&self, input: Input) -> bool {
        self.lane.is_none() && self.inputs.iter().any(|(slot, _)| slot.input == input)
    }

    /// The message as it stood on the bus.
    pub(super) fn record<'a>(&'a self, loaded: &'a Loaded) -> Option<&'a Record> {
        loaded
            .record
            .as_ref()
            .map(|fetched| &fetched.record)
            .or_else(|| self.inputs.first().map(|(_, delivery)| delivery.record()))
    }
}

// === impl Loaded ===

impl Loaded {
    /// Hands its text over; [`Loaded::restore`] brings it back.
    pub(super) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Reads its text again, for another attempt.
    pub(super) fn restore(&mut self) {
        self.text = self.event.as_deref().and_then(egress_text).unwrap_or_default();
    }
}
