//! EventSub over webhooks: a callback that verifies, takes, refuses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chatbus_sandbox::twitch_api::Emit;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{Caller, id_of};
use crate::client::sandbox;

const SECRET: &str = "a secret of a callback";

/// What a callback got, and the statuses it is to answer with before it takes everything.
#[derive(Clone, Default)]
struct Callback {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    refuses: Arc<Mutex<VecDeque<u16>>>,
    came: Arc<Notify>,
}

// === impl Callback ===

impl Callback {
    /// Serves it, and gives its address.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?a=1", listener.local_addr().expect("an address"));
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        chatbus_testkit::test_runtime(1).spawn("callback", async move {
            axum::serve(listener, router).await.expect("served");
        });
        url
    }

    /// Waits until it got so many posts.
    async fn got(&self, count: usize) -> Vec<(HeaderMap, Bytes)> {
        loop {
            let came = self.came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            let got = self.got.lock().expect("not poisoned").clone();
            if got.len() >= count {
                return got;
            }
            tokio::time::timeout(super::PATIENCE, came).await.expect("a post in time");
        }
    }
}

async fn take(State(callback): State<Callback>, headers: HeaderMap, body: Bytes) -> Response {
    callback.got.lock().expect("not poisoned").push((headers, body.clone()));
    callback.came.notify_waiters();
    if let Some(status) = callback.refuses.lock().expect("not poisoned").pop_front() {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    body["challenge"].as_str().unwrap_or_default().to_owned().into_response()
}

fn online(callback: &str, secret: &str) -> Value {
    json!({
        "type": "stream.online",
        "version": "1",
        "condition": { "broadcaster_user_id": id_of("hall") },
        "transport": { "method": "webhook", "callback": callback, "secret": secret },
    })
}

/// Waits until the only subscription has this status.
async fn status_is(sandbox: &chatbus_sandbox::SandboxHandle, status: &str) {
    let api = sandbox.twitch_api();
    let only = api.subscriptions().remove(0);
    let waiting = api.wait_for_status(only["id"].as_str().expect("an id"), status);
    tokio::time::timeout(super::PATIENCE, waiting).await.expect(status);
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().expect("a text")
}

#[tokio::test]
async fn a_callback_is_verified_then_told_signed_and_told_again_when_it_fails() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    let callback = Callback::default();
    let url = callback.serve().await;
    let made = app.post("/helix/eventsub/subscriptions", online(&url, SECRET)).await;
    let row = &made.body["data"][0];
    assert_eq!((made.status, &row["status"]), (202, &json!("webhook_callback_verification_pending")));
    assert_eq!(row["transport"], json!({ "method": "webhook", "callback": url }), "no secret");
    status_is(&sandbox, "enabled").await;
    callback.refuses.lock().unwrap().push_back(500);
    assert_eq!(sandbox.twitch_api().set_live("hall", true, 1).unwrap(), 1);
    let got = callback.got(3).await;
    let kinds: Vec<_> = got
        .iter()
        .map(|(headers, _)| {
            (
                header(headers, "twitch-eventsub-message-type"),
                header(headers, "twitch-eventsub-message-retry"),
            )
        })
        .collect();
    assert_eq!(kinds, [("webhook_callback_verification", "0"), ("notification", "0"), ("notification", "1")]);
    for (headers, body) in &got {
        let signed = [
            header(headers, "twitch-eventsub-message-id").as_bytes(),
            header(headers, "twitch-eventsub-message-timestamp").as_bytes(),
            body,
        ]
        .concat();
        assert_eq!(header(headers, "twitch-eventsub-message-signature"), signature(&signed));
        assert_eq!(header(headers, "twitch-eventsub-subscription-type"), "stream.online");
    }
    assert_eq!(
        header(&got[1].0, "twitch-eventsub-message-id"),
        header(&got[2].0, "twitch-eventsub-message-id")
    );
    let told: Value = serde_json::from_slice(&got[2].1).unwrap();
    assert_eq!(
        (&told["event"]["broadcaster_user_login"], &told["subscription"]["status"]),
        (&json!("hall"), &json!("enabled"))
    );
    let id = row["id"].as_str().unwrap();
    sandbox.twitch_api().revoke_subscription(id, "authorization_revoked").unwrap();
    assert_eq!(header(&callback.got(4).await[3].0, "twitch-eventsub-message-type"), "revocation");
}

/// What Twitch's page says, by openssl.
fn signature(signed: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("JSON");
    mac.update(signed);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[tokio::test]
async fn a_callback_that_does_not_answer_the_challenge_gets_nothing() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    let callback = Callback::default();
    callback.refuses.lock().unwrap().push_back(200);
    let url = callback.serve().await;
    app.post("/helix/eventsub/subscriptions", online(&url, SECRET)).await;
    status_is(&sandbox, "webhook_callback_verification_failed").await;
    assert_eq!(sandbox.twitch_api().set_live("hall", true, 1).unwrap(), 0);
}

#[tokio::test]
async fn a_callback_that_is_gone_ends_its_subscription() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    let callback = Callback::default();
    let url = callback.serve().await;
    app.post("/helix/eventsub/subscriptions", online(&url, SECRET)).await;
    status_is(&sandbox, "enabled").await;
    callback.refuses.lock().unwrap().push_back(410);
    let event = json!({ "broadcaster_user_id": id_of("hall") });
    let emit = Emit { kind: "stream.online".into(), version: Some("1".into()), event, subscription: None };
    assert_eq!(sandbox.twitch_api().emit(&emit).unwrap(), 1);
    status_is(&sandbox, "notification_failures_exceeded").await;
}

#[tokio::test]
async fn nothing_is_posted_to_other_machines_nor_with_a_bad_secret() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    for (callback, secret) in [
        ("http://example.com/", SECRET),
        ("https://localhost/", SECRET),
        ("http://10.0.0.1/", SECRET),
        ("nonsense", SECRET),
        ("http://127.0.0.1:1/", "short"),
    ] {
        let refused = app.post("/helix/eventsub/subscriptions", online(callback, secret)).await;
        assert_eq!(refused.status, 400, "{callback}");
    }
    assert!(sandbox.twitch_api().subscriptions().is_empty());
}
