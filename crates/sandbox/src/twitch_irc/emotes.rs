//! A few global emotes, found as Twitch finds them: whole words, positions in code points.

use std::fmt::Write as _;

const EMOTES: [(&str, &str); 6] = [
    ("Kappa", "25"),
    ("Keepo", "1902"),
    ("LUL", "425618"),
    ("HeyGuys", "30259"),
    ("PogChamp", "305954156"),
    ("VoHiYo", "81274"),
];

/// The `emotes` tag of a text: `25:0-4,12-16/1902:6-10`, first and last code point of each.
pub(super) fn tag(text: &str) -> String {
    let mut out = String::new();
    for (name, id) in EMOTES {
        if !text.contains(name) {
            continue;
        }
        let mut first = true;
        for (start, word) in words(text) {
            if word == name {
                let separator = if !first {
                    ","
                } else if out.is_empty() {
                    ""
                } else {
                    "/"
                };
                let end = start + name.len() - 1;
                // Writing to a String cannot fail.
                let _ = if first {
                    write!(out, "{separator}{id}:{start}-{end}")
                } else {
                    write!(out, "{separator}{start}-{end}")
                };
                first = false;
            }
        }
    }
    out
}

/// Whether the text holds nothing but emotes, as emote-only mode asks.
pub(super) fn only(text: &str) -> bool {
    let mut words = text.split_whitespace().peekable();
    words.peek().is_some() && words.all(|word| EMOTES.iter().any(|(name, _)| *name == word))
}

/// Words between single spaces, each with its place in code points.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(' ').scan(0, |at, word| {
        let start = *at;
        *at += word.chars().count() + 1;
        Some((start, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emotes_are_counted_in_code_points_and_whole_words() {
        assert_eq!(tag("Kappa Keepo Kappa"), "25:0-4,12-16/1902:6-10");
        assert_eq!(tag("👋é Kappa"), "25:3-7");
        assert_eq!(tag("Kappas xKappa"), "");
        assert_eq!(tag("nothing"), "");
    }

    #[test]
    fn a_text_of_emotes_alone_is_known() {
        assert!(only("Kappa LUL"));
        assert!(!only("Kappa hello"));
        assert!(!only(""));
    }
}
