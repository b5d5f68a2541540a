//! The socket that both halves share.

use std::sync::{Arc, Mutex};

use chatbus_runtime::{CancellationToken, Runtime};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::world::World;
use super::{Discord, Shared, rest};
use crate::config::SandboxConfig;
use crate::http_door::HttpDoor;

/// Serves the listener until `stop`.
///
/// # Errors
/// When the listener cannot tell its address.
pub(crate) fn start(
    listener: TcpListener,
    config: &SandboxConfig,
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<Discord> {
    let addr = listener.local_addr()?;
    // Connections that became WebSockets end with this sandbox, not with the process.
    let runtime = Runtime { stop: stop.clone(), ..runtime.clone() };
    let shared =
        Arc::new(Shared { runtime, addr, tasks: tasks.clone(), world: Mutex::new(World::new(addr)) });
    let door = HttpDoor {
        name: "discord",
        connection: "sandbox.discord.connection",
        max_connections: config.max_connections,
        drops: None,
        runtime: shared.runtime.clone(),
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let serving = door.serve(listener, rest::router(Arc::clone(&shared)));
    shared.runtime.spawn("sandbox.discord", tasks.track_future(serving));
    Ok(Discord { shared })
}
