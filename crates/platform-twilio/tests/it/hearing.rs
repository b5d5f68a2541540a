//! Text messages that people send, and who is believed to be Twilio.

use chatbus_http::hyper::Request;
use chatbus_http::{Answer, HttpClient, Sent};
use chatbus_platform_twilio::WEBHOOK_PATH;
use chatbus_platform_twilio::signature::sign;
use chatbus_sandbox::twilio::{Account, Hook, Text};
use serde_json::json;
use std::time::Duration;

use crate::rig::{ANN, OURS, Rig, text};

/// Posts a body as it is.
async fn post(rig: &Rig, path: &str, kind: &str, signature: Option<&str>, body: Vec<u8>) -> Answer {
    let http = HttpClient::new(Duration::from_secs(10), 4096).unwrap();
    let mut request = Request::post(format!("{}{path}", rig.server)).header("content-type", kind);
    if let Some(signature) = signature {
        request = request.header("x-twilio-signature", signature);
    }
    http.ask(request.body(Sent::new(body.into())).unwrap()).await.unwrap()
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Signs and posts a form.
async fn post_signed(rig: &Rig, body: &str) -> Answer {
    let token = rig.twilio().account().auth_token.into();
    let params = chatbus_platform_twilio::form::params(body.as_bytes());
    let signature = sign(&token, &format!("{}{WEBHOOK_PATH}", rig.server), &params);
    post(rig, WEBHOOK_PATH, FORM, Some(&signature), body.into()).await
}

#[tokio::test]
async fn a_text_message_is_an_event_and_its_repeat_is_not() {
    let rig = Rig::start().await;
    let told = rig.hear("hi there").await;
    assert_eq!(told.status, Some(200));
    assert_eq!(rig.twilio().posts(0)[0].answer, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>");
    let again = rig.twilio().text(Text { sid: Some(told.sid.clone()), ..text("hi there") }).await;
    assert_eq!(again.status, Some(200), "it is safe already");
    let events = rig.bus.events();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["userId"], &events[0]["message"]["text"]), (&json!(ANN), &json!("hi there")));
    assert_eq!(events[0]["message"]["id"], told.sid);
    assert!(rig.status().last_message_at.is_some());
}

#[tokio::test]
async fn pictures_and_whatsapp_come_as_text_messages_too() {
    let rig = Rig::start().await;
    rig.twilio().text(Text { media: vec!["https://a.example/1".into()], ..text("") }).await;
    let whatsapp = Text {
        from: format!("whatsapp:{ANN}"),
        to: format!("whatsapp:{OURS}"),
        profile_name: Some("Ann".into()),
        ..text("hello")
    };
    rig.twilio().text(whatsapp).await;
    let events = rig.bus.events();
    let payload = |at: usize| &events[at]["message"]["rawPlatformPayload"];
    assert_eq!(payload(0)["media"][0]["url"], "https://a.example/1");
    assert_eq!(events[1]["userId"], format!("whatsapp:{ANN}"));
    assert_eq!(
        (&payload(1)["channelType"], &payload(1)["user"]["displayName"]),
        (&json!("whatsapp"), &json!("Ann"))
    );
}

#[tokio::test]
async fn what_cannot_be_taken_is_asked_for_again() {
    let rig = Rig::start().await;
    *rig.bus.refuses.lock().unwrap() = true;
    let refused = rig.hear("hi").await;
    assert_eq!(refused.status, Some(503));
    *rig.bus.refuses.lock().unwrap() = false;
    let again = rig.twilio().text(Text { sid: Some(refused.sid), ..text("hi") }).await;
    assert_eq!((again.status, rig.bus.events().len()), (Some(200), 1));
}

#[tokio::test]
async fn who_is_not_twilio_is_not_listened_to() {
    let rig = Rig::start().await;
    let body = "MessageSid=SM1&From=%2B15005550010&To=%2B15005550006&Body=hi".to_owned();
    let bare = post(&rig, WEBHOOK_PATH, FORM, None, body.clone().into()).await;
    assert_eq!(bare.status, 403);
    for signature in ["", "x", "RSOYDt4T1cUTdK1PDd93/VVr8B8="] {
        let forged = post(&rig, WEBHOOK_PATH, FORM, Some(signature), body.clone().into()).await;
        assert_eq!(forged.status, 403, "{signature}");
    }
    let other = Account { auth_token: "another".into(), ..rig.twilio().account() };
    let ours = rig.twilio().account();
    rig.twilio().set_account(other);
    assert_eq!(rig.hear("hi").await.status, Some(403));
    rig.twilio().set_account(ours);
    // For another address than ours.
    let hook =
        Hook::new(&format!("{}{WEBHOOK_PATH}", rig.server), Some("https://other.example/".into())).unwrap();
    rig.twilio().set_hook(Some(hook));
    assert_eq!(rig.hear("hi").await.status, Some(403));
    assert_eq!(rig.bus.events().len(), 0);
    assert_eq!(rig.counted("badSignatures"), 6);
    assert_eq!(rig.status().last_error.unwrap().code, "bad_signature");
}

#[tokio::test]
async fn behind_a_proxy_the_public_address_is_what_is_signed() {
    let settings = [("TWILIO_PUBLIC_URL", "https://bot.example"), ("TWILIO_FROM", OURS)];
    let rig = Rig::with(&settings).await;
    assert_eq!(rig.hear("hi").await.status, Some(403), "the address behind the proxy is nobody's");
    let local = format!("{}{WEBHOOK_PATH}", rig.server);
    for public in ["https://bot.example/webhooks/twilio", "https://bot.example:443/webhooks/twilio"] {
        rig.twilio().set_hook(Some(Hook::new(&local, Some(public.into())).unwrap()));
        assert_eq!(rig.hear("hi").await.status, Some(200), "{public}");
    }
}

#[tokio::test]
async fn without_a_public_address_a_request_is_signed_for_the_one_it_was_sent_to() {
    let rig = Rig::with(&[("TWILIO_FROM", OURS)]).await;
    assert_eq!(rig.hear("hi").await.status, Some(200));
}

#[tokio::test]
async fn a_query_belongs_to_the_address_and_a_get_has_all_in_it() {
    let rig = Rig::start().await;
    let hook = |query: &str| Hook::new(&format!("{}{WEBHOOK_PATH}{query}", rig.server), None).unwrap();
    rig.twilio().set_hook(Some(hook("?room=it's+%C3%A9")));
    assert_eq!(rig.hear("hi").await.status, Some(200));
    let path = format!("{WEBHOOK_PATH}?MessageSid=SM9&From=%2B15005550010&To=%2B15005550006&Body=by+get");
    let token = rig.twilio().account().auth_token.into();
    let signature = sign(&token, &format!("{}{path}", rig.server), &[]);
    let http = HttpClient::new(Duration::from_secs(10), 4096).unwrap();
    let request = Request::get(format!("{}{path}", rig.server)).header("x-twilio-signature", &signature);
    assert_eq!(http.ask(request.body(Sent::default()).unwrap()).await.unwrap().status, 200);
    assert_eq!(rig.bus.events()[1]["message"]["text"], "by get");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_what_is_odd_is_taken() {
    let rig = Rig::start().await;
    for (body, status) in [
        ("", 400),
        ("Body=hi", 400),
        ("MessageSid=SM1&Body=hi", 400),
        ("EventType=onMessageAdded&ConversationSid=CH1", 400),
        ("MessageSid=SM2&From=12345&To=%2B15005550006&Body=short+code", 200),
        ("MessageSid=SM3&From=%2B15005550010&Body=%FF%FE&Body=%zz&Empty", 200),
    ] {
        assert_eq!(post_signed(&rig, body).await.status, status, "{body}");
    }
    let huge = vec![b'a'; 1024 * 1024 + 1];
    assert_eq!(post(&rig, WEBHOOK_PATH, FORM, Some("x"), huge).await.status, 413);
    let events = rig.bus.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["message"]["text"], "\u{fffd}\u{fffd}");
    // As large as may be: the event is cut to fit, and the message is not lost.
    let long = format!("MessageSid=SM4&From=%2B15005550010&Body={}", "x".repeat(1_000_000));
    assert_eq!(post_signed(&rig, &long).await.status, 200);
    assert!(rig.bus.events()[2].to_string().len() <= 256 * 1024);
}

#[tokio::test]
async fn a_json_body_counts_when_its_hash_was_signed() {
    let rig = Rig::start().await;
    let body = json!({ "MessageSid": "SM5", "From": ANN, "To": OURS, "Body": "as JSON" }).to_string();
    let hash = chatbus_event::sha256_hex(body.as_bytes());
    let path = format!("{WEBHOOK_PATH}?bodySHA256={hash}");
    let signature = sign(&rig.twilio().account().auth_token.into(), &format!("{}{path}", rig.server), &[]);
    let kind = "application/json; charset=utf-8";
    let changed = body.replace("as JSON", "changed");
    assert_eq!(post(&rig, &path, kind, Some(&signature), changed.into()).await.status, 403);
    assert_eq!(post(&rig, &path, kind, Some(&signature), body.into()).await.status, 200);
    assert_eq!(rig.bus.events()[0]["message"]["text"], "as JSON");
}
