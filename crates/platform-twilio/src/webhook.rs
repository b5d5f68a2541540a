//! Answers what Twilio posts to `/webhooks/twilio`.
//!
//! Who asks is checked before anything is looked at. What is answered with 200 is safe; 503 makes Twilio try
//! again where that is configured, and a repeat has the same id and is one event.

use async_trait::async_trait;
use chatbus_connector::{Accept, Accepted, LastError, Status, Webhook, WebhookAnswer, WebhookRequest};
use chatbus_event::Timestamp;
use secrecy::SecretString;
use tracing::{debug, warn};

use crate::config::Sender;
use crate::form::{self, Form};
use crate::joining::Joining;
use crate::normalize::{Normalizer, Posted, Request, sid};
use crate::opt_out::{OptOuts, Wish};
use crate::signature::{is_body_signed, is_signed};
use crate::statuses::{Report, Statuses};
use crate::{PLATFORM, address};

/// Where it is.
pub const PATH: &str = "/webhooks/twilio";
/// Says nothing back.
const EMPTY_TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";

/// The part of Twilio that is called.
#[derive(Debug)]
pub(crate) struct TwilioWebhook {
    pub(crate) auth_token: SecretString,
    pub(crate) public_urls: Vec<String>,
    pub(crate) trusts_origin: bool,
    pub(crate) from: Option<Sender>,
    pub(crate) normalizer: Normalizer,
    pub(crate) joining: Joining,
    pub(crate) statuses: Statuses,
    pub(crate) opt_outs: OptOuts,
    pub(crate) status: Status,
}

/// Why a request is not taken.
struct Refused(u16, &'static str);

// === impl TwilioWebhook ===

impl TwilioWebhook {
    /// What is told, once it is sure who tells it.
    fn read(&self, request: &WebhookRequest) -> Result<Form, Refused> {
        if !matches!(&*request.method, "GET" | "POST") {
            return Err(Refused(405, "POST, or GET"));
        }
        if request.body.len() > WebhookRequest::MAX_BODY {
            return Err(Refused(413, "the body is too long"));
        }
        let Some(signature) = request.header("x-twilio-signature") else {
            self.note_stranger(request);
            return Err(Refused(403, "X-Twilio-Signature is missing"));
        };
        let is_get = request.method == "GET";
        let params = form::params(if is_get { &[] } else { &request.body });
        let replaced = form::replaced(&params);
        let urls = self.urls(request);
        let is_form = |url: &String| {
            is_signed(&self.auth_token, signature, url, &params)
                || (replaced != params && is_signed(&self.auth_token, signature, url, &replaced))
        };
        let is_body = |url: &String| is_body_signed(&self.auth_token, signature, url, &request.body);
        if urls.iter().any(is_form) && (is_get || !is_json(request)) {
            return Ok(Form::of(&if is_get { form::params(request.query().as_bytes()) } else { params }));
        }
        if !is_get && urls.iter().any(is_body) {
            if is_json(request) {
                return Form::of_json(&request.body).ok_or(Refused(400, "the body is no JSON object"));
            }
            return Ok(Form::of(&params));
        }
        self.note_stranger(request);
        Err(Refused(403, "X-Twilio-Signature is not that of this request"))
    }

    /// The addresses for which it may be signed.
    fn urls(&self, request: &WebhookRequest) -> Vec<String> {
        let origin = self.trusts_origin.then_some(&request.origin);
        self.public_urls
            .iter()
            .chain(origin)
            .map(|base| format!("{}{}", base.trim_end_matches('/'), request.path_and_query))
            .collect()
    }

    /// Most often it is Twilio, and the address is not the one that it calls.
    fn note_stranger(&self, request: &WebhookRequest) {
        let checked = self.public_urls.first().unwrap_or(&request.origin);
        let message = format!(
            "a webhook was not signed for {checked}{PATH}: is TWILIO_PUBLIC_URL the address Twilio calls?"
        );
        debug!(event = "twilio.webhook.refused", platform = PLATFORM, "{message}");
        self.status.count(|snapshot| {
            *snapshot.counters.other.entry("badSignatures".to_owned()).or_default() += 1;
            let at = request.received_at;
            snapshot.last_error = Some(LastError { code: "bad_signature".to_owned(), message, at });
        });
    }

    async fn take(&self, request: &WebhookRequest, form: &Form, accept: &dyn Accept) -> Result<(), Refused> {
        let posted = Posted::of(form).map_err(|problem| Refused(400, problem))?;
        if posted == Posted::Status && self.is_awaited(form) {
            return Ok(());
        }
        if posted == Posted::Message {
            self.heed_wish(form).await;
        }
        let body = if request.method == "GET" { request.query().as_bytes() } else { &request.body };
        let token = request.header("i-twilio-idempotency-token");
        let told = Request { form, body, token, received_at: request.received_at };
        let event = self.normalizer.event(posted, &told);
        self.status.count(|snapshot| {
            snapshot.counters.received += 1;
            snapshot.last_message_at = Some(request.received_at);
        });
        if let Accepted::Refused(why) = accept.accept(event).await {
            warn!(event = "twilio.webhook.not_taken", platform = PLATFORM, %why, "Twilio is asked to try again");
            return Err(Refused(503, "it cannot be taken now"));
        }
        self.join_new(form, request.received_at).await
    }

    /// Whether somebody here waits for this status, which is told then.
    fn is_awaited(&self, form: &Form) -> bool {
        let status = form.get("MessageStatus").or(form.get("SmsStatus")).unwrap_or_default().to_owned();
        let code = form.get("ErrorCode").and_then(|code| code.parse().ok());
        sid(form).is_some_and(|sid| self.statuses.tell(sid, Report { status, code }))
    }

    async fn heed_wish(&self, form: &Form) {
        let wish = Wish::of(form.value("Body").unwrap_or_default(), form.get("OptOutType"));
        let (Some(wish), Some(person)) = (wish, form.get("From")) else { return };
        let ours = match &self.from {
            // What a service sends is what is heard no more, whichever of its numbers was answered.
            Some(Sender::Service(service)) => Some(service.as_str()),
            _ => form.get("To"),
        };
        if let Some(ours) = ours {
            self.opt_outs.note(ours, person, wish).await;
        }
    }

    /// Takes part in a conversation that is new to us. An event that is all there is to tell of it is asked for
    /// again when that fails; after a message the next one will do.
    async fn join_new(&self, form: &Form, now: Timestamp) -> Result<(), Refused> {
        let is_only_sign = match form.get("EventType") {
            Some("onConversationAdded") => true,
            Some("onMessageAdded") => false,
            _ => return Ok(()),
        };
        let Some(conversation) = form.get("ConversationSid").and_then(address::conversation) else {
            return Ok(());
        };
        if self.joining.join(&conversation, now).await || !is_only_sign {
            return Ok(());
        }
        Err(Refused(503, "the conversation cannot be joined now"))
    }
}

fn is_json(request: &WebhookRequest) -> bool {
    let kind = request.header("content-type").unwrap_or_default().trim_start();
    kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

#[async_trait]
impl Webhook for TwilioWebhook {
    fn path(&self) -> &'static str {
        PATH
    }

    async fn call(&self, request: WebhookRequest, accept: &dyn Accept) -> WebhookAnswer {
        let taken = match self.read(&request) {
            Ok(form) => self.take(&request, &form, accept).await,
            Err(refused) => Err(refused),
        };
        match taken {
            Ok(()) => WebhookAnswer::with(200, "text/xml", EMPTY_TWIML),
            Err(Refused(status, why)) => WebhookAnswer::with(status, "text/plain; charset=utf-8", why),
        }
    }
}
