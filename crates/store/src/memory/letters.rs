//! Dead letters.

use std::cmp::Reverse;

use async_trait::async_trait;
use chatbus_event::Timestamp;

use super::MemoryStore;
use super::data::{Data, fits, page, within};
use crate::{DeadLetterFilter, DeadLetters, LetterState, Page, Replay, StoreError, StoredLetter, limits};

#[async_trait]
impl DeadLetters for MemoryStore {
    async fn letters(&self, filter: &DeadLetterFilter, part: &Page) -> Result<Vec<StoredLetter>, StoreError> {
        let data = self.data()?;
        let mut found: Vec<_> =
            data.letters.values().filter(|letter| is_wanted(letter, filter)).cloned().collect();
        found.sort_by_key(|letter| Reverse((letter.at, letter.id.clone())));
        Ok(page(found, part))
    }

    async fn open_letters(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        let data = self.data()?;
        let open = || data.letters.values().filter(|letter| letter.state == LetterState::Open);
        Ok((open().count() as u64, open().map(|letter| letter.at).min()))
    }

    async fn begin_replay(&self, id: &str) -> Result<Option<Replay>, StoreError> {
        let mut data = self.data()?;
        let Some(letter) = data.letters.get_mut(id).filter(|letter| letter.state.may_change()) else {
            return Ok(None);
        };
        let was_begun = letter.state == LetterState::Replaying;
        letter.state = LetterState::Replaying;
        Ok(Some(Replay { letter: letter.clone(), was_begun }))
    }

    async fn settle_letter(&self, id: &str, state: LetterState) -> Result<bool, StoreError> {
        let mut data = self.data()?;
        let Some(letter) = data.letters.get_mut(id) else { return Ok(false) };
        if letter.state.may_change() {
            letter.state = state;
        }
        Ok(letter.state == state)
    }
}

/// Writes a letter, unless it is there.
pub(super) fn insert(data: &mut Data, letter: &StoredLetter) {
    data.letters.entry(letter.id.clone()).or_insert_with(|| StoredLetter {
        correlation_id: limits::name(&letter.correlation_id),
        reason: limits::name(&letter.reason),
        error_code: letter.error_code.as_deref().map(limits::name),
        platform: letter.platform.as_deref().map(limits::name),
        topic: letter.topic.as_deref().map(limits::name),
        ..letter.clone()
    });
}

fn is_wanted(letter: &StoredLetter, filter: &DeadLetterFilter) -> bool {
    let correlation_id = filter.correlation_id.as_deref().map(limits::name);
    (filter.ids.is_empty() || filter.ids.contains(&letter.id))
        && fits(filter.reason.as_ref(), Some(&letter.reason))
        && fits(filter.platform.as_ref(), letter.platform.as_ref())
        && fits(correlation_id.as_ref(), Some(&letter.correlation_id))
        && fits(filter.state.as_ref(), Some(&letter.state))
        && within(letter.at, filter.since, filter.until)
}
