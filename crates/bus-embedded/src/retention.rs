//! Retention of logs: what is too old or too much goes, oldest first, a few rows a commit, so that
//! publishing never waits for a big deletion.

use chatbus_event::Family;

use crate::EmbeddedConfig;
use crate::commit::{Done, Work};
use crate::family;
use crate::shared::{from_sql, to_sql};
use crate::topics::{Topics, oldest};

/// How many rows a commit removes besides twice as many as it added.
const STEP: u64 = 64;

/// Whether a family holds more, or longer, than it may.
fn is_due(topics: &Topics, config: &EmbeddedConfig, family: Family, now_ms: i64) -> bool {
    let entry = topics.family(family);
    !family::holds(family)
        && entry
            .oldest_ms
            .is_some_and(|oldest| entry.bytes > config.retention_bytes || now_ms > expiry_ms(config, oldest))
}

fn expiry_ms(config: &EmbeddedConfig, oldest_ms: i64) -> i64 {
    let retention = i64::try_from(config.retention.as_millis()).unwrap_or(i64::MAX);
    oldest_ms.saturating_add(retention)
}

/// How long until retention has something to do; `None` for as long as nothing is published.
pub(crate) fn due_in_ms(topics: &Topics, config: &EmbeddedConfig, now_ms: i64) -> Option<i64> {
    let due = |f: Family| {
        if is_due(topics, config, f, now_ms) {
            return Some(0);
        }
        let oldest = topics.family(f).oldest_ms.filter(|_| !family::holds(f))?;
        Some(expiry_ms(config, oldest).saturating_sub(now_ms).saturating_add(1).max(1))
    };
    Family::ALL.into_iter().filter_map(due).min()
}

// === impl Work ===

impl Work<'_> {
    /// Removes what is due, up to the bound of one commit.
    pub(crate) fn retain(&mut self, done: &mut Done) -> rusqlite::Result<()> {
        for family in Family::ALL {
            if is_due(self.topics, &self.shared.config, family, self.now.wall_ms) {
                self.retain_family(family, done)?;
            }
        }
        Ok(())
    }

    fn retain_family(&mut self, family: Family, done: &mut Done) -> rusqlite::Result<()> {
        let step = STEP + 2 * done.answers.len() as u64;
        let mut statement = self.db.prepare_cached(&family::sql(family).oldest)?;
        let rows: Vec<(i64, i64, i64, i64)> = statement
            .query_map([to_sql(step)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        drop(statement);
        for (seq, topic_id, at_ms, size) in rows {
            // What this very commit stores has not been offered to its groups yet.
            if from_sql(seq) > self.topics.last_seq_before(family) {
                break;
            }
            let over = self.topics.family(family).bytes > self.shared.config.retention_bytes;
            if !over && self.now.wall_ms <= expiry_ms(&self.shared.config, at_ms) {
                break;
            }
            self.delete(family, topic_id, from_sql(seq), from_sql(size))?;
            if let Some(at) = self.topics.find_id(topic_id) {
                self.forget(at, from_sql(seq), true, done)?;
            }
        }
        self.topics.family_mut(family).oldest_ms = oldest(self.db, family)?;
        Ok(())
    }
}
