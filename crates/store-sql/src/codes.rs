//! Words as the numbers that stand in the tables.

use chatbus_store::{EventStatus, LetterState, StoreError, UserStatus};

use crate::value::odd;

/// How far an event is; grows with it.
pub(crate) fn status(status: EventStatus) -> i64 {
    match status {
        EventStatus::Ingested => 0,
        EventStatus::InProgress => 1,
        EventStatus::Finalized => 2,
        EventStatus::Error => 3,
    }
}

pub(crate) fn status_of(code: i64) -> Result<EventStatus, StoreError> {
    EventStatus::ALL.into_iter().find(|known| status(*known) == code).ok_or_else(odd)
}

/// What was done about a letter; the statements name 0 and 1, which may still change.
pub(crate) fn letter(state: LetterState) -> i64 {
    match state {
        LetterState::Open => 0,
        LetterState::Replaying => 1,
        LetterState::Replayed => 2,
        LetterState::Discarded => 3,
    }
}

pub(crate) fn letter_of(code: i64) -> Result<LetterState, StoreError> {
    LetterState::ALL.into_iter().find(|known| letter(*known) == code).ok_or_else(odd)
}

pub(crate) fn user(status: UserStatus) -> i64 {
    match status {
        UserStatus::Active => 0,
        UserStatus::Banned => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_number_of_its_own_and_comes_back() {
        for known in EventStatus::ALL {
            assert_eq!(status_of(status(known)).unwrap(), known);
        }
        assert!(EventStatus::ALL.is_sorted_by_key(|known| status(*known)), "SQL takes the largest");
        for known in LetterState::ALL {
            assert_eq!(letter_of(letter(known)).unwrap(), known);
            assert_eq!(known.may_change(), letter(known) < 2, "the statements say so");
        }
        assert!(status_of(9).is_err() && letter_of(-1).is_err());
    }
}
