//! Finds a byte in a short text.
//!
//! Names and values of tags are a few bytes long, for which the setup of wide registers costs more
//! than the search: here eight bytes are looked at with plain arithmetic.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the first of two bytes stands; give the same twice to look for one.
pub(crate) fn find(bytes: &[u8], one: u8, other: u8) -> Option<usize> {
    let mut at = 0;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ (ONES * u64::from(one))) | zeros(word ^ (ONES * u64::from(other)));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = after;
    }
    rest.iter().position(|b| *b == one || *b == other).map(|more| at + more)
}

/// The text before the first `separator`, which is ASCII, and what follows it.
pub(crate) fn cut(text: &str, separator: u8) -> (&str, &str) {
    match find(text.as_bytes(), separator, separator) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// The high bit of every byte that is zero. Bits above the lowest one may be wrong.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_found_is_the_first(bytes in proptest::collection::vec(b':'..=b'>' , 0..40), high in any::<Vec<u8>>()) {
            for bytes in [bytes, high] {
                let expected = bytes.iter().position(|b| matches!(b, b';' | b'='));
                prop_assert_eq!(find(&bytes, b';', b'='), expected);
                prop_assert_eq!(find(&bytes, b';', b';'), bytes.iter().position(|b| *b == b';'));
            }
        }
    }
}
