//! What was published and not yet acknowledged on one connection: bounded, and answered exactly once.
//!
//! Each message's place in the ring stands in the subject its acknowledgement comes to, so finding it
//! is an index. Pure but for the answers it gives.

use std::collections::VecDeque;

use chatbus_bus::{BusError, Stored};
use chatbus_event::Family;
use tokio::sync::oneshot;

pub(crate) type Answer = Result<Stored, BusError>;

/// A ring of messages that wait for their acknowledgement.
#[derive(Debug)]
pub(crate) struct Window {
    waiting: VecDeque<Option<Waiting>>,
    /// The place of the ring's front.
    base: u64,
    bytes: usize,
    unanswered: usize,
    max_messages: usize,
    max_bytes: usize,
    closed: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Answer>,
    bytes: usize,
    family: Family,
    /// The tick of the connection at which it was handed over.
    since: u64,
}

/// Why a message does not go into the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed(String),
}

// === impl Window ===

impl Window {
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            base: 0,
            bytes: 0,
            unanswered: 0,
            max_messages: max_messages.max(1),
            max_bytes,
            closed: None,
        }
    }

    /// Takes a message in and says its place. One message is always taken, whatever its size.
    pub(crate) fn push(
        &mut self,
        family: Family,
        bytes: usize,
        since: u64,
    ) -> Result<(u64, oneshot::Receiver<Answer>), NoRoom> {
        if let Some(why) = &self.closed {
            return Err(NoRoom::Closed(why.clone()));
        }
        // The ring's length counts, not the unanswered alone: one stream that does not answer must
        // not make the ring grow without bound behind it.
        let full =
            self.waiting.len() >= self.max_messages || self.bytes.saturating_add(bytes) > self.max_bytes;
        if full && self.unanswered > 0 {
            return Err(NoRoom::Full);
        }
        let (answer, receiver) = oneshot::channel();
        let place = self.base + self.waiting.len() as u64;
        self.waiting.push_back(Some(Waiting { answer, bytes, family, since }));
        self.bytes += bytes;
        self.unanswered += 1;
        Ok((place, receiver))
    }

    /// Takes the message at a place out, for its answer. `None` for what was answered already, or
    /// never was.
    pub(crate) fn take(&mut self, place: u64) -> Option<oneshot::Sender<Answer>> {
        let at = usize::try_from(place.checked_sub(self.base)?).ok()?;
        let waiting = self.waiting.get_mut(at)?.take()?;
        self.bytes -= waiting.bytes;
        self.unanswered -= 1;
        self.trim();
        Some(waiting.answer)
    }

    /// The family of the message at a place that still waits.
    pub(crate) fn family(&self, place: u64) -> Option<Family> {
        let at = usize::try_from(place.checked_sub(self.base)?).ok()?;
        self.waiting.get(at)?.as_ref().map(|waiting| waiting.family)
    }

    /// Fails what was handed over before this tick, and everything of the same families behind it:
    /// they have to be sent again after it, in their order.
    pub(crate) fn expire(&mut self, before: u64, error: impl Fn() -> BusError) {
        let mut late = Vec::new();
        for at in 0..self.waiting.len() {
            let Some(waiting) = &self.waiting[at] else { continue };
            if waiting.since >= before && late.is_empty() {
                return;
            }
            if waiting.since < before && !late.contains(&waiting.family) {
                late.push(waiting.family);
            }
            if late.contains(&waiting.family)
                && let Some(waiting) = self.waiting[at].take()
            {
                self.settle(waiting, Err(error()));
            }
        }
        self.trim();
    }

    /// Fails everything, and whatever comes later.
    pub(crate) fn close(&mut self, why: &str) {
        self.closed.get_or_insert_with(|| why.to_owned());
        for waiting in std::mem::take(&mut self.waiting).into_iter().flatten() {
            self.settle(waiting, Err(BusError::closed(why)));
        }
        self.base = u64::MAX;
    }

    /// Takes nothing new from here on; what is in it is still answered.
    pub(crate) fn seal(&mut self, why: &str) {
        self.closed.get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unanswered == 0
    }

    fn settle(&mut self, waiting: Waiting, answer: Answer) {
        self.bytes -= waiting.bytes;
        self.unanswered -= 1;
        // Nobody may wait any more; dropping a receipt changes nothing.
        let _ = waiting.answer.send(answer);
    }

    fn trim(&mut self) {
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use chatbus_bus::BusErrorKind;

    use super::*;

    fn stored(seq: u64) -> Answer {
        Ok(Stored { seq, duplicate: false })
    }

    fn push(window: &mut Window, since: u64) -> (u64, oneshot::Receiver<Answer>) {
        window.push(Family::Ingress, 10, since).unwrap()
    }

    fn answer(window: &mut Window, place: u64, answer: Answer) {
        if let Some(waiting) = window.take(place) {
            let _ = waiting.send(answer);
        }
    }

    #[test]
    fn answers_find_their_message_in_any_order_and_once() {
        let mut window = Window::new(8, 1000);
        let (a, mut ra) = push(&mut window, 0);
        let (b, mut rb) = push(&mut window, 0);
        answer(&mut window, b, stored(2));
        answer(&mut window, b, stored(9));
        answer(&mut window, 77, stored(9));
        assert!(ra.try_recv().is_err());
        assert_eq!(rb.try_recv().unwrap().unwrap().seq, 2);
        answer(&mut window, a, stored(1));
        assert_eq!(ra.try_recv().unwrap().unwrap().seq, 1);
        assert!(window.is_empty());
        let (c, _rc) = push(&mut window, 0);
        assert_eq!(c, 2);
    }

    #[test]
    fn a_full_window_takes_nothing_until_its_oldest_is_answered() {
        let mut window = Window::new(2, 1000);
        let (a, _ra) = push(&mut window, 0);
        let (b, _rb) = push(&mut window, 0);
        assert_eq!(window.push(Family::Ingress, 1, 0).unwrap_err(), NoRoom::Full);
        answer(&mut window, b, stored(2));
        assert_eq!(window.push(Family::Ingress, 1, 0).unwrap_err(), NoRoom::Full);
        answer(&mut window, a, stored(1));
        assert!(window.push(Family::Ingress, 2000, 0).is_ok(), "one message always fits");
        assert_eq!(window.push(Family::Ingress, 1, 0).unwrap_err(), NoRoom::Full);
    }

    #[test]
    fn what_is_late_fails_with_all_of_its_family_behind_it() {
        let mut window = Window::new(8, 1000);
        let (_, mut old) = push(&mut window, 1);
        let (other, mut of_other) = window.push(Family::Egress, 10, 5).unwrap();
        let (_, mut behind) = push(&mut window, 5);
        window.expire(1, || BusError::closed("not yet"));
        assert!(old.try_recv().is_err());
        window.expire(2, || BusError::new(BusErrorKind::Timeout, "late"));
        assert_eq!(old.try_recv().unwrap().unwrap_err().kind(), BusErrorKind::Timeout);
        assert_eq!(behind.try_recv().unwrap().unwrap_err().kind(), BusErrorKind::Timeout);
        assert!(of_other.try_recv().is_err());
        answer(&mut window, other, stored(1));
        assert_eq!(of_other.try_recv().unwrap().unwrap().seq, 1);
        assert!(window.is_empty());
    }

    #[test]
    fn closing_fails_everything_that_waits_and_whatever_comes() {
        let mut window = Window::new(8, 1000);
        let (place, mut receiver) = push(&mut window, 0);
        window.close("gone");
        assert_eq!(receiver.try_recv().unwrap().unwrap_err().kind(), BusErrorKind::Closed);
        assert_eq!(window.push(Family::Ingress, 1, 0).unwrap_err(), NoRoom::Closed("gone".into()));
        answer(&mut window, place, stored(1));
        assert!(window.is_empty());
    }
}
