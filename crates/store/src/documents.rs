//! Documents that people write: rules and personalities.

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::StoreError;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// A routing rule.
    Rule,
    /// A personality.
    Personality,
}

/// A document: JSON, under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// Its name, at most 200 bytes.
    pub name: String,
    /// The JSON.
    pub body: Bytes,
    /// When it was written.
    pub updated_at: Timestamp,
}

/// Documents.
#[async_trait]
pub trait Documents: Send + Sync {
    /// A number that changes with every write of this kind, by whichever process: cheap to ask for.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn documents_version(&self, kind: DocumentKind) -> Result<u64, StoreError>;

    /// All documents of a kind, by name.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn documents(&self, kind: DocumentKind) -> Result<Vec<Document>, StoreError>;

    /// Writes a document, in place of one of the same name.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn put_document(&self, document: &Document) -> Result<(), StoreError>;

    /// Removes a document; gives whether there was one.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn remove_document(&self, kind: DocumentKind, name: &str) -> Result<bool, StoreError>;
}

// === impl DocumentKind ===

impl DocumentKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Personality => "personality",
        }
    }
}
