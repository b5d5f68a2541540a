//! What a platform may be called.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, ensure};

/// 2 to 24 of `a-z 0-9`, beginning with a letter: it stands in the names of a crate, of types, settings and
/// topics' sources, and in paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlatformName(String);

/// Words that targets, sources and topics have for other things.
const RESERVED: [&str; 12] = [
    "api",
    "auth",
    "chatbus",
    "dm",
    "egress",
    "gateway",
    "generic",
    "ingress",
    "internal",
    "platform",
    "router",
    "websocket",
];

// === impl PlatformName ===

impl PlatformName {
    /// # Errors
    /// Says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        ensure!(
            begins && (2..=24).contains(&text.len()) && text.bytes().all(is_part),
            "{text:?} is no name of a platform: use 2 to 24 of a-z 0-9, beginning with a letter"
        );
        ensure!(!RESERVED.contains(&text), "{text:?} is a word that events have for something else");
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As its settings begin.
    pub(super) fn upper(&self) -> String {
        self.0.to_ascii_uppercase()
    }

    /// As its types begin.
    pub(super) fn camel(&self) -> String {
        let (first, rest) = self.0.split_at(1);
        first.to_ascii_uppercase() + rest
    }

    /// Of its crate, relative to the root.
    pub(super) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("crates/platform-{self}"))
    }

    pub(super) fn package(&self) -> String {
        format!("chatbus-platform-{self}")
    }

    /// A setting in the settings' document that begins as this platform's do.
    pub(super) fn setting_of_others<'a>(&self, document: &'a str) -> Option<&'a str> {
        let start = format!("{}_", self.upper());
        let names = document.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
            line.split('|').nth(1).unwrap_or_default().split('`').filter(|text| !text.trim().is_empty())
        });
        names.into_iter().find(|name| name.starts_with(&start))
    }
}

impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_word_of_small_letters_and_digits() {
        let name = PlatformName::parse("irc2").expect("a name");
        assert_eq!((name.upper(), name.camel(), name.package()), {
            ("IRC2".to_owned(), "Irc2".to_owned(), "chatbus-platform-irc2".to_owned())
        });
        for bad in [
            "",
            "a",
            "Slack",
            "2go",
            "my-chat",
            "my_chat",
            "a b",
            "../a",
            "a/b",
            "héé",
            "a\n",
            "dm",
            "websocket",
            "ingress",
            &"x".repeat(25),
        ] {
            assert!(PlatformName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn settings_that_others_have_are_found_by_their_beginning_and_aliases_count() {
        let document =
            "| variable | kind |\n| `NATS_URL` | url |\n| `PORT` `SERVICE_PORT` | 1 | `SLACK_X` |\n";
        for (name, found) in
            [("nats", Some("NATS_URL")), ("service", Some("SERVICE_PORT")), ("slack", None), ("nat", None)]
        {
            let name = PlatformName::parse(name).expect("a name");
            assert_eq!(name.setting_of_others(document), found, "{name}");
        }
    }
}
