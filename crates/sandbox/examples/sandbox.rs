//! A sandbox that runs until it is told to stop. Prints one JSON line with its addresses.
//!
//! `cargo run -p chatbus-sandbox --example sandbox [CONTROL_PORT [IRC_PORT [WS_PORT]]]`

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chatbus_runtime::{CancellationToken, Runtime, SystemClock, SystemEntropy};
use chatbus_sandbox::{Sandbox, SandboxConfig};
use chatbus_testkit::TestSpawner;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy::new()),
        spawner: Arc::new(TestSpawner),
        stop: CancellationToken::new(),
    };
    let mut ports = std::env::args().skip(1);
    let mut next = || -> Result<SocketAddr, std::num::ParseIntError> {
        let port = ports.next().as_deref().unwrap_or("0").parse()?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let config = SandboxConfig {
        control_addr: next()?,
        irc_addr: next()?,
        irc_ws_addr: next()?,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config, runtime).await?;
    let addresses = serde_json::json!({
        "control": sandbox.control_url(),
        "irc": sandbox.twitch().irc_url(),
        "irc_ws": sandbox.twitch().ws_url(),
        "playground": sandbox.playground().url(),
    });
    writeln!(std::io::stdout(), "{addresses}")?;
    tokio::signal::ctrl_c().await?;
    sandbox.stop().await;
    Ok(())
}
