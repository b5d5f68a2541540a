//! What may be shown on a terminal.

use std::fmt::Write as _;

/// The text with control and bidirectional characters escaped, so that nobody in a chat can move the
/// cursor, recolour or reorder what an operator reads.
pub(crate) fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The same for text of several lines.
pub(crate) fn safe_lines(text: &str) -> String {
    text.lines().map(safe).collect::<Vec<_>>().join("\n")
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_can_move_the_cursor_or_reorder_it() {
        assert_eq!(safe_lines("a\tb\nc"), "a\\u{9}b\nc");
        assert_eq!(safe("a\x1b[2Jb\u{202e}c\nd é😀"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}d é😀");
    }
}
