//! The REST API's messages.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use chatbus_event::Timestamp;
use serde_json::{Value, json};

use super::server::{Authorised, done, error, not_found, refused};
use super::world::{Scope, Sent};
use super::{Shared, hooks};

/// The longest body.
const MAX_TEXT: usize = 1_600;
/// A list has at most so many.
const PAGE: usize = 50;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/2010-04-01/Accounts/{account}/Messages.json", get(list).post(create))
        .route("/2010-04-01/Accounts/{account}/Messages/{file}", get(fetch))
}

/// What is wrong with a message, as Twilio says it.
fn problem(shared: &Shared, from: &str, to: &str, body: &str, has_media: bool) -> Option<(u32, String)> {
    let number = to.strip_prefix("whatsapp:").unwrap_or(to);
    let digits = number.strip_prefix('+').unwrap_or_default();
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    Some(match () {
        () if to.is_empty() => (21604, "A 'To' phone number is required.".to_owned()),
        () if from.is_empty() => (21603, "A 'From' phone number is required.".to_owned()),
        () if body.is_empty() && !has_media => (21602, "Message body is required.".to_owned()),
        () if !is_number => (21211, format!("Invalid 'To' Phone Number: {to}")),
        () if body.chars().count() > MAX_TEXT => {
            (21617, "The concatenated message body exceeds the 1600 character limit.".to_owned())
        }
        () if to.starts_with("whatsapp:") != from.starts_with("whatsapp:") && !from.starts_with("MG") => {
            (21910, "'From' and 'To' addresses must be of the same channel.".to_owned())
        }
        () if shared.lock().has_opted_out(from, to) => {
            (21610, "Attempt to send to unsubscribed recipient".to_owned())
        }
        () => return None,
    })
}

async fn create(
    State(shared): State<Arc<Shared>>,
    _: Authorised,
    Form(fields): Form<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let service = field("MessagingServiceSid");
    let from = if service.is_empty() { field("From") } else { service };
    let (to, body) = (field("To"), field("Body"));
    let callback = fields.get("StatusCallback").cloned();
    let mut sent = Sent {
        seq: 0,
        at: shared.runtime.clock.now(),
        sid: None,
        from: from.to_owned(),
        to: to.to_owned(),
        body: body.to_owned(),
        status_callback: callback.clone(),
        status: "refused".to_owned(),
        code: None,
    };
    let refusal = shared.lock().refused(Scope::Messages);
    let answer = match &refusal {
        Some(refusal) => {
            sent.code = Some(refusal.code);
            Some(refused(refusal))
        }
        None => problem(&shared, from, to, body, fields.contains_key("MediaUrl")).map(|(code, message)| {
            sent.code = Some(code);
            error(StatusCode::BAD_REQUEST, code, &message)
        }),
    };
    if let Some(answer) = answer {
        let mut world = shared.lock();
        sent.seq = world.next_seq();
        world.record(sent);
        return answer;
    }
    let sid = shared.sid("SM");
    sent.sid = Some(sid.clone());
    sent.status = if service.is_empty() { "queued" } else { "accepted" }.to_owned();
    let (calls_back, failure, resource) = {
        let mut world = shared.lock();
        sent.seq = world.next_seq();
        let resource = resource(&world.account.sid, &sent);
        world.record(sent);
        (world.calls_back, world.next_failure(), resource)
    };
    if let Some(callback) = callback.filter(|_| calls_back) {
        let telling =
            hooks::statuses(Arc::clone(&shared), callback, sid, from.to_owned(), to.to_owned(), failure);
        shared.runtime.spawn("sandbox.twilio.statuses", shared.tasks.track_future(telling));
    }
    done(&shared, resource).await
}

async fn list(State(shared): State<Arc<Shared>>, _: Authorised) -> Response {
    let world = shared.lock();
    let account = &world.account.sid;
    let taken =
        world.sent.iter().rev().filter(|sent| sent.sid.as_ref().is_some_and(|sid| sid.starts_with("SM")));
    let messages: Vec<Value> = taken.take(PAGE).map(|sent| resource(account, sent)).collect();
    let uri = format!("/2010-04-01/Accounts/{account}/Messages.json");
    Json(json!({
        "messages": messages, "page": 0, "page_size": PAGE, "start": 0, "end": messages.len(),
        "uri": uri, "first_page_uri": uri, "next_page_uri": null, "previous_page_uri": null,
    }))
    .into_response()
}

async fn fetch(
    State(shared): State<Arc<Shared>>,
    _: Authorised,
    Path((_, file)): Path<(String, String)>,
) -> Response {
    let world = shared.lock();
    let sid = file.strip_suffix(".json");
    match world.sent.iter().find(|sent| sid.is_some() && sent.sid.as_deref() == sid) {
        Some(sent) => Json(resource(&world.account.sid, sent)).into_response(),
        None => not_found("the message"),
    }
}

fn resource(account: &str, sent: &Sent) -> Value {
    let sid = sent.sid.as_deref().unwrap_or_default();
    let service = Some(&sent.from).filter(|from| from.starts_with("MG"));
    let at = date(sent.at);
    json!({
        "sid": sid, "account_sid": account, "api_version": "2010-04-01",
        "from": if service.is_some() { None } else { Some(&sent.from) }, "to": sent.to, "body": sent.body,
        "messaging_service_sid": service, "status": sent.status, "direction": "outbound-api",
        "error_code": sent.code, "error_message": null, "num_media": "0", "num_segments": segments(&sent.body).to_string(),
        "price": null, "price_unit": "USD", "date_created": at, "date_updated": at, "date_sent": null,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{sid}.json"),
        "subresource_uris": { "media": format!("/2010-04-01/Accounts/{account}/Messages/{sid}/Media.json") },
    })
}

/// Segments, with ASCII taken for GSM-7, which it nearly is.
fn segments(body: &str) -> usize {
    let (units, alone, among) =
        if body.is_ascii() { (body.len(), 160, 153) } else { (body.encode_utf16().count(), 70, 67) };
    if units <= alone { 1 } else { units.div_ceil(among) }
}

/// As the REST API writes it: `Fri, 02 Jan 2026 03:04:05 +0000`.
fn date(at: Timestamp) -> String {
    let since = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or_default());
    httpdate::fmt_http_date(UNIX_EPOCH + since).replace("GMT", "+0000")
}
