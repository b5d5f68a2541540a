//! Starts and stops a sandbox: every fake platform and the control API, on sockets of their own.

use std::net::SocketAddr;

use chatbus_runtime::{CancellationToken, Runtime};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::config::SandboxConfig;
use crate::control;
use crate::discord::{self, Discord};
use crate::model::{self, Model};
use crate::playground::{self, Playground};
use crate::twilio::{self, Twilio};
use crate::twitch_api::{self, TwitchApi};
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
    twitch_api: TwitchApi,
    discord: Discord,
    twilio: Twilio,
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
        let twitch_api = bind(config.twitch_api_addr).await?;
        let discord = bind(config.discord_addr).await?;
        let twilio = bind(config.twilio_addr).await?;
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
        let twitch_api = twitch_api::start(twitch_api, &twitch, &config, &runtime, &tasks, &stop)
            .map_err(unbound(config.twitch_api_addr))?;
        let discord = discord::start(discord, &config, &runtime, &tasks, &stop)
            .map_err(unbound(config.discord_addr))?;
        let twilio =
            twilio::start(twilio, &config, &runtime, &tasks, &stop).map_err(unbound(config.twilio_addr))?;
        let address = control.local_addr().map_err(unbound(config.control_addr))?;
        let steered = control::Steered {
            twitch: twitch.clone(),
            playground: playground.clone(),
            model: model.clone(),
            twitch_api: twitch_api.clone(),
            discord: discord.clone(),
            twilio: twilio.clone(),
        };
        let serving = control::serve(control, steered, stop.clone());
        runtime.spawn("sandbox.control", tasks.track_future(serving));
        tracing::info!(
            event = "sandbox.started",
            control = %address,
            irc = %twitch.irc_addr(),
            irc_ws = %twitch.ws_addr(),
            playground = %playground.addr(),
            model = %model.addr(),
            twitch_api = %twitch_api.addr(),
            discord = %discord.addr(),
            twilio = %twilio.addr(),
            "the sandbox is ready"
        );
        Ok(SandboxHandle {
            control: address,
            twitch,
            playground,
            model,
            twitch_api,
            discord,
            twilio,
            tasks,
            stop,
        })
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

    /// Twitch's HTTP interfaces and EventSub.
    pub fn twitch_api(&self) -> &TwitchApi {
        &self.twitch_api
    }

    /// Discord.
    pub fn discord(&self) -> &Discord {
        &self.discord
    }

    /// Twilio.
    pub fn twilio(&self) -> &Twilio {
        &self.twilio
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
