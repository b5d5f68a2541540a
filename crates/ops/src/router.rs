//! All routes, and what they need.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use chatbus_bus::Bus;
use chatbus_connector::Status;
use chatbus_event::{Clock, Entropy};
use chatbus_runtime::CancellationToken;
use chatbus_telemetry::Metrics;

use crate::api::{self, send::TargetParser};
use crate::guard::AdminGuard;
use crate::readiness::Readiness;
use crate::{debug, health, metrics};

/// What the routes show and use of the process.
pub struct Ops {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// When the process started.
    pub started: Instant,
    /// Ends streams that follow the bus.
    pub stop: CancellationToken,
    /// Who may.
    pub guard: AdminGuard,
    /// The metrics.
    pub metrics: Metrics,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The bus driver's name.
    pub driver: &'static str,
    /// The parts that readiness asks.
    pub readiness: Readiness,
    /// The platforms that run here.
    pub platforms: Vec<PlatformView>,
    /// The platforms that could.
    pub known_platforms: Vec<&'static str>,
    /// This instance's own egress topic.
    pub egress_topic: String,
    /// The masked settings.
    pub config: serde_json::Value,
    /// The spool, where there is one.
    pub spool: Option<Box<dyn Fn() -> serde_json::Value + Send + Sync>>,
    /// Reads targets of what is sent.
    pub parse_target: TargetParser,
    /// Brings gauges up to date that are read from elsewhere, when someone looks.
    pub refresh: Option<Refresh>,
}

/// See [`Ops::refresh`].
pub type Refresh = Box<dyn Fn() -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// A platform as operators see it.
#[derive(Debug, Clone)]
pub struct PlatformView {
    /// Its name.
    pub platform: &'static str,
    /// Its state.
    pub status: Status,
}

/// The largest request body: a text to say and some.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The routes. Serve with [`ConnectInfo`] of the peer's address, which the guard needs.
pub fn router(ops: Arc<Ops>) -> Router {
    router_with(ops, Router::new())
}

/// The same with routes of others that are the administrator's alone too.
pub fn router_with(ops: Arc<Ops>, admin: Router) -> Router {
    let guarded = Router::new()
        .route("/_debug/bus", get(debug::bus))
        .route("/_debug/config", get(debug::config))
        .route("/_debug/{platform}", get(debug::platform))
        .route("/api/v1/send", post(api::send::send))
        .route("/api/v1/tail", get(api::tail::tail))
        .merge(admin.with_state(()))
        .route_layer(from_fn_with_state(Arc::clone(&ops), admit));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/livez", get(health::healthz))
        .route("/health", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/ready", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(ops)
}

async fn admit(
    State(ops): State<Arc<Ops>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let headers = request.headers();
    let admitted = if reads { ops.guard.may_read(peer, headers) } else { ops.guard.may_write(peer, headers) };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(why) => api::error(StatusCode::FORBIDDEN, "forbidden", why),
    }
}
