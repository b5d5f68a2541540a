//! The gateway, put together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use chatbus_bus::Bus;
use chatbus_connector::{Accept, Sink};
use chatbus_event::{InstanceId, Shape};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_state::{Key, Mirror, State};
use chatbus_telemetry::Metrics;
use futures::{StreamExt as _, stream};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tracing::{debug, info};

use crate::connection::Connection;
use crate::egress::TargetParser;
use crate::groups;
use crate::link::{Link, Order};
use crate::outcomes::Outcomes;
use crate::presence::{Lives, Presence, elsewhere};
use crate::publish::Maker;
use crate::recall::{Answering, Recaller};
use crate::send::Limiter;
use crate::session::{Identity, Moment};
use crate::sink::WebSocketSink;
use crate::tokens::{Held, TokenBook, TokenError};
use crate::upgrade::{Asked, Refusal, SUBPROTOCOL};
use crate::users::{NoRoom, Place, Users};

/// What can be set.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// This instance.
    pub instance: InstanceId,
    /// One life of it: what its lease says.
    pub epoch: String,
    /// `GATEWAY_HISTORY_BYTES`.
    pub history_bytes: usize,
    /// The shape of the events that clients' messages become.
    pub shape: Shape,
    /// `EGRESS_DEADLINE_MS`: how long an outcome may take.
    pub egress_deadline: Duration,
    /// `DEDUPE_WINDOW_MS`: how long the bus knows a repeat.
    pub dedupe_window: Duration,
    /// Connections this instance takes; more are answered 503.
    pub max_connections: usize,
}

/// What the gateway stands on.
pub struct GatewayParts {
    /// What can be set.
    pub config: GatewayConfig,
    /// The process.
    pub runtime: Runtime,
    /// The shared state.
    pub state: Arc<dyn State>,
    /// A mirror of its tokens, kept by whoever gives it.
    pub tokens: Mirror,
    /// A mirror of its presence, kept by whoever gives it.
    pub presence: Mirror,
    /// Asked of an instance and an epoch: presence of the dead does not count.
    pub lives: Lives,
    /// Where clients' messages go.
    pub accept: Arc<dyn Accept>,
    /// What bots listen to.
    pub bus: Arc<dyn Bus>,
    /// Reads the targets of what bots send.
    pub parse_target: TargetParser,
    /// The metrics.
    pub metrics: Metrics,
}

/// The WebSocket gateway of one instance.
pub struct Gateway {
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) runtime: Runtime,
    pub(crate) identity: Arc<Identity>,
    pub(crate) users: Arc<Users>,
    pub(crate) maker: Maker,
    pub(crate) accept: Arc<dyn Accept>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) parse_target: TargetParser,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) egress_deadline: Duration,
    pub(crate) dedupe_window: Duration,
    pub(crate) sends: Limiter,
    pub(crate) metrics: Metrics,
    pub(crate) book: TokenBook,
    state: Arc<dyn State>,
    presence: Mirror,
    lives: Lives,
    pub(crate) recaller: Arc<Recaller>,
    max_connections: usize,
    is_draining: AtomicBool,
}

/// How long the switch of protocols may take after the answer.
const UPGRADE_WITHIN: Duration = Duration::from_secs(5);
/// Revocations are looked for at most this often.
const REVOKE_EVERY: Duration = Duration::from_millis(50);
/// How long clients may take to leave when the instance stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long after a token changed, and how often anyway, bots' groups are looked at.
const TIDY_AFTER: Duration = Duration::from_secs(2);
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// `/ws/v1`. Serve it where upgraded sockets are plain TCP streams: `chatbus_ops::serve` does.
pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/ws/v1", any(upgrade)).with_state(gateway)
}

async fn upgrade(Extract(gateway): Extract<Arc<Gateway>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let on_upgrade = parts.extensions.remove::<OnUpgrade>();
    match gateway.admit(&parts, on_upgrade).await {
        Ok(switching) => switching,
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Response {
    let Refusal { status, code, message } = refusal;
    let body = json!({ "error": { "code": code, "message": message } }).to_string();
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    let extra = match status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
        StatusCode::UPGRADE_REQUIRED => Some((SEC_WEBSOCKET_VERSION, "13")),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "2")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

// === impl Gateway ===

impl Gateway {
    /// A gateway. It serves once its routes are served, and [`Gateway::run`] keeps it.
    pub fn new(parts: GatewayParts) -> Self {
        let GatewayParts {
            config,
            runtime,
            state,
            tokens,
            presence,
            lives,
            accept,
            bus,
            parse_target,
            metrics,
        } = parts;
        let users = Arc::new(Users::new(config.history_bytes));
        let identity =
            Arc::new(Identity { instance: config.instance.to_string(), epoch: config.epoch.clone() });
        let recaller = Recaller::new(
            Arc::clone(&users),
            Arc::clone(&identity),
            Arc::clone(&state),
            Arc::clone(&lives),
            runtime.clone(),
        );
        let (clock, entropy) = (Arc::clone(&runtime.clock), Arc::clone(&runtime.entropy));
        Self {
            shared: Arc::new(Shared {
                maker: Maker::new(&config.instance, config.shape, Arc::clone(&clock), entropy),
                book: TokenBook::new(Arc::clone(&state), tokens, clock),
                recaller: Arc::new(recaller),
                max_connections: config.max_connections,
                is_draining: AtomicBool::new(false),
                runtime,
                identity,
                users,
                accept,
                bus,
                parse_target,
                outcomes: Arc::default(),
                egress_deadline: config.egress_deadline,
                dedupe_window: config.dedupe_window,
                sends: Limiter::new(),
                metrics,
                state,
                presence,
                lives,
            }),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What the delivery engine says through.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(WebSocketSink { shared: Arc::clone(&self.shared) })
    }

    /// Open connections, and those that are being made.
    pub fn connections(&self) -> usize {
        self.shared.users.connections()
    }

    /// What `/_debug/gateway` shows. No secret, no text.
    pub fn debug(&self) -> serde_json::Value {
        let Shared { users, identity, is_draining, .. } = &*self.shared;
        json!({
            "instance": identity.instance, "epoch": identity.epoch,
            "connections": users.connections(), "users": users.len(),
            "historyBytes": users.budget.used(), "draining": is_draining.load(Ordering::Relaxed),
        })
    }

    /// Keeps presence, tokens and histories, and answers other gateways, until `drain` is cancelled; then
    /// sends every client to another instance, and returns when they have left, or did not in 3 s.
    pub async fn run(&self, drain: CancellationToken) {
        let Shared { users, state, identity, recaller, runtime, .. } = &*self.shared;
        let presence = Presence {
            users: Arc::clone(users),
            state: Arc::clone(state),
            identity: Arc::clone(identity),
            recaller: Arc::clone(recaller),
            runtime: runtime.clone(),
        };
        let answering = Answering {
            users: Arc::clone(users),
            identity: Arc::clone(identity),
            state: Arc::clone(state),
            runtime: runtime.clone(),
        };
        let finish = CancellationToken::new();
        let working = async {
            tokio::select! {
                () = drain.cancelled() => {}
                () = self.watch_tokens() => {}
                () = self.sweep() => {}
                () = self.tidy_groups() => {}
            }
            self.drain().await;
            finish.cancel();
        };
        // Others are answered to the end: clients that were sent away ask for what they missed.
        tokio::select! {
            _ = async { tokio::join!(presence.run(finish.clone()), working) } => {}
            () = answering.run() => {}
        }
    }

    async fn drain(&self) {
        let Shared { users, runtime, is_draining, .. } = &*self.shared;
        is_draining.store(true, Ordering::SeqCst);
        info!(event = "gateway.draining", connections = users.connections(), "clients are sent away");
        let mut changes = users.changes();
        let leaving = async {
            loop {
                // Also those that were being made.
                for link in users.links() {
                    link.order(Order::Drain { retry_after: 0.5 + 4.5 * runtime.entropy.unit() });
                }
                changes.mark_unchanged();
                if users.connections() == 0 {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_WITHIN, leaving).await;
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.shared.users.sweep(self.shared.runtime.clock.instant());
        }
    }

    /// Removes what bots left on the bus whose tokens are no more, or who do not come back.
    async fn tidy_groups(&self) {
        let Shared { book, bus, state, runtime, .. } = &*self.shared;
        let mut changes = book.changes();
        loop {
            groups::tidy(&**bus, &**state, &*runtime.clock).await;
            // Sockets are closed before their groups go: a member would have its group back.
            let changed = async {
                let _ = changes.changed().await;
                tokio::time::sleep(TIDY_AFTER).await;
            };
            let _ = tokio::time::timeout(TIDY_EVERY, changed).await;
        }
    }

    /// Closes the connections of tokens that are revoked.
    async fn watch_tokens(&self) {
        let Shared { users, book, .. } = &*self.shared;
        let mut changes = book.changes();
        while changes.changed().await.is_ok() {
            let mut suspects: HashMap<Key, Vec<Arc<Link>>> = HashMap::new();
            for link in users.links() {
                suspects.entry(link.token.clone()).or_default().push(link);
            }
            // The mirror may be behind: a token it does not hold yet is not revoked.
            let missing = suspects.into_iter().filter(|(key, _)| book.is_revoked(key));
            stream::iter(missing)
                .for_each_concurrent(16, |(key, links)| async move {
                    if book.is_gone(&key).await {
                        links.iter().for_each(|link| link.order(Order::Revoke));
                    }
                })
                .await;
            tokio::time::sleep(REVOKE_EVERY).await;
        }
    }

    /// Decides on a request, and switches protocols when it may.
    async fn admit(&self, parts: &Parts, on_upgrade: Option<OnUpgrade>) -> Result<Response, Refusal> {
        let asked = Asked::read(parts)?;
        let shared = &self.shared;
        if shared.is_draining() {
            return Err(Refusal::DRAINING);
        }
        let token = shared.book.find_held(asked.secret).await.map_err(|error| match error {
            TokenError::Unknown => Refusal::unauthorized("the token is unknown or was revoked"),
            TokenError::Expired => Refusal::unauthorized("the token has expired"),
            TokenError::Unavailable => Refusal::unavailable("tokens cannot be looked up at the moment"),
        })?;
        if !token.1.allows_origin(asked.origin) {
            return Err(Refusal::ORIGIN);
        }
        let place = self.place(&token)?;
        let on_upgrade = on_upgrade.ok_or(Refusal::unavailable("this connection cannot be upgraded"))?;
        let connecting = connect(Arc::clone(shared), place, token, on_upgrade);
        shared.runtime.spawn("gateway.connection", connecting);
        Ok(switching(&asked))
    }

    fn place(&self, token: &Held) -> Result<Place, Refusal> {
        let Shared { users, presence, identity, lives, max_connections, runtime, .. } = &*self.shared;
        let user = &token.1.user_id;
        let elsewhere = elsewhere(presence, user, &identity.instance, lives);
        users.reserve(user, elsewhere, *max_connections, runtime.clock.instant()).map_err(|why| match why {
            NoRoom::User => Refusal::TOO_MANY,
            NoRoom::Instance => Refusal::FULL,
        })
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

fn switching(asked: &Asked<'_>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::from_str(&asked.accept_key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    if asked.offers_subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// Waits for the switch, and is the connection from then on.
async fn connect(shared: Arc<Shared>, place: Place, token: Held, on_upgrade: OnUpgrade) {
    let upgraded = match tokio::time::timeout(UPGRADE_WITHIN, on_upgrade).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => {
            debug!(event = "gateway.upgrade_failed", reason = %error, "the client left before the switch");
            return;
        }
        Err(_) => return,
    };
    let Some((tcp, part)) = into_tcp(upgraded) else { return };
    let key = token.0.clone();
    let connection = Connection::open(Arc::clone(&shared), place, token, tcp, part);
    // It may have been revoked between the look at it and now, when nobody could close this connection.
    if shared.book.is_revoked(&key) && shared.book.is_gone(&key).await {
        connection.revoke();
    }
    drop((key, shared));
    connection.await;
}

/// The socket, and what was read from it after the request. A copy, mostly of nothing: the buffer of the
/// HTTP connection, which is larger than all that a WebSocket connection holds, ends here.
fn into_tcp(upgraded: Upgraded) -> Option<(TcpStream, Vec<u8>)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Some((parts.io.into_inner(), parts.read_buf.to_vec())),
        Err(_) => {
            tracing::error!(
                event = "gateway.upgrade_failed",
                reason = "not_tcp",
                "the upgraded socket is no TCP stream"
            );
            None
        }
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { mono: self.runtime.clock.instant(), wall: self.runtime.clock.now() }
    }
}
