//! Which platforms there are. The names come from whoever wires the process: nothing here knows one.

/// Who hears what is said on a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Channels that anyone can read, with a first configured one; one user only when asked to.
    Public,
    /// One user, or a closed conversation. There is no channel that stands in for another.
    Direct,
    /// The connections of one of our own users.
    Gateway,
}

/// A platform as events name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// The name of its sink, of its label in metrics, and in events.
    pub name: &'static str,
    /// Other names by which events call it.
    pub aliases: &'static [&'static str],
    /// Who hears what is said there.
    pub reach: Reach,
}

/// Every platform that chatbus knows, whether or not it runs here.
#[derive(Debug, Clone, Default)]
pub struct PlatformTable(Vec<Platform>);

// === impl PlatformTable ===

impl PlatformTable {
    /// A table of these; of several gateways the first counts.
    pub fn new(platforms: impl IntoIterator<Item = Platform>) -> Self {
        Self(platforms.into_iter().collect())
    }

    /// The platform of exactly this name. Used where any other word must decide nothing else.
    pub fn named(&self, word: &str) -> Option<&Platform> {
        self.0.iter().find(|platform| platform.names().any(|name| name == word))
    }

    /// The platform that one of the dot-separated parts of `words` names, in any case: the first one.
    pub fn mentioned(&self, words: &str) -> Option<&Platform> {
        parts(words).find_map(|word| self.0.iter().find(|platform| platform.is(word)))
    }

    /// Whether any of the dot-separated parts of `words` names the gateway, in any case.
    pub fn mentions_gateway(&self, words: &str) -> bool {
        let Some(gateway) = self.gateway() else { return false };
        parts(words).any(|word| gateway.is(word))
    }

    /// The gateway.
    pub fn gateway(&self) -> Option<&Platform> {
        self.0.iter().find(|platform| platform.reach == Reach::Gateway)
    }
}

// === impl Platform ===

impl Platform {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether this is one of its names, in any case.
    fn is(&self, word: &[u8]) -> bool {
        self.names().any(|name| name.as_bytes().eq_ignore_ascii_case(word))
    }
}

/// The dot-separated parts, without the white space around them.
fn parts(words: &str) -> impl Iterator<Item = &[u8]> {
    words.as_bytes().split(|byte| *byte == b'.').map(<[u8]>::trim_ascii)
}
