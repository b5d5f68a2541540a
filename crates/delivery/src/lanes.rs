//! What waits, by conversation and in order. A pure index: it holds numbers of deliveries, not events.
//!
//! A conversation is one channel or one user of one platform. It exists while something of it waits or
//! is in flight, so the bound of what waits bounds conversations too.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chatbus_connector::Target;

use crate::decide::Cause;
use crate::slab::Slab;
use crate::ticket::Order;

/// The number of a delivery.
pub(crate) type WorkId = usize;
/// The number of a conversation.
pub(crate) type ConversationId = usize;

/// Every conversation with something to say.
#[derive(Debug)]
pub(crate) struct Lanes {
    by_key: HashMap<Key, ConversationId, foldhash::quality::RandomState>,
    conversations: Slab<Conversation>,
    parked: usize,
}

/// What order holds within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) platform: &'static str,
    pub(crate) target: Target,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) key: Key,
    /// Which sink serves it, if one does.
    pub(crate) sink: Option<usize>,
    /// The other name of its user.
    pub(crate) also: Option<Target>,
    /// What is being sent in it, and since when.
    pub(crate) in_flight: Option<(WorkId, Instant)>,
    /// Why its head is not sent now.
    pub(crate) wait: Option<Wait>,
    /// How long a send takes here, smoothed; `None` before the first.
    pace: Option<Duration>,
    queue: VecDeque<Queued>,
    parked: usize,
}

/// Why the head of a conversation is not sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When to look again.
    pub(crate) until: Option<Instant>,
    /// Whether nothing before that can help: the platform refused, or the sink changed its mind.
    pub(crate) firm: bool,
    pub(crate) cause: Cause,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    order: Order,
    work: WorkId,
    parked: bool,
}

// === impl Lanes ===

impl Lanes {
    pub(crate) fn new() -> Self {
        Self { by_key: HashMap::default(), conversations: Slab::new(), parked: 0 }
    }

    /// The conversation of this key, new when there is none.
    pub(crate) fn open(&mut self, key: Key, sink: Option<usize>, also: Option<Target>) -> ConversationId {
        if let Some(&at) = self.by_key.get(&key) {
            if let Some(conversation) = self.conversations.get_mut(at).filter(|_| also.is_some()) {
                conversation.also = also;
            }
            return at;
        }
        let at = self.conversations.insert(Conversation {
            key: key.clone(),
            sink,
            also,
            in_flight: None,
            wait: None,
            pace: None,
            queue: VecDeque::new(),
            parked: 0,
        });
        self.by_key.insert(key, at);
        at
    }

    /// The conversation of this key, if there is one.
    pub(crate) fn find(&self, key: &Key) -> Option<ConversationId> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, at: ConversationId) -> Option<&Conversation> {
        self.conversations.get(at)
    }

    pub(crate) fn get_mut(&mut self, at: ConversationId) -> Option<&mut Conversation> {
        self.conversations.get_mut(at)
    }

    /// Forgets a conversation of which nothing waits and nothing is in flight; says whether it did.
    pub(crate) fn close_if_idle(&mut self, at: ConversationId) -> bool {
        let idle = self.conversations.get(at).is_some_and(Conversation::is_idle);
        if idle && let Some(conversation) = self.conversations.remove(at) {
            self.by_key.remove(&conversation.key);
        }
        idle
    }

    /// Puts a delivery at its place in its conversation: at the tail, unless it is an older one that
    /// came again. `parked` when it waits in the durable lane, and not in a slot of the bus.
    pub(crate) fn join(&mut self, at: ConversationId, order: Order, work: WorkId, parked: bool) {
        let Some(conversation) = self.conversations.get_mut(at) else { return };
        let place = conversation.queue.partition_point(|q| (q.order, q.work) < (order, work));
        conversation.queue.insert(place, Queued { order, work, parked });
        conversation.parked += usize::from(parked);
        self.parked += usize::from(parked);
    }

    /// Takes a delivery out of its conversation.
    pub(crate) fn leave(&mut self, at: ConversationId, order: Order, work: WorkId) {
        let Some(conversation) = self.conversations.get_mut(at) else { return };
        let Some(place) = conversation.find(order, work) else { return };
        if conversation.queue.remove(place).is_some_and(|q| q.parked) {
            conversation.parked -= 1;
            self.parked -= 1;
        }
    }

    /// Notes that a delivery moved to the durable lane, or back into memory.
    pub(crate) fn park(&mut self, at: ConversationId, order: Order, work: WorkId, parked: bool) {
        let Some(conversation) = self.conversations.get_mut(at) else { return };
        let Some(place) = conversation.find(order, work) else { return };
        if let Some(queued) = conversation.queue.get_mut(place)
            && queued.parked != parked
        {
            queued.parked = parked;
            if parked {
                conversation.parked += 1;
                self.parked += 1;
            } else {
                conversation.parked -= 1;
                self.parked -= 1;
            }
        }
    }

    /// How many wait in durable lanes.
    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// Every conversation, in the same order in every run.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConversationId, &Conversation)> {
        self.conversations.iter()
    }
}

// === impl Conversation ===

impl Conversation {
    /// Whose turn it is.
    pub(crate) fn head(&self) -> Option<WorkId> {
        self.queue.front().map(|queued| queued.work)
    }

    /// Whether nothing of it waits or is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none()
    }

    /// How many wait in its durable lane.
    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// Those that hold a slot of the bus, in order, without the one in flight.
    pub(crate) fn held(&self) -> impl Iterator<Item = WorkId> {
        self.queue.iter().filter(|queued| !queued.parked).map(|queued| queued.work)
    }

    /// All of them, in order, without the one in flight.
    pub(crate) fn queued(&self) -> impl Iterator<Item = WorkId> {
        self.queue.iter().map(|queued| queued.work)
    }

    /// Notes how long a send took.
    pub(crate) fn took(&mut self, took: Duration) {
        self.pace = Some(self.pace.map_or(took, |pace| (pace * 3 + took) / 4));
    }

    /// How long the slots it holds will be held, as far as can be known.
    pub(crate) fn drain_time(&self, now: Instant) -> Duration {
        let elapsed =
            self.in_flight.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since));
        let each = self.pace.unwrap_or_default().max(elapsed);
        let held = u32::try_from(self.queue.len() - self.parked).unwrap_or(u32::MAX);
        each.saturating_mul(held)
    }

    fn find(&self, order: Order, work: WorkId) -> Option<usize> {
        self.queue.binary_search_by(|q| (q.order, q.work).cmp(&(order, work))).ok()
    }
}
