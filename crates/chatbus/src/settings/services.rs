//! Settings of the store, and of the roles between ingress and egress.

use std::path::PathBuf;
use std::time::Duration;

use chatbus_runtime::settings::{Kind, SettingSpec, Values};

pub(super) const SPECS: &[SettingSpec] = &[
    SettingSpec::new(
        "STORE_URL",
        Kind::Secret,
        "Where events, users, dead letters and rules are kept: `sqlite:` (in DATA_DIR), `sqlite:PATH`, which serve one \
         machine, or `postgres://USER:PASSWORD@HOST/DATABASE`.",
    )
    .default("sqlite:"),
    SettingSpec::new(
        "PERSISTENCE_TTL_DAYS",
        Kind::Integer { min: 1, max: 36_500 },
        "How long events and dead letters are kept; `qos.ttl` of an event says otherwise for that one.",
    )
    .default("7"),
    SettingSpec::new(
        "RULES_PATH",
        Kind::Path,
        "Routing rules, YAML or JSON: a file or a folder of them, read again when changed. A broken file keeps the last good one.",
    ),
    SettingSpec::new(
        "POLICY_PATH",
        Kind::Path,
        "What may be said, YAML or JSON: asked before every send, read again when changed.",
    ),
    SettingSpec::new(
        "PERSONALITIES_PATH",
        Kind::Path,
        "Personalities of the language model, YAML or JSON: a file or a folder of them, read again when changed.",
    ),
    SettingSpec::new(
        "IGNORE_USERS",
        Kind::List,
        "Logins of bots that are not answered, on every platform. In place of the list of well-known bots.",
    ),
    SettingSpec::new(
        "BOT_NAME",
        Kind::Text,
        "The name by which the bot is spoken to; the bot account's login when it is not set.",
    ),
    SettingSpec::new(
        "OPENAI_API_KEY",
        Kind::Secret,
        "Key of the language model's endpoint. The role llm-bot answers only when this or OPENAI_BASE_URL is set.",
    ),
    SettingSpec::new(
        "OPENAI_BASE_URL",
        Kind::Text,
        "Any endpoint that speaks the OpenAI protocol, up to and with `/v1`.",
    ),
    SettingSpec::new("OPENAI_MODEL", Kind::Text, "The model that is asked.").default("gpt-5-mini"),
    SettingSpec::new("OPENAI_TIMEOUT_MS", Kind::Millis { min: 100, max: 600_000 }, "How long an answer may take.")
        .default("15000"),
    SettingSpec::new(
        "LLM_BOT_SYSTEM_PROMPT",
        Kind::Text,
        "What the language model is told first. Personalities are added to it.",
    ),
];

/// The same, typed.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) store_url: String,
    pub(crate) ttl: Duration,
    pub(crate) rules: Option<PathBuf>,
    pub(crate) policy: Option<PathBuf>,
    pub(crate) personalities: Option<PathBuf>,
    pub(crate) ignored_users: Vec<String>,
    pub(crate) bot_name: Option<String>,
    pub(crate) model: Option<Model>,
}

/// The language model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) base_url: String,
    pub(crate) api_key: Option<String>,
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) system_prompt: Option<String>,
}

const OPENAI: &str = "https://api.openai.com/v1";

// === impl Services ===

impl Services {
    /// Reads checked values.
    pub(super) fn read(values: &Values) -> Self {
        let text = |name| values.text(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let days = values.integer("PERSISTENCE_TTL_DAYS");
        let ignored = if values.is_set("IGNORE_USERS") {
            values.list("IGNORE_USERS")
        } else {
            chatbus_auth::AuthConfig::default_ignored().into_iter().collect()
        };
        let (api_key, base_url) = (text("OPENAI_API_KEY"), text("OPENAI_BASE_URL"));
        let is_on = api_key.is_some() || base_url.is_some();
        let model = is_on.then(|| Model {
            base_url: base_url.unwrap_or_else(|| OPENAI.to_owned()),
            api_key,
            name: text("OPENAI_MODEL").unwrap_or_default(),
            timeout: values.millis("OPENAI_TIMEOUT_MS"),
            system_prompt: text("LLM_BOT_SYSTEM_PROMPT"),
        });
        Self {
            store_url: text("STORE_URL").unwrap_or_default(),
            ttl: Duration::from_secs(days * 24 * 60 * 60),
            rules: values.path("RULES_PATH"),
            policy: values.path("POLICY_PATH"),
            personalities: values.path("PERSONALITIES_PATH"),
            ignored_users: ignored.into_iter().map(|name| name.to_lowercase()).collect(),
            bot_name: text("BOT_NAME"),
            model,
        }
    }
}
