//! The socket that both halves share.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use chatbus_runtime::{CancellationToken, Runtime};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::world::World;
use super::{Discord, Shared, rest};
use crate::accept::accept_each;
use crate::config::SandboxConfig;

/// Marks a response that is not given: its connection ends instead.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer is lost, as was asked for")]
pub(super) struct Lost;

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
    let room = Arc::new(Semaphore::new(config.max_connections));
    let accepting = accept(Arc::clone(&shared), listener, room, tasks.clone());
    shared.runtime.spawn("sandbox.discord", tasks.track_future(accepting));
    Ok(Discord { shared })
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, room: Arc<Semaphore>, tasks: TaskTracker) {
    let router = rest::router(Arc::clone(&shared));
    let stop = shared.runtime.stop.clone();
    accept_each("discord", listener, stop.clone(), move |stream, _| {
        // One too many is closed at once.
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { return };
        let serving = serve_one(stream, router.clone(), stop.clone());
        let serving = async move {
            serving.await;
            drop(place);
        };
        shared.runtime.spawn("sandbox.discord.connection", tasks.track_future(serving));
    })
    .await;
}

async fn serve_one(stream: TcpStream, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answering = router.call(request.map(Body::new));
        async move {
            let Ok(response) = answering.await;
            // An error here ends the connection without a byte.
            match response.extensions().get::<Lost>() {
                Some(lost) => Err(*lost),
                None => Ok(response),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        served = connection => if let Err(error) = served {
            tracing::debug!(event = "sandbox.discord.connection_ended", %error, "a connection ended early");
        },
        () = stop.cancelled() => {}
    }
}
