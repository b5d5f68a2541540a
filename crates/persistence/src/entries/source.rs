//! What an event says of the source it came from: its connection, or its stream.

use chatbus_event::json::Raw;
use chatbus_event::{Event, Timestamp};
use chatbus_store::SourceChange;

use super::common::text;
use crate::config::PersistenceConfig;

/// The source's change, if the event is one that tells of a source and names it.
pub(super) fn change(event: &Event, at: Timestamp, config: &PersistenceConfig) -> Option<SourceChange> {
    let external = event.member("externalEvent");
    let kind = event.kind();
    let external_kind = external.as_ref().and_then(|external| text(&external.get("kind")?));
    let payload = event.payload().or_else(|| external.as_ref()?.get("payload"))?;
    let stream = stream(&kind).or_else(|| stream(external_kind.as_deref()?));
    let is_status = kind == "system.source.status" || kind.starts_with("system.source.status.");
    if stream.is_none() && !is_status {
        return None;
    }
    let source = event.source();
    let external_source = external.as_ref().and_then(|external| text(&external.get("source")?));
    let platform = text_of(&payload, &["platform"])
        .map(|name| name.to_lowercase())
        .or_else(|| config.platform_of(external_source.as_deref()?))
        .or_else(|| config.platform_of(&source))?;
    let id = if is_status {
        // `platform:account` names the account.
        let named =
            text_of(&payload, &["source"]).and_then(|source| Some(source.split_once(':')?.1.to_owned()));
        text_of(&payload, &["id"]).or(named)
    } else {
        // The payload's own id is the stream's, which is another one each time.
        let broadcaster = text_of(&payload, &["broadcasterId", "broadcaster_user_id", "broadcaster_id"]);
        broadcaster.or_else(|| event.user_id().map(std::borrow::Cow::into_owned))
    }?;
    let id = id.strip_prefix(&format!("{platform}:")).unwrap_or(&id).to_owned();
    Some(SourceChange {
        platform,
        id,
        at,
        status: is_status
            .then(|| text_of(&payload, &["status"]).map(|status| status.to_uppercase()))
            .flatten(),
        stream: stream.map(str::to_owned),
        display_name: text_of(
            &payload,
            &["displayName", "broadcasterName", "broadcaster_user_name", "broadcaster_name"],
        ),
        detail: payload.is_object().then(|| payload.to_bytes()),
    })
}

/// Whether a stream began or ended, by the words of a type.
fn stream(kind: &str) -> Option<&'static str> {
    let mut parts = kind.split('.').skip_while(|part| *part != "stream");
    parts.next()?;
    match parts.next()? {
        "online" => Some("ONLINE"),
        "offline" => Some("OFFLINE"),
        _ => None,
    }
}

/// The first of these members that is a text or a whole number.
fn text_of(payload: &Raw, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| {
        let value = payload.get(key)?;
        text(&value).or_else(|| value.as_u64().map(|number| number.to_string()))
    })
}
