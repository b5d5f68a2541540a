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
        self.0.iter().find(|platform| platform.goes_by(word, str::eq))
    }

    /// The platform that one of the dot-separated parts of `words` names, in any case: the first one.
    pub fn mentioned(&self, words: &str) -> Option<&Platform> {
        words.split('.').find_map(|word| {
            self.0.iter().find(|platform| platform.goes_by(word.trim(), str::eq_ignore_ascii_case))
        })
    }

    /// Whether any of the dot-separated parts of `words` names the gateway, in any case.
    pub fn mentions_gateway(&self, words: &str) -> bool {
        let Some(gateway) = self.gateway() else { return false };
        words.split('.').any(|word| gateway.goes_by(word.trim(), str::eq_ignore_ascii_case))
    }

    /// The gateway.
    pub fn gateway(&self) -> Option<&Platform> {
        self.0.iter().find(|platform| platform.reach == Reach::Gateway)
    }
}

// === impl Platform ===

impl Platform {
    fn goes_by(&self, word: &str, same: fn(&str, &str) -> bool) -> bool {
        same(self.name, word) || self.aliases.iter().any(|alias| same(alias, word))
    }
}
