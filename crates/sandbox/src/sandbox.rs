//! Starts and stops a sandbox: every fake platform and the control API, on sockets of their own.

use std::net::SocketAddr;

use chatbus_runtime::{CancellationToken, Runtime};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::config::SandboxConfig;
use crate::control;
use crate::model::{self, Model};
use crate::playground::{self, Playground};
use crate::twitch_irc::{self, IrcListeners, TwitchIrc};

/// Starts sandboxes; several in one process know nothing of each other.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox;

/// A running sandbox. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct SandboxHandle {
    control: SocketAddr,
    twitch: TwitchIrc,
    playground: Playground,
    model: Model,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The sandbox can be told to do anything, so only this machine may reach it.
    #[error("{0} is not a loopback address, and the sandbox listens on no other")]
    NotLoopback(SocketAddr),
    /// An address cannot be bound.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// Which one.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

// === impl Sandbox ===

impl Sandbox {
    /// Binds all addresses and serves them until the handle stops it or `runtime.stop` is cancelled.
    ///
    /// # Errors
    /// When an address is not loopback or cannot be bound.
    pub async fn start(config: SandboxConfig, runtime: Runtime) -> Result<SandboxHandle, StartError> {
        let control = bind(config.control_addr).await?;
        let irc = bind(config.irc_addr).await?;
        let ws = bind(config.irc_ws_addr).await?;
        let playground = bind(config.playground_addr).await?;
        let model = bind(config.model_addr).await?;
        let stop = runtime.stop.child_token();
        let tasks = TaskTracker::new();
        let listeners = IrcListeners { irc, ws };
        let unbound = |addr| move |source| StartError::Bind { addr, source };
        let twitch = twitch_irc::start(listeners, &config, &runtime, &tasks, &stop)
            .map_err(unbound(config.irc_addr))?;
        let playground = playground::start(playground, &config, &runtime, &tasks, &stop)
            .map_err(unbound(config.playground_addr))?;
        let model =
            model::start(model, &config, &runtime, &tasks, &stop).map_err(unbound(config.model_addr))?;
        let address = control.local_addr().map_err(unbound(config.control_addr))?;
        let serving =
            control::serve(control, twitch.clone(), playground.clone(), model.clone(), stop.clone());
        runtime.spawn("sandbox.control", tasks.track_future(serving));
        tracing::info!(
            event = "sandbox.started",
            control = %address,
            irc = %twitch.irc_addr(),
            irc_ws = %twitch.ws_addr(),
            playground = %playground.addr(),
            model = %model.addr(),
            "the sandbox is ready"
        );
        Ok(SandboxHandle { control: address, twitch, playground, model, tasks, stop })
    }
}

// === impl SandboxHandle ===

impl SandboxHandle {
    /// The bound address of the control API.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// `http://…` of the control API.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The Twitch IRC server.
    pub fn twitch(&self) -> &TwitchIrc {
        &self.twitch
    }

    /// The playground.
    pub fn playground(&self) -> &Playground {
        &self.playground
    }

    /// The language model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Closes all connections and listeners, and waits until they are closed.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SandboxHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, StartError> {
    if !addr.ip().is_loopback() {
        return Err(StartError::NotLoopback(addr));
    }
    TcpListener::bind(addr).await.map_err(|source| StartError::Bind { addr, source })
}
