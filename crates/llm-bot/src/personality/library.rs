//! Looks personalities up: what the store and the files hold, kept for a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_event::Clock;
use chatbus_store::{Document, DocumentKind, Documents, StoreError};
use tokio::sync::Mutex;

use super::Wish;
use super::files::Files;
use super::sheet::{Sheet, Syntax, clean, read as read_sheets};
use crate::config::PersonalityConfig;
use crate::counts::Counters;

/// How long store and files may take; then what is known counts on.
const REFRESH_WITHIN: Duration = Duration::from_secs(2);
/// A longer document is left out.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// All personalities there are.
pub(crate) struct Library {
    config: PersonalityConfig,
    store: Option<Arc<dyn Documents>>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    shelf: Mutex<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    files: Files,
    stored: Vec<Sheet>,
    /// The store's number of what is stored.
    version: Option<u64>,
    asked: Option<Instant>,
    index: Arc<HashMap<String, String>>,
}

// === impl Library ===

impl Library {
    pub(crate) fn new(
        config: &PersonalityConfig,
        store: Option<Arc<dyn Documents>>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        let shelf = Shelf {
            files: Files::new(config.paths.clone()),
            stored: Vec::new(),
            version: None,
            asked: None,
            index: Arc::default(),
        };
        Self { config: config.clone(), store, clock, counters, shelf: Mutex::new(shelf) }
    }

    /// The texts of what is wished for, in its order. What is not there is skipped and counted: it is never why
    /// an event is not answered.
    pub(crate) async fn texts(&self, wishes: &[Wish]) -> Vec<String> {
        if !self.config.enabled || wishes.is_empty() {
            return Vec::new();
        }
        let (taken, dropped) = wishes.split_at(wishes.len().min(self.config.max));
        self.counters.personalities_dropped.add(dropped.len());
        let is_named = |wish: &Wish| matches!(wish, Wish::Named(_));
        let index = if taken.iter().any(is_named) { self.index().await } else { Arc::default() };
        taken.iter().filter_map(|wish| self.text(wish, &index)).collect()
    }

    fn text(&self, wish: &Wish, index: &HashMap<String, String>) -> Option<String> {
        let found = match wish {
            Wish::Inline(text) => Some(text),
            Wish::Named(name) => index.get(name),
        };
        let (text, cut) = found.map(|text| clean(text, self.config.max_chars)).unwrap_or_default();
        if text.is_empty() {
            self.counters.personalities_missing.add(1);
            return None;
        }
        self.counters.personalities_resolved.add(1);
        self.counters.personalities_cut.add(usize::from(cut));
        Some(text)
    }

    /// What is known, asked for anew where it is too old. Who comes meanwhile waits for the same answer.
    async fn index(&self) -> Arc<HashMap<String, String>> {
        let mut shelf = self.shelf.lock().await;
        let now = self.clock.instant();
        let is_fresh = shelf.asked.is_some_and(|at| now.saturating_duration_since(at) < self.config.ttl);
        if is_fresh {
            self.counters.personality_cache_hits.add(1);
            return Arc::clone(&shelf.index);
        }
        self.counters.personality_cache_misses.add(1);
        shelf.asked = Some(now);
        if tokio::time::timeout(REFRESH_WITHIN, self.refresh(&mut shelf)).await.is_err() {
            tracing::warn!(
                event = "llm.personality.slow",
                component = "llm-bot",
                withinMs = REFRESH_WITHIN.as_millis()
            );
        }
        Arc::clone(&shelf.index)
    }

    async fn refresh(&self, shelf: &mut Shelf) {
        shelf.files.refresh().await;
        let store_changed = match self.ask_store(shelf.version).await {
            Ok(Some((version, sheets))) => {
                (shelf.version, shelf.stored) = (Some(version), sheets);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(event = "llm.personality.store_failed", component = "llm-bot", reason = %error);
                false
            }
        };
        if shelf.files.take_changed() || store_changed {
            shelf.index = Arc::new(self.put_together(shelf));
        }
    }

    /// What the store holds, unless it is what it held at `known`.
    async fn ask_store(&self, known: Option<u64>) -> Result<Option<(u64, Vec<Sheet>)>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        // Asked before they are read: what is written meanwhile is then read again, not missed.
        let version = store.documents_version(DocumentKind::Personality).await?;
        if known == Some(version) {
            return Ok(None);
        }
        let documents = store.documents(DocumentKind::Personality).await?;
        Ok(Some((version, documents.iter().flat_map(sheets_of).collect())))
    }

    /// Of each name the highest version; of two that are the same the stored one, which was written at run time.
    fn put_together(&self, shelf: &Shelf) -> HashMap<String, String> {
        let mut best: BTreeMap<&str, &Sheet> = BTreeMap::new();
        for sheet in shelf.files.sheets().chain(&shelf.stored) {
            let place = best.entry(&sheet.name).or_insert(sheet);
            if sheet.version >= place.version {
                *place = sheet;
            }
        }
        if best.len() > self.config.kept {
            tracing::warn!(
                event = "llm.personality.too_many",
                component = "llm-bot",
                found = best.len(),
                most = self.config.kept
            );
        }
        // One character more than is used, so that what is cut is still known to be.
        let most = self.config.max_chars.saturating_add(1);
        let kept = best.into_iter().take(self.config.kept);
        kept.map(|(name, sheet)| (name.to_owned(), clean(&sheet.text, most).0)).collect()
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("config", &self.config).finish_non_exhaustive()
    }
}

fn sheets_of(document: &Document) -> Vec<Sheet> {
    let text = std::str::from_utf8(&document.body).ok().filter(|text| text.len() <= MAX_DOCUMENT_BYTES);
    let sheets = text.ok_or_else(|| "too long, or no text".to_owned());
    let sheets = sheets.and_then(|text| read_sheets(text, Syntax::Json, &document.name));
    sheets.unwrap_or_else(|reason| {
        tracing::warn!(
            event = "llm.personality.document_refused",
            component = "llm-bot",
            name = document.name,
            reason
        );
        Vec::new()
    })
}

#[cfg(test)]
mod tests;
