//! What is in force, and what is wrong, for people and for readiness.

use chatbus_event::Timestamp;
use serde::Serialize;

/// What a book holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BookStatus {
    /// Whether everything was looked at once.
    pub loaded: bool,
    /// Rules in force, the default ones included.
    pub rules: usize,
    /// Rules beyond the most that a set may have, which are not in force.
    pub left_out: usize,
    /// Where they come from.
    pub sources: Vec<SourceStatus>,
}

/// A file, or a document of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Rules of it that are in force.
    pub rules: usize,
    /// When these were read; none when nothing of it is in force.
    pub loaded_at: Option<Timestamp>,
    /// What is wrong with it as it is now; then what was read before stays in force.
    pub problems: Vec<String>,
}

// === impl BookStatus ===

impl BookStatus {
    /// Whether everything was read, and all of it is in force.
    pub fn is_well(&self) -> bool {
        self.loaded && self.left_out == 0 && self.sources.iter().all(|source| source.problems.is_empty())
    }
}
