//! It keeps every promise of a platform, and of one that is called.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chatbus_connector::conformance::{self, Caller, Class};
use chatbus_connector::{Connector, Target, WebhookRequest};
use chatbus_platform_twilio::signature::sign;
use chatbus_platform_twilio::{WEBHOOK_PATH, form};
use chatbus_runtime::Runtime;
use chatbus_sandbox::twilio::{Account, Failure, Refusal};

use crate::rig::{ANN, OURS, Rig, ann};

chatbus_connector::conformance_tests!(configured().await, webhook);

/// How Twilio can be made to answer.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// The next requests, so many, are refused: status, code, `Retry-After`.
    Refused(u64, u16, u32, Option<u64>),
    /// The message is taken, and then comes to this.
    Fails(&'static str, u32),
    /// The message is taken, and the connection ends instead of an answer.
    Lost,
    /// The message is taken.
    Taken,
}

use Answer::{Fails, Lost, Refused, Taken};
use Class::{Delivered, Permanent, Reauth, Retry, Unverified};

/// One row for each kind of answer; what a recipient who opted out is refused with, which lasts until they write
/// START, is tested in `saying`.
const ANSWERS: [(&str, Answer, Class); 23] = [
    ("taken", Taken, Delivered),
    ("undelivered after it was sent", Fails("undelivered", 30006), Delivered),
    ("too long once", Refused(1, 400, 21617, None), Delivered),
    ("too many requests", Refused(1, 429, 20429, None), Retry),
    ("too many requests, with a time", Refused(1, 429, 20429, Some(1)), Retry),
    ("too many requests, in other words", Refused(1, 429, 99_999, Some(1)), Retry),
    ("too many waiting", Refused(1, 400, 21611, Some(1)), Retry),
    ("the queue overflowed later", Fails("failed", 30001), Retry),
    ("too long however short", Refused(4, 400, 21617, None), Permanent),
    ("no number", Refused(1, 400, 21211, None), Permanent),
    ("no mobile number", Refused(1, 400, 21614, None), Permanent),
    ("another region", Refused(1, 403, 21408, None), Permanent),
    ("not our number", Refused(1, 400, 21606, None), Permanent),
    ("nothing there", Refused(1, 404, 20404, None), Permanent),
    ("a code that nobody knows", Refused(1, 400, 99_999, None), Permanent),
    ("out of reach later", Fails("failed", 30003), Permanent),
    ("filtered later", Fails("failed", 30007), Permanent),
    ("broken", Refused(1, 500, 20500, None), Unverified),
    ("unavailable", Refused(1, 503, 20503, None), Unverified),
    ("lost", Lost, Unverified),
    ("the account is refused", Refused(1, 401, 20003, None), Reauth),
    ("the account is not active", Refused(1, 403, 20005, None), Reauth),
    ("the account was suspended later", Fails("failed", 30002), Reauth),
];

async fn configured() -> Rig {
    let account = Account::default();
    let settings = [
        ("TWILIO_PUBLIC_URL", "SERVER"),
        ("TWILIO_FROM", OURS),
        ("TWILIO_IDENTITY", "bot"),
        ("TWILIO_API_KEY", &account.api_key),
        ("TWILIO_API_SECRET", &account.api_secret),
    ];
    Rig::prepared(&settings).await
}

#[async_trait]
impl conformance::Rig for Rig {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector)
    }

    fn target(&self) -> Target {
        ann()
    }

    fn user(&self) -> Option<String> {
        Some(ANN.to_owned())
    }

    fn channel(&self, number: usize) -> String {
        format!("CH{number:032x}")
    }

    /// What is known to have failed reached nobody.
    async fn heard(&self) -> Vec<String> {
        let sent = self.twilio().sent(0).into_iter();
        let reached = sent.filter(|sent| sent.sid.is_some() && sent.status != "failed");
        reached.map(|sent| sent.body).collect()
    }

    fn secrets(&self) -> Vec<String> {
        let Account { sid, auth_token, api_key, api_secret, .. } = self.twilio().account();
        let headers = [(&sid, &auth_token), (&api_key, &api_secret)]
            .map(|(user, password)| STANDARD.encode(format!("{user}:{password}")));
        [auth_token, api_secret].into_iter().chain(headers).collect()
    }

    fn answers(&self) -> Vec<conformance::Answer> {
        ANSWERS.map(|(name, _, class)| conformance::Answer { name, class }).into()
    }

    async fn answer(&self, wanted: &'static str) {
        let (_, answer, _) = ANSWERS.into_iter().find(|(name, ..)| *name == wanted).unwrap();
        match answer {
            Refused(count, status, code, retry_after) => {
                let message = format!("no, {ANN}");
                let refusal = Refusal { scope: None, status, code, message, retry_after, count: Some(count) };
                self.twilio().refuse(refusal).unwrap();
            }
            Fails(status, code) => {
                self.twilio().fail(Failure { status: status.to_owned(), code }).unwrap();
            }
            Lost => self.twilio().lose(1),
            Taken => {}
        }
    }
}

impl Caller for Rig {
    fn call(&self, id: &str) -> WebhookRequest {
        let token = self.twilio().account().auth_token.into();
        let fields = [("MessageSid", id), ("From", ANN), ("To", OURS), ("NumMedia", "0"), ("Body", "hello")];
        let body = form::encoded(fields);
        let url = format!("{}{WEBHOOK_PATH}", self.server);
        let signature = sign(&token, &url, &form::params(body.as_bytes()));
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", &signature)];
        WebhookRequest {
            method: "POST".to_owned(),
            origin: self.server.clone(),
            path_and_query: WEBHOOK_PATH.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes())))
                .into(),
            body: body.into(),
            received_at: self.runtime.clock.now(),
        }
    }
}
