//! SQLite's errors in the words of the contract.

use chatbus_store::{StoreError, StoreErrorKind};
use rusqlite::{Error, ErrorCode};

/// `doing` completes "the store could not …".
pub(super) fn store_error(doing: &str, error: Error) -> StoreError {
    StoreError::new(kind(&error), format!("the store could not {doing}: {error}")).caused_by(error)
}

fn kind(error: &Error) -> StoreErrorKind {
    match error.sqlite_error_code() {
        // What is checked before never comes to this; if it does, trying again cannot help.
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            StoreErrorKind::Refused
        }
        Some(
            ErrorCode::NotADatabase
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen,
        ) => StoreErrorKind::Misconfigured,
        _ => StoreErrorKind::Unavailable,
    }
}
