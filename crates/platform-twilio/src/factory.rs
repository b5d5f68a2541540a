//! Twilio's settings, and the connector they make.

use std::sync::Arc;

use chatbus_connector::{BuildContext, Connector, PlatformFactory};
use chatbus_runtime::SystemEntropy;
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};
use secrecy::SecretString;

use crate::config::{ApiKey, Sender};
use crate::webhook::PATH;
use crate::{PLATFORM, TwilioConfig, TwilioConnector, address};

/// Makes the Twilio connector.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new("TWILIO_ENABLED", Kind::Bool, "`false` turns Twilio off whatever else is set."),
    SettingSpec::new("TWILIO_ACCOUNT_SID", Kind::Text, "The account: `AC…`."),
    SettingSpec::new(
        "TWILIO_AUTH_TOKEN",
        Kind::Secret,
        "The account's auth token. It proves that webhooks are Twilio's, and authorises requests where there is \
         no API key.",
    ),
    SettingSpec::new(
        "TWILIO_API_KEY",
        Kind::Text,
        "An API key for requests, `SK…`, instead of the auth token.",
    ),
    SettingSpec::new("TWILIO_API_SECRET", Kind::Secret, "The API key's secret."),
    SettingSpec::new(
        "TWILIO_FROM",
        Kind::Text,
        "Who text messages come from: a number such as `+15005550006` or `whatsapp:+15005550006`, a short code, a \
         sender's name, or a messaging service, `MG…`. Without it none are sent.",
    ),
    SettingSpec::new(
        "TWILIO_CHAT_SERVICE_SID",
        Kind::Text,
        "The Conversations service, `IS…`; the account's default one without it.",
    ),
    SettingSpec::new(
        "TWILIO_IDENTITY",
        Kind::Text,
        "Who the bot is in conversations: it joins new ones, and what it says there comes from it.",
    ),
    SettingSpec::new(
        "TWILIO_PUBLIC_URL",
        Kind::Urls(&["http", "https"]),
        "Under which address Twilio reaches this process, such as `https://bot.example`; its webhooks are sent to \
         `/webhooks/twilio` below it, and their signatures are checked against it. Without it PUBLIC_URL, or what \
         a request and trusted proxies say.",
    ),
    SettingSpec::new("TWILIO_API_URL", Kind::Urls(&["http", "https"]), "The REST API.")
        .default("https://api.twilio.com"),
    SettingSpec::new("TWILIO_CONVERSATIONS_URL", Kind::Urls(&["http", "https"]), "The Conversations API.")
        .default("https://conversations.twilio.com"),
];

/// What shows that Twilio is wanted. An address alone does not.
const NAMED: [&str; 7] = [
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_API_KEY",
    "TWILIO_API_SECRET",
    "TWILIO_FROM",
    "TWILIO_CHAT_SERVICE_SID",
    "TWILIO_IDENTITY",
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
        match TwilioConnector::new(config) {
            Ok(connector) => Ok(Some(Arc::new(connector))),
            Err(error) => Err(vec![Problem::new("TWILIO_API_URL", error.to_string())]),
        }
    }
}

/// The configuration, or every problem with it.
fn read(values: &Values, cx: &BuildContext) -> Result<Option<TwilioConfig>, Vec<Problem>> {
    let enabled = values.bool("TWILIO_ENABLED");
    let wanted = enabled == Some(true) || NAMED.iter().any(|name| values.is_set(name));
    if enabled == Some(false) || !wanted {
        return Ok(None);
    }
    let mut problems = missing(values);
    let mut checked = |name: &str, is_good: fn(&str) -> bool, right: &str| {
        let text = values.text(name)?;
        if !is_good(text) {
            problems.push(Problem::new(name, format!("{text:?} is none: {right}")));
        }
        Some(text.to_owned())
    };
    let account_sid = checked("TWILIO_ACCOUNT_SID", |sid| address::is_sid(sid, "AC"), "it begins with AC");
    let key = checked("TWILIO_API_KEY", |key| address::is_sid(key, "SK"), "it begins with SK");
    let chat_service =
        checked("TWILIO_CHAT_SERVICE_SID", |sid| address::is_sid(sid, "IS"), "it begins with IS");
    let from = checked(
        "TWILIO_FROM",
        |from| Sender::parse(from).is_some(),
        "a number such as +15005550006, a short code, a name of at most 11 letters, or a service, MG…",
    );
    let api_url = base(values, "TWILIO_API_URL", &mut problems);
    let conversations_url = base(values, "TWILIO_CONVERSATIONS_URL", &mut problems);
    let own_url =
        values.text("TWILIO_PUBLIC_URL").and_then(|_| base(values, "TWILIO_PUBLIC_URL", &mut problems));
    if !problems.is_empty() {
        return Err(problems);
    }
    let secret = |name: &str| values.text(name).map(|text| SecretString::from(text.to_owned()));
    let trusts_origin = own_url.is_none();
    let public_url = own_url.or_else(|| cx.public_url.as_deref().map(str::to_owned));
    let (Some(account_sid), Some(auth_token), Some(api_url), Some(conversations_url)) =
        (account_sid, secret("TWILIO_AUTH_TOKEN"), api_url, conversations_url)
    else {
        return Ok(None);
    };
    Ok(Some(TwilioConfig {
        account_sid,
        auth_token,
        api_key: key.zip(secret("TWILIO_API_SECRET")).map(|(key, secret)| ApiKey { key, secret }),
        from: from.and_then(|from| Sender::parse(&from)),
        chat_service,
        identity: values.text("TWILIO_IDENTITY").map(str::to_owned),
        public_urls: public_url.into_iter().collect(),
        trusts_origin,
        api_url,
        conversations_url,
        egress: cx.egress.clone(),
        shape: cx.shape,
        notes: Arc::clone(&cx.notes),
        clock: Arc::clone(&cx.clock),
        entropy: Arc::new(SystemEntropy::new()),
    }))
}

/// What must be there because of what is.
fn missing(values: &Values) -> Vec<Problem> {
    let is_set = |name| values.is_set(name);
    let needed = |name, why: &str| (!is_set(name)).then(|| Problem::new(name, format!("is needed {why}")));
    let mut problems: Vec<Problem> = ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]
        .into_iter()
        .filter_map(|name| needed(name, "because Twilio is on"))
        .collect();
    for (name, other) in [
        ("TWILIO_API_SECRET", "TWILIO_API_KEY"),
        ("TWILIO_API_KEY", "TWILIO_API_SECRET"),
        ("TWILIO_IDENTITY", "TWILIO_CHAT_SERVICE_SID"),
    ] {
        if is_set(other) {
            problems.extend(needed(name, &format!("because {other} is set")));
        }
    }
    if !is_set("TWILIO_CHAT_SERVICE_SID") && !is_set("TWILIO_IDENTITY") {
        let why =
            "because Twilio is on: who text messages come from; or set TWILIO_IDENTITY for conversations";
        problems.extend(needed("TWILIO_FROM", why));
    }
    problems
}

/// An address that paths are appended to.
fn base(values: &Values, name: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let text = values.text(name)?.trim();
    let is_good = url::Url::parse(text).is_ok_and(|url| {
        url.has_host() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
    });
    if !is_good {
        problems.push(Problem::new(name, "is one address without a user, a query or a fragment"));
        return None;
    }
    // The whole address of the webhook is what Twilio's console shows, and so what people paste.
    let text = text.trim_end_matches('/');
    Some(text.strip_suffix(PATH).unwrap_or(text).trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
