//! What one member holds unsettled, and how each of it is settled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{BusError, BusErrorKind, Settler};
use tokio::sync::Notify;

use crate::api;
use crate::link::{Epoch, Link};
use crate::numbers::NumberMap;
use crate::streams::nanos;

/// How long the server may take to confirm an acknowledgement.
const CONFIRM: Duration = Duration::from_secs(5);

/// One member's share.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) link: Arc<Link>,
    /// Stream and consumer, for what is counted per message.
    pub(crate) consumer: Arc<str>,
    /// What an acknowledgement needs.
    pub(crate) acking: Acking,
    /// What is held, by its place.
    held: Mutex<Held>,
    /// How many may be held.
    max: usize,
    /// Told when there is room that is worth asking for.
    pub(crate) freed: Notify,
}

/// What it takes to settle a message for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Acking {
    /// To send it.
    Sent,
    /// The server's word, after which the message is gone from the stream.
    Confirmed,
    /// The server's word, and then to remove the message from this stream, which keeps what is settled.
    Removed(String),
}

#[derive(Debug, Default)]
struct Held {
    entries: NumberMap<Entry>,
    /// Messages asked for and not yet come.
    asked: usize,
}

#[derive(Debug)]
struct Entry {
    /// Where it is settled; `None` once the group was gone: then it is another's, unless it is
    /// delivered to us once more.
    reply: Option<Arc<str>>,
    /// Whether the reader has it, or it still waits to be read.
    taken: bool,
}

/// One delivery's way back. Dropped unsettled it gives the message back.
pub(crate) struct Hold {
    share: Arc<Share>,
    seq: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the share, unsettled.
    Held,
    /// In the share, while the server's word is waited for.
    Confirming,
    /// Out of the share. The same place may be held again by now, by a newer delivery.
    Released,
}

// === impl Share ===

impl Share {
    pub(crate) fn new(link: Arc<Link>, consumer: Arc<str>, acking: Acking, max: usize) -> Arc<Self> {
        Arc::new(Self { link, consumer, acking, held: Mutex::default(), max, freed: Notify::new() })
    }

    /// How many to ask for now, if it is worth a question. They count as asked for from here on.
    pub(crate) fn ask(&self) -> Option<usize> {
        let mut held = self.held();
        let room = held.room(self.max)?;
        held.asked += room;
        Some(room)
    }

    /// So many of those that were asked for came, or will not come.
    pub(crate) fn came(&self, n: usize) {
        let mut held = self.held();
        held.asked = held.asked.saturating_sub(n);
    }

    /// Messages asked for and not yet come.
    pub(crate) fn asked(&self) -> usize {
        self.held().asked
    }

    /// Takes a message into the share. `None` when it is held already: the server believed that we
    /// died, as after its own restart. What is held is then settled where the newer delivery says.
    pub(crate) fn hold(self: &Arc<Self>, seq: u64, reply: Arc<str>) -> Option<Hold> {
        let mut held = self.held();
        if let Some(entry) = held.entries.get_mut(&seq) {
            entry.reply = Some(reply);
            return None;
        }
        held.entries.insert(seq, Entry { reply: Some(reply), taken: false });
        Some(Hold { share: Arc::clone(self), seq, state: State::Held })
    }

    /// Gives back what nobody has read, as far as there is a connection.
    pub(crate) fn give_back_unread(&self) {
        let Some(epoch) = self.link.current() else { return };
        self.held().entries.retain(|_, entry| {
            if !entry.taken
                && let Some(reply) = &entry.reply
            {
                let _ = epoch.session.post(reply, None, b"-NAK");
            }
            entry.taken
        });
    }

    /// The group was deleted: nothing that is held is ours any more. What was not read will not be; what
    /// is settled from here on reaches nobody, not even a group of the same name.
    pub(crate) fn lost(&self) {
        self.held().entries.values_mut().for_each(|entry| entry.reply = None);
    }

    /// The lowest place that is held.
    pub(crate) fn lowest(&self) -> Option<u64> {
        self.held().entries.keys().copied().min()
    }

    /// Tells the server that everything that is held is still in hand.
    pub(crate) fn keep(&self) {
        let Some(epoch) = self.link.current() else { return };
        let replies: Vec<Arc<str>> =
            self.held().entries.values().filter_map(|entry| entry.reply.clone()).collect();
        for reply in replies {
            // Without a connection the server will redeliver, and we drop what we hold already.
            let _ = epoch.session.post(&reply, None, b"+WPI");
        }
    }

    fn release(&self, seq: u64) -> Option<Arc<str>> {
        let mut held = self.held();
        let entry = held.entries.remove(&seq);
        let worth_asking = held.room(self.max).is_some();
        drop(held);
        if worth_asking {
            self.freed.notify_one();
        }
        entry.and_then(|entry| entry.reply)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// How many more there is room for, where that is worth a question: at once when nothing is asked
    /// for, else only for a good part of all.
    fn room(&self, max: usize) -> Option<usize> {
        let room = max.saturating_sub(self.entries.len() + self.asked);
        (room > 0 && (self.asked == 0 || room >= max.div_ceil(4))).then_some(room)
    }
}

// === impl Hold ===

impl Hold {
    /// The reader takes it; false when it was given back meanwhile, or is not ours any more.
    pub(crate) fn take(&mut self) -> bool {
        let ours = self.share.held().entries.get_mut(&self.seq).map(|entry| {
            entry.taken = true;
            entry.reply.is_some()
        });
        if ours == Some(false) {
            self.share.release(self.seq);
        }
        let taken = ours == Some(true);
        if !taken {
            self.state = State::Released;
        }
        taken
    }

    /// Removes a settled message where the stream keeps it. If that fails, another group that is declared
    /// after ours was deleted gets it once more.
    async fn remove(&self, epoch: &Epoch) -> Result<(), BusError> {
        match &self.share.acking {
            Acking::Removed(stream) => api::remove(&epoch.session, stream, self.seq).await,
            Acking::Sent | Acking::Confirmed => Ok(()),
        }
    }

    /// Settles it with what needs no answer; without a connection it comes again.
    fn post(&mut self, payload: &[u8]) {
        self.state = State::Released;
        if let (Some(reply), Some(epoch)) = (self.share.release(self.seq), self.share.link.current()) {
            let _ = epoch.session.post(&reply, None, payload);
        }
    }

    async fn tell(mut self, payload: &[u8]) -> Result<(), BusError> {
        self.state = State::Released;
        let reply = self.share.release(self.seq);
        let (Some(reply), Some(epoch)) = (reply, self.share.link.current()) else {
            return Err(BusError::closed("no connection to NATS to settle on"));
        };
        epoch.session.tell(&reply, payload).await
    }

    fn failures(&self) -> MutexGuard<'_, crate::failures::Failures> {
        self.share.link.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Settler for Hold {
    /// A work queue and a lane confirm, so that a settled message never comes again. Elsewhere the word
    /// of a server that is killed right after is worth nothing, as it redelivers what it had
    /// confirmed: there it is enough that the kernel has our acknowledgement, which costs no answer.
    async fn ack(mut self: Box<Self>) -> Result<(), BusError> {
        self.failures().forget(&self.share.consumer, self.seq);
        if self.share.acking == Acking::Sent {
            return self.tell(b"+ACK").await;
        }
        let Some(epoch) = self.share.link.current() else {
            return Err(BusError::closed("no connection to NATS to settle on"));
        };
        self.state = State::Confirming;
        // Held until the answer, so that a slow one does not look like our death.
        let reply = self.share.held().entries.get(&self.seq).and_then(|entry| entry.reply.clone());
        let answer = match reply {
            Some(reply) => Some(epoch.session.request(&reply, b"+ACK", CONFIRM).await),
            None => None,
        };
        self.state = State::Released;
        self.share.release(self.seq);
        match answer.transpose()? {
            Some(answer) if crate::headers::status(answer.headers()).is_none() => self.remove(&epoch).await,
            _ => Err(BusError::new(BusErrorKind::Refused, "the group is gone, and with it what it was told")),
        }
    }

    fn ack_unconfirmed(mut self: Box<Self>) {
        self.failures().forget(&self.share.consumer, self.seq);
        self.post(b"+ACK");
    }

    async fn retry(self: Box<Self>, after: Duration) -> Result<(), BusError> {
        self.failures().count(&self.share.consumer, self.seq);
        if after.is_zero() {
            return self.tell(b"-NAK").await;
        }
        self.tell(format!("-NAK {{\"delay\": {}}}", nanos(after)).as_bytes()).await
    }

    async fn give_back(self: Box<Self>) -> Result<(), BusError> {
        self.tell(b"-NAK").await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        match self.state {
            State::Released => {}
            // Nobody waits for the server's word any more; it was told all the same.
            State::Confirming => drop(self.share.release(self.seq)),
            State::Held => self.post(b"-NAK"),
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("seq", &self.seq).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_asked_for_when_nothing_is_or_when_it_is_much() {
        let held = |entries: u64, asked| {
            let entry = |seq| (seq, Entry { reply: Some("r".into()), taken: false });
            Held { entries: (0..entries).map(entry).collect(), asked }
        };
        assert_eq!(held(0, 0).room(8), Some(8));
        assert_eq!(held(7, 0).room(8), Some(1));
        assert_eq!(held(8, 0).room(8), None);
        assert_eq!(held(3, 4).room(8), None);
        assert_eq!(held(3, 3).room(8), Some(2));
        assert_eq!(held(9, 9).room(8), None);
        assert_eq!(held(0, 0).room(1), Some(1));
        assert_eq!(held(0, 1).room(1), None);
    }
}
