//! Whether what becomes known of an event moves it in an index.
//!
//! SQLite writes an index anew for every column that a statement names, whether its value changes or not. Most
//! steps tell nothing new of what events are found by, and five indexes are then left alone.

use chatbus_store::life::{FACTS, Fact, Life, raw_user};
use rusqlite::Row;

use crate::batch::hour;

/// The indexed columns that a step may change.
pub(super) const COLUMNS: [&str; 5] = ["first_at", "expires_hour", "channel", "user_name", "user_raw"];

/// Reads an event's id and [`Indexed`].
pub(super) const READ: &str = "SELECT id, first_at, expires_hour, channel_rank, channel, user_name_rank, \
    user_name, user_id_rank, user_raw FROM event WHERE correlation_id = ?1";

/// The indexed columns of a row as they stand, and how much each fact counts.
pub(super) struct Indexed {
    first_at: i64,
    expires_hour: i64,
    channel: (i64, Option<String>),
    user_name: (i64, Option<String>),
    user_raw: (i64, Option<String>),
}

// === impl Indexed ===

impl Indexed {
    /// From a row of [`READ`], with the id.
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<(i64, Self)> {
        let indexed = Self {
            first_at: row.get(1)?,
            expires_hour: row.get(2)?,
            channel: (row.get(3)?, row.get(4)?),
            user_name: (row.get(5)?, row.get(6)?),
            user_raw: (row.get(7)?, row.get(8)?),
        };
        Ok((row.get(0)?, indexed))
    }

    /// Whether all of them are the same after this life has joined the row.
    pub(super) fn stays_with(&self, life: &Life) -> bool {
        let told = |name: &str| -> &Fact {
            let at = FACTS.iter().position(|fact| *fact == name);
            at.and_then(|at| life.facts.get(at)).unwrap_or(&None)
        };
        let is_same = |known: &(i64, Option<String>), told: &Fact, form: fn(&str) -> &str| match told {
            Some((rank, text)) => *rank < known.0 || known.1.as_deref() == Some(form(text)),
            None => true,
        };
        life.first_at.as_millis() >= self.first_at
            && hour(life.expires_at) <= self.expires_hour
            && is_same(&self.channel, told("channel"), |text| text)
            && is_same(&self.user_name, told("user_name"), |text| text)
            && is_same(&self.user_raw, told("user_id"), raw_user)
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::Timestamp;
    use chatbus_store::EventStatus;

    use super::*;

    /// A life at 01:00 that tells of a channel, a user and a name with this rank.
    fn life(rank: i64, channel: &str, user: &str, name: &str) -> Life {
        let mut facts: [Fact; 7] = Default::default();
        for (fact, text) in [("channel", channel), ("user_id", user), ("user_name", name)] {
            facts[FACTS.iter().position(|known| *known == fact).unwrap()] = Some((rank, text.to_owned()));
        }
        let at = Timestamp::from_millis(3_600_000);
        Life { status: EventStatus::InProgress, facts, first_at: at, last_at: at, expires_at: at }
    }

    fn indexed() -> Indexed {
        let known = |text: &str| (5, Some(text.to_owned()));
        Indexed {
            first_at: 3_600_000,
            expires_hour: 1,
            channel: known("#a"),
            user_name: known("Ann"),
            user_raw: known("7"),
        }
    }

    #[test]
    fn an_event_stays_where_it_is_when_nothing_new_is_told_of_it() {
        assert!(indexed().stays_with(&life(9, "#a", "7", "Ann")));
        assert!(indexed().stays_with(&life(9, "#a", "twitch:7", "Ann")), "the raw id is indexed");
        assert!(indexed().stays_with(&life(4, "#b", "8", "Bob")), "what counts less changes nothing");
        let mut silent = life(9, "", "", "");
        silent.facts = Default::default();
        assert!(indexed().stays_with(&silent));
    }

    #[test]
    fn an_event_moves_with_each_column_that_changes() {
        for (channel, user, name) in [("#b", "7", "Ann"), ("#a", "8", "Ann"), ("#a", "7", "Bob")] {
            for rank in [5, 9] {
                assert!(!indexed().stays_with(&life(rank, channel, user, name)), "{channel} {user} {name}");
            }
        }
        let mut earlier = life(9, "#a", "7", "Ann");
        earlier.first_at = Timestamp::from_millis(0);
        let mut longer = life(9, "#a", "7", "Ann");
        longer.expires_at = Timestamp::from_millis(7_200_000);
        assert!(!indexed().stays_with(&earlier) && !indexed().stays_with(&longer));
    }
}
