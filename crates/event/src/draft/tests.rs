use super::*;
use crate::event::Event;
use crate::ids::InstanceId;

fn topic() -> Topic {
    Topic::egress_of(&InstanceId::parse("instance-1").unwrap())
}

fn chat<'a>(text: &'a str, tags: &'a [(&'a str, &'a str)]) -> ChatContent<'a> {
    ChatContent {
        message_id: "m-1",
        text,
        color: Some("#AABBCC"),
        badges: &["subscriber"],
        is_mod: false,
        is_subscriber: true,
        emotes: &[Emote { id: "25", start: 0, end: 4 }],
        extra: &[],
        tags,
        raw: &[],
        sent_at: Timestamp::parse("2025-11-21T17:01:59Z"),
    }
}

fn draft<'a>(egress: &'a Topic, content: Content<'a>) -> Draft<'a> {
    Draft {
        id: uuid::uuid!("00000000-0000-4000-8000-000000000001"),
        correlation_id: uuid::uuid!("00000000-0000-4000-8000-000000000002"),
        trace_id: uuid::uuid!("00000000-0000-4000-8000-000000000003"),
        received_at: Timestamp::parse("2025-11-21T17:02:00Z").unwrap(),
        kind: "chat.message.v1",
        source: "ingress.twitch",
        platform: "twitch",
        channel: Some("#my_channel"),
        channel_id: Some("42"),
        user_id: Some("1337"),
        user_login: Some("ada"),
        user_display_name: Some("Ada"),
        egress,
        is_self: false,
        content,
    }
}

#[test]
fn each_shape_is_written_key_for_key_as_its_fixture() {
    for (shape, fixture) in [
        (Shape::Flat, include_str!("../../../../fixtures/envelope/flat.json")),
        (Shape::Nested, include_str!("../../../../fixtures/envelope/nested.json")),
        (Shape::V1, include_str!("../../../../fixtures/envelope/v1.json")),
    ] {
        let topic = topic();
        let body = draft(&topic, Content::Chat(chat("Hello World!", &[("badge-info", "")]))).encode(shape);
        let written: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected: serde_json::Value = serde_json::from_str(fixture).unwrap();
        assert_eq!(written, expected, "{shape:?}");
        let event = Event::decode(&body).unwrap();
        assert_eq!(event.shape(), shape);
        assert_eq!(event.egress().destination.as_deref(), Some("internal.egress.v1.instance-1"));
        assert_eq!(crate::egress_text(&event), None, "the user's own words in {shape:?}");
    }
}

#[test]
fn the_attributes_are_those_of_the_contract() {
    let topic = topic();
    let attributes = draft(&topic, Content::Chat(chat("x", &[]))).attributes(&MessageId::new("twitch:m-1"));
    let all: Vec<_> = attributes.iter().collect();
    assert_eq!(
        all,
        [
            ("correlationId", "00000000-0000-4000-8000-000000000002"),
            ("type", "chat.message.v1"),
            ("source", "ingress.twitch"),
            ("traceparent", "00-00000000000040008000000000000003-8000000000000001-01"),
            ("messageId", "twitch:m-1"),
            ("channel", "#my_channel"),
            ("ce-id", "twitch:m-1"),
            ("ce-type", "chat.message.v1"),
            ("ce-source", "ingress.twitch"),
            ("ce-specversion", "1.0"),
            ("ce-time", "2025-11-21T17:02:00.000Z"),
        ]
    );
}

#[test]
fn what_happened_is_an_external_event_in_every_shape() {
    let topic = topic();
    let members =
        [("login", Value::Text("ada")), ("seconds", Value::Number(5)), ("permanent", Value::Bool(false))];
    let json = Raw::of(&[1, 2]);
    let payload = [
        ("target", Value::Object(&members)),
        ("list", Value::Json(&json)),
        ("names", Value::Texts(&["a", "b"])),
    ];
    for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
        let mut draft = draft(
            &topic,
            Content::External(ExternalContent {
                id: "e-1",
                source: "twitch.irc",
                kind: "clearchat",
                version: "1",
                created_at: Timestamp::EPOCH,
                payload: &payload,
                tags: &[("room-id", "42")],
                raw: &[("line", Value::Text("CLEARCHAT"))],
            }),
        );
        draft.is_self = true;
        draft.kind = "platform.event.v1";
        let body = draft.encode(shape);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            value["externalEvent"],
            serde_json::json!({"id":"e-1","source":"twitch.irc","kind":"clearchat","version":"1",
                "createdAt":"1970-01-01T00:00:00.000Z",
                "payload":{"target":{"login":"ada","seconds":5,"permanent":false},"list":[1,2],"names":["a","b"]},
                "rawPayload":{"tags":{"room-id":"42"},"line":"CLEARCHAT"}}),
            "{shape:?}"
        );
        assert_eq!(value["type"], "platform.event.v1");
        let event = Event::decode(&body).unwrap();
        assert_eq!(event.metadata("self").and_then(|m| m.as_bool()), Some(true));
        assert!(event.egress().destination.is_some());
    }
}

#[test]
fn an_event_that_would_be_too_long_is_cut_and_says_so() {
    let topic = topic();
    let long = "\u{1}".repeat(64 * 1024);
    let tags = [("a", long.as_str()), ("b", long.as_str())];
    for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
        let only_raw = draft(&topic, Content::Chat(chat("short", &tags))).encode(shape);
        assert!(only_raw.len() <= MAX_EVENT_BYTES);
        let event = Event::decode(&only_raw).unwrap();
        let message = event.message().unwrap();
        assert_eq!(message.text.as_deref(), Some("short"));
        assert_eq!(
            message.raw_platform_payload.unwrap().at(&["raw", "truncated"]).unwrap().as_bool(),
            Some(true)
        );

        let mut all = draft(&topic, Content::Chat(chat(&long, &tags)));
        all.channel = Some(&long);
        all.user_id = Some(&long);
        all.user_display_name = Some(&long);
        let body = all.encode(shape);
        assert!(body.len() <= MAX_EVENT_BYTES, "{shape:?}: {}", body.len());
        assert!(Event::decode(&body).unwrap().message().unwrap().text.unwrap().len() >= 1024);

        let external = ExternalContent {
            id: &long,
            source: "s",
            kind: &long,
            version: "1",
            created_at: Timestamp::EPOCH,
            payload: &[("text", Value::Text(&long))],
            tags: &tags,
            raw: &[],
        };
        assert!(draft(&topic, Content::External(external)).encode(shape).len() <= MAX_EVENT_BYTES);
    }
}

#[test]
fn what_was_said_to_us_alone_asks_for_a_private_answer_in_every_shape() {
    let topic = topic();
    let draft = draft(&topic, Content::Chat(chat("psst", &[])));
    for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
        let event = Event::decode(&draft.encode_for(shape, EgressKind::Dm)).unwrap();
        assert_eq!(event.egress().kind, Some(EgressKind::Dm), "{shape:?}");
    }
}
