//! What is said and what is refused: values, without sockets.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chatbus_event::Timestamp;
use serde::Serialize;

/// Messages that are kept, and with them their keys; older ones are forgotten.
pub const MAX_MESSAGES: usize = 100_000;
/// Bytes of text that are kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Refusals that may be outstanding.
const MAX_REFUSALS: usize = 1_000;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Counts up from 1 over all channels.
    pub seq: u64,
    /// When it was said.
    pub at: Timestamp,
    /// Where, without `#`.
    pub channel: String,
    /// What.
    pub text: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// The id its sender was told.
    pub id: String,
    /// How often it was posted again, and not said.
    pub repeats: u64,
}

/// How messages that come next are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Only in this channel.
    pub channel: Option<String>,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The code in the body.
    pub code: String,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<Duration>,
    /// How many; all when there is no number.
    pub count: Option<u64>,
}

/// What is posted.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) channel: String,
    pub(super) text: String,
    pub(super) key: Option<String>,
}

/// What its sender is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Said, now or before.
    Said { id: String, repeated: bool },
    /// Not said.
    Refused { status: u16, code: String, retry_after: Option<Duration> },
    /// Said, and the answer is lost on its way.
    Lost,
}

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    said: VecDeque<Message>,
    bytes: usize,
    keys: HashMap<String, u64>,
    last: u64,
    refusals: VecDeque<Refusal>,
    /// Every so many answers are lost; 0 for none.
    lose: u64,
    answers: u64,
    delay: Duration,
    heeds_keys: bool,
}

// === impl World ===

impl Default for World {
    fn default() -> Self {
        Self {
            said: VecDeque::new(),
            bytes: 0,
            keys: HashMap::new(),
            last: 0,
            refusals: VecDeque::new(),
            lose: 0,
            answers: 0,
            delay: Duration::ZERO,
            heeds_keys: true,
        }
    }
}

impl World {
    pub(super) fn post(&mut self, post: Post, id: String, now: Timestamp) -> Answer {
        let known = post.key.as_ref().filter(|_| self.heeds_keys).and_then(|key| self.keys.get(key));
        if let Some(&seq) = known
            && let Some(at) = self.said.iter_mut().rev().find(|message| message.seq == seq)
        {
            at.repeats += 1;
            let id = at.id.clone();
            return self.answer(id, true);
        }
        if let Some(refused) = self.refused(&post.channel) {
            return refused;
        }
        self.last += 1;
        if let Some(key) = &post.key {
            self.keys.insert(key.clone(), self.last);
        }
        self.bytes += post.text.len();
        let Post { channel, text, key } = post;
        let message = Message { seq: self.last, at: now, channel, text, key, id: id.clone(), repeats: 0 };
        self.said.push_back(message);
        self.forget();
        self.answer(id, false)
    }

    fn answer(&mut self, id: String, repeated: bool) -> Answer {
        self.answers += 1;
        if self.lose > 0 && self.answers.is_multiple_of(self.lose) {
            return Answer::Lost;
        }
        Answer::Said { id, repeated }
    }

    fn refused(&mut self, channel: &str) -> Option<Answer> {
        let fits = |refusal: &Refusal| refusal.channel.as_deref().is_none_or(|only| only == channel);
        let at = self.refusals.iter().position(fits)?;
        let refusal = self.refusals.get_mut(at)?;
        let Refusal { status, code, retry_after, .. } = refusal.clone();
        if let Some(count) = &mut refusal.count {
            *count -= 1;
            if *count == 0 {
                self.refusals.remove(at);
            }
        }
        Some(Answer::Refused { status, code, retry_after })
    }

    fn forget(&mut self) {
        while self.said.len() > MAX_MESSAGES || self.bytes > MAX_BYTES {
            let Some(message) = self.said.pop_front() else { return };
            self.bytes -= message.text.len();
            if let Some(key) = message.key.filter(|key| self.keys.get(key) == Some(&message.seq)) {
                self.keys.remove(&key);
            }
        }
    }

    pub(super) fn messages(&self, channel: Option<&str>, after: u64) -> Vec<Message> {
        let wanted = |message: &&Message| {
            message.seq > after && channel.is_none_or(|channel| message.channel == channel)
        };
        self.said.iter().filter(wanted).cloned().collect()
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Result<(), &'static str> {
        if refusal.count == Some(0) {
            self.refusals.retain(|old| old.channel != refusal.channel);
            return Ok(());
        }
        if self.refusals.len() >= MAX_REFUSALS {
            return Err("is the 1001st refusal that is outstanding");
        }
        self.refusals.push_back(refusal);
        Ok(())
    }

    pub(super) fn lose(&mut self, every: u64) {
        self.lose = every;
    }

    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    pub(super) fn heed_keys(&mut self, on: bool) {
        self.heeds_keys = on;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(world: &mut World, key: Option<&str>, text: &str) -> Answer {
        let post = Post { channel: "a".into(), text: text.into(), key: key.map(str::to_owned) };
        let id = format!("id-{}", world.last + 1);
        world.post(post, id, Timestamp::EPOCH)
    }

    fn said(id: u64, repeated: bool) -> Answer {
        Answer::Said { id: format!("id-{id}"), repeated }
    }

    fn refusal(count: Option<u64>) -> Refusal {
        Refusal { channel: None, status: 403, code: "no".into(), retry_after: None, count }
    }

    #[test]
    fn a_key_is_said_once_and_answered_the_same_each_time() {
        let mut world = World::default();
        assert_eq!(post(&mut world, Some("k"), "one"), said(1, false));
        assert_eq!(post(&mut world, None, "two"), said(2, false));
        assert_eq!(post(&mut world, Some("k"), "one"), said(1, true));
        let repeats: Vec<_> = world.messages(None, 0).iter().map(|message| message.repeats).collect();
        assert_eq!(repeats, [1, 0]);
        world.heed_keys(false);
        assert_eq!(post(&mut world, Some("k"), "one"), said(3, false));
    }

    #[test]
    fn what_was_said_is_not_refused_afterwards() {
        let mut world = World::default();
        assert_eq!(post(&mut world, Some("k"), "one"), said(1, false));
        world.refuse(refusal(Some(1))).unwrap();
        assert_eq!(post(&mut world, Some("k"), "one"), said(1, true));
        let no = Answer::Refused { status: 403, code: "no".into(), retry_after: None };
        assert_eq!(post(&mut world, Some("l"), "two"), no);
        assert_eq!(post(&mut world, Some("l"), "two"), said(2, false), "it was refused once only");
    }

    #[test]
    fn every_so_many_answers_are_lost_and_what_they_answer_is_said() {
        let mut world = World::default();
        world.lose(2);
        assert_eq!(post(&mut world, Some("k"), "one"), said(1, false));
        assert_eq!(post(&mut world, Some("l"), "two"), Answer::Lost);
        assert_eq!(post(&mut world, Some("l"), "two"), said(2, true));
    }

    #[test]
    fn the_oldest_is_forgotten_with_its_key() {
        let mut world = World::default();
        post(&mut world, Some("k"), "first");
        for _ in 0..MAX_MESSAGES {
            post(&mut world, None, "x");
        }
        assert_eq!(world.messages(None, 0).len(), MAX_MESSAGES);
        assert!(matches!(post(&mut world, Some("k"), "first"), Answer::Said { repeated: false, .. }));
        for _ in 0..MAX_REFUSALS {
            world.refuse(refusal(None)).unwrap();
        }
        assert!(world.refuse(refusal(None)).is_err());
    }
}
