//! Signed webhooks: what people send, and what becomes of messages.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chatbus_http::Sent as Body;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use url::{Url, form_urlencoded};

use super::world::{Failure, Post, Said, Text};
use super::{Shared, Told};

/// Between two statuses of one message.
const STATUS_GAP: Duration = Duration::from_millis(5);
/// Of an answer so much is kept.
const MAX_ANSWER: usize = 1_000;

/// Where webhooks go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The address that requests are sent to; on loopback.
    to: Url,
    /// The address that is signed, where it is another one: the public one of a proxy.
    signed_as: Option<String>,
}

type Params = Vec<(&'static str, String)>;

// === impl Hook ===

impl Hook {
    /// Reads an address on this machine: `http://` and a loopback address.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn new(to: &str, signed_as: Option<String>) -> Result<Self, &'static str> {
        let url = loopback(to).ok_or("is not http:// and a loopback address")?;
        Ok(Self { to: url, signed_as })
    }
}

fn loopback(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
    let host = url.host_str()?.trim_matches(['[', ']']);
    host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()).then_some(url)
}

pub(super) async fn text(shared: &Arc<Shared>, text: Text) -> Told {
    let is_whatsapp = text.from.starts_with("whatsapp:");
    let prefix = if text.media.is_empty() { "SM" } else { "MM" };
    let sid = text.sid.unwrap_or_else(|| shared.sid(prefix));
    heed_keyword(shared, &text.from, &text.to, &text.body);
    let mut params: Params = vec![
        ("SmsMessageSid", sid.clone()),
        ("NumMedia", text.media.len().to_string()),
        ("SmsSid", sid.clone()),
        ("SmsStatus", "received".to_owned()),
        ("Body", text.body),
        ("To", text.to),
        ("NumSegments", text.media.len().max(1).to_string()),
        ("MessageSid", sid.clone()),
        ("AccountSid", shared.lock().account.sid.clone()),
    ];
    if is_whatsapp {
        params.push(("WaId", text.from.trim_start_matches("whatsapp:+").to_owned()));
        params.extend(text.profile_name.map(|name| ("ProfileName", name)));
    }
    params.push(("From", text.from));
    params.push(("ApiVersion", "2010-04-01".to_owned()));
    let mut params: Vec<(String, String)> = params.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    for (n, url) in text.media.into_iter().enumerate() {
        params.push((format!("MediaUrl{n}"), url));
        params.push((format!("MediaContentType{n}"), "image/jpeg".to_owned()));
    }
    let status = post(shared, None, params).await;
    Told { sid, status }
}

/// Twilio heeds the keywords itself.
fn heed_keyword(shared: &Shared, from: &str, to: &str, body: &str) {
    let on = match body.trim().to_ascii_uppercase().as_str() {
        "STOP" | "STOPALL" | "UNSUBSCRIBE" | "CANCEL" | "END" | "QUIT" => true,
        "START" | "YES" | "UNSTOP" => false,
        _ => return,
    };
    shared.lock().opt_out(to, from, on);
}

pub(super) async fn say(shared: &Arc<Shared>, said: Said) -> Told {
    let sid = said.sid.unwrap_or_else(|| shared.sid("IM"));
    let participant = shared.sid("MB");
    let (index, participant, account) = {
        let mut world = shared.lock();
        let account = world.account.sid.clone();
        let (conversation, _) = world.conversation(&said.conversation);
        let known = conversation.participants.iter().find(|(_, who)| *who == said.author);
        let participant = known.map_or(participant, |(sid, _)| sid.clone());
        if !conversation.participants.iter().any(|(sid, _)| *sid == participant) {
            conversation.participants.push((participant.clone(), said.author.clone()));
        }
        conversation.messages += 1;
        (conversation.messages - 1, participant, account)
    };
    let params: Params = vec![
        ("EventType", "onMessageAdded".to_owned()),
        ("AccountSid", account),
        ("ConversationSid", said.conversation),
        ("MessageSid", sid.clone()),
        ("Index", index.to_string()),
        ("Body", said.body),
        ("Author", said.author),
        ("ParticipantSid", participant),
        ("Attributes", "{}".to_owned()),
        ("DateCreated", now(shared)),
        ("Source", "SDK".to_owned()),
        ("RetryCount", "0".to_owned()),
    ];
    let status = post(shared, None, owned(params)).await;
    Told { sid, status }
}

pub(super) async fn converse(shared: &Arc<Shared>, sid: Option<String>) -> Told {
    let sid = sid.unwrap_or_else(|| shared.sid("CH"));
    let account = {
        let mut world = shared.lock();
        world.conversation(&sid);
        world.account.sid.clone()
    };
    let params: Params = vec![
        ("EventType", "onConversationAdded".to_owned()),
        ("AccountSid", account),
        ("ConversationSid", sid.clone()),
        ("DateCreated", now(shared)),
        ("State", "active".to_owned()),
        ("Attributes", "{}".to_owned()),
        ("Source", "API".to_owned()),
        ("RetryCount", "0".to_owned()),
    ];
    let status = post(shared, None, owned(params)).await;
    Told { sid, status }
}

/// Tells what becomes of a message: queued, sent, delivered, or how it fails.
pub(super) async fn statuses(
    shared: Arc<Shared>,
    callback: String,
    sid: String,
    from: String,
    to: String,
    failure: Option<Failure>,
) {
    let last = failure.as_ref().map_or("delivered", |failure| failure.status.as_str());
    let steps = if last == "failed" { vec!["queued", last] } else { vec!["queued", "sent", last] };
    for (step, status) in steps.iter().enumerate() {
        let code = (step + 1 == steps.len()).then(|| failure.as_ref().map(|failure| failure.code)).flatten();
        let account = {
            let mut world = shared.lock();
            world.set_status(&sid, status, code);
            world.account.sid.clone()
        };
        let mut params: Params = vec![
            ("SmsSid", sid.clone()),
            ("SmsStatus", (*status).to_owned()),
            ("MessageStatus", (*status).to_owned()),
            ("To", to.clone()),
            ("MessageSid", sid.clone()),
            ("AccountSid", account),
            ("From", from.clone()),
            ("ApiVersion", "2010-04-01".to_owned()),
        ];
        params.extend(code.map(|code| ("ErrorCode", code.to_string())));
        post(&shared, Some(&callback), owned(params)).await;
        tokio::time::sleep(STATUS_GAP).await;
    }
}

/// Posts to an address, or to the webhook; gives the status of the answer.
async fn post(shared: &Shared, address: Option<&str>, params: Vec<(String, String)>) -> Option<u16> {
    let (token, hook) = {
        let world = shared.lock();
        (world.account.auth_token.clone(), world.hook.clone())
    };
    // What is out in the world is reached through the address that was set.
    let to = address.and_then(loopback).or_else(|| hook.as_ref().map(|hook| hook.to.clone()));
    let signed = address
        .map(str::to_owned)
        .or_else(|| hook.map(|hook| hook.signed_as.unwrap_or_else(|| hook.to.to_string())));
    let answered = match (&to, &signed) {
        (Some(to), Some(signed)) => ask(shared, to, signed, &token, &params).await,
        _ => Err("no webhook is set".to_owned()),
    };
    let (status, answer) = match answered {
        Ok((status, body)) => (Some(status), body),
        Err(why) => (None, why),
    };
    let mut world = shared.lock();
    let (seq, at) = (world.next_seq(), shared.runtime.clock.now());
    let answer = answer.chars().take(MAX_ANSWER).collect();
    world.record_post(Post { seq, at, url: signed.unwrap_or_default(), params, status, answer });
    status
}

async fn ask(
    shared: &Shared,
    to: &Url,
    signed: &str,
    token: &str,
    params: &[(String, String)],
) -> Result<(u16, String), String> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let signature = HeaderValue::from_str(&sign(token, signed, params)).map_err(|error| error.to_string())?;
    let request = Request::post(to.as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
        .header("x-twilio-signature", signature)
        .header("i-twilio-idempotency-token", shared.runtime.entropy.uuid().to_string())
        .header("user-agent", "TwilioProxy/1.1")
        .body(Body::new(body.into()))
        .map_err(|error| error.to_string())?;
    let answer = shared.http.ask(request).await.map_err(|error| error.to_string())?;
    Ok((answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned()))
}

/// Base64 of HMAC-SHA1 over the address and all parameters, by name.
fn sign(token: &str, url: &str, params: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = params.iter().collect();
    sorted.sort();
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else { return String::new() };
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

fn owned(params: Params) -> Vec<(String, String)> {
    params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn now(shared: &Shared) -> String {
    String::from_utf8_lossy(&shared.runtime.clock.now().ascii()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_twilios_own_example() {
        // https://www.twilio.com/docs/usage/security#validating-requests, as its libraries test it.
        let params = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
            ("Caller", "+14158675309"),
        ];
        let params: Vec<_> = params.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let signature = sign("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", &params);
        assert_eq!(signature, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn webhooks_go_to_loopback_only() {
        for good in ["http://127.0.0.1:1/webhooks/twilio", "http://[::1]/"] {
            assert!(Hook::new(good, None).is_ok(), "{good}");
        }
        for bad in ["https://127.0.0.1/", "http://localhost/", "http://example.com/", "http://10.0.0.1/", "x"]
        {
            assert!(Hook::new(bad, None).is_err(), "{bad}");
        }
    }
}
