//! The connector beside its fake, as the conformance suite wants it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_connector::conformance::{self, Caller, Class, Rig};
use chatbus_connector::{Connector, Target, WebhookRequest};
use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_webhook::signature::Keys;
use chatbus_platform_webhook::{Destination, PATH, WebhookConfig, WebhookConnector, channel_name};
use chatbus_runtime::Runtime;
use chatbus_testkit::test_runtime;
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, SECRET};

pub(crate) struct WebhookRig {
    pub(crate) fake: Fake,
    pub(crate) connector: Arc<WebhookConnector>,
    pub(crate) runtime: Runtime,
}

/// What the fake can be made to answer.
const ANSWERS: [(&str, Answer, Class); 14] = [
    ("taken", Answer::Heard, Class::Delivered),
    ("slow down", Answer::Refused(429, Some("0")), Class::Retry),
    ("timed out", Answer::Refused(408, None), Class::Retry),
    ("too early", Answer::Refused(425, None), Class::Retry),
    ("broken", Answer::Refused(500, None), Class::Retry),
    ("unavailable", Answer::Refused(503, Some("1")), Class::Retry),
    ("malformed", Answer::Refused(400, None), Class::Permanent),
    ("unauthorised", Answer::Refused(401, None), Class::Permanent),
    ("forbidden", Answer::Refused(403, None), Class::Permanent),
    ("not found", Answer::Refused(404, None), Class::Permanent),
    ("gone", Answer::Refused(410, None), Class::Permanent),
    ("moved", Answer::Refused(307, None), Class::Permanent),
    ("not modified", Answer::Refused(304, None), Class::Permanent),
    ("lost", Answer::Lost, Class::Unverified),
];

// === impl WebhookRig ===

impl WebhookRig {
    pub(crate) async fn start() -> Self {
        let runtime = test_runtime(1);
        let fake = Fake::start(&runtime).await;
        let destination = Destination::parse(&fake.url, true).unwrap();
        Self::with(fake, Some(destination), runtime)
    }

    pub(crate) fn with(fake: Fake, destination: Option<Destination>, runtime: Runtime) -> Self {
        let config = WebhookConfig {
            destination,
            keys: Keys::parse(SECRET).unwrap(),
            channels: vec![channel_name("hall").unwrap()],
            egress: Topic::egress_of(&InstanceId::parse("test").unwrap()),
            shape: Shape::default(),
        };
        let connector = WebhookConnector::new(config, Arc::clone(&runtime.clock)).unwrap();
        Self { fake, connector: Arc::new(connector), runtime }
    }

    /// A call with this body, signed at this time.
    pub(crate) fn signed(&self, body: &Value, at: Timestamp) -> WebhookRequest {
        let body = body.to_string();
        let signature = Keys::parse(SECRET).unwrap().sign("call", at, body.as_bytes());
        let seconds = at.as_millis() / 1_000;
        let headers = [
            ("webhook-id", "call".to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ];
        WebhookRequest {
            method: "POST".to_owned(),
            origin: "https://bot.example".to_owned(),
            path_and_query: PATH.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), Bytes::from(value))).into(),
            body: body.into(),
            received_at: self.runtime.clock.now(),
        }
    }
}

/// A message as others post it.
pub(crate) fn message(id: &str, text: &str) -> Value {
    json!({ "id": id, "channel": "hall", "user": { "id": "7", "name": "ada" }, "text": text })
}

#[async_trait]
impl Rig for WebhookRig {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector) as Arc<dyn Connector>
    }

    fn target(&self) -> Target {
        Target::Channel("#hall".into())
    }

    fn user(&self) -> Option<String> {
        Some("7".to_owned())
    }

    async fn heard(&self) -> Vec<String> {
        let texts = self.fake.heard().into_iter();
        texts.map(|body| body["data"]["text"].as_str().unwrap().to_owned()).collect()
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned(), SECRET["whsec_".len()..].to_owned(), "a-key-of-the-url".to_owned()]
    }

    fn answers(&self) -> Vec<conformance::Answer> {
        ANSWERS.map(|(name, _, class)| conformance::Answer { name, class }).into()
    }

    async fn answer(&self, wanted: &'static str) {
        let (_, answer, _) = ANSWERS.into_iter().find(|(name, ..)| *name == wanted).unwrap();
        self.fake.answer(answer);
    }
}

impl Caller for WebhookRig {
    fn call(&self, id: &str) -> WebhookRequest {
        self.signed(&message(id, "hello"), self.runtime.clock.now())
    }
}
