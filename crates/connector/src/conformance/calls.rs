//! Calls over HTTP: who asks is checked before anything else, and only what is safe is confirmed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::Caller;
use super::check::{fail, odd_texts, within};
use super::running::Running;
use crate::{Accept, Accepted, Inbound, Webhook, WebhookAnswer, WebhookRequest};

/// Takes events and answers always the same.
struct Taker {
    answer: Accepted,
    taken: Mutex<Vec<Inbound>>,
}

/// What is on the bus, or safe on disk, is confirmed; it is one event, read when the request was.
pub async fn a_genuine_call_is_confirmed_once_it_is_safe(rig: &dyn Caller) {
    let _running = Running::connected(rig).await;
    for (id, accepted) in [("call-1", Accepted::Bus), ("call-2", Accepted::Spooled)] {
        let request = rig.call(id);
        let (answer, taken) = call(rig, request.clone(), accepted.clone()).await;
        assert!((200..300).contains(&answer.status), "{accepted:?}: {answer:?}");
        let [event] = &taken[..] else { return fail(&format!("{} events of one message", taken.len())) };
        assert_eq!(event.received_at, request.received_at);
        assert!(!event.body.is_empty() && !event.conversation.is_empty());
    }
}

/// What is neither is not: the platform has to tell it again.
pub async fn what_is_not_safe_is_not_confirmed(rig: &dyn Caller) {
    let _running = Running::connected(rig).await;
    let refused = Accepted::Refused("the disk is full".to_owned());
    let (answer, taken) = call(rig, rig.call("call-1"), refused).await;
    assert!((500..600).contains(&answer.status), "{answer:?}");
    assert_eq!(taken.len(), 1, "it was tried");
}

/// What is told twice is the same event, or is not taken again; and the repeat is confirmed, so that it ends.
pub async fn a_repeated_call_is_the_same_event(rig: &dyn Caller) {
    let _running = Running::connected(rig).await;
    let (_, first) = call(rig, rig.call("call-1"), Accepted::Bus).await;
    let (answer, again) = call(rig, rig.call("call-1"), Accepted::Duplicate).await;
    assert!((200..300).contains(&answer.status) || answer.status == 409, "{answer:?}");
    let ids = |events: &[Inbound]| events.iter().map(|event| event.id.to_string()).collect::<Vec<_>>();
    assert!(again.is_empty() || ids(&first) == ids(&again), "{:?} and {:?}", ids(&first), ids(&again));
    let (_, other) = call(rig, rig.call("call-2"), Accepted::Bus).await;
    assert_ne!(ids(&first), ids(&other), "two messages");
}

/// A call that is not proved is refused whatever it holds: nothing of it is read.
pub async fn a_call_without_its_proof_is_refused_unread(rig: &dyn Caller) {
    let _running = Running::connected(rig).await;
    let genuine = || rig.call("call-1");
    let mut forged = vec![
        ("no headers", WebhookRequest { headers: Vec::new(), ..genuine() }),
        ("no headers and no sense", WebhookRequest { headers: Vec::new(), body: "{".into(), ..genuine() }),
        ("another body", WebhookRequest { body: changed(&genuine().body), ..genuine() }),
        ("more body", WebhookRequest { body: [&genuine().body[..], b" "].concat().into(), ..genuine() }),
        ("no sense under a good proof", WebhookRequest { body: "\u{0}\u{1}{".into(), ..genuine() }),
    ];
    for odd in odd_texts() {
        let headers = genuine().headers.into_iter().map(|(name, _)| (name, Bytes::from(odd.clone())));
        forged.push(("odd headers", WebhookRequest { headers: headers.collect(), ..genuine() }));
    }
    for (what, request) in forged {
        let (answer, taken) = call(rig, request, Accepted::Bus).await;
        assert!(matches!(answer.status, 401 | 403), "{what}: {answer:?}");
        assert!(taken.is_empty(), "{what}: it was read");
    }
}

/// Calls of every kind have an answer that shows no secret, and what is refused is not taken.
pub async fn odd_calls_are_answered_and_tell_nothing(rig: &dyn Caller) {
    let _running = Running::connected(rig).await;
    let mut requests = Vec::new();
    for odd in odd_texts() {
        requests.push(WebhookRequest { body: odd.clone().into(), ..rig.call("call-1") });
        requests.push(WebhookRequest { method: odd.clone(), ..rig.call("call-1") });
        requests.push(WebhookRequest { path_and_query: odd.clone(), ..rig.call("call-1") });
        requests.push(WebhookRequest { origin: odd.clone(), ..rig.call("call-1") });
        requests.push(rig.call(&format!("call-{odd}")));
    }
    let long = vec![b'['; WebhookRequest::MAX_BODY];
    requests.push(WebhookRequest { body: long.into(), ..rig.call("call-1") });
    for mut request in [rig.call("call-1"), rig.call("call-2")] {
        request.headers.iter_mut().for_each(|(_, value)| *value = Bytes::from_static(b"\xff\xfe"));
        requests.push(request);
    }
    for request in requests {
        let shown = format!("{request:.400?}");
        let (answer, taken) = call(rig, request, Accepted::Bus).await;
        assert!((100..600).contains(&answer.status), "{shown}: {answer:?}");
        assert!(answer.status < 400 || taken.is_empty(), "{shown}: refused and taken");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in rig.secrets() {
            assert!(!text.contains(&secret), "{shown}: a secret is shown: {text}");
        }
    }
}

async fn call(rig: &dyn Caller, request: WebhookRequest, answer: Accepted) -> (WebhookAnswer, Vec<Inbound>) {
    let webhook: Arc<dyn Webhook> =
        rig.connector().webhook().unwrap_or_else(|| fail("it is not called over HTTP"));
    let taker = Taker { answer, taken: Mutex::default() };
    let answer = within("an answer", webhook.call(request, &taker)).await;
    (answer, taker.taken.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A body with one byte of it changed.
fn changed(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    if let Some(byte) = bytes.last_mut() {
        *byte ^= 1;
    }
    bytes.into()
}

#[async_trait]
impl Accept for Taker {
    async fn accept(&self, event: Inbound) -> Accepted {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.answer.clone()
    }
}
