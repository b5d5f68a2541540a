//! PostgreSQL's errors in the words of the contract.

use std::error::Error as _;

use chatbus_store::{StoreError, StoreErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why work failed.
#[derive(Debug)]
pub(super) enum WorkError {
    Postgres(Error),
    Store(StoreError),
    /// Somebody else did something at the same moment: what was read does not hold any more.
    Again,
}

// === impl WorkError ===

impl WorkError {
    /// Whether the same transaction may succeed at once.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Again => true,
            Self::Store(_) => false,
            Self::Postgres(error) => {
                matches!(
                    error.code(),
                    Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)
                )
            }
        }
    }

    /// Whether the connection is at fault, or the server ends it.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Postgres(error)
            if error.code().is_none_or(|code| code.code().starts_with("57P") || code.code().starts_with("08")))
    }

    pub(super) fn into_store(self) -> StoreError {
        match self {
            Self::Postgres(error) => store_error("do it", error),
            Self::Store(error) => error,
            Self::Again => unavailable("others write the same, again and again"),
        }
    }
}

impl From<Error> for WorkError {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for WorkError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a call came to. `doing` completes "the store could not …". The client's errors never hold the password.
pub(super) fn store_error(doing: &str, error: Error) -> StoreError {
    let kind = match class(&error) {
        // Data, constraints, limits of the program: what is checked before never comes to this.
        "22" | "23" | "54" => StoreErrorKind::Refused,
        _ => StoreErrorKind::Unavailable,
    };
    of_kind(kind, doing, error)
}

/// What opening came to: there is more that trying again cannot help.
pub(super) fn opening_error(doing: &str, error: Error) -> StoreError {
    let kind = match class(&error) {
        // Who may log in; which databases, schemas and features there are; what may be done.
        "28" | "3D" | "3F" | "0A" | "42" => StoreErrorKind::Misconfigured,
        _ => StoreErrorKind::Unavailable,
    };
    of_kind(kind, doing, error)
}

/// Out of reach, and why.
pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

fn of_kind(kind: StoreErrorKind, doing: &str, error: Error) -> StoreError {
    StoreError::new(kind, format!("the store could not {doing}: {}", why(&error))).caused_by(error)
}

/// With what is behind it, which the client's errors leave to whoever prints them. Of the server's own its
/// message and no details: those hold values.
pub(super) fn why(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text = format!("{text}: {error}");
        behind = error.source();
    }
    text
}

/// The first two letters of the error's code; none where the server did not give it.
fn class(error: &Error) -> &str {
    error.code().and_then(|code| code.code().get(..2)).unwrap_or_default()
}
