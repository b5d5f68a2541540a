use proptest::prelude::*;

use super::*;

fn event(json: &str) -> Event {
    Event::decode(&Bytes::copy_from_slice(json.as_bytes())).unwrap()
}

#[test]
fn shapes_are_told_apart_by_their_fields() {
    for (json, shape) in [
        (r#"{"type":"t"}"#, Shape::Flat),
        (r#"{"source":"s"}"#, Shape::Flat),
        (r#"{"envelope":{"source":"s"}}"#, Shape::Nested),
        (r#"{"envelope":{"source":"s"},"source":{"platform":"p"}}"#, Shape::Nested),
        (r#"{"envelope":"x","source":{"platform":"p"}}"#, Shape::V1),
    ] {
        assert_eq!(event(json).shape(), shape, "{json}");
    }
}

#[test]
fn what_is_no_event_says_why() {
    for (bytes, why) in [
        (&b""[..], "not an event: the end where a value belongs at byte 0"),
        (b"[]", "not an event: JSON, but no object"),
        (b"{}", "not an event: neither a type nor a source"),
        (br#"{"type":"","source":" "}"#, "not an event: neither a type nor a source"),
        (br#"{"source":{}}"#, "not an event: neither a type nor a source"),
        (b"{\"type\":\"\xff\"}", "not an event: bytes that are not UTF-8 at byte 9"),
    ] {
        assert_eq!(Event::decode(&Bytes::from_static(bytes)).unwrap_err().to_string(), why);
    }
}

#[test]
fn the_same_view_is_had_of_every_shape() {
    let flat = r##"{"v":"1","correlationId":"c","type":"chat.message.v1","source":"ingress.twitch","channel":"#a",
        "userId":"1","egress":{"destination":"internal.egress.v1.i","type":"dm"},"egressDestination":"other",
        "replyTo":"r","timeoutAt":"2025-01-01T00:00:00Z","metadata":{"deadlineMs":1500},"auth":{"provider":"twitch"}}"##;
    let nested = r##"{"envelope":{"v":"1","correlationId":"c","source":"ingress.twitch","replyTo":"r",
        "egress":{"destination":"internal.egress.v1.i","type":"dm"},"timeoutAt":"2025-01-01T00:00:00Z",
        "metadata":{"deadlineMs":1500},"auth":{"provider":"twitch"}},"type":"chat.message.v1","channel":"#a","userId":"1"}"##;
    for json in [flat, nested] {
        let e = event(json);
        assert_eq!(e.kind(), "chat.message.v1");
        assert_eq!(e.source(), "ingress.twitch");
        assert_eq!(e.correlation_id().as_deref(), Some("c"));
        assert_eq!(e.channel().as_deref(), Some("#a"));
        assert_eq!(e.user_id().as_deref(), Some("1"));
        assert_eq!(e.egress().destination.as_deref(), Some("internal.egress.v1.i"));
        assert_eq!(e.egress().kind, Some(EgressKind::Dm));
        assert_eq!(e.reply_to().as_deref(), Some("r"));
        assert_eq!(e.deadline(), Some(Duration::from_millis(1500)));
        assert_eq!(e.timeout_at(), Timestamp::parse("2025-01-01T00:00:00Z"));
        assert_eq!(e.auth().unwrap().provider.as_deref(), Some("twitch"));
    }
    let v1 = event(
        r#"{"type":"external.chat.message.v1","source":{"platform":"twitch","channel":"a","channelId":"9"},
        "user":{"id":"1"},"egressDestination":"internal.egress.v1.i"}"#,
    );
    assert_eq!(
        (&*v1.source(), v1.channel().as_deref(), v1.user_id().as_deref()),
        ("twitch", Some("a"), Some("1"))
    );
    assert_eq!(v1.egress().destination.as_deref(), Some("internal.egress.v1.i"));
    assert_eq!(v1.egress().kind, Some(EgressKind::Chat));
}

#[test]
fn a_change_stands_where_its_shape_keeps_it_and_touches_nothing_else() {
    let mut nested = event(r#"{"envelope":{"source":"s","x":1e999},"type":"t","y":[ 1 ]}"#);
    nested.set("auth", Raw::of(&serde_json::json!({"provider":"p"})));
    nested.set_metadata("late", Raw::of(&true));
    nested.set("candidates", Raw::of(&[0_u8; 0]));
    assert_eq!(
        nested.encode(),
        r#"{"envelope":{"source":"s","x":1e999,"auth":{"provider":"p"},"metadata":{"late":true}},"type":"t","y":[ 1 ],"candidates":[]}"#
    );
    let mut flat = event(r#"{"type":"t","metadata":{"a":1}}"#);
    flat.set_metadata("late", Raw::of(&true));
    assert_eq!(flat.encode(), r#"{"type":"t","metadata":{"a":1,"late":true}}"#);
}

#[test]
fn members_of_the_wrong_type_are_as_if_they_were_absent() {
    let e = event(
        r#"{"type":"t","channel":5,"userId":null,"egress":"x","message":[],"candidates":{},"metadata":3}"#,
    );
    assert_eq!((e.channel(), e.user_id(), e.egress().destination), (None, None, None));
    assert_eq!(e.egress().kind, Some(EgressKind::Chat));
    assert!(e.message().is_none() && e.candidates().is_empty() && e.deadline().is_none());
    assert_eq!(event(r#"{"type":"t","egress":{"type":"shout"}}"#).egress().kind, None);
}

/// Any JSON value, as text, with odd numbers, spacing and repeated keys.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        Just("-0.0e+10".to_owned()),
        Just("123456789012345678901234567890.5".to_owned()),
        ".{0,8}".prop_map(|s| serde_json::to_string(&s).unwrap()),
        Just(r#""\ud800\/\u00e9""#.to_owned()),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[ {}]", v.join(" ,"))),
            proptest::collection::vec(("[a-c]{1}|\\\\u0061", inner), 0..5).prop_map(|v| {
                let members: Vec<String> = v.into_iter().map(|(k, v)| format!("\"{k}\" :{v}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn without_space(json: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if inside || !matches!(c, ' ' | '\t' | '\n' | '\r') {
            out.push(c);
        }
        match c {
            '"' if !escaped => inside = !inside,
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
    }
    out
}

proptest! {
    #[test]
    fn an_event_survives_decode_and_encode_with_nothing_lost(a in any_json(), b in any_json(), nested in any::<bool>()) {
        let json = if nested {
            format!(r#"{{"x":{a},"envelope":{{"source":"s","y":{b}}},"type":"t"}}"#)
        } else {
            format!(r#"{{"x":{a},"type":"t", "x":{b}}}"#)
        };
        let mut e = event(&json);
        prop_assert_eq!(e.encode(), &json);
        // After a change all else keeps its text; only white space may go.
        e.set("zz", Raw::of(&1));
        let changed = without_space(std::str::from_utf8(&e.encode()).unwrap());
        let end = r#","zz":1}"#;
        prop_assert!(changed.ends_with(end));
        prop_assert_eq!(format!("{}}}", changed.strip_suffix(end).unwrap()), without_space(&json));
    }

    #[test]
    fn any_bytes_give_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Event::decode(&Bytes::from(bytes));
    }
}
