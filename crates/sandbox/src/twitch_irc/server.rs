//! Starts the server's tasks: two listeners and one that does what was planned for later.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use chatbus_runtime::{CancellationToken, Runtime};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::client::Transport;
use super::connection::serve_tcp;
use super::world::World;
use super::{Shared, TwitchIrc, websocket};
use crate::accept::accept_each;
use crate::config::SandboxConfig;

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub(crate) struct IrcListeners {
    pub(crate) irc: TcpListener,
    pub(crate) ws: TcpListener,
}

/// Serves the listeners until `stop`.
///
/// # Errors
/// When a listener cannot tell its address.
pub(crate) fn start(
    listeners: IrcListeners,
    config: &SandboxConfig,
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<TwitchIrc> {
    let world = World::new(Arc::clone(&runtime.entropy), config);
    let delayed = Arc::clone(&world.delayed);
    let shared = Arc::new(Shared {
        runtime: runtime.clone(),
        world: Mutex::new(world),
        changed: Notify::new(),
        tasks: tasks.clone(),
        stop: stop.clone(),
        ping_interval: config.ping_interval,
        outbox_bytes: config.outbox_bytes,
        irc: listeners.irc.local_addr()?,
        ws: listeners.ws.local_addr()?,
    });
    spawn(&shared, "sandbox.twitch.tcp", accept(Arc::clone(&shared), listeners.irc));
    let service = websocket::router(Arc::clone(&shared)).into_make_service_with_connect_info::<SocketAddr>();
    let closing = stop.clone().cancelled_owned();
    let serving = Arc::clone(&shared);
    spawn(&shared, "sandbox.twitch.ws", async move {
        let server = axum::serve(listeners.ws, service).with_graceful_shutdown(closing);
        tokio::select! {
            result = server => if let Err(error) = result {
                tracing::error!(event = "sandbox.twitch.ws_ended", %error, "the WebSocket listener ended");
            },
            () = serving.stop.cancelled() => {}
        }
    });
    let acting = Arc::clone(&shared);
    spawn(&shared, "sandbox.twitch.delayed", async move {
        loop {
            let (connection, action) = tokio::select! {
                due = delayed.next(&*acting.runtime.clock) => due,
                () = acting.stop.cancelled() => return,
            };
            acting.lock().act(connection, &action);
        }
    });
    Ok(TwitchIrc { shared })
}

fn spawn(shared: &Arc<Shared>, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    shared.runtime.spawn(name, shared.tasks.track_future(task));
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let stop = shared.stop.clone();
    accept_each("twitch", listener, stop, move |stream, peer| {
        let now = shared.moment();
        let line = shared.lock().arrive(peer, Transport::Tcp, now);
        let Some(line) = line else { return };
        tracing::debug!(event = "sandbox.twitch.connected", connection = line.id, "a client came");
        spawn(&shared, "sandbox.twitch.connection", serve_tcp(Arc::clone(&shared), stream, line));
    })
    .await;
}
