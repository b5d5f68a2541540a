//! Rules of the store.

use bytes::Bytes;
use chatbus_event::Timestamp;
use chatbus_routing::{Compiler, MAX_DOCUMENT_BYTES, MAX_RULES};
use chatbus_store::{DocumentKind, Documents};

use super::Rules;
use crate::kept::{Kept, told};
use crate::status::SourceStatus;

/// What was read from the store so far.
#[derive(Default)]
pub(super) struct Stored {
    version: Option<u64>,
    documents: Kept<Bytes, Rules>,
    problem: Option<String>,
}

/// What the store is called in the status.
const NAME: &str = "store";

// === impl Stored ===

impl Stored {
    /// Reads what changed; says whether anything did.
    pub(super) async fn refresh(
        &mut self,
        documents: &dyn Documents,
        compiler: &Compiler,
        now: Timestamp,
    ) -> bool {
        let read = async {
            // Asked before they are read: what is written meanwhile is then read again.
            let version = documents.documents_version(DocumentKind::Rule).await?;
            if self.version == Some(version) {
                return Ok(None);
            }
            Ok(Some((version, documents.documents(DocumentKind::Rule).await?)))
        };
        let read: Result<_, chatbus_store::StoreError> = read.await;
        let (version, found) = match read {
            Ok(None) => {
                self.problem = None;
                return false;
            }
            Ok(Some(read)) => read,
            Err(error) => {
                self.problem = Some(error.to_string());
                return false;
            }
        };
        self.version = Some(version);
        let over = found.len().saturating_sub(MAX_RULES);
        self.problem = (over > 0).then(|| format!("{over} documents over {MAX_RULES} are not read"));
        let found = found.get(..MAX_RULES).unwrap_or(&found);
        let names: std::collections::BTreeSet<String> =
            found.iter().map(|document| called(&document.name)).collect();
        let mut is_changed = self.documents.retain(|name| names.contains(name));
        for document in found {
            let name = called(&document.name);
            if self.documents.is_unchanged(&name, &document.body) {
                continue;
            }
            let read = match std::str::from_utf8(&document.body) {
                _ if document.body.len() > MAX_DOCUMENT_BYTES => {
                    Err(vec![format!("{name}: over {MAX_DOCUMENT_BYTES} bytes")])
                }
                Err(_) => Err(vec![format!("{name}: not UTF-8")]),
                Ok(text) => {
                    compiler.stored_rules(&name, &document.name, text).map_err(|problems| told(&problems))
                }
            };
            self.documents.put(&name, Some(document.body.clone()), read, now);
            is_changed = true;
        }
        is_changed
    }

    pub(super) fn good(&self) -> impl Iterator<Item = &Rules> {
        self.documents.good()
    }

    pub(super) fn status(&self) -> Vec<SourceStatus> {
        let mut status = self.documents.status(Vec::len);
        if let Some(problem) = &self.problem {
            let problems = vec![problem.clone()];
            status.push(SourceStatus { name: NAME.to_owned(), rules: 0, loaded_at: None, problems });
        }
        status
    }
}

fn called(name: &str) -> String {
    format!("{NAME}/{name}")
}
