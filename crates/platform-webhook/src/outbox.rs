//! What is posted to WEBHOOK_URL.
//!
//! ```json
//! {"type":"chat.say","timestamp":"2025-11-21T17:02:00.000Z",
//!  "data":{"id":"DELIVERY","audience":"channel","channel":"hall","text":"…","replyTo":"m-1"}}
//! ```
//!
//! To one user `audience` is `user`, and `user:{id}` stands in place of the channel.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{Outbound, Target};
use chatbus_event::{Timestamp, sha256_hex};
use chatbus_http::hyper::Request;
use chatbus_http::hyper::header::CONTENT_TYPE;
use chatbus_http::{Answer, HttpClient, HttpError, Sent};
use serde_json::{Value, json};

use crate::destination::Destination;
use crate::signature::{ID, Keys, SIGNATURE, TIMESTAMP, seconds};

/// Posts, signed.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    destination: Destination,
    keys: Arc<Keys>,
    http: HttpClient,
}

/// How long an answer may take, and how many bytes it may have.
const WITHIN: Duration = Duration::from_secs(15);
const MOST: usize = 64 * 1024;

// === impl Outbox ===

impl Outbox {
    /// # Errors
    /// When TLS cannot be set up on this machine; why, for people.
    pub(crate) fn new(destination: Destination, keys: Arc<Keys>) -> Result<Self, String> {
        let http = HttpClient::reaching(destination.reach(), WITHIN, MOST);
        Ok(Self { http: http.map_err(|error| error.to_string())?, destination, keys })
    }

    pub(crate) fn host(&self) -> &str {
        self.destination.host()
    }

    /// Ready to be posted: all that is left is to send it.
    ///
    /// # Errors
    /// When it cannot be written as a request; nothing goes out.
    pub(crate) fn write(&self, outbound: &Outbound, at: Timestamp) -> Result<Request<Sent>, HttpError> {
        let body = body(outbound, at).to_string();
        let id = key(&outbound.delivery_id);
        Request::post(self.destination.url())
            .header(CONTENT_TYPE, "application/json")
            .header(SIGNATURE, self.keys.sign(&id, at, body.as_bytes()))
            .header(TIMESTAMP, seconds(at))
            .header(ID, &*id)
            .body(Sent::from(body))
            .map_err(|error| HttpError::Unreachable(error.to_string()))
    }

    /// Posts it.
    pub(crate) async fn post(&self, request: Request<Sent>) -> Result<Answer, HttpError> {
        self.http.ask(request).await
    }
}

fn body(outbound: &Outbound, at: Timestamp) -> Value {
    let mut data = json!({ "id": &*outbound.delivery_id, "text": outbound.text });
    match &outbound.target {
        Target::Channel(channel) => {
            data["audience"] = "channel".into();
            data["channel"] = channel.trim_start_matches('#').into();
        }
        Target::User(user) => {
            data["audience"] = "user".into();
            data["user"] = json!({ "id": &**user });
        }
    }
    if let Some(answered) = &outbound.reply_to {
        data["replyTo"] = (&**answered).into();
    }
    json!({ "type": "chat.say", "timestamp": at.to_string(), "data": data })
}

/// The id of a delivery as it stands in a header, where a full stop would part what is signed in another place.
/// An id may be whatever a publisher wrote, and not all of that can.
fn key(delivery_id: &str) -> Cow<'_, str> {
    let fits = (1..=256).contains(&delivery_id.len());
    if fits && delivery_id.bytes().all(|b| b.is_ascii_graphic() && b != b'.') {
        return Cow::Borrowed(delivery_id);
    }
    Cow::Owned(sha256_hex(delivery_id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_has_a_key_that_a_header_can_hold() {
        assert_eq!(key("event-1/say"), "event-1/say");
        for odd in ["", "a b", "a.b", "é", "a\r\nx: y", "\u{7f}", &"x".repeat(257)] {
            let made = key(odd);
            assert!(made.len() == 64 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{odd:?}");
            assert_eq!(made, key(odd));
        }
    }
}
