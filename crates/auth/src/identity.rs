//! Who an event is of. Pure.

use chatbus_event::Event;
use chatbus_event::json::Raw;

use crate::config::AuthConfig;

/// The provider of what names none that we know.
pub(crate) const UNKNOWN: &str = "unknown";

/// Longest id of a user on a platform; no platform's comes near it.
const MAX_USER_ID: usize = 256;

/// Who an event is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// By which platform it came, or by the gateway; [`UNKNOWN`] when that cannot be told.
    pub(crate) provider: String,
    /// The user, where the event is one's.
    pub(crate) user: Option<Person>,
}

/// A user, as far as an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The platform that the account is of: another than the event's where a token belongs to an account of a
    /// platform.
    pub(crate) provider: String,
    /// The id there.
    pub(crate) id: String,
    /// What the event names as the user's id.
    pub(crate) raw_id: String,
    pub(crate) login: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) email: Option<String>,
}

// === impl Identity ===

impl Identity {
    /// Reads it from an event of any shape.
    pub(crate) fn of(event: &Event, config: &AuthConfig) -> Self {
        let provider = provider(event, config);
        let user = if is_systems(event) { None } else { person(event, &provider, config) };
        Self { provider, user }
    }
}

/// `auth.provider`, else the part of `source` that names a platform.
fn provider(event: &Event, config: &AuthConfig) -> String {
    let named = event.auth().and_then(|auth| auth.provider).map(|name| name.trim().to_lowercase());
    if let Some(name) = named.filter(|name| is_provider(name)) {
        return name;
    }
    let source = event.source().to_lowercase();
    source.split('.').find(|part| config.is_known(part)).unwrap_or(UNKNOWN).to_owned()
}

/// Whether this may stand before the colon of a user's id.
fn is_provider(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Whether a part of chatbus says it of itself.
fn is_systems(event: &Event) -> bool {
    let kind = event.kind();
    kind == "system" || kind.starts_with("system.")
}

fn person(event: &Event, provider: &str, config: &AuthConfig) -> Option<Person> {
    let user = event.member("user");
    let message = event.message().and_then(|message| message.raw_platform_payload);
    let external = event.member("externalEvent").and_then(|external| external.get("payload"));
    let named = |raw: Option<&Raw>, path: &[&str]| text(&raw?.at(path)?);
    let raw_id = event
        .user_id()
        .map(std::borrow::Cow::into_owned)
        .or_else(|| named(user.as_ref(), &["id"]))
        .or_else(|| named(message.as_ref(), &["userId"]))
        .or_else(|| named(message.as_ref(), &["user", "id"]))
        .or_else(|| named(external.as_ref(), &["userId"]))
        .or_else(|| named(external.as_ref(), &["user", "id"]))
        .or_else(|| named(external.as_ref(), &["broadcasterId"]))?;
    let raw_id = raw_id.trim().to_owned();
    let (account, id) = account(provider, &raw_id, config);
    if id.is_empty() || id.len() > MAX_USER_ID || id.chars().any(char::is_control) {
        return None;
    }
    let first = |places: &[(Option<&Raw>, &[&str])]| places.iter().find_map(|(raw, path)| named(*raw, path));
    let (user, message, external) = (user.as_ref(), message.as_ref(), external.as_ref());
    Some(Person {
        provider: account.to_owned(),
        id: id.to_owned(),
        login: first(&[
            (message, &["user", "login"]),
            (user, &["login"]),
            (user, &["name"]),
            (external, &["user", "login"]),
            (external, &["userLogin"]),
            (message, &["author"]),
        ]),
        display_name: first(&[
            (message, &["user", "displayName"]),
            (message, &["participant", "friendlyName"]),
            (message, &["authorName"]),
            (user, &["displayName"]),
            (external, &["user", "displayName"]),
            (external, &["userName"]),
            (message, &["author"]),
        ]),
        email: first(&[(user, &["email"]), (message, &["user", "email"]), (message, &["email"])]),
        raw_id,
    })
}

/// The account that an id is of. What the gateway's tokens belong to may be an account of a platform, whose name
/// then stands before the id; a platform's own name before its ids says nothing new.
fn account<'a>(provider: &'a str, raw_id: &'a str, config: &AuthConfig) -> (&'a str, &'a str) {
    match raw_id.split_once(':') {
        Some((before, id)) if before == provider => (provider, id),
        Some((before, id))
            if (provider == config.gateway || provider == UNKNOWN) && config.is_known(before) =>
        {
            (before, id)
        }
        _ => (provider, raw_id),
    }
}

/// A text that is not blank, or a whole number as text: some platforms' ids are numbers.
fn text(raw: &Raw) -> Option<String> {
    let text = match raw.as_str() {
        Some(text) => text.into_owned(),
        None => raw.as_u64()?.to_string(),
    };
    Some(text).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn identity(json: &str) -> Identity {
        let event = Event::decode(&Bytes::copy_from_slice(json.as_bytes())).unwrap();
        Identity::of(&event, &AuthConfig::new(["twitch", "discord", "twilio"]))
    }

    #[test]
    fn the_provider_is_what_auth_names_else_a_part_of_the_source_else_unknown() {
        for (json, provider) in [
            (r#"{"type":"t","source":"ingress.twitch"}"#, "twitch"),
            (r#"{"type":"t","source":"ingress.twitch","auth":{"provider":"Discord"}}"#, "discord"),
            (r#"{"type":"t","source":"ingress.twitch","auth":{"provider":" "}}"#, "twitch"),
            (r#"{"type":"t","source":"ingress.twitch","auth":{"provider":"a:b"}}"#, "twitch"),
            (r#"{"type":"t","source":"api-gateway"}"#, "api-gateway"),
            (r#"{"type":"t","source":"not-twitch-at-all"}"#, UNKNOWN),
            (r#"{"type":"t","source":"scheduler.tick"}"#, UNKNOWN),
            (r#"{"type":"t","source":{"platform":"discord"}}"#, "discord"),
            (r#"{"type":"t","envelope":{"source":"ingress.twilio"}}"#, "twilio"),
        ] {
            assert_eq!(identity(json).provider, provider, "{json}");
        }
    }

    #[test]
    fn a_gateway_user_is_the_account_that_owns_the_token_and_no_second_one() {
        for (source, user_id, account) in [
            ("api-gateway", "twitch:123", "twitch/123"),
            ("api-gateway", "alice", "api-gateway/alice"),
            ("api-gateway", "api-gateway:alice", "api-gateway/alice"),
            ("api-gateway", "elsewhere:7", "api-gateway/elsewhere:7"),
            ("ingress.twitch", "1337", "twitch/1337"),
            ("ingress.twitch", "twitch:1337", "twitch/1337"),
            ("ingress.twitch", "discord:1337", "twitch/discord:1337"),
            ("rules", "discord:1337", "discord/1337"),
            ("rules", "1337", "unknown/1337"),
        ] {
            let json = format!(r#"{{"type":"t","source":"{source}","userId":"{user_id}"}}"#);
            let user = identity(&json).user.unwrap();
            assert_eq!(format!("{}/{}", user.provider, user.id), account, "{json}");
            assert_eq!(user.raw_id, user_id);
        }
    }

    #[test]
    fn an_id_that_is_none_is_nobody() {
        let long = "x".repeat(MAX_USER_ID + 1);
        for id in ["", " ", "twitch:", "a\\u0000b", &long] {
            let json = format!(r#"{{"type":"t","source":"ingress.twitch","userId":"{id}"}}"#);
            assert_eq!(identity(&json).user, None, "{json}");
        }
    }

    #[test]
    fn what_the_system_says_of_itself_is_nobodys() {
        let json = r#"{"type":"system.stream.online","source":"ingress.twitch","externalEvent":{"payload":{"broadcasterId":"7"}}}"#;
        assert_eq!(identity(json).user, None);
    }

    #[test]
    fn a_follow_is_of_its_user_and_an_update_of_the_broadcaster() {
        let of = |payload: &str| {
            let json = format!(
                r#"{{"type":"external.v1","source":"ingress.twitch","externalEvent":{{"payload":{payload}}}}}"#
            );
            identity(&json).user.map(|user| user.id)
        };
        assert_eq!(of(r#"{"userId":"5","broadcasterId":"7"}"#).as_deref(), Some("5"));
        assert_eq!(of(r#"{"broadcasterId":7}"#).as_deref(), Some("7"));
        assert_eq!(of(r#"{"target":{"id":"9"}}"#), None, "who is banned said nothing");
    }

    #[test]
    fn a_conversations_participant_is_named_as_known_there_else_as_the_author() {
        let of = |raw: &str| {
            let json = format!(
                r#"{{"type":"t","source":"ingress.twilio","userId":"+1555","message":{{"rawPlatformPayload":{raw}}}}}"#
            );
            identity(&json).user.and_then(|user| user.display_name)
        };
        assert_eq!(of(r#"{"author":"+1555","participant":{"friendlyName":"Ada"}}"#).as_deref(), Some("Ada"));
        assert_eq!(of(r#"{"author":"+1555"}"#).as_deref(), Some("+1555"));
    }
}
