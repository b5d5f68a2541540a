//! The loop of the HTTP listener.
//!
//! What a client may do is bounded before anything of ours sees it: how long it may take for a request's
//! head and body, how large the head may be, and how many connections there are. A connection that is
//! upgraded is none of ours any more: it counts no longer, and its new owner ends it at the stop.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use chatbus_runtime::{CancellationToken, Runtime};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;

/// What clients may do.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// How long the head of a request may take, and how long a connection may wait for its next one.
    pub head_within: Duration,
    /// How long the body of a request may take.
    pub body_within: Duration,
    /// The largest head, in bytes; at least 8192.
    pub head_bytes: usize,
    /// The most header lines.
    pub headers: usize,
    /// Connections at once, upgraded ones not counted; more wait to be accepted.
    pub connections: usize,
    /// How long requests in hand may take at the stop.
    pub finish_within: Duration,
}

/// A request's body, for as long as it may take.
struct Patient {
    inner: Incoming,
    within: Duration,
    /// Begins when the body is first waited for: most are there already.
    over: Option<Pin<Box<Sleep>>>,
}

/// After an `accept` that failed, for want of descriptors most likely.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Serves until `stop` is cancelled, and then finishes what is in hand. Handlers find the peer's address
/// as [`ConnectInfo`]; upgraded sockets are `TokioIo<TcpStream>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    runtime: &Runtime,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let most = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let finish_within = limits.finish_within;
    let accepting = async {
        loop {
            // Nobody closes it.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let serving = serve_one(stream, peer, router.clone(), limits.clone(), stop.clone());
                    runtime.spawn("http.connection", async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(event = "http.accept_failed", reason = %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    let _ = tokio::time::timeout(finish_within, room.acquire_many(most)).await;
}

async fn serve_one(
    stream: TcpStream,
    peer: std::net::SocketAddr,
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
) {
    let HttpLimits { head_within, body_within, head_bytes, headers, finish_within, .. } = limits;
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|inner| Body::new(Patient { inner, within: body_within, over: None }));
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(head_bytes.max(8192))
        .max_headers(headers)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(finish_within, connection).await {
                Ok(served) => served,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(event = "http.connection_failed", reason = %error, "an HTTP connection ended early");
    }
}

// === impl HttpLimits ===

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_within: Duration::from_secs(5),
            body_within: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            headers: 64,
            connections: 1024,
            finish_within: Duration::from_secs(1),
        }
    }
}

// === impl Patient ===

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let within = self.within;
        let over = self.over.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        over.as_mut().poll(cx).map(|()| Some(Err("the request's body took too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
