//! Discord's settings, and the connector they make.

use std::sync::Arc;

use chatbus_connector::{BuildContext, Connector, PlatformFactory};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};
use secrecy::SecretString;
use twilight_model::gateway::Intents;

use crate::PLATFORM;
use crate::channel::channel_id;
use crate::config::{ApiUrl, DiscordConfig, GatewayUrl, INTENTS};
use crate::connector::DiscordConnector;
use crate::directory::MAX_WANTED;

/// Makes the Discord connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new("DISCORD_ENABLED", Kind::Bool, "`false` turns Discord off whatever else is set."),
    SettingSpec::new("DISCORD_BOT_TOKEN", Kind::Secret, "The bot's token, with or without `Bot `."),
    SettingSpec::new("DISCORD_GUILD_ID", Kind::Text, "The guild (server) that is served, by its id."),
    SettingSpec::new(
        "DISCORD_CHANNELS",
        Kind::List,
        "Ids of the guild's channels to be in. A public answer that names no channel goes to the first.",
    ),
    SettingSpec::new(
        "DISCORD_INTENTS",
        Kind::List,
        "What the gateway is asked to tell, by the names of Discord's reference, such as `guilds`, `guild_messages`, \
         `guild_members`, `direct_messages`, `message_content`.",
    )
    .default("guilds,guild_messages,direct_messages,message_content"),
    SettingSpec::new("DISCORD_API_URL", Kind::Urls(&["http", "https"]), "Discord's REST interface.")
        .default("https://discord.com/api/v10"),
    SettingSpec::new(
        "DISCORD_GATEWAY_URL",
        Kind::Urls(&["ws", "wss"]),
        "Discord's gateway. Without it REST tells where it is.",
    ),
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
        match DiscordConnector::new(config, Arc::clone(&cx.notes), Arc::clone(&cx.clock)) {
            Ok(connector) => Ok(Some(Arc::new(connector))),
            Err(error) => Err(vec![Problem::new("DISCORD_API_URL", error.to_string())]),
        }
    }
}

/// The configuration, or every problem with it.
fn read(values: &Values, cx: &BuildContext) -> Result<Option<DiscordConfig>, Vec<Problem>> {
    let named = ["DISCORD_BOT_TOKEN", "DISCORD_GUILD_ID", "DISCORD_CHANNELS"];
    let enabled = values.bool("DISCORD_ENABLED");
    let wanted = enabled == Some(true) || named.iter().any(|name| values.is_set(name));
    if enabled == Some(false) || !wanted {
        return Ok(None);
    }
    let mut problems = Vec::new();
    for name in named {
        if !values.is_set(name) {
            problems.push(Problem::new(name, "is needed because Discord is on"));
        }
    }
    let token = values.text("DISCORD_BOT_TOKEN").unwrap_or_default().trim();
    let token = token.strip_prefix("Bot ").unwrap_or(token);
    // It stands in a header.
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        problems.push(Problem::new("DISCORD_BOT_TOKEN", "holds characters that no token has"));
    }
    let guild = values.text("DISCORD_GUILD_ID").and_then(channel_id);
    if guild.is_none() && values.is_set("DISCORD_GUILD_ID") {
        problems.push(Problem::new("DISCORD_GUILD_ID", "is no id: use the number that Discord shows"));
    }
    let channels = channels(values, &mut problems);
    let intents = intents(values, &mut problems);
    let api = ApiUrl::parse(values.text("DISCORD_API_URL").unwrap_or_default());
    let api = api.map_err(|error| problems.push(Problem::new("DISCORD_API_URL", error.to_string())));
    let gateway = values.text("DISCORD_GATEWAY_URL").map(GatewayUrl::parse).transpose();
    let gateway =
        gateway.map_err(|error| problems.push(Problem::new("DISCORD_GATEWAY_URL", error.to_string())));
    match (guild, api, gateway) {
        (Some(guild), Ok(api), Ok(gateway)) if problems.is_empty() => Ok(Some(DiscordConfig {
            token: SecretString::from(token.to_owned()),
            guild,
            channels,
            api,
            gateway,
            intents,
            egress: cx.egress.clone(),
            shape: cx.shape,
        })),
        _ => Err(problems),
    }
}

fn channels(values: &Values, problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let mut channels: Vec<Arc<str>> = Vec::new();
    for text in values.list("DISCORD_CHANNELS") {
        match channel_id(&text) {
            Some(id) if channels.contains(&id) => {}
            Some(id) => channels.push(id),
            None => problems.push(Problem::new(
                "DISCORD_CHANNELS",
                format!("{text:?} is no channel: use its id, the number that Discord shows"),
            )),
        }
    }
    if channels.len() > MAX_WANTED {
        problems.push(Problem::new("DISCORD_CHANNELS", format!("names over {MAX_WANTED} channels")));
    }
    channels
}

fn intents(values: &Values, problems: &mut Vec<Problem>) -> Intents {
    let mut intents = Intents::empty();
    for name in values.list("DISCORD_INTENTS") {
        match INTENTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, intent)) => intents |= *intent,
            None => {
                let known: Vec<&str> = INTENTS.iter().map(|(known, _)| *known).collect();
                let right = format!("{name:?} is no intent: use {}", known.join(", "));
                problems.push(Problem::new("DISCORD_INTENTS", right));
            }
        }
    }
    intents
}

#[cfg(test)]
mod tests {
    use chatbus_event::{InstanceId, Shape, Topic};
    use chatbus_runtime::SystemClock;
    use chatbus_runtime::settings::{Origin, resolve};

    use super::*;

    fn read_from(pairs: &[(&str, &str)]) -> Result<Option<DiscordConfig>, Vec<String>> {
        let origin = |name: &str| Origin::Environment(name.to_owned());
        let layer = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), origin(k)));
        let (values, problems) = resolve(SETTINGS, &[layer.collect()]);
        assert_eq!(problems, []);
        let instance = InstanceId::parse("i-1").unwrap();
        let egress = Topic::egress_of(&instance);
        let cx = BuildContext::alone(instance, egress, Shape::Flat, Arc::new(SystemClock));
        read(&values, &cx).map_err(|problems| problems.into_iter().map(|problem| problem.setting).collect())
    }

    const TOKEN: (&str, &str) = ("DISCORD_BOT_TOKEN", "Bot abc.def");
    const GUILD: (&str, &str) = ("DISCORD_GUILD_ID", "41771983423143937");
    const CHANNELS: (&str, &str) = ("DISCORD_CHANNELS", "10 11, 10");

    #[test]
    fn it_runs_where_token_guild_and_channels_are_named() {
        let config = read_from(&[TOKEN, GUILD, CHANNELS]).unwrap().unwrap();
        assert_eq!(config.channels, ["10".into(), "11".into()]);
        assert_eq!(secrecy::ExposeSecret::expose_secret(&config.token), "abc.def");
        assert!(config.intents.contains(Intents::MESSAGE_CONTENT | Intents::DIRECT_MESSAGES));
        assert!(!format!("{config:?}").contains("abc.def"), "a secret is never shown");
        assert!(read_from(&[]).unwrap().is_none());
        assert!(read_from(&[("DISCORD_ENABLED", "false"), TOKEN, GUILD, CHANNELS]).unwrap().is_none());
    }

    #[test]
    fn half_a_configuration_names_what_is_missing_and_a_bad_one_what_is_wrong() {
        for (pairs, wrong) in [
            (&[TOKEN][..], &["DISCORD_GUILD_ID", "DISCORD_CHANNELS"][..]),
            (&[("DISCORD_ENABLED", "true")], &["DISCORD_BOT_TOKEN", "DISCORD_GUILD_ID", "DISCORD_CHANNELS"]),
            (&[TOKEN, GUILD, ("DISCORD_CHANNELS", "general")], &["DISCORD_CHANNELS"]),
            (&[TOKEN, ("DISCORD_GUILD_ID", "mine"), CHANNELS], &["DISCORD_GUILD_ID"]),
            (&[("DISCORD_BOT_TOKEN", "a b"), GUILD, CHANNELS], &["DISCORD_BOT_TOKEN"]),
            (&[TOKEN, GUILD, CHANNELS, ("DISCORD_INTENTS", "everything")], &["DISCORD_INTENTS"]),
            (&[TOKEN, GUILD, CHANNELS, ("DISCORD_API_URL", "http://example.com")], &["DISCORD_API_URL"]),
            (&[TOKEN, GUILD, CHANNELS, ("DISCORD_GATEWAY_URL", "ws://10.0.0.1")], &["DISCORD_GATEWAY_URL"]),
        ] {
            assert_eq!(read_from(pairs).unwrap_err(), wrong, "{pairs:?}");
        }
    }
}
