//! Turns a text into the messages that can carry it.
//!
//! Nothing of a text may become a command, another line or half a character:
//! - a line break begins a new message, other control characters are left out;
//! - a `/` or `.` at the beginning, which Twitch would take as a command, gets an invisible
//!   U+200B before it. A space would not do, since servers trim it; `. ` and `/ `, which Twitch strips
//!   itself, are undocumented and would be seen wherever that is not so. `/me ` alone is let through:
//!   it changes how our own words look and nothing else;
//! - what is longer than [`MAX_TEXT_CHARS`] is split, at a space if one is near, else between
//!   graphemes, so that no emoji is cut in half.

use unicode_segmentation::UnicodeSegmentation as _;

use super::limits::MAX_TEXT_CHARS;

const ACTION: &str = "/me ";
/// Zero width, no white space by Unicode's rules, so nobody trims it.
const SHIELD: char = '\u{200B}';
/// Tells a repeated text from the first one. U+034F is what Chatterino settled on after Twitch began
/// to strip U+E0000.
const MARK: char = '\u{034F}';

/// The messages that carry this text, in order; none when nothing of it can be said.
pub fn messages(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    if is_plain(text) {
        push_line(text, &mut all);
        return all;
    }
    for line in text.split(['\r', '\n', '\u{2028}', '\u{2029}']) {
        let line: String =
            line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
        push_line(&line, &mut all);
    }
    all
}

/// Whether there are no line breaks and no control characters, in one cheap look: texts with any
/// character whose encoding begins as theirs do are not plain either.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, b| plain & (b >= 0x20) & (b != 0x7f) & (b != 0xc2) & (b != 0xe2))
}

/// The messages that carry one line.
fn push_line(line: &str, all: &mut Vec<String>) {
    let line = line.trim();
    if let Some(action) = line.strip_prefix(ACTION) {
        let parts = split(action, |_| MAX_TEXT_CHARS - ACTION.len());
        all.extend(parts.into_iter().map(|part| format!("{ACTION}{part}")));
    } else if line.len() < MAX_TEXT_CHARS && !line.is_empty() && !needs_shield(line) {
        // Nearly every text: no more bytes than there may be characters, and nothing to hide.
        all.push(line.to_owned());
    } else {
        let parts = split(line, |rest| MAX_TEXT_CHARS - usize::from(needs_shield(rest)));
        all.extend(
            parts
                .into_iter()
                .map(|part| if needs_shield(part) { format!("{SHIELD}{part}") } else { part.to_owned() }),
        );
    }
}

/// The same message with `marks` invisible marks at its end, or `None` when there is no room.
pub fn marked(message: &str, marks: usize) -> Option<String> {
    if marks == 0 {
        return Some(message.to_owned());
    }
    if message.chars().count() + 1 + marks > MAX_TEXT_CHARS {
        return None;
    }
    Some(format!("{message} {}", MARK.to_string().repeat(marks)))
}

/// What a viewer reads of a message: without what [`messages`] and [`marked`] put there, and whether
/// it is an action.
pub fn shown(message: &str) -> (&str, bool) {
    let text = message.trim_end_matches(MARK).trim_end();
    match text.strip_prefix(ACTION) {
        Some(action) => (action, true),
        None => (text.strip_prefix(SHIELD).unwrap_or(text), false),
    }
}

fn needs_shield(text: &str) -> bool {
    text.starts_with(['/', '.'])
}

/// Pieces, none of them blank, each of at most as many code points as `room` gives for the text that
/// begins with it.
fn split(mut text: &str, room: impl Fn(&str) -> usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    loop {
        text = text.trim();
        if text.is_empty() {
            return pieces;
        }
        let end = piece_end(text, room(text));
        pieces.push(text[..end].trim_end());
        text = &text[end..];
    }
}

/// Where the first piece ends: after the last word that fits, else after the last grapheme, else, for
/// a single grapheme that is too long, after the last code point.
fn piece_end(text: &str, room: usize) -> usize {
    let Some((limit, _)) = text.char_indices().nth(room) else { return text.len() };
    let mut last_grapheme = 0;
    let mut last_word = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        let end = at + grapheme.len();
        if grapheme == " " && at <= limit {
            last_word = at;
        }
        if end > limit {
            break;
        }
        last_grapheme = end;
    }
    // A word that fills most of the room is cut rather than sent a nearly empty message ahead of it.
    let word_is_near = text[..last_word].chars().count() * 2 >= room;
    if word_is_near {
        last_word
    } else if last_grapheme > 0 {
        last_grapheme
    } else {
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_break_begins_a_new_message_and_control_characters_go_nowhere() {
        assert_eq!(messages("a\r\nb\n\n c \0d\u{1}e\tf"), ["a", "b", "c de f"]);
        assert_eq!(messages(" \r\n \0 "), Vec::<String>::new());
        assert_eq!(messages("\u{1}ACTION waves\u{1}"), ["ACTION waves"]);
    }

    #[test]
    fn nothing_becomes_a_command_but_an_action() {
        assert_eq!(messages("/ban ada"), ["\u{200B}/ban ada"]);
        assert_eq!(messages("  .ban ada"), ["\u{200B}.ban ada"]);
        assert_eq!(messages("hi\n/ban ada"), ["hi", "\u{200B}/ban ada"]);
        assert_eq!(messages("/me waves"), ["/me waves"]);
        assert_eq!(messages("/mention"), ["\u{200B}/mention"]);
        assert_eq!(messages("/me"), ["\u{200B}/me"]);
        let late = format!("{} /ban ada", "x".repeat(499));
        assert_eq!(messages(&late), ["x".repeat(499), "\u{200B}/ban ada".to_owned()]);
    }

    #[test]
    fn what_is_too_long_is_split_between_words_and_else_between_graphemes() {
        let words = "word ".repeat(150);
        let parts = messages(&words);
        assert_eq!(parts.iter().map(String::len).collect::<Vec<_>>(), [499, 249]);
        let family = "👨‍👩‍👧‍👦".repeat(100);
        for part in messages(&family) {
            assert!(part.chars().count() <= 500);
            assert_eq!(part.chars().count() % 7, 0, "no family is split");
        }
        let zalgo = format!("a{}", "\u{301}".repeat(1200));
        assert_eq!(messages(&zalgo).iter().map(|p| p.chars().count()).collect::<Vec<_>>(), [500, 500, 201]);
        let action = format!("/me {}", "x".repeat(600));
        assert_eq!(messages(&action).iter().map(String::len).collect::<Vec<_>>(), [500, 108]);
        assert!(messages(&action).iter().all(|part| part.starts_with("/me ")));
    }

    #[test]
    fn a_mark_tells_repeats_apart_while_there_is_room() {
        assert_eq!(marked("hi", 0).as_deref(), Some("hi"));
        assert_eq!(marked("hi", 2).as_deref(), Some("hi \u{34F}\u{34F}"));
        assert_eq!(marked(&"x".repeat(499), 1), None);
        assert_eq!(shown("hi \u{34F}\u{34F}"), ("hi", false));
        assert_eq!(shown("\u{200B}/ban"), ("/ban", false));
        assert_eq!(shown("/me waves"), ("waves", true));
    }

    proptest! {
        #[test]
        fn every_message_can_stand_in_one_line_and_no_word_is_lost(text in "(\\PC|[\\r\\n\\t /.]|👨‍👩‍👧|e\u{301}){0,1500}") {
            let parts = messages(&text);
            for part in &parts {
                prop_assert!(!part.trim().is_empty() && part.chars().count() <= MAX_TEXT_CHARS);
                prop_assert!(!part.contains(char::is_control));
                prop_assert!(part.starts_with("/me ") || !part.starts_with(['/', '.']));
            }
            let visible = |text: &str| -> String {
                text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != SHIELD).collect()
            };
            let said: String = parts.iter().map(|part| shown(part).0).collect();
            let whole: String = text.split(['\r', '\n', '\u{2028}', '\u{2029}'])
                .map(|line| line.trim().strip_prefix(ACTION).unwrap_or(line)).collect();
            if !text.contains(MARK) {
                prop_assert_eq!(visible(&said), visible(&whole));
            }
        }
    }
}
