//! An answer made fit to be said in a chat. Pure.
//!
//! What a model writes comes from outside, and part of it from whoever asked. So nothing of it may become a
//! command, call everybody, hide what it says, or be longer than one message.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::config::ReplyRule;

/// Zero width, no white space by Unicode's rules, so nobody trims it.
const SHIELD: char = '\u{200B}';
/// Stands where something was cut off.
const ELLIPSIS: char = '…';
/// Names that call everybody where an `@` stands before them.
const CALLS: [&str; 2] = ["everyone", "here"];
/// What may stand around a whole answer.
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('“', '”'), ('«', '»'), ('`', '`')];

/// The answer as it may be said; `None` when nothing of it is left.
pub(crate) fn fit(answer: &str, rule: ReplyRule) -> Option<String> {
    let plain = if rule.one_line { one_line(answer) } else { lines(answer) };
    let said = unquoted(&plain);
    if !said.chars().any(is_visible) {
        return None;
    }
    let shielded = shield_calls(&shield_start(said));
    Some(cut(&shielded, rule.max_chars))
}

/// Runs of white space and line breaks become one space.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if is_break(c) { ' ' } else { c }).filter(may_stay).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines without white space at their ends, at most one blank one in a row.
fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.replace("\r\n", "\n").split(is_break) {
        let line: String = line.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(may_stay).collect();
        let line = line.trim();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        out.push_str(line);
        blank = 0;
    }
    out
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Neither a control character nor one that turns round how a text is read.
fn may_stay(c: &char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !turns && *c != '\u{feff}' && (!c.is_control() || *c == '\t')
}

/// Whether a reader sees it: white space and characters that show nothing are no answer.
fn is_visible(c: char) -> bool {
    let shows_nothing = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_whitespace() && !shows_nothing
}

/// Without quotes around all of it, which models like to put there. Quotes that also stand within are kept:
/// they may belong to two parts of it.
fn unquoted(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let inner = QUOTES.iter().find_map(|(open, close)| {
            let inner = text.strip_prefix(*open)?.strip_suffix(*close)?;
            (!inner.contains([*open, *close])).then_some(inner)
        });
        match inner {
            Some(inner) => text = inner.trim(),
            None => return text,
        }
    }
}

/// A `/` or `.` that begins a text is a command on some platforms. Zero-width characters before it would be
/// taken away by those who trim them, so what counts is the first character that is seen.
fn shield_start(text: &str) -> String {
    let text = text.trim_start_matches(|c| !is_visible(c));
    if text.starts_with(['/', '.']) { format!("{SHIELD}{text}") } else { text.to_owned() }
}

/// Something invisible between an `@` and a name that calls everybody.
fn shield_calls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        out.push('@');
        let calls = |name: &&str| after.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
        if CALLS.iter().any(calls) {
            out.push(SHIELD);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// At most so many code points: after the last word that fits, where one ends in the second half, else after
/// the last grapheme, so that no emoji is cut in half.
fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let room = max_chars.saturating_sub(1);
    let (mut used, mut end, mut word_end) = (0, 0, None);
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme.chars().count();
        if grapheme.trim().is_empty() {
            word_end = Some(at);
        }
        if used > room {
            break;
        }
        end = at + grapheme.len();
    }
    let head = text.get(..end).unwrap_or_default();
    let near = word_end.and_then(|at| text.get(..at)).filter(|words| words.chars().count() * 2 >= room);
    let mut kept = near.unwrap_or(head).trim_end().to_owned();
    kept.push(ELLIPSIS);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(max_chars: usize) -> ReplyRule {
        ReplyRule { max_chars, one_line: true }
    }

    fn said(answer: &str) -> Option<String> {
        fit(answer, rule(480))
    }

    #[test]
    fn an_empty_or_whitespace_answer_is_none() {
        for nothing in ["", "  \n\t ", "\"\"", "\" \"", "\u{0}\u{7}", "\u{200b}\u{200d}", "\u{202e}", "''"] {
            assert_eq!(said(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn quotes_around_the_whole_answer_are_removed_and_those_within_are_kept() {
        for (answer, expected) in [
            ("\"Hello there\"", "Hello there"),
            ("“Hello”", "Hello"),
            ("'\"Hello\"'", "Hello"),
            (" `Hello` ", "Hello"),
            ("\"one\" and \"two\"", "\"one\" and \"two\""),
            ("He said \"no\"", "He said \"no\""),
            ("\"", "\""),
            ("it's 'fine'", "it's 'fine'"),
        ] {
            assert_eq!(said(answer).as_deref(), Some(expected), "{answer:?}");
        }
    }

    #[test]
    fn line_breaks_become_spaces_where_the_platform_wants_one_line() {
        assert_eq!(said("a\r\n\r\n b\u{2028}c\td").as_deref(), Some("a b c d"));
        let rule = ReplyRule { max_chars: 480, one_line: false };
        assert_eq!(fit("a \r\n\n\n\n b\rc\td", rule).as_deref(), Some("a\n\nb\nc d"));
    }

    #[test]
    fn control_characters_and_those_that_turn_a_text_round_are_removed() {
        assert_eq!(said("a\u{1b}[31mb\u{0}c\u{202e}d\u{2066}e").as_deref(), Some("a[31mbcde"));
    }

    #[test]
    fn nothing_of_an_answer_is_a_command() {
        for (answer, expected) in [
            ("/ban someone", "\u{200b}/ban someone"),
            ("\"/ban someone\"", "\u{200b}/ban someone"),
            (" \u{200b}/ban", "\u{200b}/ban"),
            ("...", "\u{200b}..."),
            ("a/b", "a/b"),
        ] {
            assert_eq!(said(answer).as_deref(), Some(expected), "{answer:?}");
        }
    }

    #[test]
    fn nobody_is_called_but_by_name() {
        assert_eq!(
            said("@everyone and @HERE, hi @eve").as_deref(),
            Some("@\u{200b}everyone and @\u{200b}HERE, hi @eve")
        );
        assert_eq!(said("@@everyone").as_deref(), Some("@@\u{200b}everyone"));
        // What is taken out must not bring a call together.
        assert_eq!(said("@\u{0}everyone").as_deref(), Some("@\u{200b}everyone"));
    }

    #[test]
    fn a_long_answer_is_cut_at_a_word_and_never_within_an_emoji() {
        assert_eq!(fit("one two three four", rule(12)).as_deref(), Some("one two…"));
        assert_eq!(fit("one two three", rule(13)).as_deref(), Some("one two three"));
        assert_eq!(fit(&"x".repeat(20), rule(5)).as_deref(), Some("xxxx…"));
        let family = "👨‍👩‍👧‍👦";
        assert_eq!(
            fit(&format!("ab{family}{family}"), rule(10)).as_deref(),
            Some(format!("ab{family}…").as_str())
        );
        assert_eq!(fit(&format!("{family}{family}"), rule(4)).as_deref(), Some("…"));
    }

    proptest! {
        #[test]
        fn whatever_the_model_says_is_fit_to_be_said(answer in any::<String>(), max in 1_usize..60) {
            if let Some(said) = fit(&answer, rule(max)) {
                prop_assert!(said.chars().count() <= max);
                prop_assert!(!said.chars().any(char::is_control));
                prop_assert!(!said.starts_with(['/', '.', ' ']));
                prop_assert!(!said.to_ascii_lowercase().contains("@everyone"));
            }
        }
    }
}
