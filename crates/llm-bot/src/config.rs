//! What the service is told by the binary. It reads no environment itself.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chatbus_event::Topic;
use secrecy::SecretString;

/// Everything the service is configured with.
#[derive(Debug, Clone)]
pub struct LlmConfig {
    /// `http` or `https`; `/chat/completions` is put behind it. No user, query or fragment.
    pub base_url: String,
    /// Sent as a bearer token, and never shown. `None` for endpoints that ask for none.
    pub api_key: Option<SecretString>,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// What the model is told first; blank for nothing.
    pub system_prompt: String,
    /// Left to the endpoint when `None`.
    pub temperature: Option<f32>,
    /// Whether the answer is asked for as a stream. Both kinds are understood whatever was asked for.
    pub stream: bool,
    /// How long a whole call may take, all tries and waits included.
    pub timeout: Duration,
    /// Tries after the first one.
    pub retries: u32,
    /// The wait after the first failed try; it doubles with each further one.
    pub first_retry: Duration,
    /// The longest wait. A `Retry-After` beyond it ends the call.
    pub max_retry: Duration,
    /// An answer of more bytes, as it comes over the wire, is given up.
    pub max_answer_bytes: usize,
    /// The prompts and the message's text together are cut to so many characters.
    pub max_prompt_chars: usize,
    /// Calls at one time; more wait for their turn.
    pub parallel: usize,
    /// How long calls in hand may go on after the stop before they are given back. Below the grace of whoever
    /// runs the handler, so that what is done by then is published.
    pub stop_grace: Duration,
    /// Outcomes that are remembered, so that a redelivery gets the same answer; the oldest are forgotten.
    pub remembered_answers: usize,
    /// What is remembered of conversations.
    pub memory: MemoryBounds,
    /// How often users and channels may ask.
    pub budgets: Budgets,
    /// How answers are cut.
    pub reply: ReplyRules,
    /// Where personalities come from, and how they are used.
    pub personalities: PersonalityConfig,
    /// Topics beyond those of the contract that a routing slip may name.
    pub known_topics: Vec<Topic>,
}

/// What is remembered of conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Conversations; the one unused for the longest is forgotten for a new one.
    pub conversations: usize,
    /// Messages of one conversation, questions and answers; the oldest are forgotten. Zero for no memory.
    pub messages: usize,
    /// Characters of one conversation; the oldest messages are forgotten.
    pub chars: usize,
    /// A conversation silent for so long begins anew.
    pub ttl: Duration,
}

/// How often someone may ask: so many at once, and one more each `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Questions at once. Zero for no limit.
    pub burst: u32,
    /// How long until one more is allowed.
    pub every: Duration,
}

/// How often users and channels may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Each user of a platform.
    pub user: Budget,
    /// Each channel of a platform.
    pub channel: Budget,
    /// Users, and as many channels, that are kept account of; who has not asked for the longest is forgotten
    /// for someone new, and begins with a whole budget again.
    pub tracked: usize,
}

/// How an answer is cut for a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyRule {
    /// Unicode code points, at least 1.
    pub max_chars: usize,
    /// Whether line breaks become spaces.
    pub one_line: bool,
}

/// The rules by platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplyRules {
    /// For platforms that have none of their own.
    pub default: ReplyRule,
    /// By the platform's name.
    pub by_platform: BTreeMap<String, ReplyRule>,
}

/// How personalities are put together with the system prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compose {
    /// Behind it.
    #[default]
    Append,
    /// Before it.
    Prepend,
    /// In its place, where there is any.
    Replace,
}

/// Where personalities come from, and how they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalityConfig {
    /// Whether annotations of this kind count.
    pub enabled: bool,
    /// Files and folders of YAML and JSON files (PERSONALITIES_PATH). Folders are not searched deeper.
    pub paths: Vec<PathBuf>,
    /// How they are put together with the system prompt.
    pub compose: Compose,
    /// Of one event; the rest is dropped and counted.
    pub max: usize,
    /// Characters of each; the rest is cut off and counted.
    pub max_chars: usize,
    /// How long what is known counts as true before store and files are asked whether they changed.
    pub ttl: Duration,
    /// Personalities that are kept, by name; those behind are left out and logged.
    pub kept: usize,
}

/// The most that any of the memories holds, whatever is configured: their room is taken at the start.
const MAX_PLACES: usize = 1_000_000;

/// Room for so many: at least one.
pub(crate) fn places(wanted: usize) -> NonZeroUsize {
    NonZeroUsize::new(wanted.min(MAX_PLACES)).unwrap_or(NonZeroUsize::MIN)
}

// === impl LlmConfig ===

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: None,
            model: "gpt-4o-mini".to_owned(),
            system_prompt:
                "You are a friendly bot in a live chat. Answer in one or two short sentences of plain \
                            text."
                    .to_owned(),
            temperature: None,
            stream: true,
            timeout: Duration::from_secs(15),
            retries: 2,
            first_retry: Duration::from_millis(250),
            max_retry: Duration::from_secs(5),
            max_answer_bytes: 1024 * 1024,
            max_prompt_chars: 4_000,
            parallel: 8,
            stop_grace: Duration::from_secs(4),
            remembered_answers: 4_096,
            memory: MemoryBounds::default(),
            budgets: Budgets::default(),
            reply: ReplyRules::default(),
            personalities: PersonalityConfig::default(),
            known_topics: Vec::new(),
        }
    }
}

impl Default for MemoryBounds {
    fn default() -> Self {
        Self { conversations: 1_000, messages: 8, chars: 4_000, ttl: Duration::from_secs(600) }
    }
}

impl Default for Budgets {
    /// A user: 5, and one more each 10 s. A channel: 20, and one more each 2 s.
    fn default() -> Self {
        Self {
            user: Budget { burst: 5, every: Duration::from_secs(10) },
            channel: Budget { burst: 20, every: Duration::from_secs(2) },
            tracked: 10_000,
        }
    }
}

impl Default for ReplyRule {
    /// 480 code points on one line: what fits into one message of every platform.
    fn default() -> Self {
        Self { max_chars: 480, one_line: true }
    }
}

impl Default for PersonalityConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            paths: Vec::new(),
            compose: Compose::default(),
            max: 3,
            max_chars: 4_000,
            ttl: Duration::from_secs(5),
            kept: 1_000,
        }
    }
}

// === impl ReplyRules ===

impl ReplyRules {
    /// The rule of a platform.
    pub fn of(&self, platform: &str) -> ReplyRule {
        self.by_platform.get(platform).copied().unwrap_or(self.default)
    }
}

// === impl Compose ===

impl Compose {
    /// The mode of this name: `append`, `prepend` or `replace`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "append" => Some(Self::Append),
            "prepend" => Some(Self::Prepend),
            "replace" => Some(Self::Replace),
            _ => None,
        }
    }
}
