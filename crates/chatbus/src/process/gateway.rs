//! The gateway of a process, with what it keeps of the shared state.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use chatbus_connector::Accept;
use chatbus_delivery::ClusterView;
use chatbus_gateway::{Gateway, GatewayConfig, GatewayParts};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_state::{Mirror, Space, State};

use super::delivering::Delivering;

/// A gateway and its mirrors.
pub(super) struct Served {
    pub(super) gateway: Arc<Gateway>,
    tokens: Mirror,
    presence: Mirror,
    state: Arc<dyn State>,
    runtime: Runtime,
}

/// `/_debug/gateway`, for whoever lets only the administrator there.
pub(super) fn debug(gateway: Arc<Gateway>) -> Router {
    let show = move || {
        let shown = gateway.debug();
        async move { Json(shown) }
    };
    Router::new().route("/_debug/gateway", get(show))
}

/// As `chatbus send` reads it.
fn parse_target(text: &str) -> Result<chatbus_gateway::Target, String> {
    let chatbus_ops::SendTarget { destination, kind, channel, user_id } = crate::target::parse(text)?;
    Ok(chatbus_gateway::Target { destination, kind, channel, user_id })
}

/// Beyond this a second instance serves better.
const MAX_CONNECTIONS: usize = 50_000;

// === impl Served ===

impl Served {
    pub(super) fn new(with: &Delivering<'_>, view: ClusterView, accept: Arc<dyn Accept>) -> Self {
        let (tokens, presence) = (Mirror::new(Space::Tokens), Mirror::new(Space::Presence));
        let gateway = Gateway::new(GatewayParts {
            config: GatewayConfig {
                instance: with.instance.clone(),
                epoch: with.epoch.to_string(),
                history_bytes: with.core.gateway_history_bytes,
                shape: with.core.shape,
                egress_deadline: with.core.egress_deadline,
                dedupe_window: with.core.dedupe_window,
                max_connections: MAX_CONNECTIONS,
            },
            runtime: with.runtime.clone(),
            state: Arc::clone(with.state),
            tokens: tokens.clone(),
            presence: presence.clone(),
            lives: Arc::new(move |instance, epoch| view.gateway_lives(instance, epoch)),
            accept,
            bus: Arc::clone(with.bus),
            parse_target,
            metrics: with.metrics.clone(),
        });
        let (state, runtime) = (Arc::clone(with.state), with.runtime.clone());
        Self { gateway: Arc::new(gateway), tokens, presence, state, runtime }
    }

    /// Serves until `drain` is cancelled and the clients have left.
    pub(super) async fn run(self, drain: CancellationToken) {
        let mirrors = async {
            tokio::join!(
                self.tokens.keep(Arc::clone(&self.state), self.runtime.clone()),
                self.presence.keep(Arc::clone(&self.state), self.runtime.clone()),
            );
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.gateway.run(drain) => {}
            () = mirrors => {}
        }
    }
}
