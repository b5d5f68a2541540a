//! What is remembered of conversations: a few messages of each, for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lru::LruCache;
use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};

use crate::config::{MemoryBounds, places};
use crate::question::Key;

/// Something that was said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// By the user.
    User(String),
    /// By us.
    Bot(String),
}

/// All conversations that are remembered.
#[derive(Debug)]
pub(crate) struct Memory {
    bounds: MemoryBounds,
    conversations: Mutex<LruCache<Key, Kept>>,
}

#[derive(Debug)]
struct Kept {
    used: Instant,
    history: Arc<TurnMutex<History>>,
}

/// One conversation's past. Who holds it has the conversation's turn: the next message waits, and then sees
/// what this one led to.
pub(crate) type Turn = OwnedMutexGuard<History>;

/// The past of a conversation.
#[derive(Debug)]
pub(crate) struct History {
    bounds: MemoryBounds,
    said: VecDeque<Said>,
    last: Option<Instant>,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(bounds: MemoryBounds) -> Self {
        let most = places(bounds.conversations);
        Self { bounds, conversations: Mutex::new(LruCache::new(most)) }
    }

    /// Waits for the turn of a conversation. A message of none has a past of its own, which is empty.
    pub(crate) async fn turn(&self, conversation: Option<&Key>, now: Instant) -> Turn {
        let history = match conversation {
            Some(key) => self.history(key, now),
            None => self.fresh(),
        };
        history.lock_owned().await
    }

    fn history(&self, key: &Key, now: Instant) -> Arc<TurnMutex<History>> {
        let mut all = self.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        // Those unused for the longest stand last; what is over is not kept until its place is needed.
        while all.peek_lru().is_some_and(|(_, kept)| is_over(kept.used, now, &self.bounds)) {
            all.pop_lru();
        }
        let kept = all.get_or_insert_mut(key.clone(), || Kept { used: now, history: self.fresh() });
        kept.used = now;
        Arc::clone(&kept.history)
    }

    fn fresh(&self) -> Arc<TurnMutex<History>> {
        Arc::new(TurnMutex::new(History { bounds: self.bounds, said: VecDeque::new(), last: None }))
    }
}

// === impl History ===

impl History {
    /// What was said before, the oldest first.
    pub(crate) fn recall(&mut self, now: Instant) -> Vec<Said> {
        if self.last.is_some_and(|last| is_over(last, now, &self.bounds)) {
            self.said.clear();
        }
        self.said.iter().cloned().collect()
    }

    /// Adds a question and its answer, and forgets the oldest of what is too much.
    pub(crate) fn remember(&mut self, question: &str, answer: &str, now: Instant) {
        self.last = Some(now);
        let cut = |text: &str| text.chars().take(self.bounds.chars).collect();
        let pair = [Said::User(cut(question)), Said::Bot(cut(answer))];
        self.said.extend(pair);
        while self.said.len() > self.bounds.messages || self.chars() > self.bounds.chars {
            if self.said.pop_front().is_none() {
                return;
            }
        }
    }

    fn chars(&self) -> usize {
        self.said.iter().map(|said| said.text().chars().count()).sum()
    }
}

// === impl Said ===

impl Said {
    /// What.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::User(text) | Self::Bot(text) => text,
        }
    }
}

fn is_over(used: Instant, now: Instant, bounds: &MemoryBounds) -> bool {
    now.saturating_duration_since(used) > bounds.ttl
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chatbus_event::Clock as _;
    use chatbus_event::Timestamp;
    use chatbus_testkit::FakeClock;

    use super::*;

    struct Rig {
        memory: Memory,
        clock: FakeClock,
    }

    impl Rig {
        fn new(conversations: usize, messages: usize, chars: usize) -> Self {
            let bounds = MemoryBounds { conversations, messages, chars, ttl: Duration::from_secs(60) };
            Self { memory: Memory::new(bounds), clock: FakeClock::at(Timestamp::EPOCH) }
        }

        async fn recall(&self, name: &str) -> Vec<String> {
            let now = self.clock.instant();
            let mut turn = self.memory.turn(Some(&Key::of(&[name])), now).await;
            turn.recall(now).iter().map(|said| said.text().to_owned()).collect()
        }

        async fn exchange(&self, name: &str, question: &str, answer: &str) {
            let now = self.clock.instant();
            let mut turn = self.memory.turn(Some(&Key::of(&[name])), now).await;
            turn.recall(now);
            turn.remember(question, answer, now);
        }
    }

    #[tokio::test]
    async fn conversations_do_not_see_each_other() {
        let rig = Rig::new(10, 8, 100);
        rig.exchange("a", "q", "r").await;
        assert_eq!(rig.recall("a").await, ["q", "r"]);
        assert!(rig.recall("b").await.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_messages_are_forgotten_by_number_and_by_length() {
        let rig = Rig::new(10, 4, 10);
        for n in 1..=3 {
            rig.exchange("a", &format!("q{n}"), &format!("r{n}")).await;
        }
        assert_eq!(rig.recall("a").await, ["q2", "r2", "q3", "r3"]);
        rig.exchange("a", "12345678", "r4").await;
        assert_eq!(rig.recall("a").await, ["12345678", "r4"]);
        rig.exchange("a", &"x".repeat(500), &"ü".repeat(500)).await;
        assert_eq!(rig.recall("a").await, ["ü".repeat(10)]);
    }

    #[tokio::test]
    async fn a_conversation_that_was_silent_for_long_begins_anew() {
        let rig = Rig::new(10, 4, 100);
        rig.exchange("a", "q", "r").await;
        rig.clock.advance(Duration::from_secs(60));
        assert_eq!(rig.recall("a").await.len(), 2);
        rig.clock.advance(Duration::from_secs(61));
        assert!(rig.recall("a").await.is_empty());
    }

    #[tokio::test]
    async fn the_conversation_unused_for_the_longest_is_forgotten_for_a_new_one() {
        let rig = Rig::new(2, 4, 100);
        rig.exchange("a", "q", "r").await;
        rig.exchange("b", "q", "r").await;
        assert_eq!(rig.recall("a").await.len(), 2);
        rig.exchange("c", "q", "r").await;
        assert_eq!(rig.recall("a").await.len(), 2);
        assert!(rig.recall("b").await.is_empty());
    }

    #[tokio::test]
    async fn what_is_over_is_not_kept_until_its_place_is_needed() {
        let rig = Rig::new(100, 4, 100);
        rig.exchange("a", "q", "r").await;
        rig.clock.advance(Duration::from_secs(61));
        rig.exchange("b", "q", "r").await;
        assert_eq!(rig.memory.conversations.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn no_memory_is_kept_where_none_is_wanted() {
        let rig = Rig::new(10, 0, 100);
        rig.exchange("a", "q", "r").await;
        assert!(rig.recall("a").await.is_empty());
    }
}
