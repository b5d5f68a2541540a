//! What a record may hold, the same for every driver: checked before anything is written.

use crate::{
    Account, Channel, Document, Entry, Sighting, SourceChange, StepEntry, StoreError, StoreErrorKind,
    StoredLetter, TokenRow, UserChange, clean,
};

/// Bytes of what names a record: ids, keys. One that is empty, longer, or holds NUL is refused: it cannot be
/// cleaned without becoming another's.
pub const MAX_ID_BYTES: usize = 1024;

/// Bytes of a name, a channel, a reason; cut there.
pub const MAX_NAME_BYTES: usize = 512;

/// Bytes of a text that is searched, and of notes; cut there.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Bytes of a body; a larger one is refused.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Roles or tags in one list; further ones that a platform tells are dropped, of those that people give the
/// list is refused.
pub const MAX_LIST: usize = 256;

/// Rows in one page, however many are asked for.
pub const MAX_PAGE: usize = 1000;

/// Bytes of a document's name.
pub const MAX_DOCUMENT_NAME_BYTES: usize = 200;

/// Whether every entry can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) with the place of the first that cannot.
pub fn check_entries(entries: &[Entry]) -> Result<(), StoreError> {
    each(entries, |entry| match entry {
        Entry::Step(step) => check_step(step),
        Entry::Letter(letter) => check_letter(letter),
        Entry::Source(change) => check_source(change),
        Entry::Raw { key, body, .. } => id("key", key)?.then_body("body", body.len()),
    })
}

/// Whether every sighting can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) with the place of the first that cannot.
pub fn check_sightings(sightings: &[Sighting]) -> Result<(), StoreError> {
    each(sightings, |sighting| {
        id("key", &sighting.key)?;
        id("provider", &sighting.provider)?;
        if sighting.provider.contains(':') {
            // `a:b` + `c` and `a` + `b:c` would be one user.
            return Err("a provider with a colon".to_owned());
        }
        if let Some(told) = &sighting.roles {
            id("platform of roles", &told.platform)?;
        }
        id("user id", &sighting.provider_user_id).map(drop)
    })
}

/// Whether a token can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) when it cannot.
pub fn check_token(token: &TokenRow) -> Result<(), StoreError> {
    one(id("hash", &token.hash).and_then(|checked| checked.then_body("record", token.record.len())))
}

/// Whether an account can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) when it cannot.
pub fn check_account(account: &Account) -> Result<(), StoreError> {
    let names = id("platform", &account.platform).and_then(|_| id("identity", &account.identity));
    one(names.and_then(|checked| checked.then_body("tokens", account.sealed.len())))
}

/// Whether a document can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) when it cannot.
pub fn check_document(document: &Document) -> Result<(), StoreError> {
    if document.name.len() > MAX_DOCUMENT_NAME_BYTES {
        return one(Err(format!("a name of more than {MAX_DOCUMENT_NAME_BYTES} bytes")));
    }
    one(id("name", &document.name).and_then(|checked| checked.then_body("body", document.body.len())))
}

/// Whether a channel can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) when it cannot.
pub fn check_channel(channel: &Channel) -> Result<(), StoreError> {
    one(id("platform", &channel.platform).and_then(|_| id("name", &channel.name)).map(drop))
}

/// Whether a change of a user can be stored.
///
/// # Errors
/// [`Refused`](StoreErrorKind::Refused) when it cannot.
pub fn check_change(change: &UserChange) -> Result<(), StoreError> {
    let lists = change.granted_roles.iter().chain(&change.tags);
    let long = lists.into_iter().any(|list| list.len() > MAX_LIST);
    one(if long { Err(format!("more than {MAX_LIST} roles or tags")) } else { Ok(()) })
}

/// A name as every database takes it.
pub fn name(text: &str) -> String {
    clean(text, MAX_NAME_BYTES).into_owned()
}

/// A searched text as every database takes it.
pub fn text(text: &str) -> String {
    clean(text, MAX_TEXT_BYTES).into_owned()
}

/// The ids of a lookup that may find something: what could not be written is not there either.
pub fn may_be_id(text: &str) -> bool {
    id("id", text).is_ok()
}

fn check_step(step: &StepEntry) -> Result<(), String> {
    id("correlation id", &step.correlation_id)?;
    id("key", &step.key)?
        .then_body("detail", step.detail.len())
        .and_then(|()| body("snapshot", step.snapshot.as_ref().map_or(0, bytes::Bytes::len)))
}

fn check_letter(letter: &StoredLetter) -> Result<(), String> {
    id("id of a letter", &letter.id)?
        .then_body("letter", letter.letter.len())
        .and_then(|()| body("original", letter.original.as_ref().map_or(0, bytes::Bytes::len)))
}

fn check_source(change: &SourceChange) -> Result<(), String> {
    id("platform", &change.platform)?;
    id("id of a source", &change.id)?.then_body("detail", change.detail.as_ref().map_or(0, bytes::Bytes::len))
}

/// An id that was looked at.
struct Checked;

impl Checked {
    fn then_body(self, what: &str, len: usize) -> Result<(), String> {
        body(what, len)
    }
}

fn id(what: &str, text: &str) -> Result<Checked, String> {
    match text {
        "" => Err(format!("an empty {what}")),
        _ if text.len() > MAX_ID_BYTES => Err(format!("a {what} of more than {MAX_ID_BYTES} bytes")),
        _ if text.contains('\0') => Err(format!("a {what} with NUL")),
        _ => Ok(Checked),
    }
}

fn body(what: &str, len: usize) -> Result<(), String> {
    if len > MAX_BODY_BYTES { Err(format!("a {what} of more than {MAX_BODY_BYTES} bytes")) } else { Ok(()) }
}

fn each<T>(records: &[T], check: impl Fn(&T) -> Result<(), String>) -> Result<(), StoreError> {
    for (at, record) in records.iter().enumerate() {
        check(record).map_err(|why| refused(&why).at(at))?;
    }
    Ok(())
}

fn one(checked: Result<(), String>) -> Result<(), StoreError> {
    checked.map_err(|why| refused(&why).at(0))
}

fn refused(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, format!("the store does not take {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_cleaning_would_make_anothers_is_refused() {
        for text in ["", "a\0b", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert!(!may_be_id(text), "{text:?}");
        }
        assert!(may_be_id(&"x".repeat(MAX_ID_BYTES)));
    }

    #[test]
    fn names_and_texts_are_cleaned_to_their_bounds() {
        assert_eq!(name(&"é".repeat(MAX_NAME_BYTES)).len(), MAX_NAME_BYTES);
        assert_eq!(text("a\0b"), "ab");
    }
}
