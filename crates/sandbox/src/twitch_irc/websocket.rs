//! IRC over WebSocket: every frame holds one or more lines. Any path will do; the subprotocol `irc` is
//! taken when offered, as some clients insist.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};

use super::Shared;
use super::client::{Line, Transport};
use super::connection::{Reader, as_text, in_order, keep_alive};
use super::outbox::Outbox;
use super::session::Flow;

/// A frame of a client; the lines in it have their own bound.
const MAX_FRAME_BYTES: usize = 64 * 1024;
/// The default of 128 KiB a connection is for other uses than chat.
const BUFFER_BYTES: usize = 8 * 1024;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(upgrade).with_state(shared)
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let now = shared.moment();
    let Some(line) = shared.lock().arrive(peer, Transport::Ws, now) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let guard = Forget { shared: Arc::clone(&shared), id: line.id };
    let serve = move |socket| {
        let tasks = shared.tasks.clone();
        tasks.track_future(serve_ws(shared, socket, line, guard))
    };
    upgrade
        .protocols(["irc"])
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .on_upgrade(serve)
}

/// Forgets the connection when its upgrade never happens, too.
struct Forget {
    shared: Arc<Shared>,
    id: u64,
}

// === impl Forget ===

impl Drop for Forget {
    fn drop(&mut self) {
        self.shared.lock().leave(self.id);
        self.shared.changed.notify_waiters();
    }
}

async fn serve_ws(shared: Arc<Shared>, socket: WebSocket, line: Line, forget: Forget) {
    let (mut write, mut read) = socket.split();
    let outbox = Arc::clone(&line.outbox);
    let reader = Reader::new(Arc::clone(&shared), line.clone());
    tokio::select! {
        () = line.cut.cancelled() => {}
        () = shared.stop.cancelled() => {}
        () = in_order(read_ws(reader, &mut read), write_ws(&outbox, &mut write), &outbox) => {}
        () = keep_alive(&shared, &line) => {}
    }
    drop(forget);
}

async fn read_ws(mut reader: Reader, read: &mut SplitStream<WebSocket>) {
    loop {
        reader.ready().await;
        let Some(Ok(message)) = read.next().await else { return };
        reader.thawed().await;
        let flow = match &message {
            Message::Text(text) => reader.take(text.as_bytes(), true),
            Message::Binary(bytes) => reader.take(bytes, true),
            Message::Close(_) => Flow::Quit,
            Message::Ping(_) | Message::Pong(_) => Flow::On,
        };
        if flow == Flow::Quit {
            return;
        }
    }
}

async fn write_ws(outbox: &Outbox, write: &mut SplitSink<WebSocket, Message>) {
    while let Some(bytes) = outbox.next().await {
        let sent = write.send(Message::Text(as_text(&bytes).into())).await;
        outbox.done(bytes.len());
        if sent.is_err() {
            return;
        }
    }
    let _ = write.close().await;
}
