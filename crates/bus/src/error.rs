//! Why the bus did not do what it was asked.

use std::error::Error as StdError;

/// What went wrong, and so whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BusErrorKind {
    /// No connection, or the bus is stopping. Try again later.
    Closed,
    /// No answer in time; it may have been done. Try again with the same id.
    Timeout,
    /// The topic's family is full, or the disk is. Try again later.
    Full,
    /// The message is over the limit. Trying again cannot help.
    TooLarge,
    /// The server or the disk refused for a reason of its own. Trying again may help.
    Refused,
    /// The configuration cannot work with this server. Trying again cannot help.
    Misconfigured,
}

/// An error of the bus. It prints as a sentence that names what was being done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BusError {
    kind: BusErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

// === impl BusError ===

impl BusError {
    /// An error of this kind.
    pub fn new(kind: BusErrorKind, message: impl Into<String>) -> Self {
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

    /// No connection, or stopping.
    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(BusErrorKind::Closed, message)
    }

    /// What went wrong.
    pub fn kind(&self) -> BusErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        !matches!(self.kind, BusErrorKind::TooLarge | BusErrorKind::Misconfigured)
    }
}
