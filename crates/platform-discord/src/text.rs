//! Turns a text into the messages that can carry it: at most 2,000 characters each (Discord's reference, Create
//! Message), split at a line or a word if one is near, else between graphemes, so that no emoji is cut in half.

use unicode_segmentation::UnicodeSegmentation as _;

/// Characters of a message.
const MAX_CHARS: usize = 2_000;

/// The messages that carry this text, in order; none when nothing of it can be said.
pub(crate) fn messages(text: &str) -> Vec<String> {
    let shown: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let mut rest = shown.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let end = piece_end(rest);
        all.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    all
}

/// Where the first message ends. Neither Discord nor anybody says what a character is to it: counted as the
/// code points that its own clients count, of which there are never more than it allows.
fn piece_end(text: &str) -> usize {
    let Some((limit, _)) = text.char_indices().nth(MAX_CHARS) else { return text.len() };
    let (mut grapheme_end, mut word_end, mut line_end) = (0, 0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        if at <= limit && grapheme.starts_with(char::is_whitespace) {
            word_end = at;
            if grapheme.contains('\n') {
                line_end = at;
            }
        }
        if at + grapheme.len() > limit {
            break;
        }
        grapheme_end = at + grapheme.len();
    }
    let is_near = |end: usize| text[..end].chars().count() * 2 >= MAX_CHARS;
    match () {
        () if is_near(line_end) => line_end,
        () if is_near(word_end) => word_end,
        () if grapheme_end > 0 => grapheme_end,
        () => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_one_message_as_it_is() {
        assert_eq!(messages("two\nlines \u{0}and\ta tab"), ["two\nlines and\ta tab"]);
        assert_eq!(messages(" \n "), Vec::<String>::new());
        assert_eq!(messages(&"é".repeat(2000)).len(), 1);
    }

    #[test]
    fn what_is_too_long_is_split_at_lines_words_and_graphemes_in_this_order() {
        let lengths = |text: &str| messages(text).iter().map(|part| part.chars().count()).collect::<Vec<_>>();
        assert_eq!(lengths(&format!("{}\n{}", "x y ".repeat(300), "z ".repeat(900))), [1199, 1799]);
        assert_eq!(lengths(&"word ".repeat(500)), [1999, 499]);
        assert_eq!(lengths(&"x".repeat(4100)), [2000, 2000, 100]);
        let family = "👨‍👩‍👧‍👦".repeat(600);
        assert!(messages(&family).iter().all(|part| part.chars().count() % 7 == 0), "no family is split");
        assert_eq!(messages(&family).concat(), family);
        assert_eq!(lengths(&format!("a{}", "\u{301}".repeat(4500))), [2000, 2000, 501]);
    }
}
