//! What can go wrong.

use std::error::Error as StdError;

/// What kind of failure it is, and so what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The database is out of reach, busy or full: the same call may work later.
    Unavailable,
    /// A record can never be stored as it is; its place in the call is in [`StoreError::record`].
    Refused,
    /// What was to be changed is not what the caller thought.
    Conflict,
    /// The store can never work as it is configured, or its schema is newer than this build.
    Misconfigured,
}

/// A failed call. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    record: Option<usize>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

// === impl StoreError ===

impl StoreError {
    /// A failure, with what it was about.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), record: None, source: None }
    }

    /// With what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With the place of the record that is refused among those of the call.
    #[must_use]
    pub fn at(mut self, record: usize) -> Self {
        self.record = Some(record);
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Which record of the call is refused; `None` where that is not known, or nothing is.
    pub fn record(&self) -> Option<usize> {
        self.record
    }

    /// Whether the same call may work later.
    pub fn is_temporary(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }
}
