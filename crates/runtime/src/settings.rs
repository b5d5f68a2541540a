//! Settings as data: what each is called, what it may be, what it is, and where that came from.
//!
//! A driver or a platform declares its settings as [`SettingSpec`]s and reads [`Values`]; where values
//! come from (file, environment, flags) is the binary's business alone. Every value is checked
//! against its kind before anyone reads it, and every problem is reported at once.

mod parse;
mod values;

pub use parse::{parse_bool, parse_bytes, parse_list};
pub use values::{Origin, Setting, Values, resolve};

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingSpec {
    /// Its name, as the environment variable; in a file and as a flag the same in lower case.
    pub name: &'static str,
    /// Other names it is read under; its own wins.
    pub aliases: &'static [&'static str],
    /// What it may be.
    pub kind: Kind,
    /// What it is when nothing is set.
    pub default: Option<&'static str>,
    /// What it means, in a sentence or two.
    pub help: &'static str,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is never shown; also read from the file that `NAME_FILE` names.
    Secret,
    /// `1 true yes on` or `0 false no off`.
    Bool,
    /// A whole number within these bounds.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A number of milliseconds within these bounds.
    Millis {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A size such as `1 GiB` or `65536`.
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Texts, split at commas and white space.
    List,
    /// URLs with one of these schemes, split like a list.
    Urls(&'static [&'static str]),
    /// A file or folder.
    Path,
}

/// Something wrong with a setting: which one, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's name.
    pub setting: String,
    /// What is wrong and what would be right. Never holds a secret's value.
    pub message: String,
}

// === impl SettingSpec ===

impl SettingSpec {
    /// A setting with no default and no other name.
    pub const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, aliases: &[], kind, default: None, help }
    }

    /// With a default.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// With other names.
    #[must_use]
    pub const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }
}

// === impl Problem ===

impl Problem {
    /// A problem with this setting.
    pub fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self { setting: setting.into(), message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

#[cfg(test)]
mod tests;
