//! One line of IRC, taken apart without copying.
//!
//! The reference is the IRCv3 message format as the ircdocs test cases state it: several spaces count
//! as one, a trailing parameter may be missing, a tag without a value is empty, the last of repeated
//! tags counts. Twitch's own oddities (tags that are missing, empty or out of range) are the
//! normaliser's to judge; here a line is either well formed or not.

pub(crate) mod scan;
mod tags;

pub use tags::{Tags, escape, unescape};

/// A line, taken apart. Borrows everything from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    line: &'a str,
    untagged: &'a str,
    tags: Tags<'a>,
    prefix: Option<&'a str>,
    command: &'a str,
    params: Params<'a>,
}

/// The parameters of a message, in order; the trailing one without its colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

/// Who sent a line: `nick!user@host`, of which only one part may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefix<'a> {
    /// The nickname; on Twitch the login.
    pub nick: Option<&'a str>,
    /// The user name.
    pub user: Option<&'a str>,
    /// The host.
    pub host: Option<&'a str>,
}

/// Why a line is not an IRC message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing but white space.
    #[error("the line is empty")]
    Empty,
    /// CR, LF or NUL inside of it, which no IRC message can hold.
    #[error("a control character that no line can hold")]
    ControlCharacter,
    /// `@` with no tag after it.
    #[error("`@` without tags")]
    EmptyTags,
    /// `:` with no sender after it.
    #[error("`:` without a sender")]
    EmptyPrefix,
    /// No command, or one of other characters than ASCII letters and digits.
    #[error("no command")]
    NoCommand,
}

// === impl Message ===

impl<'a> Message<'a> {
    /// Takes a line apart. A line end at its end is allowed.
    ///
    /// # Errors
    /// When it is not an IRC message.
    pub fn parse(line: &'a str) -> Result<Self, Malformed> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if memchr::memchr3(b'\r', b'\n', 0, line.as_bytes()).is_some() {
            return Err(Malformed::ControlCharacter);
        }
        if line.bytes().all(|b| b == b' ') {
            return Err(Malformed::Empty);
        }
        let mut rest = line;
        let mut tags = Tags::default();
        if let Some(after) = rest.strip_prefix('@') {
            let (section, after) = word(after);
            if section.is_empty() {
                return Err(Malformed::EmptyTags);
            }
            tags = Tags::new(section);
            rest = after;
        }
        rest = rest.trim_start_matches(' ');
        let untagged = rest;
        let mut prefix = None;
        if let Some(after) = rest.strip_prefix(':') {
            let (sender, after) = word(after);
            if sender.is_empty() {
                return Err(Malformed::EmptyPrefix);
            }
            prefix = Some(sender);
            rest = after;
        }
        let (command, params) = word(rest.trim_start_matches(' '));
        if command.is_empty() || !command.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Malformed::NoCommand);
        }
        Ok(Self { line, untagged, tags, prefix, command, params: Params(params) })
    }

    /// The whole line, without its line end.
    pub fn line(&self) -> &'a str {
        self.line
    }

    /// The line without its tags.
    pub fn untagged(&self) -> &'a str {
        self.untagged
    }

    /// The tags.
    pub fn tags(&self) -> Tags<'a> {
        self.tags
    }

    /// The raw value of a tag, still escaped; empty counts as not there.
    pub fn tag(&self, name: &str) -> Option<&'a str> {
        self.tags.get(name).filter(|value| !value.is_empty())
    }

    /// Who sent it.
    pub fn prefix(&self) -> Option<Prefix<'a>> {
        self.prefix.map(Prefix::parse)
    }

    /// The sender as it was written.
    pub fn prefix_text(&self) -> Option<&'a str> {
        self.prefix
    }

    /// The command as it was written; IRC ignores its case.
    pub fn command(&self) -> &'a str {
        self.command
    }

    /// Whether this is the command, whatever its case.
    pub fn is(&self, command: &str) -> bool {
        self.command.eq_ignore_ascii_case(command)
    }

    /// The parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// One parameter, counted from 0.
    pub fn param(&self, index: usize) -> Option<&'a str> {
        let mut params = self.params;
        params.nth(index)
    }

    /// The last parameter.
    pub fn last_param(&self) -> Option<&'a str> {
        self.params.last()
    }
}

// === impl Params ===

impl<'a> Iterator for Params<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches(' ');
        if rest.is_empty() {
            self.0 = "";
            return None;
        }
        if let Some(trailing) = rest.strip_prefix(':') {
            self.0 = "";
            return Some(trailing);
        }
        let (param, after) = word(rest);
        self.0 = after;
        Some(param)
    }
}

// === impl Prefix ===

impl<'a> Prefix<'a> {
    /// Takes a sender apart. A single word is a host when it has a dot, else a nickname.
    pub fn parse(text: &'a str) -> Self {
        let filled = |part: &'a str| (!part.is_empty()).then_some(part);
        let find = |text: &str, mark| scan::find(text.as_bytes(), mark, mark);
        let (name, host) = match find(text, b'@') {
            Some(at) => (&text[..at], filled(&text[at + 1..])),
            None => (text, None),
        };
        match find(name, b'!') {
            Some(at) => Self { nick: filled(&name[..at]), user: filled(&name[at + 1..]), host },
            None if host.is_none() && name.contains('.') => Self { host: filled(name), ..Self::default() },
            None => Self { nick: filled(name), user: None, host },
        }
    }
}

/// The text up to the first space, and what follows that space.
fn word(text: &str) -> (&str, &str) {
    match memchr::memchr(b' ', text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests;
