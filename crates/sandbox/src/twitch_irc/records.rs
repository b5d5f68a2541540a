//! What the sandbox remembers for tests to read back: messages, joins, logins. Rings, so that a soak
//! of days keeps the newest and the counters keep the sum.

use std::collections::{BTreeMap, VecDeque};

use chatbus_event::Timestamp;
use serde::Serialize;

/// Entries a ring holds.
pub const MAX_RECORDS: usize = 100_000;
/// Bytes of text a ring holds.
const MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Something a client sent to a channel, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentMessage {
    /// Counts up from 1 over all channels.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// The channel without `#`; for another target, that as sent.
    pub channel: String,
    /// Who sent it.
    pub login: String,
    /// As the client sent it.
    pub text: String,
    /// The tags the client sent.
    pub tags: BTreeMap<String, String>,
    /// On which connection; 0 when it came by Helix.
    pub connection: u64,
    /// How it came.
    pub way: Way,
    /// Whether it was said in the channel.
    pub accepted: bool,
    /// Why it was not: the `msg-id` of the NOTICE or Helix's drop code, or `anonymous`, `blank`, `not_a_channel`, which
    /// Twitch drops without a word.
    pub code: Option<String>,
    /// The id it got in the channel.
    pub id: Option<String>,
}

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// With PRIVMSG.
    Irc,
    /// With a request to Helix.
    Helix,
}

/// A JOIN of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinAttempt {
    /// Counts up from 1.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// On which connection.
    pub connection: u64,
    /// Whose it is.
    pub login: String,
    /// The channel without `#`, or what was sent instead of one.
    pub channel: String,
    /// Whether it succeeded.
    pub joined: bool,
    /// Why not: `rate_limit`, `never_joins`, `not_a_channel`, `already_joined`, `too_many_channels`
    /// (all unanswered, as Twitch does), `msg_banned` or `msg_channel_suspended`.
    pub code: Option<&'static str>,
}

/// An attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoginAttempt {
    /// Counts up from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// On which connection.
    pub connection: u64,
    /// As whom.
    pub login: String,
    /// Whether the server said 001.
    pub accepted: bool,
    /// What the NOTICE said instead.
    pub code: Option<&'static str>,
}

/// A record of a ring.
pub(crate) trait Record {
    fn seq(&self) -> u64;
    fn at(&self) -> Timestamp;
    fn bytes(&self) -> usize;
}

/// Where to begin to read a ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Since {
    /// At the oldest that is kept.
    #[default]
    Start,
    /// After the record with this number.
    Seq(u64),
    /// At this moment.
    Time(Timestamp),
}

/// The newest records.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    kept: VecDeque<T>,
    bytes: usize,
    total: u64,
}

// === impl Ring ===

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), bytes: 0, total: 0 }
    }
}

impl<T: Record + Clone> Ring<T> {
    /// Adds what `make` makes of the next number.
    pub(crate) fn add(&mut self, make: impl FnOnce(u64) -> T) {
        self.total += 1;
        let record = make(self.total);
        self.bytes += record.bytes();
        self.kept.push_back(record);
        while self.kept.len() > MAX_RECORDS || self.bytes > MAX_RECORD_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }

    /// Those since then that `wanted` wants, oldest first.
    pub(crate) fn read(&self, since: Since, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let begins = |record: &T| match since {
            Since::Start => true,
            Since::Seq(seq) => record.seq() > seq,
            Since::Time(at) => record.at() >= at,
        };
        self.kept.iter().filter(|record| begins(record) && wanted(record)).cloned().collect()
    }

    /// Forgets all; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.kept = VecDeque::new();
        self.bytes = 0;
    }
}

impl Record for SentMessage {
    fn seq(&self) -> u64 {
        self.seq
    }
    fn at(&self) -> Timestamp {
        self.at
    }
    fn bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(key, value)| key.len() + value.len() + 64).sum();
        256 + self.channel.len() + self.login.len() + self.text.len() + tags
    }
}

impl Record for JoinAttempt {
    fn seq(&self) -> u64 {
        self.seq
    }
    fn at(&self) -> Timestamp {
        self.at
    }
    fn bytes(&self) -> usize {
        128 + self.login.len() + self.channel.len()
    }
}

impl Record for LoginAttempt {
    fn seq(&self) -> u64 {
        self.seq
    }
    fn at(&self) -> Timestamp {
        self.at
    }
    fn bytes(&self) -> usize {
        128 + self.login.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(seq: u64) -> LoginAttempt {
        let at = Timestamp::from_millis(i64::try_from(seq).unwrap());
        LoginAttempt { seq, at, connection: 1, login: "bot".into(), accepted: true, code: None }
    }

    #[test]
    fn a_ring_keeps_the_newest_and_counts_all() {
        let mut ring = Ring::default();
        for _ in 0..MAX_RECORDS + 5 {
            ring.add(login);
        }
        let all = ring.read(Since::Start, |_| true);
        assert_eq!((all.len(), all[0].seq), (MAX_RECORDS, 6));
        ring.clear();
        ring.add(login);
        assert_eq!(ring.read(Since::Start, |_| true)[0].seq, MAX_RECORDS as u64 + 6);
    }

    #[test]
    fn reading_begins_after_a_number_or_at_a_moment() {
        let mut ring = Ring::default();
        for _ in 0..4 {
            ring.add(login);
        }
        let seqs = |since| ring.read(since, |_| true).iter().map(|r| r.seq).collect::<Vec<_>>();
        assert_eq!(seqs(Since::Seq(2)), [3, 4]);
        assert_eq!(seqs(Since::Time(Timestamp::from_millis(4))), [4]);
    }
}
