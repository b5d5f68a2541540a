//! Twitch's HTTP interfaces and EventSub: logins, Helix, subscriptions.

use std::net::SocketAddr;

use axum::Router;
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::SandboxConfig;
use crate::twitch_irc::TwitchIrc;

/// The fake Twitch behind HTTP.
#[derive(Debug, Clone)]
pub struct TwitchApi {
    addr: SocketAddr,
}

// === impl TwitchApi ===

impl TwitchApi {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://…` of it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

pub(crate) fn start(
    listener: TcpListener,
    _chat: &TwitchIrc,
    _config: &SandboxConfig,
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<TwitchApi> {
    let addr = listener.local_addr()?;
    let closing = stop.clone().cancelled_owned();
    let serving = async move {
        // Its end is the listener's, which nobody needs to hear of.
        let _ = axum::serve(listener, Router::new()).with_graceful_shutdown(closing).await;
    };
    runtime.spawn("sandbox.twitch_api", tasks.track_future(serving));
    Ok(TwitchApi { addr })
}
