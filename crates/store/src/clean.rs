//! Text as every database takes it.

use std::borrow::Cow;

/// The text without NUL, which PostgreSQL refuses, and not longer than `max` bytes, cut between characters.
/// (No Rust text holds a lone surrogate; JSON that escapes one is read with U+FFFD in its place.)
pub fn clean(text: &str, max: usize) -> Cow<'_, str> {
    let cut = &text[..text.floor_char_boundary(max)];
    if cut.contains('\0') { Cow::Owned(cut.replace('\0', "")) } else { Cow::Borrowed(cut) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_goes_and_what_is_too_long_is_cut_between_characters() {
        assert_eq!(clean("a\0b", 10), "ab");
        assert_eq!(clean("aé", 2), "a");
        assert!(matches!(clean("plain", 10), Cow::Borrowed("plain")));
    }
}
