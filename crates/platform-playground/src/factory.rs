//! The playground's settings, and the connector they make.

use std::sync::Arc;

use chatbus_connector::{BuildContext, Connector, PlatformFactory};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};

use crate::{Endpoint, PLATFORM, PlaygroundConnector, channel_name};

/// Makes the playground's connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

/// Where it is, and the channels.
type Found = (Endpoint, Vec<Arc<str>>);

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new(
        "PLAYGROUND_ENABLED",
        Kind::Bool,
        "`false` turns the playground off whatever else is set.",
    ),
    SettingSpec::new(
        "PLAYGROUND_URL",
        Kind::Urls(&["http"]),
        "A sandbox's playground, a platform for tests that exists nowhere else: `http://` and a loopback address, \
         as `chatbus sandbox` prints it. Without it there is none.",
    ),
    SettingSpec::new(
        "PLAYGROUND_CHANNELS",
        Kind::List,
        "Channels of the playground to speak in. A public answer that names no channel goes to the first.",
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
        let Some((endpoint, channels)) = read(values)? else { return Ok(None) };
        match PlaygroundConnector::new(endpoint, channels, Arc::clone(&cx.clock)) {
            Ok(connector) => Ok(Some(Arc::new(connector))),
            Err(error) => Err(vec![Problem::new("PLAYGROUND_URL", error.to_string())]),
        }
    }
}

/// The configuration, or every problem with it.
fn read(values: &Values) -> Result<Option<Found>, Vec<Problem>> {
    let is_named = ["PLAYGROUND_URL", "PLAYGROUND_CHANNELS"].iter().any(|name| values.is_set(name));
    let enabled = values.bool("PLAYGROUND_ENABLED");
    if enabled == Some(false) || (enabled.is_none() && !is_named) {
        return Ok(None);
    }
    let mut problems = Vec::new();
    let needed = |name: &str, what: &str| Problem::new(name, format!("is needed for the playground: {what}"));
    let endpoint = match values.text("PLAYGROUND_URL") {
        None => Err(needed("PLAYGROUND_URL", "`chatbus sandbox` prints one")),
        // What was there instead may hold a password.
        Some(url) => Endpoint::parse(url).map_err(|error| Problem::new("PLAYGROUND_URL", error.to_string())),
    };
    let mut channels: Vec<Arc<str>> = Vec::new();
    for text in values.list("PLAYGROUND_CHANNELS") {
        match channel_name(&text) {
            Some(name) if channels.contains(&name) => {}
            Some(name) => channels.push(name),
            None => problems.push(Problem::new(
                "PLAYGROUND_CHANNELS",
                format!("{text:?} is no channel: use 1 to 64 of a-z 0-9 _ -, with or without #"),
            )),
        }
    }
    if channels.is_empty() && problems.is_empty() {
        problems.push(needed("PLAYGROUND_CHANNELS", "name a channel"));
    }
    match endpoint {
        Ok(endpoint) if problems.is_empty() => Ok(Some((endpoint, channels))),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.insert(0, problem);
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_runtime::settings::{Origin, resolve};

    fn read_from(pairs: &[(&str, &str)]) -> Result<Option<Vec<Arc<str>>>, Vec<String>> {
        let origin = |name: &str| Origin::Environment(name.to_owned());
        let layer = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), origin(k)));
        let (values, problems) = resolve(SETTINGS, &[layer.collect()]);
        assert_eq!(problems, []);
        read(&values)
            .map(|made| made.map(|(_, channels)| channels))
            .map_err(|problems| problems.into_iter().map(|problem| problem.setting).collect())
    }

    const HERE: (&str, &str) = ("PLAYGROUND_URL", "http://127.0.0.1:9100");

    #[test]
    fn it_runs_where_an_address_of_this_machine_and_a_channel_are_named() {
        let channels = read_from(&[HERE, ("PLAYGROUND_CHANNELS", "a, #B a")]).unwrap().unwrap();
        assert_eq!(channels, ["#a".into(), "#b".into()]);
        assert_eq!(read_from(&[]), Ok(None));
        let off = ("PLAYGROUND_ENABLED", "false");
        assert_eq!(read_from(&[off, HERE, ("PLAYGROUND_CHANNELS", "a")]), Ok(None));
    }

    #[test]
    fn what_is_missing_or_leads_elsewhere_is_named() {
        for (pairs, settings) in [
            (&[HERE][..], &["PLAYGROUND_CHANNELS"][..]),
            (&[("PLAYGROUND_CHANNELS", "a")], &["PLAYGROUND_URL"]),
            (&[("PLAYGROUND_ENABLED", "true")], &["PLAYGROUND_URL", "PLAYGROUND_CHANNELS"]),
            (&[HERE, ("PLAYGROUND_CHANNELS", "a/b c d/e")], &["PLAYGROUND_CHANNELS", "PLAYGROUND_CHANNELS"]),
            (&[("PLAYGROUND_URL", "http://example.com"), ("PLAYGROUND_CHANNELS", "a")], &["PLAYGROUND_URL"]),
        ] {
            assert_eq!(read_from(pairs).unwrap_err(), settings, "{pairs:?}");
        }
    }
}
