//! Which message may be handled now: one at a time of a conversation, in order; so many in all. Pure.

use std::collections::{HashMap, VecDeque};

use chatbus_event::{Attributes, names};

/// The attribute that names a user where there is no channel.
const USER_ID: &str = "userId";

/// What keeps messages in order: those of one conversation are handled one after another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Conversation {
    /// A channel.
    Channel(String),
    /// A user, where there is no channel.
    User(String),
    /// A message of no conversation: alone.
    Alone(u64),
}

/// Messages in hand. Bounded by whoever fills it: a consumer's `max_in_flight`.
#[derive(Debug)]
pub(super) struct Conversations<T> {
    running: usize,
    limit: usize,
    /// Conversations with a message being handled, and what waits behind it.
    busy: HashMap<Conversation, VecDeque<T>>,
    /// Waits for the limit only; each conversation stands here once, as often as it is idle.
    ready: VecDeque<(Conversation, T)>,
}

// === impl Conversation ===

impl Conversation {
    /// The conversation of a message; `seq` sets apart those of none.
    pub(super) fn of(attributes: &Attributes, seq: u64) -> Self {
        let text = |name| attributes.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        text(names::CHANNEL)
            .map(Self::Channel)
            .or_else(|| text(USER_ID).map(Self::User))
            .unwrap_or(Self::Alone(seq))
    }
}

// === impl Conversations ===

impl<T> Conversations<T> {
    /// At most `limit` conversations at once; zero counts as one.
    pub(super) fn new(limit: usize) -> Self {
        Self { running: 0, limit: limit.max(1), busy: HashMap::new(), ready: VecDeque::new() }
    }

    /// Takes in a message.
    pub(super) fn push(&mut self, conversation: Conversation, item: T) {
        match self.busy.get_mut(&conversation) {
            Some(waiting) => waiting.push_back(item),
            None => {
                self.busy.insert(conversation.clone(), VecDeque::new());
                self.ready.push_back((conversation, item));
            }
        }
    }

    /// The next message that may be handled now; [`Self::finished`] has to follow.
    pub(super) fn start(&mut self) -> Option<(Conversation, T)> {
        if self.running >= self.limit {
            return None;
        }
        let next = self.ready.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// Its message was handled: the next one of the conversation is ready.
    pub(super) fn finished(&mut self, conversation: Conversation) {
        self.running = self.running.saturating_sub(1);
        if let Some(waiting) = self.busy.get_mut(&conversation) {
            match waiting.pop_front() {
                Some(item) => self.ready.push_back((conversation, item)),
                None => {
                    self.busy.remove(&conversation);
                }
            }
        }
    }

    /// All that was not started, in no particular order of conversations.
    pub(super) fn take_waiting(&mut self) -> Vec<T> {
        let ready = self.ready.drain(..).map(|(_, item)| item);
        ready.chain(self.busy.drain().flat_map(|(_, waiting)| waiting)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Conversation {
        Conversation::Channel(name.into())
    }

    #[test]
    fn a_conversation_is_handled_one_at_a_time_and_in_order() {
        let mut hand = Conversations::new(8);
        for (name, item) in [("#a", 1), ("#a", 2), ("#b", 3), ("#a", 4)] {
            hand.push(channel(name), item);
        }
        assert_eq!(hand.start(), Some((channel("#a"), 1)));
        assert_eq!(hand.start(), Some((channel("#b"), 3)));
        assert_eq!(hand.start(), None, "the rest waits behind #a's first");
        hand.finished(channel("#a"));
        assert_eq!(hand.start(), Some((channel("#a"), 2)));
        hand.push(channel("#a"), 5);
        hand.finished(channel("#a"));
        assert_eq!(hand.start(), Some((channel("#a"), 4)));
        hand.finished(channel("#a"));
        assert_eq!(hand.start(), Some((channel("#a"), 5)));
        hand.finished(channel("#a"));
        hand.finished(channel("#b"));
        assert_eq!(hand.start(), None);
        assert!(hand.busy.is_empty(), "a conversation that ended is remembered");
    }

    #[test]
    fn no_more_run_at_once_than_the_limit_says() {
        let mut hand = Conversations::new(2);
        for item in 0..4 {
            hand.push(Conversation::Alone(item), item);
        }
        assert!(hand.start().is_some() && hand.start().is_some());
        assert_eq!(hand.start(), None);
        hand.finished(Conversation::Alone(0));
        assert_eq!(hand.start(), Some((Conversation::Alone(2), 2)));
        assert_eq!(hand.take_waiting(), [3]);
    }

    #[test]
    fn a_channel_names_a_conversation_before_a_user_does() {
        let with = |pairs: &[(&'static str, &str)]| {
            let attributes: Attributes = pairs.iter().copied().collect();
            Conversation::of(&attributes, 7)
        };
        assert_eq!(with(&[("channel", "#a"), ("userId", "u")]), channel("#a"));
        assert_eq!(with(&[("userid", "u")]), Conversation::User("u".into()));
        assert_eq!(with(&[("channel", "")]), Conversation::Alone(7));
    }
}
