//! EventSub's notifications as HTTP requests.
//!
//! The signature is looked at before anything else, and nothing of the request is believed before it is found
//! good. A notification is answered with 204 only once it is safe; Twitch sends it again otherwise.
//!
//! Source: Twitch's "Handling webhook events".

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{Accept, Accepted, Status, Webhook, WebhookAnswer, WebhookRequest};
use chatbus_event::{Clock, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tracing::warn;

use super::frames::Body;
use super::normalize::Normalizer;
use super::recent::Recent;
use crate::normalize::PLATFORM;

/// Where Twitch calls, under PUBLIC_URL.
pub(crate) const PATH: &str = "/webhooks/eventsub";
/// A request that was made longer ago is refused: somebody may have kept it. One from so far ahead as well.
const MAX_AGE: Duration = Duration::from_secs(600);
/// A challenge is a short text; a longer one is none.
const MAX_CHALLENGE_BYTES: usize = 1024;

/// See the module.
pub(crate) struct EventSubWebhook {
    secret: SecretString,
    status: Status,
    clock: Arc<dyn Clock>,
    /// There since the connector runs.
    inner: OnceLock<Mutex<Inner>>,
}

struct Inner {
    normalizer: Normalizer,
    /// What was taken.
    taken: Recent,
}

// === impl EventSubWebhook ===

impl EventSubWebhook {
    pub(crate) fn new(secret: SecretString, status: Status, clock: Arc<dyn Clock>) -> Self {
        Self { secret, status, clock, inner: OnceLock::new() }
    }

    /// Notifications can be taken from now on.
    pub(crate) fn begin(&self, normalizer: Normalizer) {
        self.inner.get_or_init(|| Mutex::new(Inner { normalizer, taken: Recent::new() }));
    }

    fn refuse(&self, why: &'static str, status: u16) -> WebhookAnswer {
        warn!(
            event = "twitch.eventsub.webhook_refused",
            platform = PLATFORM,
            reason = why,
            "a request is refused"
        );
        self.count("eventsubRefusedRequests");
        WebhookAnswer::with(status, "application/json", format!(r#"{{"error":"{why}"}}"#))
    }

    fn count(&self, name: &str) {
        self.status.count(|snapshot| *snapshot.counters.other.entry(name.to_owned()).or_default() += 1);
    }

    async fn notification(
        &self,
        request: &WebhookRequest,
        id: &str,
        sent_at: Timestamp,
        accept: &dyn Accept,
    ) -> WebhookAnswer {
        let Some(inner) = self.inner.get() else { return self.refuse("it cannot be kept yet", 503) };
        let now = self.clock.instant();
        let event = {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.taken.has(id, now) {
                drop(inner);
                self.count("eventsubRepeated");
                return WebhookAnswer::empty(204);
            }
            let read = Body::parse(&request.body).and_then(|body| {
                let header = |name: &str| Cow::Borrowed(request.header(name).unwrap_or_default());
                let kind = header("twitch-eventsub-subscription-type");
                let version = header("twitch-eventsub-subscription-version");
                let told = body.notification(Cow::Borrowed(id), Some(sent_at), kind, version)?;
                Ok(inner.normalizer.notification(&told, request.received_at))
            });
            match read {
                Ok(event) => event,
                // It is Twitch's, as its signature says, and it is kept as it is.
                Err(why) => {
                    let text = String::from_utf8_lossy(&request.body);
                    inner.normalizer.malformed(&text, &why, request.received_at)
                }
            }
        };
        self.status.count(|snapshot| {
            snapshot.counters.received += 1;
            snapshot.last_message_at = Some(request.received_at);
        });
        match accept.accept(event).await {
            Accepted::Bus | Accepted::Spooled | Accepted::Duplicate => {
                let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
                inner.taken.is_new(id, self.clock.instant());
                WebhookAnswer::empty(204)
            }
            Accepted::Refused(_) => self.refuse("it cannot be kept now", 503),
        }
    }

    fn revocation(&self, request: &WebhookRequest) -> WebhookAnswer {
        let gone = Body::parse(&request.body).and_then(|body| body.subscription());
        self.count("eventsubRevoked");
        if let Ok(gone) = gone {
            let (kind, code) = (&*gone.kind, &*gone.status);
            warn!(
                event = "twitch.eventsub.revoked",
                platform = PLATFORM,
                errorCode = code,
                kind,
                "a subscription has ended"
            );
            if code == "authorization_revoked" {
                self.status.update(|snapshot| snapshot.auth.state = "needs_reauth");
            }
        }
        WebhookAnswer::empty(204)
    }
}

#[async_trait]
impl Webhook for EventSubWebhook {
    fn path(&self) -> &'static str {
        PATH
    }

    async fn call(&self, request: WebhookRequest, accept: &dyn Accept) -> WebhookAnswer {
        let header = |name: &str| request.header(name).unwrap_or_default();
        let id = header("twitch-eventsub-message-id");
        let timestamp = header("twitch-eventsub-message-timestamp");
        let signature = header("twitch-eventsub-message-signature");
        if !is_signed(&self.secret, id, timestamp, &request.body, signature) {
            return self.refuse("the signature is not good", 403);
        }
        let Some(sent_at) = Timestamp::parse(timestamp) else {
            return self.refuse("the timestamp is none", 403);
        };
        let now = request.received_at;
        if now.since(sent_at) > MAX_AGE || sent_at.since(now) > MAX_AGE {
            return self.refuse("the request is too old", 403);
        }
        match header("twitch-eventsub-message-type") {
            "notification" => self.notification(&request, id, sent_at, accept).await,
            "webhook_callback_verification" => {
                let body = Body::parse(&request.body);
                let challenge = body.as_ref().ok().and_then(|body| body.challenge.as_deref());
                match challenge.filter(|text| (1..=MAX_CHALLENGE_BYTES).contains(&text.len())) {
                    Some(text) => WebhookAnswer::with(200, "text/plain", text.to_owned()),
                    None => self.refuse("there is no challenge", 400),
                }
            }
            "revocation" => self.revocation(&request),
            // Something new, from Twitch: taken, and of no use yet.
            _ => {
                self.count("eventsubUnknownFrames");
                WebhookAnswer::empty(204)
            }
        }
    }
}

/// Whether Twitch signed it: `sha256=` and the HMAC of id, timestamp and body in lower-case hex. Takes as long
/// for every wrong signature of the right length.
fn is_signed(secret: &SecretString, id: &str, timestamp: &str, body: &[u8], signature: &str) -> bool {
    if id.is_empty() || timestamp.is_empty() {
        return false;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    for part in [id.as_bytes(), timestamp.as_bytes(), body] {
        mac.update(part);
    }
    let mut expected = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        for half in [byte >> 4, byte & 15] {
            expected.extend(char::from_digit(half.into(), 16));
        }
    }
    expected.as_bytes().ct_eq(signature.as_bytes()).into()
}
