//! Twilio over HTTP, its webhooks, and its part of the control API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use chatbus_sandbox::SandboxHandle;
use chatbus_sandbox::twilio::{Account, Hook, Text};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::client::sandbox;

const OURS: &str = "+15005550006";
const ANN: &str = "+15005550010";

/// What a webhook was called with: path and query, signature, body.
type Heard = (String, String, String);

#[derive(Clone)]
struct Server(mpsc::Sender<Heard>, Arc<Mutex<u16>>);

/// A server that answers 200, or whatever it is told to, and hands on what it hears.
async fn server() -> (String, mpsc::Receiver<Heard>, Arc<Mutex<u16>>) {
    async fn hear(
        State(server): State<Server>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> (axum::http::StatusCode, &'static str) {
        let signature = headers["x-twilio-signature"].to_str().unwrap().to_owned();
        server.0.send((uri.to_string(), signature, body)).await.unwrap();
        (axum::http::StatusCode::from_u16(*server.1.lock().unwrap()).unwrap(), "<Response/>")
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (heard, hears) = mpsc::channel(1_000);
    let status = Arc::new(Mutex::new(200));
    let router = Router::new().fallback(hear).with_state(Server(heard, Arc::clone(&status)));
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's executor")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, hears, status)
}

async fn next(hears: &mut mpsc::Receiver<Heard>) -> Heard {
    tokio::time::timeout(Duration::from_secs(20), hears.recv()).await.expect("it is told").unwrap()
}

/// Posts a form, or gets, as the account.
async fn ask(sandbox: &SandboxHandle, path: &str, fields: Option<&[(&str, &str)]>) -> (u16, Value) {
    let Account { sid, auth_token, .. } = sandbox.twilio().account();
    let url = format!("{}{}", sandbox.twilio().url(), path.replace("{sid}", &sid));
    let http = reqwest::Client::new();
    let request = match fields {
        None => http.get(url),
        Some(fields) => {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)
        }
    };
    let answer = request.basic_auth(sid, Some(auth_token)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

const MESSAGES: &str = "/2010-04-01/Accounts/{sid}/Messages.json";

async fn send(sandbox: &SandboxHandle, body: &str) -> (u16, Value) {
    ask(sandbox, MESSAGES, Some(&[("To", ANN), ("From", OURS), ("Body", body)])).await
}

async fn steer(sandbox: &SandboxHandle, path: &str, body: Value) -> Value {
    let url = format!("{}/twilio/{path}", sandbox.control_url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path} {body}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_message_is_kept_and_can_be_looked_at() {
    let sandbox = sandbox().await;
    let (status, message) = send(&sandbox, "hello").await;
    assert_eq!((status, &message["status"], &message["to"]), (201, &json!("queued"), &json!(ANN)));
    let path = format!("/2010-04-01/Accounts/{{sid}}/Messages/{}.json", message["sid"].as_str().unwrap());
    let (_, message) = ask(&sandbox, &path, None).await;
    assert_eq!((&message["body"], &message["num_segments"]), (&json!("hello"), &json!("1")));
    assert_eq!(send(&sandbox, &"é".repeat(71)).await.1["num_segments"], "2");
    let (_, list) = ask(&sandbox, MESSAGES, None).await;
    assert_eq!(list["messages"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&sandbox, "/2010-04-01/Accounts/{sid}.json", None).await.1["status"], "active");
    let sent = &sandbox.twilio().sent(0)[0];
    assert_eq!((sent.sid.as_deref(), &*sent.body), (message["sid"].as_str(), "hello"));
}

#[tokio::test]
async fn what_makes_no_message_is_refused_with_twilios_codes() {
    let sandbox = sandbox().await;
    let long = "x".repeat(1_601);
    for (fields, code) in [
        (&[][..], 21604),
        (&[("To", ANN)], 21603),
        (&[("To", ANN), ("From", OURS)], 21602),
        (&[("To", "12345"), ("From", OURS), ("Body", "a")], 21211),
        (&[("To", ANN), ("From", OURS), ("Body", &long)], 21617),
        (&[("To", "whatsapp:+15005550010"), ("From", OURS), ("Body", "a")], 21910),
    ] {
        let (status, answer) = ask(&sandbox, MESSAGES, Some(fields)).await;
        assert_eq!((status, answer["code"].as_u64()), (400, Some(code)), "{fields:?}");
    }
    assert!(sandbox.twilio().sent(0).iter().all(|sent| sent.sid.is_none()));
    assert_eq!(ask(&sandbox, "/2010-04-01/Accounts/AC1.json", None).await.0, 404);
    assert_eq!(ask(&sandbox, "/nowhere", None).await.1["code"], 20404);
    let url = format!("{}/2010-04-01/Accounts/AC1.json", sandbox.twilio().url());
    let stranger = reqwest::Client::new().get(url).basic_auth("AC1", Some("x")).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert_eq!(stranger.json::<Value>().await.unwrap()["code"], 20003);
}

#[tokio::test]
async fn a_status_callback_tells_each_step_in_its_order() {
    let sandbox = sandbox().await;
    let (url, mut hears, _) = server().await;
    let callback = format!("{url}?for=me");
    let fields = [("To", ANN), ("From", OURS), ("Body", "a"), ("StatusCallback", &callback)];
    for (failure, statuses) in [
        (None, &["queued", "sent", "delivered"][..]),
        (Some("undelivered"), &["queued", "sent", "undelivered"]),
        (Some("failed"), &["queued", "failed"]),
    ] {
        if let Some(status) = failure {
            steer(&sandbox, "fail", json!({ "status": status, "code": 30003 })).await;
        }
        ask(&sandbox, MESSAGES, Some(&fields)).await;
        for status in statuses {
            let (path, _, body) = next(&mut hears).await;
            assert_eq!(path, "/hook?for=me");
            assert!(body.contains(&format!("MessageStatus={status}")), "{body}");
            assert_eq!(body.contains("ErrorCode=30003"), Some(*status) == failure, "{body}");
        }
    }
    steer(&sandbox, "callbacks", json!({ "on": false })).await;
    ask(&sandbox, MESSAGES, Some(&fields)).await;
    assert!(hears.try_recv().is_err());
}

#[tokio::test]
async fn faults_come_as_they_were_asked_for() {
    let sandbox = sandbox().await;
    steer(&sandbox, "refuse", json!({ "status": 429, "code": 20429, "retry_after": 3, "count": 1 })).await;
    assert_eq!(send(&sandbox, "a").await.1["code"], 20429);
    assert_eq!(send(&sandbox, "b").await.0, 201);
    steer(&sandbox, "opt-out", json!({ "from": OURS, "to": ANN })).await;
    assert_eq!(send(&sandbox, "c").await.1["code"], 21610);
    let text = Text { from: ANN.into(), to: OURS.into(), body: "START".into(), ..Text::default() };
    assert_eq!(sandbox.twilio().text(text).await.status, None, "there is no webhook");
    assert_eq!(send(&sandbox, "d").await.0, 201, "but Twilio heard it");
    steer(&sandbox, "lose", json!({ "count": 1 })).await;
    let Account { sid, auth_token, .. } = sandbox.twilio().account();
    let url = format!("{}{}", sandbox.twilio().url(), MESSAGES.replace("{sid}", &sid));
    let request = reqwest::Client::new().post(url).basic_auth(sid, Some(auth_token));
    let form = "To=%2B15005550010&From=%2B15005550006&Body=e";
    let lost = request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await;
    assert!(lost.is_err(), "it was done, and nobody is told");
    let said: Vec<_> = sandbox.twilio().sent(0).into_iter().filter(|sent| sent.sid.is_some()).collect();
    assert_eq!(said.iter().map(|sent| &*sent.body).collect::<Vec<_>>(), ["b", "d", "e"]);
    steer(&sandbox, "account", json!({ "auth_token": "new" })).await;
    assert_eq!(send(&sandbox, "f").await.0, 201, "with the new token");
    steer(&sandbox, "reset", json!({})).await;
    assert_eq!((sandbox.twilio().sent(0).len(), sandbox.twilio().account()), (0, Account::default()));
}

#[tokio::test]
async fn people_are_heard_through_the_control_api_and_signed_for_the_public_address() {
    let sandbox = sandbox().await;
    let (url, mut hears, answers) = server().await;
    steer(&sandbox, "webhook", json!({ "url": url, "signed_as": "https://bot.example/hook" })).await;
    let told = steer(&sandbox, "text", json!({ "from": ANN, "to": OURS, "body": "hi", "sid": "SM1" })).await;
    assert_eq!(told, json!({ "sid": "SM1", "status": 200 }));
    let (_, public, body) = next(&mut hears).await;
    assert!(body.contains("MessageSid=SM1&") && body.contains("Body=hi"), "{body}");
    // The same, signed for where it goes.
    sandbox.twilio().set_hook(Some(Hook::new(&url, None).unwrap()));
    steer(&sandbox, "text", json!({ "from": ANN, "to": OURS, "body": "hi", "sid": "SM1" })).await;
    assert_ne!(next(&mut hears).await.1, public);
    let picture = json!({ "from": "whatsapp:+15005550010", "to": "whatsapp:+15005550006", "media": ["https://a/1"], "profile_name": "Ann" });
    steer(&sandbox, "text", picture).await;
    let (_, _, body) = next(&mut hears).await;
    for part in ["NumMedia=1", "MediaUrl0=https%3A%2F%2Fa%2F1", "ProfileName=Ann", "WaId=15005550010"] {
        assert!(body.contains(part), "{part}: {body}");
    }
    *answers.lock().unwrap() = 503;
    let told = steer(&sandbox, "conversation", json!({ "sid": "CH1" })).await;
    assert_eq!(told, json!({ "sid": "CH1", "status": 503 }));
    assert!(next(&mut hears).await.2.contains("EventType=onConversationAdded"));
    *answers.lock().unwrap() = 200;
    steer(&sandbox, "say", json!({ "conversation": "CH1", "author": "ann", "body": "hello" })).await;
    let (_, _, body) = next(&mut hears).await;
    assert!(body.contains("EventType=onMessageAdded") && body.contains("Author=ann"), "{body}");
    let posts = sandbox.twilio().posts(0);
    assert_eq!(posts.iter().map(|post| post.status).collect::<Vec<_>>(), [200, 200, 200, 503, 200].map(Some));
    assert_eq!(posts[0].url, "https://bot.example/hook");
}

#[tokio::test]
async fn conversations_have_participants_and_messages_with_a_service_or_without() {
    let sandbox = sandbox().await;
    let (status, created) = ask(&sandbox, "/v1/Conversations", Some(&[("FriendlyName", "hall")])).await;
    let sid = created["sid"].as_str().unwrap();
    assert_eq!((status, &created["friendly_name"]), (201, &json!("hall")));
    for (prefix, index) in [("/v1", 0), ("/v1/Services/IS1", 1)] {
        let path = format!("{prefix}/Conversations/{sid}");
        assert_eq!(ask(&sandbox, &path, None).await.1["sid"], sid);
        let said =
            ask(&sandbox, &format!("{path}/Messages"), Some(&[("Body", "hi"), ("Author", "bot")])).await;
        assert_eq!((said.0, &said.1["index"], &said.1["author"]), (201, &json!(index), &json!("bot")));
    }
    let join = format!("/v1/Conversations/{sid}/Participants");
    assert_eq!(ask(&sandbox, &join, Some(&[("Identity", "bot")])).await.0, 201);
    assert_eq!(ask(&sandbox, &join, Some(&[("Identity", "bot")])).await.1["code"], 50433);
    assert_eq!(ask(&sandbox, &join, None).await.1["participants"][0]["identity"], "bot");
    assert_eq!(
        ask(&sandbox, "/v1/Conversations/CH404/Messages", Some(&[("Body", "hi")])).await.1["code"],
        20404
    );
    assert_eq!(sandbox.twilio().participants(sid), ["bot"]);
}

#[tokio::test]
async fn a_senseless_request_names_its_field() {
    let sandbox = sandbox().await;
    for (path, body, field) in [
        ("webhook", json!({ "url": "https://example.com/" }), "url"),
        ("text", json!({ "to": OURS }), "from"),
        ("text", json!({ "from": ANN, "to": OURS, "media": "x" }), "media"),
        ("say", json!({ "conversation": "CH1", "author": "a" }), "body"),
        ("refuse", json!({ "status": 200, "code": 1 }), "status"),
        ("refuse", json!({ "status": 400, "code": 1, "what": "x" }), "what"),
        ("fail", json!({ "status": "late", "code": 1 }), "status"),
        ("delay", json!({ "ms": 99_999_999 }), "ms"),
        ("opt-out", json!({ "from": OURS }), "to"),
        ("callbacks", json!({}), "on"),
    ] {
        let url = format!("{}/twilio/{path}", sandbox.control_url());
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        let error = answer.json::<Value>().await.unwrap()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(&format!("{field} ")), "{path} {body}: {error}");
    }
}
