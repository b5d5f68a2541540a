//! Documents in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use chatbus_store::{Document, DocumentKind, Documents, StoreError, StoreErrorKind};

#[derive(Default)]
pub(crate) struct InMemory {
    documents: Mutex<BTreeMap<String, Document>>,
    version: AtomicU64,
    pub(crate) reads: AtomicUsize,
    pub(crate) is_away: AtomicBool,
}

impl InMemory {
    pub(crate) async fn put(&self, name: &str, body: &str) {
        let document = Document {
            kind: DocumentKind::Rule,
            name: name.to_owned(),
            body: body.to_owned().into(),
            updated_at: crate::now(),
        };
        self.put_document(&document).await.unwrap();
    }

    fn there(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is away"));
        }
        Ok(())
    }
}

#[async_trait]
impl Documents for InMemory {
    async fn documents_version(&self, _: DocumentKind) -> Result<u64, StoreError> {
        self.there()?;
        Ok(self.version.load(Ordering::SeqCst))
    }

    async fn documents(&self, kind: DocumentKind) -> Result<Vec<Document>, StoreError> {
        self.there()?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self
            .documents
            .lock()
            .unwrap()
            .values()
            .filter(|document| document.kind == kind)
            .cloned()
            .collect())
    }

    async fn put_document(&self, document: &Document) -> Result<(), StoreError> {
        self.there()?;
        self.version.fetch_add(1, Ordering::SeqCst);
        self.documents.lock().unwrap().insert(document.name.clone(), document.clone());
        Ok(())
    }

    async fn remove_document(&self, _: DocumentKind, name: &str) -> Result<bool, StoreError> {
        self.there()?;
        self.version.fetch_add(1, Ordering::SeqCst);
        Ok(self.documents.lock().unwrap().remove(name).is_some())
    }
}
