//! The platform's settings, and the connector they make.

use std::sync::Arc;

use chatbus_connector::{BuildContext, Connector, PlatformFactory};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};
use secrecy::SecretString;
use url::Url;

use crate::{PLATFORM, __Platform__Config, __Platform__Connector, channel_name};

/// Makes the connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new("__PLATFORM___ENABLED", Kind::Bool, "`false` turns __Platform__ off whatever else is set."),
    SettingSpec::new("__PLATFORM___URL", Kind::Urls(&["https", "http"]), "Where the API of __Platform__ is."),
    SettingSpec::new("__PLATFORM___TOKEN", Kind::Secret, "The account's token."),
    SettingSpec::new(
        "__PLATFORM___CHANNELS",
        Kind::List,
        "Channels to read and speak in, with or without `#`. A public answer that names no channel goes to the \
         first.",
    ),
];

/// Each of them is needed when one is there.
const NEEDED: [&str; 3] = ["__PLATFORM___URL", "__PLATFORM___TOKEN", "__PLATFORM___CHANNELS"];

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
        match __Platform__Connector::new(config, Arc::clone(&cx.clock)) {
            Ok(connector) => Ok(Some(Arc::new(connector))),
            Err(error) => Err(vec![Problem::new("__PLATFORM___URL", error)]),
        }
    }
}

/// The configuration, or every problem with it.
fn read(values: &Values, cx: &BuildContext) -> Result<Option<__Platform__Config>, Vec<Problem>> {
    let enabled = values.bool("__PLATFORM___ENABLED");
    let is_named = NEEDED.iter().any(|name| values.is_set(name));
    if enabled == Some(false) || (enabled.is_none() && !is_named) {
        return Ok(None);
    }
    let because = "is needed because __Platform__ is on";
    let mut problems: Vec<Problem> = NEEDED
        .iter()
        .filter(|name| values.text(name).is_none())
        .map(|name| Problem::new(*name, because))
        .collect();
    let channels = channels(values, &mut problems);
    let url = values.text("__PLATFORM___URL").and_then(|text| url(text, &mut problems));
    match (url, values.text("__PLATFORM___TOKEN")) {
        (Some(url), Some(token)) if problems.is_empty() => Ok(Some(__Platform__Config {
            url,
            token: SecretString::from(token.to_owned()),
            channels,
            egress: cx.egress.clone(),
            shape: cx.shape,
        })),
        _ => Err(problems),
    }
}

fn url(text: &str, problems: &mut Vec<Problem>) -> Option<Url> {
    let parsed = Url::parse(text.trim()).ok();
    let url = parsed.filter(|url| url.has_host() && url.username().is_empty() && url.password().is_none());
    if url.is_none() {
        problems.push(Problem::new("__PLATFORM___URL", "is no URL: use https://HOST, without a user in it"));
    }
    url
}

fn channels(values: &Values, problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let mut channels: Vec<Arc<str>> = Vec::new();
    for text in values.list("__PLATFORM___CHANNELS") {
        match channel_name(&text) {
            Some(name) if channels.contains(&name) => {}
            Some(name) => channels.push(name),
            None => problems.push(Problem::new(
                "__PLATFORM___CHANNELS",
                format!("{text:?} is no channel: use 1 to 64 of a-z 0-9 _ -, with or without #"),
            )),
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_event::{InstanceId, Shape, Topic};
    use chatbus_runtime::SystemClock;
    use chatbus_runtime::settings::{Origin, resolve};

    fn read_from(pairs: &[(&str, &str)]) -> Result<Option<__Platform__Config>, Vec<String>> {
        let origin = |name: &str| Origin::Environment(name.to_owned());
        let layer = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned(), origin(name)));
        let (values, problems) = resolve(SETTINGS, &[layer.collect()]);
        assert_eq!(problems, []);
        let instance = InstanceId::parse("test").unwrap();
        let egress = Topic::egress_of(&instance);
        let cx = BuildContext::alone(instance, egress, Shape::default(), Arc::new(SystemClock));
        read(&values, &cx).map_err(|problems| problems.into_iter().map(|problem| problem.setting).collect())
    }

    const URL: (&str, &str) = ("__PLATFORM___URL", "https://api.example.com");
    const TOKEN: (&str, &str) = ("__PLATFORM___TOKEN", "a-token");
    const CHANNELS: (&str, &str) = ("__PLATFORM___CHANNELS", "a, #B a");

    #[test]
    fn it_runs_where_an_address_a_token_and_a_channel_are_named() {
        let config = read_from(&[URL, TOKEN, CHANNELS]).unwrap().unwrap();
        assert_eq!(config.channels, ["#a".into(), "#b".into()]);
        assert!(!format!("{config:?}").contains("a-token"));
        assert!(read_from(&[]).unwrap().is_none());
        assert!(read_from(&[("__PLATFORM___ENABLED", "false"), URL, TOKEN, CHANNELS]).unwrap().is_none());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (pairs, settings) in [
            (&[URL][..], &["__PLATFORM___TOKEN", "__PLATFORM___CHANNELS"][..]),
            (&[("__PLATFORM___ENABLED", "true")], &NEEDED),
            (&[URL, TOKEN, ("__PLATFORM___CHANNELS", "a/b")], &["__PLATFORM___CHANNELS"]),
            (&[("__PLATFORM___URL", "https://me:pw@a.example"), TOKEN, CHANNELS], &["__PLATFORM___URL"]),
        ] {
            assert_eq!(read_from(pairs).unwrap_err(), settings, "{pairs:?}");
        }
    }
}
