//! Twitch's settings, and the connector they make.

use std::sync::Arc;

use chatbus_connector::{Account, BuildContext, Connector, Credential, CredentialState, PlatformFactory};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};
use secrecy::SecretString;

use crate::irc::transport::{Endpoint, public_roots};
use crate::normalize::PLATFORM;
use crate::{TwitchConfig, TwitchConnector, channel_name};

/// Makes the Twitch connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new("TWITCH_ENABLED", Kind::Bool, "`false` turns Twitch off whatever else is set."),
    SettingSpec::new(
        "TWITCH_CHANNELS",
        Kind::List,
        "Channels to be in, with or without `#`. A public answer that names no channel goes to the first.",
    ),
    SettingSpec::new(
        "TWITCH_BOT_USERNAME",
        Kind::Text,
        "The bot's login. Without it and its token chat is read anonymously, and nothing is said.",
    ),
    SettingSpec::new(
        "TWITCH_BOT_ACCESS_TOKEN",
        Kind::Secret,
        "The bot's user access token with the scopes `chat:read` and `chat:edit`, with or without `oauth:`.",
    ),
    SettingSpec::new(
        "TWITCH_CLIENT_ID",
        Kind::Text,
        "The application's id. With it and its secret but no token, chat is read anonymously and the account \
         shows as `needs_reauth`.",
    ),
    SettingSpec::new("TWITCH_CLIENT_SECRET", Kind::Secret, "The application's secret."),
    SettingSpec::new("TWITCH_READ", Kind::Choice(&["irc"]), "By which interface chat is read.")
        .default("irc"),
    SettingSpec::new("TWITCH_SEND", Kind::Choice(&["auto", "irc"]), "By which interface something is said.")
        .default("auto"),
    SettingSpec::new(
        "TWITCH_IRC_URL",
        Kind::Urls(&["irc", "ircs", "ws", "wss"]),
        "The IRC server: lines over TCP, TLS, WebSocket, or WebSocket over TLS.",
    )
    .default("ircs://irc.chat.twitch.tv:6697"),
    SettingSpec::new(
        "TWITCH_MESSAGE_LIMIT",
        Kind::Choice(&["by-role", "off"]),
        "How fast messages go out: by Twitch's limits for the account's role, or, for benchmarks against \
         another server than Twitch's, without limits.",
    )
    .default("by-role"),
    SettingSpec::new(
        "TWITCH_JOIN_LIMIT",
        Kind::Choice(&["ordinary", "verified"]),
        "How fast channels are joined: 20 in ten seconds, or 2,000 for a bot that Twitch has verified.",
    )
    .default("ordinary"),
    SettingSpec::new(
        "IRC_RECONNECT_INITIAL_MS",
        Kind::Millis { min: 1, max: 3_600_000 },
        "The first wait before a lost IRC connection is made again; doubles each time, with jitter.",
    )
    .default("1000"),
    SettingSpec::new(
        "IRC_RECONNECT_MAX_MS",
        Kind::Millis { min: 1, max: 3_600_000 },
        "The longest such wait.",
    )
    .default("30000"),
];

// === impl Factory ===

impl PlatformFactory for Factory {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn settings(&self) -> &'static [SettingSpec] {
        SETTINGS
    }

    fn build(&self, values: &Values, cx: &BuildContext) -> Result<Option<Arc<dyn Connector>>, Vec<Problem>> {
        let Some(config) = read(values, cx)? else { return Ok(None) };
        let tls = public_roots().map_err(|error| vec![Problem::new("TWITCH_IRC_URL", error.to_string())])?;
        Ok(Some(Arc::new(TwitchConnector::new(config, tls, Arc::clone(&cx.clock)))))
    }
}

/// The configuration, or every problem with it.
fn read(values: &Values, cx: &BuildContext) -> Result<Option<TwitchConfig>, Vec<Problem>> {
    let named = ["TWITCH_CHANNELS", "TWITCH_BOT_USERNAME", "TWITCH_BOT_ACCESS_TOKEN"];
    let enabled = values.bool("TWITCH_ENABLED");
    let wanted = enabled == Some(true) || named.iter().any(|name| values.is_set(name));
    if enabled == Some(false) || !wanted {
        return Ok(None);
    }
    let mut problems = Vec::new();
    let channels = channels(values, &mut problems);
    let awaits_login = awaits_login(values, &mut problems);
    let account = account(values, awaits_login, &mut problems);
    let endpoint = endpoint(values, &mut problems);
    let (initial, max) = (values.millis("IRC_RECONNECT_INITIAL_MS"), values.millis("IRC_RECONNECT_MAX_MS"));
    if max < initial {
        let right = format!("use at least IRC_RECONNECT_INITIAL_MS, which is {}", initial.as_millis());
        problems.push(Problem::new("IRC_RECONNECT_MAX_MS", right));
    }
    match endpoint {
        Some(endpoint) if problems.is_empty() => Ok(Some(TwitchConfig {
            endpoint,
            channels,
            account: kept_or(account, cx),
            awaits_login,
            message_limit: values.text("TWITCH_MESSAGE_LIMIT") != Some("off"),
            is_verified: values.text("TWITCH_JOIN_LIMIT") == Some("verified"),
            reconnect_initial: initial,
            reconnect_max: max,
            egress: cx.egress.clone(),
            shape: cx.shape,
        })),
        _ => Err(problems),
    }
}

fn channels(values: &Values, problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let mut channels: Vec<Arc<str>> = Vec::new();
    for text in values.list("TWITCH_CHANNELS") {
        match channel_name(&text) {
            Some(name) if channels.contains(&name) => {}
            Some(name) => channels.push(name),
            None => problems.push(Problem::new(
                "TWITCH_CHANNELS",
                format!("{text:?} is no channel: use 1 to 25 of a-z 0-9 _, with or without #"),
            )),
        }
    }
    if channels.is_empty() && problems.is_empty() {
        problems.push(Problem::new("TWITCH_CHANNELS", "is needed because Twitch is on: name a channel"));
    }
    channels
}

/// Whether there is an application but no token of its account.
fn awaits_login(values: &Values, problems: &mut Vec<Problem>) -> bool {
    let (id, secret) = (values.is_set("TWITCH_CLIENT_ID"), values.is_set("TWITCH_CLIENT_SECRET"));
    for (is_set, name, other) in [
        (id, "TWITCH_CLIENT_SECRET", "TWITCH_CLIENT_ID"),
        (secret, "TWITCH_CLIENT_ID", "TWITCH_CLIENT_SECRET"),
    ] {
        if is_set && !values.is_set(name) {
            problems.push(Problem::new(name, format!("is needed because {other} is set")));
        }
    }
    id && secret && !values.is_set("TWITCH_BOT_ACCESS_TOKEN")
}

fn account(values: &Values, awaits_login: bool, problems: &mut Vec<Problem>) -> Option<Account> {
    let (login, token) = (values.text("TWITCH_BOT_USERNAME"), values.text("TWITCH_BOT_ACCESS_TOKEN"));
    let missing = |name: &str, other: &str| Problem::new(name, format!("is needed because {other} is set"));
    match (login, token) {
        (None, None) => None,
        (Some(_), None) if awaits_login => None,
        (Some(_), None) => {
            problems.push(missing("TWITCH_BOT_ACCESS_TOKEN", "TWITCH_BOT_USERNAME"));
            None
        }
        (None, Some(_)) => {
            problems.push(missing("TWITCH_BOT_USERNAME", "TWITCH_BOT_ACCESS_TOKEN"));
            None
        }
        (Some(login), Some(token)) => match channel_name(login).filter(|_| !login.contains('#')) {
            Some(name) => {
                let login = name.trim_start_matches('#').to_owned();
                let token = SecretString::from(token.to_owned());
                Some(Account::fixed(Credential::ready(token, Some(login), None)))
            }
            None => {
                let right = format!("{login:?} is no login: use 1 to 25 of a-z 0-9 _");
                problems.push(Problem::new("TWITCH_BOT_USERNAME", right));
                None
            }
        },
    }
}

/// A token that is kept wins over the one of the settings.
fn kept_or(set: Option<Account>, cx: &BuildContext) -> Account {
    let kept = cx.accounts.account(PLATFORM, "bot");
    let has_kept = kept.now().state != CredentialState::Missing;
    set.filter(|_| !has_kept).unwrap_or(kept)
}

fn endpoint(values: &Values, problems: &mut Vec<Problem>) -> Option<Endpoint> {
    let endpoint = match Endpoint::parse(values.text("TWITCH_IRC_URL").unwrap_or_default()) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            problems.push(Problem::new("TWITCH_IRC_URL", error.to_string()));
            return None;
        }
    };
    if endpoint.is_twitch() && values.text("TWITCH_MESSAGE_LIMIT") == Some("off") {
        let right = "off is only for another server: set TWITCH_IRC_URL, or leave the limits on";
        problems.push(Problem::new("TWITCH_MESSAGE_LIMIT", right));
    }
    Some(endpoint)
}

#[cfg(test)]
mod tests;
