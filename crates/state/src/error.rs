//! Why the state did not do what it was asked.

use std::error::Error as StdError;

use crate::Key;

/// What went wrong, and so whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateErrorKind {
    /// What stands there is not what was expected. Read again, then decide.
    Conflict,
    /// No connection, or stopping. Nothing was done. Try again later.
    Closed,
    /// No answer in time, or the connection broke: it may have been done.
    Uncertain,
    /// The value is over the limit. Trying again cannot help.
    TooLarge,
    /// The server or the disk refused for a reason of its own. Trying again may help.
    Refused,
    /// The configuration cannot work with this server. Trying again cannot help.
    Misconfigured,
}

/// An error of the shared state. It prints as a sentence that names what was being done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StateError {
    kind: StateErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

// === impl StateError ===

impl StateError {
    /// An error of this kind.
    pub fn new(kind: StateErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        self.message = format!("{}: {source}", self.message);
        self.source = Some(source);
        self
    }

    /// Somebody else's write stands there.
    pub fn conflict(key: &Key) -> Self {
        Self::new(StateErrorKind::Conflict, format!("something else than expected stands under {key}"))
    }

    /// No connection, or stopping; nothing was done.
    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(StateErrorKind::Closed, message)
    }

    /// What went wrong.
    pub fn kind(&self) -> StateErrorKind {
        self.kind
    }

    /// Whether somebody else's write stands there.
    pub fn is_conflict(&self) -> bool {
        self.kind == StateErrorKind::Conflict
    }

    /// Whether the same call may succeed later, though nobody else writes.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, StateErrorKind::Closed | StateErrorKind::Uncertain | StateErrorKind::Refused)
    }
}
