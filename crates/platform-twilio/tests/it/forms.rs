//! What each form of the corpus becomes.

use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_twilio::form::{self, Form};
use chatbus_platform_twilio::normalize::{Normalizer, Posted, Request};
use chatbus_testkit::SeededEntropy;
use serde_json::{Value, json};

use crate::corpus::files;

fn normalizer(identity: Option<&str>) -> Normalizer {
    Normalizer {
        egress: Topic::egress_of(&InstanceId::parse("i-1").unwrap()),
        shape: Shape::Flat,
        identity: identity.map(str::to_owned),
        from: Some("+15005550006".to_owned()),
        entropy: Arc::new(SeededEntropy::new(1)),
    }
}

/// What a body becomes, and how its event reads.
fn event(normalizer: &Normalizer, body: &str) -> (Posted, Inbound, Value) {
    let form = Form::of(&form::params(body.as_bytes()));
    let received_at = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
    let posted = Posted::of(&form).unwrap();
    let request = Request { form: &form, body: body.as_bytes(), token: None, received_at };
    let inbound = normalizer.event(posted, &request);
    let json = serde_json::from_slice(&inbound.body).unwrap();
    (posted, inbound, json)
}

#[test]
fn every_form_of_the_corpus_is_one_event_that_holds_all_of_it() {
    let rows = files("forms");
    for (name, row) in &rows {
        let (posted, inbound, json) = event(&normalizer(None), row["body_raw"].as_str().unwrap());
        let expected = match name.split('-').next().unwrap() {
            "status" => (Posted::Status, "twilio.messaging.v1"),
            "conv" => (Posted::Conversation, "twilio.conversations.v1"),
            _ => (Posted::Message, "chat.message.v1"),
        };
        assert_eq!((posted, json["type"].as_str().unwrap()), expected, "{name}");
        assert_eq!(json["source"], "ingress.twilio", "{name}");
        assert!(inbound.id.as_str().starts_with("twilio:"), "{name}");
        if posted == Posted::Message {
            let raw = &json["message"]["rawPlatformPayload"]["raw"];
            for pair in row["params"].as_array().unwrap() {
                let is_kept = raw["tags"][pair[0].as_str().unwrap()] == pair[1] || raw["body"].is_string();
                assert!(is_kept, "{name}: {pair}");
            }
            assert_eq!(json.get("channel"), None, "{name}: an answer goes to who sent it");
            assert!(json.get("metadata").is_none(), "{name}: it is not ours");
        }
        if posted == Posted::Status {
            let text = json.to_string();
            assert!(!text.contains("15005550010") && text.contains("…0010"), "{name}: {text}");
            assert_eq!((json.get("userId"), json.get("channel")), (None, None), "{name}");
        }
    }
    println!("{} forms", rows.len());
}

const SMS: &str = "SmsMessageSid=SM1&NumMedia=0&SmsSid=SM1&SmsStatus=received&Body=hi+there&To=%2B15005550006\
                   &NumSegments=1&MessageSid=SM1&AccountSid=AC1&From=%2B15005550010&ApiVersion=2010-04-01";

#[test]
fn a_text_message_is_from_its_number_and_in_no_channel() {
    let (_, inbound, json) = event(&normalizer(None), SMS);
    assert_eq!(inbound.id.as_str(), "twilio:SM1");
    assert_eq!(&*inbound.conversation, "+15005550010");
    assert_eq!((&json["userId"], &json["message"]["text"]), (&json!("+15005550010"), &json!("hi there")));
    assert_eq!(json["egressDestination"], "internal.egress.v1.i-1");
    let payload = &json["message"]["rawPlatformPayload"];
    assert_eq!((&payload["to"], &payload["channelType"]), (&json!("+15005550006"), &json!("sms")));
}

#[test]
fn media_stand_with_their_types_in_their_order() {
    let more = "&NumMedia=2&MediaContentType1=image%2Fpng&MediaUrl1=https%3A%2F%2Fa%2F1&MediaUrl0=https%3A%2F%2Fa%2F0\
                &MediaContentType0=image%2Fjpeg";
    let (_, _, json) = event(&normalizer(None), &SMS.replace("&NumMedia=0", more).replace("hi+there", ""));
    let expected = json!([
        { "url": "https://a/0", "contentType": "image/jpeg" },
        { "url": "https://a/1", "contentType": "image/png" },
    ]);
    assert_eq!(json["message"]["rawPlatformPayload"]["media"], expected);
    assert_eq!(json["message"]["text"], "");
}

#[test]
fn what_is_no_text_and_what_is_repeated_is_kept_as_it_came() {
    let (_, _, json) = event(&normalizer(None), &SMS.replace("hi+there", "%FF%FEabc"));
    assert_eq!(json["message"]["text"], "\u{fffd}\u{fffd}abc");
    assert!(json["message"]["rawPlatformPayload"]["raw"]["base64"].is_string());
    let twice = format!("{SMS}&Body=second");
    let (_, _, json) = event(&normalizer(None), &twice);
    assert_eq!(json["message"]["text"], "hi there", "the first counts");
    assert_eq!(json["message"]["rawPlatformPayload"]["raw"]["body"], twice);
}

const ADDED: &str = "EventType=onMessageAdded&ConversationSid=CH1&MessageSid=IM1&Body=hello&Author=ann&Index=3\
                     &ParticipantSid=MB1&DateCreated=2026-01-02T03:04:04.500Z&Source=SDK&RetryCount=0";

#[test]
fn what_is_said_in_a_conversation_is_answered_there_and_ours_is_marked() {
    for (author, identity, is_self) in [
        ("ann", Some("bot"), false),
        ("bot", Some("bot"), true),
        ("system", None, true),
        ("system", Some("bot"), false),
    ] {
        let body = ADDED.replace("Author=ann", &format!("Author={author}"));
        let (posted, inbound, json) = event(&normalizer(identity), &body);
        assert_eq!((posted, inbound.id.as_str()), (Posted::ConversationMessage, "twilio:IM1"));
        assert_eq!((&json["channel"], &json["userId"]), (&json!("CH1"), &json!(author)));
        assert_eq!(json["metadata"]["self"] == true, is_self, "{author} {identity:?}");
        let payload = &json["message"]["rawPlatformPayload"];
        assert_eq!(payload["timestamp"], "2026-01-02T03:04:04.500Z");
        assert_eq!(payload["participant"], json!({ "sid": "MB1", "channelType": "chat" }));
        assert_eq!((&payload["roomId"], &payload["conversationSid"]), (&json!("CH1"), &json!("CH1")));
    }
}

#[test]
fn a_retry_has_the_id_of_the_first_try_and_another_event_has_not() {
    let joined =
        "EventType=onParticipantAdded&ConversationSid=CH1&ParticipantSid=MB1&Identity=ann&RetryCount=";
    let id = |body: &str| event(&normalizer(None), body).1.id;
    assert_eq!(id(&format!("{joined}0")), id(&format!("{joined}1")));
    assert_ne!(id(&format!("{joined}0")), id(&format!("{joined}0").replace("MB1", "MB2")));
    assert_ne!(id("MessageSid=SM1&MessageStatus=sent"), id("MessageSid=SM1&MessageStatus=delivered"));
}

#[test]
fn what_lacks_what_it_needs_says_so() {
    for (body, problem) in [
        ("", "MessageSid is missing"),
        ("Body=hi&From=%2B15005550010", "MessageSid is missing"),
        ("MessageSid=SM1&Body=hi", "From is missing"),
        ("MessageSid=SM1&From=%2B15005550010", "Body is missing"),
        ("EventType=onMessageAdded&ConversationSid=CH1", "MessageSid is missing"),
        ("EventType=onMessageAdded&MessageSid=IM1", "ConversationSid is missing"),
        ("EventType=on%0aevil&ConversationSid=CH1", "EventType is none of Twilio's"),
    ] {
        let form = Form::of(&form::params(body.as_bytes()));
        assert_eq!(Posted::of(&form), Err(problem), "{body}");
    }
}
