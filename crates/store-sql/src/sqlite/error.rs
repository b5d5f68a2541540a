//! SQLite's errors in the words of the contract.

use chatbus_store::{StoreError, StoreErrorKind};
use rusqlite::{Error, ErrorCode};

/// What a call came to. `doing` completes "the store could not …".
pub(super) fn store_error(doing: &str, error: Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        // What is checked before never comes to this; if it does, trying again cannot help.
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            StoreErrorKind::Refused
        }
        _ => StoreErrorKind::Unavailable,
    };
    of_kind(kind, doing, error)
}

/// What opening came to: there is more that trying again cannot help.
pub(super) fn opening_error(doing: &str, error: Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(
            ErrorCode::NotADatabase
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen,
        ) => StoreErrorKind::Misconfigured,
        _ => StoreErrorKind::Unavailable,
    };
    of_kind(kind, doing, error)
}

fn of_kind(kind: StoreErrorKind, doing: &str, error: Error) -> StoreError {
    StoreError::new(kind, format!("the store could not {doing}: {error}")).caused_by(error)
}
