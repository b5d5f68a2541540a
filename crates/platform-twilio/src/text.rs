//! What fits into a message, and what it costs.
//!
//! A message holds at most 1,600 characters (<https://www.twilio.com/docs/errors/21617>), counted here as UTF-16
//! does, which is never less than any other count. A carrier takes it in segments, and each is paid for: 160
//! characters of GSM-7, or 153 where it needs more than one; 70 and 67 units of UTF-16 where one character is
//! outside of GSM-7 (<https://www.twilio.com/docs/glossary/what-sms-character-limit>).

use unicode_segmentation::UnicodeSegmentation as _;

/// The longest body of a message, in UTF-16 units.
pub(crate) const MAX_TEXT: usize = 1_600;

/// GSM 03.38 basic character set.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension: two septets each, which stand in one segment.
const GSM_EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// The texts that carry this one, in order, each of at most so many UTF-16 units: broken after a line or a word
/// where one ends in the second half, else between graphemes, else between characters. None when it is blank.
pub(crate) fn split(text: &str, most: usize) -> Vec<String> {
    // NUL ends a text for some carriers.
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(part_end(rest, most.max(2)));
        let part = part.trim_end();
        if !part.is_empty() {
            parts.push(part.to_owned());
        }
        rest = after.trim_start();
    }
    parts
}

fn part_end(text: &str, most: usize) -> usize {
    let (mut units, mut fits, mut word) = (0, 0, None);
    for (at, grapheme) in text.grapheme_indices(true) {
        let size = grapheme.encode_utf16().count();
        let is_space = grapheme.trim().is_empty();
        if is_space && units * 2 >= most {
            word = Some(at);
        }
        if units + size > most {
            // The space after the last word that fits need not fit itself.
            let cut = word.unwrap_or(fits);
            return if cut > 0 { cut } else { char_end(text, most) };
        }
        units += size;
        fits = at + grapheme.len();
    }
    text.len()
}

/// Where the last character ends that fits; the first always does.
fn char_end(text: &str, most: usize) -> usize {
    let mut units = 0;
    let last = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > most
    });
    last.map_or(text.len(), |(at, _)| at)
}

/// How many segments a carrier takes this text in.
pub(crate) fn segments(text: &str) -> u64 {
    let gsm = |c: char| match c {
        c if GSM.contains(c) => Some(1),
        c if GSM_EXTENDED.contains(c) => Some(2),
        _ => None,
    };
    match text.chars().map(gsm).collect::<Option<Vec<usize>>>() {
        Some(septets) => fill(&septets, 160, 153),
        None => fill(&text.chars().map(char::len_utf16).collect::<Vec<_>>(), 70, 67),
    }
}

/// Characters of these sizes, none cut in two: one segment of this room, or several with less.
fn fill(sizes: &[usize], alone: usize, among: usize) -> u64 {
    if sizes.iter().sum::<usize>() <= alone {
        return 1;
    }
    let (mut segments, mut used) = (1, 0);
    for size in sizes {
        if used + size > among {
            segments += 1;
            used = 0;
        }
        used += size;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn segments_are_counted_as_carriers_do() {
        let of = |unit: &str, times: usize| unit.repeat(times);
        for (text, count) in [
            (String::new(), 1),
            (of("a", 160), 1),
            (of("a", 161), 2),
            (of("a", 306), 2),
            (of("a", 307), 3),
            (of("€", 80), 1),
            (of("€", 81), 2),
            // 153 has no room for half of a pair: 76 of them fit, not 76 and a half.
            (of("€", 152), 2),
            (of("€", 153), 3),
            (of("é", 160), 1),
            (of("ê", 70), 1),
            (of("ê", 71), 2),
            (of("ê", 134), 2),
            (of("ê", 135), 3),
            (of("😀", 35), 1),
            (of("😀", 36), 2),
            (of("😀", 66), 2),
            (of("😀", 67), 3),
            (format!("{}’", of("a", 69)), 1),
            (format!("{}’", of("a", 70)), 2),
        ] {
            assert_eq!(segments(&text), count, "{} of {:?}", text.chars().count(), text.chars().next());
        }
    }

    #[test]
    fn what_is_too_long_is_broken_after_words_and_never_in_a_character() {
        assert_eq!(split(" hi \n", MAX_TEXT), ["hi"]);
        assert_eq!(split(" \0 ", MAX_TEXT), Vec::<String>::new());
        assert_eq!(split("aaa bbb ccc", 7), ["aaa bbb", "ccc"]);
        assert_eq!(
            split("a bbbbbbbbb", 6),
            ["a bbbb", "bbbbb"],
            "a short word is no reason for a short part"
        );
        let lengths = |text: &str| split(text, MAX_TEXT).iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(lengths(&"word ".repeat(400)), [1_599, 399]);
        assert_eq!(lengths(&"x".repeat(3_201)), [1_600, 1_600, 1]);
        for part in split(&"👨‍👩‍👧‍👦".repeat(400), MAX_TEXT) {
            assert_eq!(part.chars().count() % 7, 0, "no family is split");
        }
    }

    proptest! {
        #[test]
        fn every_part_fits_and_nothing_is_lost(text in "(\\PC|[ \n]|👨‍👩‍👧|e\u{301}){0,200}", most in 2_usize..60) {
            let parts = split(&text, most);
            for part in &parts {
                prop_assert!(!part.trim().is_empty() && part.encode_utf16().count() <= most);
            }
            let visible = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(visible(&parts.concat()), visible(&text));
        }
    }
}
