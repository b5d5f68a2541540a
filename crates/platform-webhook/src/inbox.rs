//! What others post: who they are first, then what they say, then a confirmation once it is safe.
//!
//! | answer | when |
//! |---|---|
//! | 401 `no_signature` `bad_timestamp` | nobody says who sent it |
//! | 403 `timestamp_out_of_range` `bad_signature` | it is not believed |
//! | 405 `bad_method` | it is no POST |
//! | 400 with what is wrong | it is no message |
//! | 404 `unknown_channel` | no such channel is configured or added |
//! | 202 | it is on the bus, or safe on disk |
//! | 200 | it was there already |
//! | 503 `unavailable` | it is neither, or we have not begun yet: send it again |

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use chatbus_connector::{Accept, Accepted, Status, Webhook, WebhookAnswer, WebhookRequest};
use chatbus_event::Entropy;
use serde_json::json;
use tracing::debug;

use crate::channels::Channels;
use crate::message::Message;
use crate::normalize::Normalizer;
use crate::seen::Seen;
use crate::signature::Keys;
use crate::{PATH, PLATFORM};

/// The part that is called.
#[derive(Debug)]
pub(crate) struct Inbox {
    keys: Arc<Keys>,
    channels: Arc<Channels>,
    normalizer: Normalizer,
    status: Status,
    /// There once the connector runs; until then nothing is taken.
    entropy: OnceLock<Arc<dyn Entropy>>,
    seen: Mutex<Seen>,
}

/// Why a call is refused.
struct Refused {
    status: u16,
    code: &'static str,
    message: String,
}

// === impl Inbox ===

impl Inbox {
    /// One that waits for its connector to run.
    pub(crate) fn new(
        keys: Arc<Keys>,
        channels: Arc<Channels>,
        normalizer: Normalizer,
        status: Status,
    ) -> Self {
        Self { keys, channels, normalizer, status, entropy: OnceLock::new(), seen: Mutex::default() }
    }

    /// The connector runs.
    pub(crate) fn open(&self, entropy: Arc<dyn Entropy>) {
        self.entropy.get_or_init(|| entropy);
    }

    async fn take(&self, request: &WebhookRequest, accept: &dyn Accept) -> Result<WebhookAnswer, Refused> {
        if request.method != "POST" {
            return Err(Refused::new(405, "bad_method", "use POST"));
        }
        let header = |name: &str| request.header(name).map(str::to_owned);
        self.keys.verify(header, &request.body, request.received_at).map_err(|unproved| {
            let (status, code) = unproved.code();
            Refused::new(status, code, unproved.to_string())
        })?;
        let message = Message::read(&request.body).map_err(|why| Refused::new(400, why.code, why.message))?;
        if !self.channels.contains(&message.channel) {
            return Err(Refused::new(404, "unknown_channel", "no such channel is configured or added"));
        }
        let Some(entropy) = self.entropy.get() else {
            return Err(Refused::new(503, "unavailable", "it has not begun yet: send it again"));
        };
        self.status.count(|snapshot| {
            snapshot.counters.received += 1;
            snapshot.last_message_at = Some(request.received_at);
        });
        let event = self.normalizer.chat(&message, &request.body, request.received_at, &**entropy);
        let id = event.id.to_string();
        let now = request.received_at;
        let is_known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).knows(&id, now);
        let accepted = if is_known { Accepted::Duplicate } else { accept.accept(event).await };
        let (status, what) = match accepted {
            Accepted::Bus => (202, "accepted"),
            Accepted::Spooled => (202, "spooled"),
            Accepted::Duplicate => (200, "duplicate"),
            Accepted::Refused(why) => {
                debug!(event = "webhook.unavailable", platform = PLATFORM, reason = %why, "not taken");
                return Err(Refused::new(503, "unavailable", "it could not be kept: send it again"));
            }
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).note(&id, now);
        let body = json!({ "status": what, "messageId": id }).to_string();
        Ok(WebhookAnswer::with(status, "application/json", body))
    }
}

#[async_trait]
impl Webhook for Inbox {
    fn path(&self) -> &'static str {
        PATH
    }

    async fn call(&self, request: WebhookRequest, accept: &dyn Accept) -> WebhookAnswer {
        let refused = match self.take(&request, accept).await {
            Ok(answer) => return answer,
            Err(refused) => refused,
        };
        // Whoever can reach us can cause this: it is counted, and no line for people.
        debug!(event = "webhook.refused", platform = PLATFORM, errorCode = refused.code, "a call is refused");
        self.status.count(|snapshot| {
            *snapshot.counters.other.entry(format!("refused_{}", refused.code)).or_default() += 1;
        });
        let body = json!({ "error": { "code": refused.code, "message": refused.message } }).to_string();
        WebhookAnswer::with(refused.status, "application/json", body)
    }
}

// === impl Refused ===

impl Refused {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}
