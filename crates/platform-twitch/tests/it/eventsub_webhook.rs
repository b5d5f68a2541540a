//! EventSub's notifications as HTTP requests, whole requests in and answers out.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_connector::{Accept, Accepted, Connector, Inbound, Webhook, WebhookAnswer, WebhookRequest};
use chatbus_event::Timestamp;
use chatbus_platform_twitch::irc::transport::public_roots;
use chatbus_platform_twitch::{ApiConfig, EventSubTransport, Read, TwitchConfig, TwitchConnector};
use chatbus_runtime::CancellationToken;
use chatbus_testkit::test_runtime;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::corpus::rows;
use crate::rig::{Ear, Server, config};

const SECRET: &str = "secretabcd";

/// Keeps what it was given, and says what it is told to.
struct Keeper {
    says: Accepted,
    kept: Mutex<Vec<Inbound>>,
}

impl Keeper {
    fn new(says: Accepted) -> Self {
        Self { says, kept: Mutex::default() }
    }

    fn ids(&self) -> Vec<String> {
        self.kept.lock().unwrap().iter().map(|event| event.id.as_str().to_owned()).collect()
    }
}

#[async_trait]
impl Accept for Keeper {
    async fn accept(&self, event: Inbound) -> Accepted {
        self.kept.lock().unwrap().push(event);
        self.says.clone()
    }
}

fn connector(url: &str, secret: &str) -> Arc<TwitchConnector> {
    let config = TwitchConfig {
        read: Read::EventSub,
        eventsub_transport: EventSubTransport::Webhook,
        eventsub_secret: Some(SecretString::from(secret)),
        public_url: Some("https://bot.example".into()),
        // Nobody is there; nothing is asked without a token.
        api: Some(ApiConfig {
            api_url: "http://127.0.0.1:1/helix".parse().unwrap(),
            ..ApiConfig::twitch("id".to_owned(), None)
        }),
        ..config(url, &["cool_user"], false)
    };
    Arc::new(TwitchConnector::new(config, public_roots().unwrap(), Arc::clone(&test_runtime(1).clock)))
}

/// A connector that runs, and its webhook.
async fn running() -> Arc<dyn Webhook> {
    let server = Server::start().await;
    let connector = connector(&server.url("irc"), SECRET);
    let webhook = connector.webhook().unwrap();
    let runtime = test_runtime(2);
    let run = connector.run(runtime.clone(), Arc::new(Ear::new()), CancellationToken::new());
    runtime.spawn("test.connector", run);
    // Its IRC connects once it runs.
    drop(server.accept().await);
    webhook
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed(id: &str, timestamp: &str, kind: &str, body: &str) -> WebhookRequest {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update([id, timestamp, body].concat().as_bytes());
    let signature = format!("sha256={}", hex(&mac.finalize().into_bytes()));
    request(
        &[
            ("twitch-eventsub-message-id", id),
            ("twitch-eventsub-message-timestamp", timestamp),
            ("twitch-eventsub-message-signature", &signature),
            ("twitch-eventsub-message-type", kind),
            ("twitch-eventsub-subscription-type", "channel.follow"),
            ("twitch-eventsub-subscription-version", "2"),
        ],
        body,
        "2026-01-02T03:04:05Z",
    )
}

fn request(headers: &[(&str, &str)], body: &str, at: &str) -> WebhookRequest {
    WebhookRequest {
        method: "POST".to_owned(),
        origin: "https://bot.example".to_owned(),
        path_and_query: "/webhooks/eventsub".to_owned(),
        headers: headers
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Bytes::copy_from_slice(v.as_bytes())))
            .collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::parse(at).unwrap(),
    }
}

const AT: &str = "2026-01-02T03:04:04.123456789Z";

fn follow() -> String {
    json!({ "subscription": { "id": "s", "type": "channel.follow", "version": "2" },
            "event": { "user_id": "5", "user_login": "ada", "user_name": "Ada", "broadcaster_user_id": "1",
                       "broadcaster_user_login": "cool_user", "broadcaster_user_name": "Cool_User" } })
    .to_string()
}

fn taken() -> WebhookAnswer {
    WebhookAnswer::empty(204)
}

#[tokio::test]
async fn the_signatures_of_the_corpus_are_told_apart() {
    for row in rows("eventsub/webhook-signatures.jsonl") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let webhook = connector("irc://127.0.0.1:1", &text(&row["secret"])).webhook().unwrap();
        let timestamp = text(&row["headers"]["Twitch-Eventsub-Message-Timestamp"]);
        let mut headers = vec![("twitch-eventsub-message-type".to_owned(), "something_new".to_owned())];
        for (name, value) in row["headers"].as_object().unwrap() {
            headers.extend(value.as_str().map(|value| (name.to_ascii_lowercase(), value.to_owned())));
        }
        let headers: Vec<_> = headers.iter().map(|(k, v)| (&**k, &**v)).collect();
        let request = request(&headers, &text(&row["body"]), &timestamp);
        let answer = webhook.call(request, &Keeper::new(Accepted::Bus)).await;
        // Twitch signs in lower case; another spelling is nobody's that it knows.
        let expected = if row["expected_valid"] == true { 204 } else { 403 };
        assert_eq!(answer.status, expected, "{}", row["id"]);
    }
}

#[tokio::test]
async fn a_notification_is_taken_once_and_only_when_it_is_safe() {
    let webhook = running().await;
    let refuses = Keeper::new(Accepted::Refused("full".to_owned()));
    let ask = |id: &str| signed(id, AT, "notification", &follow());
    assert_eq!(webhook.call(ask("n-1"), &refuses).await.status, 503);
    for says in [Accepted::Bus, Accepted::Spooled, Accepted::Duplicate] {
        let keeper = Keeper::new(says.clone());
        let id = format!("n-{says:?}");
        assert_eq!(webhook.call(ask(&id), &keeper).await, taken());
        assert_eq!(webhook.call(ask(&id), &keeper).await, taken(), "sent again");
        assert_eq!(keeper.ids(), [format!("twitch:eventsub:{id}")]);
    }
    let keeper = Keeper::new(Accepted::Bus);
    assert_eq!(webhook.call(ask("n-1"), &keeper).await, taken(), "what was not safe comes again");
    let event: Value = serde_json::from_slice(&keeper.kept.lock().unwrap()[0].body).unwrap();
    assert_eq!((&event["type"], &event["channel"]), (&json!("twitch.eventsub.v1"), &json!("#cool_user")));
    assert_eq!(event["externalEvent"]["createdAt"], "2026-01-02T03:04:04.123Z");
}

#[tokio::test]
async fn what_is_not_signed_or_too_old_does_nothing() {
    let webhook = running().await;
    let keeper = Keeper::new(Accepted::Bus);
    let good = || signed("n-1", AT, "notification", &follow());
    let without = |name: &str| {
        let mut request = good();
        request.headers.retain(|(known, _)| known != name);
        request
    };
    let mut other_body = good();
    other_body.body = Bytes::from_static(b"{}");
    let mut binary = good();
    binary.headers.insert(0, ("twitch-eventsub-message-signature".to_owned(), Bytes::from_static(b"\xff")));
    for (what, request) in [
        ("no signature", without("twitch-eventsub-message-signature")),
        ("no id", without("twitch-eventsub-message-id")),
        ("no timestamp", without("twitch-eventsub-message-timestamp")),
        ("another body", other_body),
        ("bytes for a signature", binary),
        ("eleven minutes old", signed("n-1", "2026-01-02T02:53:04Z", "notification", &follow())),
        ("from the future", signed("n-1", "2026-01-02T03:15:05Z", "notification", &follow())),
        ("at no time", signed("n-1", "yesterday", "notification", &follow())),
    ] {
        assert_eq!(webhook.call(request, &keeper).await.status, 403, "{what}");
    }
    assert!(keeper.ids().is_empty());
    assert_eq!(webhook.call(good(), &keeper).await, taken());
}

#[tokio::test]
async fn a_challenge_is_given_back_as_text() {
    let webhook = connector("irc://127.0.0.1:1", SECRET).webhook().unwrap();
    assert_eq!(webhook.path(), "/webhooks/eventsub");
    let keeper = Keeper::new(Accepted::Bus);
    let body = json!({ "challenge": "pogchamp-kappa-360noscope-vohiyo", "subscription": {} }).to_string();
    let ask = |body: &str| signed("c-1", AT, "webhook_callback_verification", body);
    let answer = webhook.call(ask(&body), &keeper).await;
    assert_eq!(answer, WebhookAnswer::with(200, "text/plain", "pogchamp-kappa-360noscope-vohiyo"));
    for body in ["{}", "nonsense", &json!({ "challenge": "x".repeat(2000) }).to_string()] {
        assert_eq!(webhook.call(ask(body), &keeper).await.status, 400, "{body:.20}");
    }
}

#[tokio::test]
async fn a_revocation_is_taken_note_of() {
    let connector = connector("irc://127.0.0.1:1", SECRET);
    let webhook = connector.webhook().unwrap();
    let body = json!({ "subscription": { "id": "s", "type": "channel.chat.message",
        "status": "authorization_revoked" } });
    let answer =
        webhook.call(signed("r-1", AT, "revocation", &body.to_string()), &Keeper::new(Accepted::Bus)).await;
    assert_eq!(answer, taken());
    let snapshot = connector.status().snapshot();
    assert_eq!((snapshot.auth.state, snapshot.counters.other["eventsubRevoked"]), ("needs_reauth", 1));
}

#[tokio::test]
async fn what_twitch_signed_and_nobody_can_read_is_kept() {
    let webhook = running().await;
    let keeper = Keeper::new(Accepted::Bus);
    let answer = webhook.call(signed("n-1", AT, "notification", "{\"event\":"), &keeper).await;
    assert_eq!(answer, taken());
    let event: Value = serde_json::from_slice(&keeper.kept.lock().unwrap()[0].body).unwrap();
    assert_eq!(event["externalEvent"]["kind"], "eventsub.unparsed");
}

#[tokio::test]
async fn before_the_connector_runs_nothing_is_taken() {
    let webhook = connector("irc://127.0.0.1:1", SECRET).webhook().unwrap();
    let keeper = Keeper::new(Accepted::Bus);
    let answer = webhook.call(signed("n-1", AT, "notification", &follow()), &keeper).await;
    assert_eq!((answer.status, keeper.ids().len()), (503, 0));
}
