//! Serving HTTP, the same way for every fake platform that has it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chatbus_runtime::{CancellationToken, Runtime};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::accept::accept_each;

/// How a listener serves its clients. A request may upgrade its connection.
pub(crate) struct HttpDoor {
    /// Names the listener in the log.
    pub(crate) name: &'static str,
    /// Names the task of a connection, and in the log the end of one.
    pub(crate) connection: &'static str,
    /// One too many is closed at once.
    pub(crate) max_connections: usize,
    /// Every change ends all connections that there are.
    pub(crate) drops: Option<watch::Receiver<u64>>,
    pub(crate) runtime: Runtime,
    /// Those of the connections are counted here.
    pub(crate) tasks: TaskTracker,
    /// Ends everything.
    pub(crate) stop: CancellationToken,
}

/// Marks, in its extensions, a response that is not given: its connection ends without a byte of it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer is lost, as was asked for")]
pub(crate) struct NoAnswer;

// === impl HttpDoor ===

impl HttpDoor {
    /// Serves every client that comes, until the stop.
    pub(crate) async fn serve(self, listener: TcpListener, router: Router) {
        let Self { name, connection, max_connections, drops, runtime, tasks, stop } = self;
        let room = Arc::new(Semaphore::new(max_connections));
        let ending = stop.clone();
        accept_each(name, listener, stop, move |stream, _| {
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else { return };
            let mut drops = drops.clone();
            if let Some(drops) = &mut drops {
                // What was dropped before this one came is not meant for it.
                drops.mark_unchanged();
            }
            let serving = serve_one(stream, router.clone(), connection, drops, ending.clone());
            let serving = async move {
                serving.await;
                drop(place);
            };
            runtime.spawn(connection, tasks.track_future(serving));
        })
        .await;
    }
}

async fn serve_one(
    stream: TcpStream,
    router: Router,
    name: &'static str,
    drops: Option<watch::Receiver<u64>>,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answering = router.call(request.map(Body::new));
        async move {
            let Ok(response) = answering.await;
            // An error here ends the connection without a byte.
            match response.extensions().get::<NoAnswer>() {
                Some(none) => Err(*none),
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
            let event = format!("{name}_ended");
            tracing::debug!(event = event.as_str(), %error, "a connection ended early");
        },
        () = dropped(drops) => {}
        () = stop.cancelled() => {}
    }
}

async fn dropped(drops: Option<watch::Receiver<u64>>) {
    match drops {
        Some(mut drops) => drop(drops.changed().await),
        None => std::future::pending().await,
    }
}

// === impl NoAnswer ===

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use chatbus_testkit::test_runtime;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn open(max_connections: usize) -> (SocketAddr, watch::Sender<u64>, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (runtime, drops, stop) = (test_runtime(1), watch::Sender::new(0), CancellationToken::new());
        let door = HttpDoor {
            name: "test",
            connection: "sandbox.test.connection",
            max_connections,
            drops: Some(drops.subscribe()),
            runtime: runtime.clone(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        };
        let router = Router::new().route("/", get(async || "here")).route("/lost", get(async || NoAnswer));
        runtime.spawn("sandbox.test", door.serve(listener, router));
        (addr, drops, stop)
    }

    /// What comes for a request; nothing when the connection has ended.
    async fn asked(client: &mut TcpStream, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        if client.write_all(request.as_bytes()).await.is_err() {
            return String::new();
        }
        let mut bytes = vec![0; 1024];
        let count = client.read(&mut bytes).await.unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    async fn ends(client: &mut TcpStream) -> bool {
        !matches!(client.read(&mut [0; 64]).await, Ok(1..))
    }

    #[tokio::test]
    async fn a_marked_response_ends_its_connection_without_a_byte() {
        let (addr, _drops, _stop) = open(8).await;
        let mut client = TcpStream::connect(addr).await.unwrap();
        assert!(asked(&mut client, "/").await.ends_with("here"));
        assert_eq!(asked(&mut client, "/lost").await, "");
        assert!(ends(&mut client).await);
    }

    #[tokio::test]
    async fn a_drop_ends_the_connections_there_are_and_none_that_come_later() {
        let (addr, drops, _stop) = open(8).await;
        let mut early = TcpStream::connect(addr).await.unwrap();
        assert!(asked(&mut early, "/").await.ends_with("here"));
        drops.send_modify(|drops| *drops += 1);
        assert!(ends(&mut early).await);
        let mut late = TcpStream::connect(addr).await.unwrap();
        for _ in 0..3 {
            assert!(asked(&mut late, "/").await.ends_with("here"));
        }
    }

    #[tokio::test]
    async fn one_connection_too_many_is_closed_at_once() {
        let (addr, _drops, _stop) = open(1).await;
        let mut first = TcpStream::connect(addr).await.unwrap();
        assert!(asked(&mut first, "/").await.ends_with("here"));
        let mut second = TcpStream::connect(addr).await.unwrap();
        assert!(ends(&mut second).await);
        assert!(asked(&mut first, "/").await.ends_with("here"));
    }

    #[tokio::test]
    async fn the_stop_ends_connections() {
        let (addr, _drops, stop) = open(8).await;
        let mut client = TcpStream::connect(addr).await.unwrap();
        assert!(asked(&mut client, "/").await.ends_with("here"));
        stop.cancel();
        assert!(ends(&mut client).await);
    }
}
