//! Posts to callbacks: signed, tried again, verified first. Only to this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use chatbus_event::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use url::Url;

use crate::twitch_api::Core;
use crate::twitch_api::loopback::address_of;

/// Posts that may wait.
pub(in crate::twitch_api) const MAX_POSTS: usize = 10_000;
/// Posts under way at one time.
const AT_ONCE: usize = 64;
/// A callback must have answered by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// A post that failed is tried again after these.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
/// An answer's body beyond this is not read.
const MAX_ANSWER: usize = 64 * 1024;

/// Who wants to know what became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    Nobody,
    Subscription(String),
    Shard(String, u64),
}

/// A post.
#[derive(Debug, Clone)]
pub(in crate::twitch_api) struct Post {
    kind: &'static str,
    callback: String,
    secret: String,
    message_id: String,
    at: Timestamp,
    subscription_type: String,
    subscription_version: String,
    body: String,
    /// What the callback must answer with, when it is being verified.
    challenge: Option<String>,
    whose: Whose,
}

/// What a post came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// The callback said that it is gone for good.
    Gone,
    Failed,
}

// === impl Post ===

impl Post {
    /// A notification or revocation.
    pub(super) fn about(
        kind: &'static str,
        callback: &str,
        secret: &str,
        message_id: &str,
        at: Timestamp,
        payload: &Value,
    ) -> Self {
        let of = |name| payload.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            kind,
            callback: callback.to_owned(),
            secret: secret.to_owned(),
            message_id: message_id.to_owned(),
            at,
            subscription_type: of("/subscription/type"),
            subscription_version: of("/subscription/version"),
            body: payload.to_string(),
            challenge: None,
            whose: Whose::Nobody,
        }
    }

    /// The question whether a callback wants this subscription.
    pub(super) fn challenge(
        callback: &str,
        secret: &str,
        message_id: &str,
        at: Timestamp,
        challenge: String,
        subscription: &Value,
    ) -> Self {
        let payload = json!({ "challenge": challenge, "subscription": subscription });
        let post = Self::about("webhook_callback_verification", callback, secret, message_id, at, &payload);
        Self { challenge: Some(challenge), ..post }
    }

    pub(super) fn for_subscription(self, id: &str) -> Self {
        Self { whose: Whose::Subscription(id.to_owned()), ..self }
    }

    pub(super) fn for_shard(self, conduit: &str, number: u64) -> Self {
        Self { whose: Whose::Shard(conduit.to_owned(), number), ..self }
    }

    fn signature(&self) -> String {
        sign(&self.secret, &self.message_id, &self.at.to_string(), self.body.as_bytes())
    }

    fn request(&self, url: &Url, retry: usize) -> Option<Request<Body>> {
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let authority = url.port().map_or_else(
            || url.host_str().unwrap_or_default().to_owned(),
            |port| format!("{}:{port}", url.host_str().unwrap_or_default()),
        );
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, self.body.len())
            .header("Twitch-Eventsub-Message-Id", &self.message_id)
            .header("Twitch-Eventsub-Message-Retry", retry)
            .header("Twitch-Eventsub-Message-Type", self.kind)
            .header("Twitch-Eventsub-Message-Signature", self.signature())
            .header("Twitch-Eventsub-Message-Timestamp", self.at.to_string())
            .header("Twitch-Eventsub-Subscription-Type", &self.subscription_type)
            .header("Twitch-Eventsub-Subscription-Version", &self.subscription_version)
            .body(Body::from(self.body.clone()))
            .ok()
    }

    async fn attempt(&self, retry: usize) -> Outcome {
        match tokio::time::timeout(PATIENCE, self.ask(retry)).await {
            Ok(Some((status, body))) => self.judge(status, &body),
            _ => Outcome::Failed,
        }
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Outcome {
        if status == StatusCode::GONE {
            return Outcome::Gone;
        }
        let right = self.challenge.as_ref().is_none_or(|challenge| challenge.as_bytes() == body);
        if status.is_success() && right { Outcome::Taken } else { Outcome::Failed }
    }

    /// `None` when no whole answer came.
    async fn ask(&self, retry: usize) -> Option<(StatusCode, bytes::Bytes)> {
        let url = Url::parse(&self.callback).ok()?;
        let stream = TcpStream::connect(address_of(&url)?).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let asking = async {
            let response = sender.send_request(self.request(&url, retry)?).await.ok()?;
            let status = response.status();
            let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_ANSWER).await.ok()?;
            Some((status, body))
        };
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            _ = connection => asking.await,
        }
    }
}

/// `sha256=…` over message id, timestamp and body (dev.twitch.tv/docs/eventsub/handling-webhook-events).
pub(super) fn sign(secret: &str, message_id: &str, timestamp: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(message_id.as_bytes());
    mac.update(timestamp.as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// Carries posts until the fake stops, some at a time.
pub(in crate::twitch_api) async fn work(core: Arc<Core>, mut posts: mpsc::Receiver<Post>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(post) = posts.recv().await {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stop = core.stop.clone();
        let carrying = Arc::clone(&core);
        let task = async move {
            tokio::select! {
                () = carry(&carrying, &post) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        };
        core.runtime.spawn("sandbox.twitch_api.webhook", core.tasks.track_future(task));
    }
}

async fn carry(core: &Core, post: &Post) {
    // Who does not answer the question at once has answered it.
    let tries: &[Duration] = if post.challenge.is_some() { &[] } else { &AGAIN };
    let mut outcome = post.attempt(0).await;
    for (retry, wait) in tries.iter().enumerate() {
        if outcome != Outcome::Failed {
            break;
        }
        tokio::time::sleep(*wait).await;
        outcome = post.attempt(retry + 1).await;
    }
    let mut world = core.lock();
    match &post.whose {
        Whose::Subscription(id) => world.hub.posted(id, post.challenge.is_some(), outcome),
        Whose::Shard(conduit, number) if post.challenge.is_some() => {
            world.hub.shard_verified(conduit, *number, outcome == Outcome::Taken);
        }
        Whose::Shard(..) | Whose::Nobody => {}
    }
    drop(world);
    core.changed();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_id_time_and_body() {
        let signature = sign(
            "fe16e98fe09b472086054e15d0f8ac02",
            "286b83eb-06cb-48be-93b5-70cc1bc2a1a0",
            "2019-11-16T10:11:12.123Z",
            b"{\"test\": 123}",
        );
        assert_eq!(signature, "sha256=9c496057037c816da5f1b3bfe67a6333b48868f271fbe1a282435de4f22ee71b");
    }
}
