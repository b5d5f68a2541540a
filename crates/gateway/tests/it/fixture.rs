//! A gateway that serves on a port of its own, and clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::{EventDeadLetters, MemoryBus, MemoryConfig, MemoryStore};
use chatbus_connector::{Accept, Accepted, Audience, Inbound, Outbound, Sink};
use chatbus_event::{EgressKind, Event, InstanceId, Shape};
use chatbus_gateway::tokens::{self, NewToken, Token};
use chatbus_gateway::{Gateway, GatewayConfig, GatewayParts, Target, routes, with_sends};
use chatbus_ops::{HttpLimits, serve};
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use chatbus_state::{MemoryState, MemoryStateStore, Mirror, Space};
use chatbus_telemetry::Metrics;
use chatbus_testkit::test_runtime;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// What a test waits for at most.
/// Longer than anything that a test with paused time lets pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Fixture {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) state: Arc<MemoryState>,
    pub(crate) bus: Arc<Bus>,
    /// What bots listen to.
    pub(crate) feeds: Arc<MemoryBus>,

    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) drain: CancellationToken,
    pub(crate) ended: Option<tokio::sync::oneshot::Receiver<()>>,
}

/// The bus, as the gateway knows it.
#[derive(Default)]
pub(crate) struct Bus {
    pub(crate) taken: Mutex<Vec<Inbound>>,
    /// What it answers; acknowledged when there is nothing, silent at `None`.
    pub(crate) answers: Mutex<Vec<Option<Accepted>>>,
}

#[async_trait]
impl Accept for Bus {
    async fn accept(&self, event: Inbound) -> Accepted {
        self.taken.lock().unwrap().push(event);
        let answer = self.answers.lock().unwrap().pop();
        match answer {
            None => Accepted::Bus,
            Some(Some(accepted)) => accepted,
            Some(None) => std::future::pending().await,
        }
    }
}

fn target(text: &str) -> Result<Target, String> {
    let (destination, rest) = text.split_once(':').ok_or("no target")?;
    let (destination, kind, rest) = match rest.split_once(':') {
        Some((platform, user)) if destination == "dm" => (platform, EgressKind::Dm, user),
        _ => (destination, EgressKind::Chat, rest),
    };
    let (channel, user_id) = match kind {
        EgressKind::Dm => (None, Some(rest.to_owned())),
        _ => (Some(rest.to_owned()), None),
    };
    Ok(Target { destination: destination.to_owned(), kind, channel, user_id })
}

pub(crate) fn store() -> MemoryStateStore {
    MemoryStateStore::new(Arc::new(chatbus_runtime::SystemClock))
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::on(&store(), "gw-1", 1 << 20).await
    }

    pub(crate) async fn on(store: &MemoryStateStore, instance: &str, history_bytes: usize) -> Self {
        let runtime = test_runtime(u64::from(instance.as_bytes()[instance.len() - 1]));
        let state = store.open();
        let (tokens, presence) = (Mirror::new(Space::Tokens), Mirror::new(Space::Presence));
        for mirror in [&tokens, &presence] {
            let (mirror, state, process) = (mirror.clone(), state.clone(), runtime.clone());
            runtime.spawn("test.mirror", async move { mirror.keep(state, process).await });
        }
        let bus = Arc::new(Bus::default());
        let feeds_store = MemoryStore::new();
        let letters = Arc::new(EventDeadLetters::new("test", runtime.clone()));
        let feeds = Arc::new(MemoryBus::new(&feeds_store, MemoryConfig::default(), letters, runtime.clone()));
        let metrics = Metrics::new();
        let gateway = Arc::new(Gateway::new(GatewayParts {
            config: GatewayConfig {
                instance: InstanceId::parse(instance).unwrap(),
                epoch: format!("{instance}-epoch"),
                history_bytes,
                shape: Shape::Flat,
                egress_deadline: Duration::from_secs(60),
                dedupe_window: Duration::from_secs(120),
                max_connections: 10_000,
            },
            runtime: runtime.clone(),
            state: state.clone(),
            tokens,
            presence,
            lives: Arc::new(|_, epoch| epoch != "dead"),
            accept: bus.clone(),
            bus: feeds.clone(),
            parse_target: target,
            metrics: metrics.clone(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = with_sends(routes(gateway.clone()), gateway.clone(), |_| false);
        let process = runtime.clone();
        runtime.spawn("test.http", async move {
            let limits = HttpLimits { head_within: Duration::from_millis(500), ..HttpLimits::default() };
            serve(listener, router, limits, &process, process.stop.clone()).await;
        });
        let drain = CancellationToken::new();
        let (tell, ended) = tokio::sync::oneshot::channel();
        let (running, draining) = (gateway.clone(), drain.clone());
        runtime.spawn("test.gateway", async move {
            running.run(draining).await;
            let _ = tell.send(());
        });
        let sink = gateway.sink();
        let ended = Some(ended);
        Self { gateway, sink, state, bus, feeds, runtime, address, metrics, drain, ended }
    }

    pub(crate) async fn token(&self, user: &str) -> (String, Token) {
        self.token_with(NewToken { user_id: user.to_owned(), ..NewToken::default() }).await
    }

    pub(crate) async fn token_with(&self, new: NewToken) -> (String, Token) {
        let (clock, entropy) = (&*self.runtime.clock, &*self.runtime.entropy);
        let made = tokens::create(&*self.state, clock, entropy, new).await.unwrap();
        (made.secret, made.token)
    }

    pub(crate) fn request(&self, secret: &str) -> Request {
        let mut request = format!("ws://{}/ws/v1", self.address).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
        request
    }

    pub(crate) async fn try_connect(&self, request: Request) -> Result<Client, u16> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        match client_async(request, stream).await {
            Ok((ws, response)) => Ok(Client { ws, headers: response.headers().clone() }),
            Err(WsError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A client that was told that it is connected.
    pub(crate) async fn connect(&self, secret: &str) -> (Client, Value) {
        let mut client = self.try_connect(self.request(secret)).await.unwrap();
        let ready = client.next().await;
        assert_eq!(ready["type"], "connection.ready");
        (client, ready)
    }

    /// A client of a user with a token of its own.
    pub(crate) async fn user(&self, user: &str) -> Client {
        let (secret, _) = self.token(user).await;
        self.connect(&secret).await.0
    }

    pub(crate) fn outbound(&self, user: &str, delivery: &str, text: &str) -> Outbound {
        Outbound {
            delivery_id: delivery.into(),
            target: Audience::User(user.into()),
            text: text.to_owned(),
            reply_to: None,
            deadline: self.runtime.clock.instant() + Duration::from_secs(60),
            may_have_been_sent: false,
            fence: Fence::always(),
            event: event_of(r#"{"type":"chat.message.v1","source":"test","correlationId":"c-1"}"#),
        }
    }

    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect(what);
    }
}

pub(crate) fn event_of(json: &str) -> Option<Arc<Event>> {
    Some(Arc::new(Event::decode(&Bytes::copy_from_slice(json.as_bytes())).unwrap()))
}

pub(crate) struct Client {
    pub(crate) ws: WebSocketStream<TcpStream>,
    pub(crate) headers: tokio_tungstenite::tungstenite::http::HeaderMap,
}

impl Client {
    pub(crate) async fn read(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.ws.next()).await.expect("a message or the end");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        self.read().await.expect("a frame")
    }

    /// The close code that comes next, after any other frames.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(frame) = self.read().await {
                let frame = frame.expect("a close frame");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.ws.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn say(&mut self, id: &str, text: &str) {
        let frame = json!({
            "type": "chat.message.send", "payload": {"text": text, "channel": "#a"}, "metadata": {"id": id},
        });
        self.send(frame).await;
    }

    /// Says something and sees that it was acknowledged: the connection works.
    pub(crate) async fn works(&mut self) {
        self.send(json!({"type": "ping", "metadata": {"id": "works"}})).await;
        let pong = self.next().await;
        assert_eq!((&pong["type"], &pong["metadata"]["id"]), (&json!("pong"), &json!("works")));
    }
}
