//! Dead letters.

use async_trait::async_trait;
use chatbus_event::Timestamp;
use chatbus_store::{
    DeadLetterFilter, DeadLetters, LetterState, Page, Replay, StoreError, StoredLetter, limits,
};

use super::SqlStore;
use crate::database::Database;
use crate::value::{Row, Statement};
use crate::{codes, select, sql};

#[async_trait]
impl<D: Database> DeadLetters for SqlStore<D> {
    async fn letters(&self, filter: &DeadLetterFilter, page: &Page) -> Result<Vec<StoredLetter>, StoreError> {
        let rows = self.find(select::letters(self.database.dialect(), filter, page)).await?;
        rows.into_iter().map(to_letter).collect()
    }

    async fn open_letters(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        let rows = self.find(Statement::new(sql::OPEN_LETTERS, [])).await?;
        match rows.into_iter().next() {
            Some(mut row) => Ok((u64::try_from(row.int()?).unwrap_or_default(), row.maybe_time()?)),
            None => Ok((0, None)),
        }
    }

    async fn begin_replay(&self, id: &str) -> Result<Option<Replay>, StoreError> {
        if !limits::may_be_id(id) {
            return Ok(None);
        }
        let begin = Statement::new(sql::BEGIN_REPLAY, [id.into()]);
        let read = Statement::new(sql::REPLAYING_LETTER, [id.into()]);
        let mut found = self.database.write(vec![begin, read]).await?.into_iter();
        let was_begun = found.next().is_none_or(|begun| begun.is_empty());
        let letter = found.next().and_then(|rows| rows.into_iter().next());
        letter.map(|row| Ok(Replay { letter: to_letter(row)?, was_begun })).transpose()
    }

    async fn settle_letter(&self, id: &str, state: LetterState) -> Result<bool, StoreError> {
        if !limits::may_be_id(id) {
            return Ok(false);
        }
        let settle = Statement::new(sql::SETTLE_LETTER, [id.into(), codes::letter(state).into()]);
        let read = Statement::new(sql::LETTER_STATE, [id.into()]);
        let rows = self.change([settle, read]).await?;
        match rows.into_iter().next() {
            Some(mut row) => Ok(codes::letter_of(row.int()?)? == state),
            None => Ok(false),
        }
    }
}

fn to_letter(mut row: Row) -> Result<StoredLetter, StoreError> {
    Ok(StoredLetter {
        id: row.text()?,
        correlation_id: row.text()?,
        reason: row.text()?,
        error_code: row.maybe_text()?,
        platform: row.maybe_text()?,
        topic: row.maybe_text()?,
        at: row.time()?,
        letter: row.bytes()?,
        original: row.maybe_bytes()?,
        state: codes::letter_of(row.int()?)?,
        expires_at: row.time()?,
    })
}
