//! A connector as its settings make it, the sandbox it speaks to, and a server that is called with webhooks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chatbus_connector::{
    Accept, Accepted, Availability, BuildContext, Connector, Emit, Emitted, Inbound, MemoryNotes, Outbound,
    PlatformFactory, Sink, Snapshot, Target, Verdict, Webhook, WebhookRequest,
};
use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_platform_twilio::{Factory, WEBHOOK_PATH};
use chatbus_runtime::settings::{Origin, resolve};
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use chatbus_sandbox::twilio::{Hook, Text, Told, Twilio};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const OURS: &str = "+15005550006";
pub(crate) const ANN: &str = "+15005550010";
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes what comes, or does not; ids that came before are repeats.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    taken: Mutex<Vec<Inbound>>,
    pub(crate) refuses: Mutex<bool>,
    counted: watch::Sender<usize>,
}

pub(crate) struct Rig {
    pub(crate) sandbox: SandboxHandle,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) bus: Arc<Bus>,
    pub(crate) runtime: Runtime,
    pub(crate) notes: Arc<MemoryNotes>,
    /// `http://` and the address of the server that is called.
    pub(crate) server: String,
}

#[derive(Clone)]
struct Called {
    webhook: Arc<dyn Webhook>,
    bus: Arc<Bus>,
    runtime: Runtime,
    server: String,
}

/// Reads nothing.
pub(crate) struct Nobody;

// === impl Bus ===

#[async_trait]
impl Accept for Bus {
    async fn accept(&self, event: Inbound) -> Accepted {
        if *self.refuses.lock().unwrap() {
            return Accepted::Refused("the test says so".to_owned());
        }
        let mut taken = self.taken.lock().unwrap();
        if taken.iter().any(|known| known.id == event.id) {
            return Accepted::Duplicate;
        }
        taken.push(event);
        self.counted.send_replace(taken.len());
        Accepted::Bus
    }
}

impl Bus {
    /// What was taken, as JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|event| serde_json::from_slice(&event.body).unwrap()).collect()
    }

    /// Waits for an event that fits.
    pub(crate) async fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut counted = self.counted.subscribe();
        let found = async {
            loop {
                if let Some(event) = self.events().into_iter().find(|event| fits(event)) {
                    return event;
                }
                counted.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is told")
    }
}

#[async_trait]
impl Emit for Nobody {
    async fn emit(&self, _: Vec<Inbound>) -> Emitted {
        panic!("everything comes by webhook")
    }
}

// === impl Rig ===

impl Rig {
    /// A connector whose public address is that of the server here.
    pub(crate) async fn start() -> Self {
        Self::with(&[("TWILIO_PUBLIC_URL", "SERVER"), ("TWILIO_FROM", OURS), ("TWILIO_IDENTITY", "bot")])
            .await
    }

    /// With these settings beside account and addresses; `SERVER` is the address of the server that is called.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let rig = Self::prepared(settings).await;
        let connector = Arc::clone(&rig.connector);
        let running = connector.run(rig.runtime.clone(), Arc::new(Nobody), CancellationToken::new());
        rig.runtime.spawn("connector", running);
        rig.until(|availability| availability == Availability::Ready).await;
        rig
    }

    /// The same with a connector that does not run.
    pub(crate) async fn prepared(settings: &[(&str, &str)]) -> Self {
        let runtime = test_runtime(1);
        let sandbox = Sandbox::start(SandboxConfig::default(), runtime.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (account, url) = (sandbox.twilio().account(), sandbox.twilio().url());
        let mut pairs = vec![
            ("TWILIO_ACCOUNT_SID", account.sid.as_str()),
            ("TWILIO_AUTH_TOKEN", &account.auth_token),
            ("TWILIO_API_URL", &url),
            ("TWILIO_CONVERSATIONS_URL", &url),
        ];
        pairs.extend(
            settings.iter().map(|(name, value)| (*name, if *value == "SERVER" { &server } else { *value })),
        );
        let notes = Arc::new(MemoryNotes::default());
        let connector = build(&pairs, &runtime, Arc::clone(&notes));
        let bus = Arc::new(Bus::default());
        let called = Called {
            webhook: connector.webhook().unwrap(),
            bus: Arc::clone(&bus),
            runtime: runtime.clone(),
            server: server.clone(),
        };
        let router = Router::new().fallback(call).with_state(called);
        runtime.spawn("server", async { axum::serve(listener, router).await.unwrap() });
        let hook = Hook::new(&format!("{server}{WEBHOOK_PATH}"), None).unwrap();
        sandbox.twilio().set_hook(Some(hook));
        Self { sink: connector.sink(), sandbox, connector, bus, runtime, notes, server }
    }

    pub(crate) fn twilio(&self) -> &Twilio {
        self.sandbox.twilio()
    }

    pub(crate) fn status(&self) -> Snapshot {
        self.connector.status().snapshot()
    }

    /// Waits until something can be said, or cannot.
    pub(crate) async fn until(&self, fits: impl Fn(Availability) -> bool) {
        let mut changes = self.sink.changes();
        let seen = async {
            while !fits(self.sink.availability(&conversation("CH1"))) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("it becomes so");
    }

    pub(crate) async fn say(&self, target: Target, text: &str) -> Verdict {
        self.say_within(target, text, Duration::from_secs(60), Fence::always()).await
    }

    pub(crate) async fn say_within(
        &self,
        target: Target,
        text: &str,
        within: Duration,
        fence: Fence,
    ) -> Verdict {
        let deadline = self.runtime.clock.instant() + within;
        let outbound = Outbound { deadline, fence, ..outbound(&self.runtime, target, text) };
        self.sink.send(outbound).await
    }

    /// Ann sends a text message.
    pub(crate) async fn hear(&self, body: &str) -> Told {
        self.twilio().text(text(body)).await
    }

    /// What Twilio took, without what it refused.
    pub(crate) fn said(&self) -> Vec<String> {
        let sent = self.twilio().sent(0).into_iter();
        sent.filter(|sent| sent.sid.is_some()).map(|sent| sent.body).collect()
    }

    /// How often this was counted.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.status().counters.other.get(name).copied().unwrap_or_default()
    }
}

pub(crate) fn build(
    pairs: &[(&str, &str)],
    runtime: &Runtime,
    notes: Arc<MemoryNotes>,
) -> Arc<dyn Connector> {
    let origin = |name: &str| Origin::Environment(name.to_owned());
    let layer = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), origin(k)));
    let (values, problems) = resolve(Factory.settings(), &[layer.collect()]);
    assert_eq!(problems, []);
    let instance = InstanceId::parse("i-1").unwrap();
    let egress = Topic::egress_of(&instance);
    let cx = BuildContext::alone(instance, egress, Shape::Flat, Arc::clone(&runtime.clock));
    let cx = BuildContext { notes, ..cx };
    Factory.build(&values, &cx).unwrap().unwrap()
}

/// Something to say within a minute.
pub(crate) fn outbound(runtime: &Runtime, target: Target, text: &str) -> Outbound {
    Outbound {
        delivery_id: "d-1".into(),
        target,
        text: text.to_owned(),
        reply_to: None,
        deadline: runtime.clock.instant() + Duration::from_secs(60),
        may_have_been_sent: false,
        fence: Fence::always(),
        event: None,
    }
}

pub(crate) fn text(body: &str) -> Text {
    Text { from: ANN.to_owned(), to: OURS.to_owned(), body: body.to_owned(), ..Text::default() }
}

pub(crate) fn ann() -> Target {
    Target::User(ANN.into())
}

pub(crate) fn conversation(sid: &str) -> Target {
    Target::Channel(sid.into())
}

pub(crate) fn id_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered { provider_message_id: Some(id) } => id.clone(),
        other => panic!("not delivered: {other:?}"),
    }
}

/// As the process's own server does it.
async fn call(State(called): State<Called>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 2 * WebhookRequest::MAX_BODY).await.unwrap();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes())));
    let request = WebhookRequest {
        method: parts.method.to_string(),
        origin: called.server.clone(),
        path_and_query: parts.uri.path_and_query().unwrap().to_string(),
        headers: headers.collect(),
        body,
        received_at: called.runtime.clock.now(),
    };
    let answer = called.webhook.call(request, &*called.bus).await;
    let kind = answer.content_type.unwrap_or_default();
    (StatusCode::from_u16(answer.status).unwrap(), [(header::CONTENT_TYPE, kind)], answer.body)
        .into_response()
}
