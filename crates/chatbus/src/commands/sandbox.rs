//! `chatbus sandbox`.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use chatbus_sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

use super::{Failure, Outcome, load};
use crate::cli::SandboxArgs;
use crate::logging::{self, Stream};
use crate::settings::Environment;
use crate::signals;
use crate::supervisor::Supervisor;

pub(crate) async fn run(args: SandboxArgs, environment: &Environment) -> Outcome {
    let (values, core) = load(args.settings, environment)?;
    let supervisor = Supervisor::new();
    logging::start(&values, supervisor.runtime().clock, Stream::Stderr, None);
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let config = SandboxConfig {
        control_addr: local(core.sandbox_port),
        irc_addr: local(args.irc_port),
        irc_ws_addr: local(args.ws_port),
        playground_addr: local(args.playground_port),
        twitch_api_addr: local(args.twitch_api_port),
        discord_addr: local(args.discord_port),
        twilio_addr: local(args.twilio_port),
        ..SandboxConfig::default()
    };
    let sandbox =
        Sandbox::start(config, supervisor.runtime()).await.map_err(|error| Failure::Runtime(error.into()))?;
    let addresses = json!({
        "control": sandbox.control_url(), "irc": sandbox.twitch().irc_url(), "ircWs": sandbox.twitch().ws_url(),
        "playground": sandbox.playground().url(), "model": sandbox.model().base_url(),
        "twitchApi": sandbox.twitch_api().url(), "discord": sandbox.discord().url(), "twilio": sandbox.twilio().url(),
    });
    writeln!(std::io::stdout().lock(), "{addresses}")?;
    let _signal = signals::stop().await;
    sandbox.stop().await;
    supervisor.stop().cancel();
    supervisor.ended().await;
    Ok(())
}
