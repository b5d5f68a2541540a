//! The service, the sandbox's model, and events for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::{BatchHandler, HandlerError, Message, Outgoing, Record};
use chatbus_event::{Attributes, MessageId, Timestamp, Topic, names};
use chatbus_llm_bot::{Budget, Budgets, LlmBot, LlmConfig};
use chatbus_runtime::Runtime;
use chatbus_sandbox::model::{Model, ModelFault};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;
use secrecy::SecretString;
use serde_json::{Value, json};

pub(crate) const KEY: &str = "sk-very-secret-key";

pub(crate) struct Rig {
    pub(crate) bot: Arc<LlmBot>,
    pub(crate) runtime: Runtime,
    sandbox: SandboxHandle,
}

/// What came of one event.
pub(crate) struct Answered {
    pub(crate) outputs: Vec<Outgoing>,
    /// The event as it was sent on, or what was published in its place.
    pub(crate) event: Value,
}

/// Without budgets, with short waits.
pub(crate) fn config() -> LlmConfig {
    let free = Budget { burst: 0, every: Duration::from_secs(1) };
    LlmConfig {
        api_key: Some(SecretString::from(KEY)),
        model: "test-model".into(),
        system_prompt: "Be a bot.".into(),
        first_retry: Duration::from_millis(5),
        max_retry: Duration::from_millis(1_500),
        timeout: Duration::from_secs(20),
        budgets: Budgets { user: free, channel: free, tracked: 10 },
        ..LlmConfig::default()
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: LlmConfig) -> Self {
        // The service stops in some tests, and the model has to outlive it.
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap();
        let runtime = test_runtime(2);
        let config = LlmConfig { base_url: sandbox.model().base_url(), ..config };
        let bot = Arc::new(LlmBot::new(config, None, runtime.clone()).unwrap());
        Self { bot, runtime, sandbox }
    }

    pub(crate) fn model(&self) -> &Model {
        self.sandbox.model()
    }

    pub(crate) fn faults(&self, faults: impl IntoIterator<Item = ModelFault>) {
        for fault in faults {
            self.model().fault(fault).unwrap();
        }
    }

    /// One event, all the way.
    pub(crate) async fn answer(&self, id: &str, event: Value) -> Answered {
        self.handle(&record(id, &event)).await.map(Answered::of).unwrap()
    }

    pub(crate) async fn handle(&self, record: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        let mut results = self.batch(&[record]).await;
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    pub(crate) async fn batch(&self, records: &[&Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        BatchHandler::handle(&*self.bot, records).await
    }

    /// What the model was sent, message by message, the question with this number from 0.
    pub(crate) fn sent(&self, number: usize) -> Vec<(String, String)> {
        let body = self.model().questions().get(number).unwrap().body.clone();
        let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
        let messages = body["messages"].as_array().unwrap();
        messages.iter().map(|message| (text(message, "role"), text(message, "content"))).collect()
    }
}

impl Answered {
    pub(crate) fn of(outputs: Vec<Outgoing>) -> Self {
        let event = serde_json::from_slice(&outputs[0].body).unwrap();
        Self { outputs, event }
    }

    pub(crate) fn topic(&self) -> &str {
        self.outputs[0].topic.as_str()
    }

    pub(crate) fn text(&self) -> &str {
        let candidates = self.event["candidates"].as_array().unwrap();
        candidates.last().unwrap()["text"].as_str().unwrap()
    }

    pub(crate) fn step(&self) -> &Value {
        &self.event["routingSlip"][0]
    }
}

/// What someone says, on its way to the bot.
pub(crate) fn says(user: &str, text: &str) -> Value {
    json!({
        "v": "1", "correlationId": format!("c-{user}"), "type": "chat.message.v1", "source": "ingress.somewhere",
        "channel": "#hall", "userId": user, "unknown": { "kept": 1 },
        "egress": { "destination": "internal.egress.v1.one", "type": "chat" },
        "message": { "id": "x", "role": "user", "text": text },
        "routingSlip": [{
            "id": "llm-bot", "v": "1", "status": "PENDING", "attempt": 1, "maxAttempts": 3,
            "nextTopic": "internal.llmbot.v1", "attributes": {}, "startedAt": "2025-11-21T17:02:00.000Z",
            "endedAt": null, "error": null, "notes": null,
        }],
    })
}

pub(crate) fn record(id: &str, event: &Value) -> Record {
    let mut attributes = Attributes::new();
    attributes.set(names::CORRELATION_ID, "c-1");
    let body = Bytes::from(serde_json::to_vec(event).unwrap());
    Record {
        topic: Topic::llmbot(),
        seq: 1,
        published_at: Timestamp::parse("2025-11-21T17:02:01Z").unwrap(),
        message: Message::new(MessageId::new(id), attributes, body),
    }
}

/// Waits until something is so, for a while.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect(what);
}
