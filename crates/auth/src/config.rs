//! What the binary tells auth: the platforms that there are, and what their badges mean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Settings of auth. Platforms are names here, never code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// The names of the platforms, in lower case.
    pub platforms: BTreeSet<String>,
    /// The name by which the gateway's events are known.
    pub gateway: String,
    /// What each platform's badges and roles mean; one that is not there has [`RoleTable::default`].
    pub roles: BTreeMap<String, RoleTable>,
    /// Other bots, by login or by `platform:id`, in lower case: what they say is not answered.
    pub ignored: BTreeSet<String>,
    /// How long the key of a sighting is kept: as long as its event may be handed over again.
    pub keep_keys: Duration,
    /// When two bots that answer each other are broken off.
    pub loops: LoopPolicy,
}

/// What a platform's words mean. All words are compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleTable {
    /// Badges, to roles.
    pub badges: BTreeMap<String, String>,
    /// The platform's own roles by their names or ids, to roles.
    pub names: BTreeMap<String, String>,
    /// Members of the raw payload that are `true` or not, to roles.
    pub flags: BTreeMap<String, String>,
}

/// When a user is taken for a bot that answers ours: it answered us more than `answers` times within `within`,
/// each of its messages came no later than `follows` after one of ours in the same channel
/// that was said right behind its own, and at least half
/// of what we said there meanwhile was answered by it. People read before they write, and now and then say
/// something that is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopPolicy {
    /// Answers in a row that a user may get; 0 turns the whole off.
    pub answers: usize,
    /// Within this time.
    pub within: Duration,
    /// How soon after ours a message counts as an answer to it.
    pub follows: Duration,
    /// How long the user is not answered then. It is not made longer by what the user says meanwhile: who was
    /// taken for a bot and is none is answered again.
    pub rest: Duration,
}

/// Bots that many channels have.
const BOTS: [&str; 28] = [
    "nightbot",
    "streamelements",
    "streamlabs",
    "moobot",
    "fossabot",
    "wizebot",
    "sery_bot",
    "soundalerts",
    "botrixoficial",
    "coebot",
    "deepbot",
    "phantombot",
    "mixitupbot",
    "blerp",
    "kofistreambot",
    "pokemoncommunitygame",
    "tangiabot",
    "creatisbot",
    "frostytoolsdotcom",
    "streamlootsbot",
    "songlistbot",
    "playwithviewersbot",
    "lolrankbot",
    "restreambot",
    "stay_hydrated_bot",
    "commanderroot",
    "buttsbot",
    "dixperbro",
];

// === impl AuthConfig ===

impl AuthConfig {
    /// Settings for these platforms, everything else as it is by default.
    pub fn new(platforms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            platforms: platforms.into_iter().map(|name| name.into().to_lowercase()).collect(),
            gateway: "api-gateway".to_owned(),
            roles: BTreeMap::new(),
            ignored: Self::default_ignored(),
            // Twice what the bus keeps.
            keep_keys: Duration::from_secs(48 * 60 * 60),
            loops: LoopPolicy::default(),
        }
    }

    /// Bots that many channels have, by login.
    pub fn default_ignored() -> BTreeSet<String> {
        BOTS.into_iter().map(str::to_owned).collect()
    }

    /// Whether this names a platform or the gateway.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        name == self.gateway || self.platforms.contains(name)
    }
}

// === impl RoleTable ===

impl Default for RoleTable {
    /// Words that platforms have in common.
    fn default() -> Self {
        let table = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(word, role)| ((*word).to_owned(), (*role).to_owned())).collect()
        };
        Self {
            badges: table(&[
                ("broadcaster", "broadcaster"),
                ("moderator", "moderator"),
                ("lead_moderator", "moderator"),
                ("vip", "vip"),
                ("subscriber", "subscriber"),
                ("founder", "subscriber"),
            ]),
            names: table(&[("moderator", "moderator"), ("admin", "moderator"), ("staff", "moderator")]),
            flags: table(&[
                ("isMod", "moderator"),
                ("isSubscriber", "subscriber"),
                ("isVip", "vip"),
                ("isOwner", "broadcaster"),
            ]),
        }
    }
}

impl RoleTable {
    /// With these of the platform's own roles as moderators, by name or id, in place of the default ones.
    #[must_use]
    pub fn with_moderators(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let moderator = |name: String| (name.to_lowercase(), "moderator".to_owned());
        self.names = names.into_iter().map(|name| moderator(name.into())).collect();
        self
    }
}

// === impl LoopPolicy ===

impl Default for LoopPolicy {
    /// More than 5 answers within a minute, each within 2 s; a rest of 10 minutes.
    fn default() -> Self {
        Self {
            answers: 5,
            within: Duration::from_secs(60),
            follows: Duration::from_secs(2),
            rest: Duration::from_secs(10 * 60),
        }
    }
}
