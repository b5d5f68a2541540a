//! The roles that an event tells of its user. Pure.

use std::collections::BTreeSet;

use chatbus_event::Event;
use chatbus_event::json::Raw;

use crate::config::RoleTable;

/// The roles that the event's raw payload tells, each once and sorted; `None` when it tells nothing of roles,
/// which takes none away.
pub(crate) fn told(event: &Event, table: &RoleTable) -> Option<Vec<String>> {
    let raw = event.message().and_then(|message| message.raw_platform_payload).or_else(|| event.payload())?;
    let mut roles = BTreeSet::new();
    let mut tells = false;
    for (key, words) in [("badges", &table.badges), ("roles", &table.names)] {
        if let Some(values) = raw.get(key).and_then(|list| list.as_array()) {
            tells = true;
            roles.extend(values.iter().filter_map(word).filter_map(|word| words.get(&word)));
        }
    }
    for (flag, role) in &table.flags {
        if let Some(is_set) = raw.get(flag).and_then(|value| value.as_bool()) {
            tells = true;
            if is_set {
                roles.insert(role);
            }
        }
    }
    tells.then(|| roles.into_iter().cloned().collect())
}

/// A badge or role: a text, or an object with a name or an id.
fn word(value: &Raw) -> Option<String> {
    let named = || value.get("name").or_else(|| value.get("id"));
    let text = if value.is_object() { named()? } else { value.clone() };
    text.as_str().map(|text| text.trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn told_by(raw: &str) -> Option<Vec<String>> {
        let json = format!(r#"{{"type":"t","message":{{"rawPlatformPayload":{raw}}}}}"#);
        let event = Event::decode(&Bytes::from(json)).unwrap();
        told(&event, &RoleTable::default().with_moderators(["Wizards", "8001"]))
    }

    #[test]
    fn badges_flags_and_named_roles_each_tell_roles() {
        for (raw, roles) in [
            (r#"{"badges":["broadcaster","subscriber","bits"]}"#, &["broadcaster", "subscriber"][..]),
            (r#"{"badges":["vip","founder"],"isMod":false,"isSubscriber":true}"#, &["subscriber", "vip"]),
            (r#"{"badges":[],"isMod":true}"#, &["moderator"]),
            (r#"{"roles":["wizards","Members"]}"#, &["moderator"]),
            (r#"{"roles":["8001"]}"#, &["moderator"]),
            (r#"{"roles":[{"id":"1","name":"Wizards"}]}"#, &["moderator"]),
            (r#"{"roles":["Moderator"]}"#, &[]),
            (r#"{"roles":[],"isOwner":true}"#, &["broadcaster"]),
            (r#"{"badges":[],"isMod":false,"isSubscriber":false}"#, &[]),
        ] {
            assert_eq!(told_by(raw).unwrap(), roles, "{raw}");
        }
    }

    #[test]
    fn what_tells_nothing_of_roles_takes_none_away() {
        for raw in [r#"{"text":"hi"}"#, "null", r#"{"badges":"odd","isMod":"yes"}"#] {
            assert_eq!(told_by(raw), None, "{raw}");
        }
    }
}
