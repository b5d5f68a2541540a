use bytes::Bytes;
use chatbus_event::{Event, InstanceId};
use chatbus_testkit::SeededEntropy;

use super::*;

fn normalizer() -> Normalizer {
    let egress = Topic::egress_of(&InstanceId::parse("i-1").unwrap());
    let config = NormalizerConfig { egress, shape: Shape::Flat };
    let mut normalizer = Normalizer::new(config, "1", &["10".into()], Arc::new(SeededEntropy::new(1)));
    normalizer.set_own_user("9".to_owned());
    normalizer.set_session("s");
    normalizer
}

fn dispatch(normalizer: &mut Normalizer, name: &str, json: &str) -> Option<Inbound> {
    let data = Raw::parse(&Bytes::copy_from_slice(json.as_bytes())).unwrap();
    normalizer.dispatch(name, 5, &data, Timestamp::EPOCH)
}

#[test]
fn the_same_thing_has_the_same_id_for_everybody_who_reads_it() {
    for (name, json, id) in [
        ("MESSAGE_CREATE", r#"{"id":"7","channel_id":"10","guild_id":"1"}"#, "discord:7"),
        (
            "MESSAGE_UPDATE",
            r#"{"id":"7","channel_id":"10","guild_id":"1","edited_timestamp":"2020-01-01T00:00:00.000000+00:00"}"#,
            "discord:7:edit:2020-01-01T00:00:00.000000+00:00",
        ),
        ("MESSAGE_DELETE", r#"{"id":"7","channel_id":"10","guild_id":"1"}"#, "discord:7:delete"),
        ("INTERACTION_CREATE", r#"{"id":"7","channel_id":"10","guild_id":"1"}"#, "discord:interaction:7"),
        (
            "GUILD_MEMBER_ADD",
            r#"{"guild_id":"1","user":{"id":"4"},"joined_at":"2020-01-01T00:00:00.000000+00:00"}"#,
            "discord:member_add:4:2020-01-01T00:00:00.000000+00:00",
        ),
    ] {
        let event = dispatch(&mut normalizer(), name, json).unwrap();
        assert_eq!(event.id.as_str(), id, "{name}");
    }
    let mut normalizer = normalizer();
    let left = r#"{"guild_id":"1","user":{"id":"4"}}"#;
    let event = dispatch(&mut normalizer, "GUILD_MEMBER_REMOVE", left).unwrap();
    assert!(event.id.as_str().ends_with(":5"), "by its place in the session: {}", event.id.as_str());
}

#[test]
fn other_guilds_and_channels_that_nobody_wants_are_left_out_and_counted() {
    let mut normalizer = normalizer();
    for (name, json) in [
        ("MESSAGE_CREATE", r#"{"id":"7","channel_id":"10","guild_id":"2"}"#),
        ("MESSAGE_CREATE", r#"{"id":"7","channel_id":"11","guild_id":"1"}"#),
        ("MESSAGE_DELETE", r#"{"id":"7","channel_id":"11","guild_id":"1"}"#),
        ("GUILD_MEMBER_ADD", r#"{"guild_id":"2","user":{"id":"4"}}"#),
    ] {
        assert_eq!(dispatch(&mut normalizer, name, json), None, "{name} {json}");
    }
    assert_eq!(normalizer.oddities(), Oddities { filtered: 4, ..Oddities::default() });
}

#[test]
fn whatever_members_are_missing_or_odd_a_message_is_an_event() {
    for json in [
        r#"{"id":"7","channel_id":"10","guild_id":"1"}"#,
        r#"{"id":"7","channel_id":"10","guild_id":"1","author":null,"member":7,"content":["x"],"type":"odd","mentions":{}}"#,
        r#"{"id":"7","channel_id":"10","guild_id":"1","author":{"id":5},"member":{"roles":[1,null,"x"]},"message_reference":{}}"#,
    ] {
        let event = dispatch(&mut normalizer(), "MESSAGE_CREATE", json).unwrap();
        let event = Event::decode(&event.body).unwrap();
        assert_eq!(event.message().unwrap().id.as_deref(), Some("7"));
    }
    let mut normalizer = normalizer();
    for bad in ["null", "[]", "{}", r#"{"id":7,"channel_id":"10"}"#, r#""text""#] {
        assert_eq!(dispatch(&mut normalizer, "MESSAGE_CREATE", bad), None, "{bad}");
    }
    assert_eq!(normalizer.oddities().malformed, 5);
}

#[test]
fn names_that_no_dispatch_has_become_no_kind() {
    let mut normalizer = normalizer();
    let long = "X".repeat(65);
    for name in ["", "lower", "A.B", "A B", "Ä", &long] {
        assert_eq!(dispatch(&mut normalizer, name, r#"{"guild_id":"1"}"#), None, "{name:?}");
    }
    assert_eq!(normalizer.oddities().malformed, 6);
}

#[test]
fn what_discord_tells_of_a_channel_is_no_chat() {
    let mut normalizer = normalizer();
    let pinned =
        r#"{"id":"7","channel_id":"10","guild_id":"1","type":6,"author":{"id":"4","username":"ada"}}"#;
    let event = dispatch(&mut normalizer, "MESSAGE_CREATE", pinned).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(body["externalEvent"]["kind"], "message_system");
    assert_eq!(body["externalEvent"]["payload"]["user"]["login"], "ada");
    assert_eq!(event.id.as_str(), "discord:7");
}

#[test]
fn the_guild_is_learnt_from_what_is_told_of_it_and_of_no_other() {
    let mut normalizer = normalizer();
    for (name, json) in [
        (
            "GUILD_CREATE",
            r#"{"id":"1","owner_id":"4","roles":[{"id":"5","name":"Fans","permissions":"0"}],"channels":[{"id":"10","type":0,"name":"general"}]}"#,
        ),
        ("GUILD_ROLE_UPDATE", r#"{"guild_id":"1","role":{"id":"5","name":"Mods","permissions":"8"}}"#),
        ("GUILD_ROLE_UPDATE", r#"{"guild_id":"2","role":{"id":"5","name":"Others","permissions":"0"}}"#),
        (
            "THREAD_LIST_SYNC",
            r#"{"guild_id":"1","threads":[{"id":"20","type":11,"name":"t","parent_id":"10"}]}"#,
        ),
    ] {
        dispatch(&mut normalizer, name, json);
    }
    let said = r#"{"id":"7","channel_id":"20","guild_id":"1","content":"x","author":{"id":"4","username":"ada"},"member":{"roles":["5"]}}"#;
    let event = dispatch(&mut normalizer, "MESSAGE_CREATE", said).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    let raw = &body["message"]["rawPlatformPayload"];
    assert_eq!(raw["roles"], serde_json::json!(["Mods"]));
    assert_eq!((&raw["isMod"], &raw["isOwner"]), (&true.into(), &true.into()));
    dispatch(&mut normalizer, "THREAD_DELETE", r#"{"guild_id":"1","id":"20"}"#);
    assert_eq!(dispatch(&mut normalizer, "MESSAGE_CREATE", said), None);
}
