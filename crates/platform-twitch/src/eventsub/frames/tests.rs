use proptest::prelude::*;

use super::*;

fn frame(kind: &str, payload: &str) -> String {
    format!(
        r#"{{"metadata":{{"message_id":"m-1","message_type":"{kind}","message_timestamp":"2023-07-19T14:56:51.634234626Z"}},"payload":{payload}}}"#
    )
}

#[test]
fn each_kind_of_frame_is_told_apart() {
    let welcome = frame("session_welcome", r#"{"session":{"id":"s","keepalive_timeout_seconds":30}}"#);
    let reconnect = frame("session_reconnect", r#"{"session":{"id":"s","reconnect_url":"wss://a/b?c"}}"#);
    let revocation = frame(
        "revocation",
        r#"{"subscription":{"id":"f","status":"user_removed","type":"channel.chat.message","condition":{"broadcaster_user_id":"1"}}}"#,
    );
    let notification =
        frame("notification", r#"{"subscription":{"type":"a.b","version":"2"},"event":{"x":1}}"#);
    assert!(matches!(Frame::parse(&frame("session_keepalive", "{}")), Ok(Frame::Keepalive)));
    assert!(matches!(Frame::parse(&frame("session_keepalive", "null")), Ok(Frame::Keepalive)));
    assert!(
        matches!(Frame::parse(&welcome), Ok(Frame::Welcome(s)) if s.keepalive_timeout_seconds == Some(30))
    );
    assert!(
        matches!(Frame::parse(&reconnect), Ok(Frame::Reconnect(s)) if s.reconnect_url.as_deref() == Some("wss://a/b?c"))
    );
    assert!(matches!(Frame::parse(&revocation), Ok(Frame::Revocation(s)) if s.status == "user_removed"));
    let Ok(Frame::Notification(told)) = Frame::parse(&notification) else { panic!("a notification") };
    assert_eq!((&*told.kind, &*told.version, told.event.get()), ("a.b", "2", r#"{"x":1}"#));
    assert_eq!(told.sent_at.unwrap().to_string(), "2023-07-19T14:56:51.634Z");
}

#[test]
fn a_kind_that_nobody_knows_is_no_error() {
    assert!(
        matches!(Frame::parse(&frame("session_party", "{}")), Ok(Frame::Unknown(k)) if k == "session_party")
    );
    let long = "ä".repeat(MAX_NAME_BYTES);
    let text = frame(&long, "{}");
    assert!(matches!(Frame::parse(&text), Ok(Frame::Unknown(k)) if k.len() == MAX_NAME_BYTES));
}

#[test]
fn what_cannot_be_used_is_refused() {
    for (text, why) in [
        (frame("session_welcome", "{}"), "session id"),
        (frame("session_welcome", r#"{"session":{"id":""}}"#), "session id"),
        (frame("session_reconnect", r#"{"session":{"id":"a","reconnect_url":null}}"#), "reconnect_url"),
        (frame("revocation", "{}"), "subscription"),
        (frame("notification", r#"{"subscription":{"type":"a"}}"#), "event"),
        (frame("notification", r#"{"event":{}}"#), "subscription"),
        (
            frame(
                "notification",
                &format!(r#"{{"subscription":{{"type":"{}"}},"event":{{}}}}"#, "x".repeat(999)),
            ),
            "type",
        ),
        ("{}".to_owned(), "metadata"),
        ("[1,2".to_owned(), "JSON"),
        (format!("{}{}", "[".repeat(9_000), "]".repeat(9_000)), "JSON"),
        (format!("\"{}\"", "x".repeat(MAX_FRAME_BYTES)), "longer"),
    ] {
        let error = Frame::parse(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}: {why}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Frame::parse(&String::from_utf8_lossy(&bytes));
        let _ = Body::parse(&bytes);
    }
}
