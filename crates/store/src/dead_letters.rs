//! Dead letters, and their replay.

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::{Page, StoreError};

/// What was done about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LetterState {
    /// Nothing yet.
    Open,
    /// A replay was begun, and is perhaps published.
    Replaying,
    /// It was published again.
    Replayed,
    /// Someone decided that nothing is to be done.
    Discarded,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLetter {
    /// The letter's own message id: names it.
    pub id: String,
    /// The event's correlation id.
    pub correlation_id: String,
    /// The stable reason.
    pub reason: String,
    /// `error.code`, where something failed.
    pub error_code: Option<String>,
    /// The platform it was for or came from, where that is known.
    pub platform: Option<String>,
    /// The topic it stood on, where that is known.
    pub topic: Option<String>,
    /// When it was given up.
    pub at: Timestamp,
    /// The whole dead letter, as it was on the bus.
    pub letter: Bytes,
    /// The whole original, where the letter has it.
    pub original: Option<Bytes>,
    /// What was done about it.
    pub state: LetterState,
    /// When it may go.
    pub expires_at: Timestamp,
}

/// Which dead letters; every field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// The ids of letters.
    pub ids: Vec<String>,
    /// The reason.
    pub reason: Option<String>,
    /// The platform.
    pub platform: Option<String>,
    /// The event.
    pub correlation_id: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// What was done about it.
    pub state: Option<LetterState>,
}

/// A replay that may go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The letter.
    pub letter: StoredLetter,
    /// Whether it was begun before: it may be on the bus already, under the same ids.
    pub was_begun: bool,
}

/// Dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Dead letters, newest first.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn letters(&self, filter: &DeadLetterFilter, page: &Page) -> Result<Vec<StoredLetter>, StoreError>;

    /// How many are open, and when the oldest of them was given up.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn open_letters(&self) -> Result<(u64, Option<Timestamp>), StoreError>;

    /// Notes that a letter is about to be published again; `None` when there is no such letter, or it was
    /// replayed or discarded.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn begin_replay(&self, id: &str) -> Result<Option<Replay>, StoreError>;

    /// Notes what was done about a letter, if it is in a state that may become that: `Open` and `Replaying`
    /// may become anything, what is done stays done. Gives whether it is so now.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn settle_letter(&self, id: &str, state: LetterState) -> Result<bool, StoreError>;
}

// === impl LetterState ===

impl LetterState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Replaying, Self::Replayed, Self::Discarded];

    /// Whether it may still become another.
    pub fn may_change(self) -> bool {
        matches!(self, Self::Open | Self::Replaying)
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    /// The state of this word, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(word))
    }
}
