//! The settings, and the connector they make.

use std::sync::Arc;

use chatbus_connector::{BuildContext, Connector, PlatformFactory};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values, parse_list};

use crate::channels::MAX_CHANNELS;
use crate::signature::Keys;
use crate::{Destination, PLATFORM, WebhookConfig, WebhookConnector, channel_name};

/// Makes the connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new("WEBHOOK_ENABLED", Kind::Bool, "`false` turns webhooks off whatever else is set."),
    SettingSpec::new(
        "WEBHOOK_URL",
        Kind::Secret,
        "Where is posted what is to be said: an `https` URL. Without it messages are only taken.",
    ),
    SettingSpec::new(
        "WEBHOOK_SECRET",
        Kind::Secret,
        "The secret of both directions: `whsec_` and the base64 of 24 to 64 random bytes.",
    ),
    SettingSpec::new(
        "WEBHOOK_SECRET_PREVIOUS",
        Kind::Secret,
        "Secrets that still count while another is brought in, at most four.",
    ),
    SettingSpec::new(
        "WEBHOOK_CHANNELS",
        Kind::List,
        "Channels to take messages in and to speak in, with or without `#`. A public answer that names no channel \
         goes to the first.",
    ),
    SettingSpec::new(
        "WEBHOOK_ALLOW_PRIVATE",
        Kind::Bool,
        "`true` lets WEBHOOK_URL lead to private, loopback and link-local addresses, and be `http` to a loopback \
         address.",
    )
    .default("false"),
];

/// More old secrets than this are no rotation.
const MAX_PREVIOUS: usize = 4;

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
        match WebhookConnector::new(config, Arc::clone(&cx.clock)) {
            Ok(connector) => Ok(Some(Arc::new(connector))),
            Err(error) => Err(vec![Problem::new("WEBHOOK_URL", error)]),
        }
    }
}

/// The configuration, or every problem with it.
fn read(values: &Values, cx: &BuildContext) -> Result<Option<WebhookConfig>, Vec<Problem>> {
    let enabled = values.bool("WEBHOOK_ENABLED");
    let named = ["WEBHOOK_URL", "WEBHOOK_SECRET", "WEBHOOK_CHANNELS"];
    let is_named = named.iter().any(|name| values.is_set(name));
    if enabled == Some(false) || (enabled.is_none() && !is_named) {
        return Ok(None);
    }
    let mut problems = Vec::new();
    let destination = destination(values, &mut problems);
    let keys = keys(values, &mut problems);
    let channels = channels(values, &mut problems);
    match keys {
        Some(keys) if problems.is_empty() => {
            let (egress, shape) = (cx.egress.clone(), cx.shape);
            Ok(Some(WebhookConfig { destination, keys, channels, egress, shape }))
        }
        _ => Err(problems),
    }
}

fn needed(name: &str, what: &str) -> Problem {
    Problem::new(name, format!("is needed because webhooks are on: {what}"))
}

fn destination(values: &Values, problems: &mut Vec<Problem>) -> Option<Destination> {
    let allow_private = values.bool("WEBHOOK_ALLOW_PRIVATE") == Some(true);
    let parsed = Destination::parse(values.text("WEBHOOK_URL")?, allow_private);
    parsed.map_err(|why| problems.push(Problem::new("WEBHOOK_URL", why.to_string()))).ok()
}

fn keys(values: &Values, problems: &mut Vec<Problem>) -> Option<Keys> {
    let Some(present) = values.text("WEBHOOK_SECRET") else {
        problems.push(needed("WEBHOOK_SECRET", "whsec_ and the base64 of 24 to 64 random bytes"));
        return None;
    };
    let mut keys = Keys::parse(present)
        .map_err(|why| problems.push(Problem::new("WEBHOOK_SECRET", why.to_string())))
        .ok()?;
    let previous = values.text("WEBHOOK_SECRET_PREVIOUS").map(parse_list).unwrap_or_default();
    if previous.len() > MAX_PREVIOUS {
        problems.push(Problem::new("WEBHOOK_SECRET_PREVIOUS", "holds more than four: leave out the oldest"));
    }
    for text in previous {
        match keys.clone().with_previous(&text) {
            Ok(more) => keys = more,
            Err(why) => problems.push(Problem::new("WEBHOOK_SECRET_PREVIOUS", why.to_string())),
        }
    }
    Some(keys)
}

fn channels(values: &Values, problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let mut channels: Vec<Arc<str>> = Vec::new();
    let listed = values.list("WEBHOOK_CHANNELS");
    for text in &listed {
        match channel_name(text) {
            Some(name) if channels.contains(&name) => {}
            Some(name) => channels.push(name),
            None => problems.push(Problem::new(
                "WEBHOOK_CHANNELS",
                format!("{text:?} is no channel: use 1 to 64 of a-z 0-9 _ -, with or without #"),
            )),
        }
    }
    if listed.is_empty() {
        problems.push(needed("WEBHOOK_CHANNELS", "name a channel"));
    }
    if channels.len() > MAX_CHANNELS {
        problems.push(Problem::new("WEBHOOK_CHANNELS", format!("holds more than {MAX_CHANNELS}")));
    }
    channels
}

#[cfg(test)]
mod tests;
