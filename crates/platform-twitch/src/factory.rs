//! The connector that Twitch's settings make.

pub(crate) mod api;
mod settings;

use std::sync::Arc;

use chatbus_connector::{Account, BuildContext, Connector, Credential, CredentialState, PlatformFactory};
use chatbus_runtime::settings::{Problem, SettingSpec, Values};
use secrecy::SecretString;

use crate::irc::transport::{Endpoint, public_roots};
use crate::normalize::PLATFORM;
use crate::{TwitchConfig, TwitchConnector, channel_name};
use settings::SETTINGS;

/// Makes the Twitch connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

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
    let kept = cx.accounts.account(PLATFORM, "bot");
    let has_kept = kept.now().token.is_some();
    let has_token = has_kept || values.is_set("TWITCH_BOT_ACCESS_TOKEN");
    let api = api::read(values, cx, has_token, &mut problems);
    let awaits_login = api.api.is_some() && values.is_set("TWITCH_CLIENT_SECRET") && !has_token;
    let set = if has_kept { None } else { account(values, awaits_login, &mut problems) };
    // A token that is kept wins over the one of the settings.
    let bot = set.filter(|_| kept.now().state == CredentialState::Missing).unwrap_or(kept);
    let endpoint = endpoint(values, &mut problems);
    let (initial, max) = (values.millis("IRC_RECONNECT_INITIAL_MS"), values.millis("IRC_RECONNECT_MAX_MS"));
    if max < initial {
        let right = format!("use at least IRC_RECONNECT_INITIAL_MS, which is {}", initial.as_millis());
        problems.push(Problem::new("IRC_RECONNECT_MAX_MS", right));
    }
    match (endpoint, api.eventsub_url) {
        (Some(endpoint), Some(eventsub_url)) if problems.is_empty() => Ok(Some(TwitchConfig {
            endpoint,
            channels,
            bot,
            broadcaster: cx.accounts.account(PLATFORM, "broadcaster"),
            awaits_login,
            read: api.read,
            send: api.send,
            api: api.api,
            eventsub_url,
            eventsub_transport: api.eventsub_transport,
            eventsub_secret: api.eventsub_secret,
            public_url: cx.public_url.clone(),
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
                let token = token.trim();
                let token = SecretString::from(token.strip_prefix("oauth:").unwrap_or(token));
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
