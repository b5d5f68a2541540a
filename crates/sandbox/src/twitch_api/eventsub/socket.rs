//! The WebSocket of EventSub: moves frames and time between a socket and the hub.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse as _;
use futures::StreamExt as _;

use super::connection::{Line, Out};
use super::frames::Close;
use super::hub::KEEPALIVE;
use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem};
use crate::twitch_api::pairs::Pairs;

/// A client sends nothing but pongs; what is longer ends the connection.
const MAX_FRAME_BYTES: usize = 64 * 1024;
/// The default of 128 KiB a connection is for other uses.
const BUFFER_BYTES: usize = 8 * 1024;
/// A client must have answered a close frame by then.
const CLOSING: Duration = Duration::from_secs(2);
/// The keepalive timeouts that a client may ask for, in seconds.
const KEEPALIVES: std::ops::RangeInclusive<u64> = 10..=600;

pub(in crate::twitch_api) async fn upgrade(
    State(api): State<TwitchApi>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let keepalive = match pairs.get("keepalive_timeout_seconds") {
        None => KEEPALIVE,
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| KEEPALIVES.contains(seconds));
            let problem = "keepalive_timeout_seconds is not from 10 to 600";
            Duration::from_secs(seconds.ok_or(Problem::bad(problem))?)
        }
    };
    let reconnect = pairs.get("reconnect_id").map(str::to_owned);
    let serve = move |socket| {
        let tasks = api.core.tasks.clone();
        tasks.track_future(serve(api, socket, keepalive, reconnect))
    };
    let upgrade = upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES);
    Ok(upgrade.on_upgrade(serve).into_response())
}

/// Forgets the connection however it ends.
struct Forget {
    api: TwitchApi,
    id: u64,
}

// === impl Forget ===

impl Drop for Forget {
    fn drop(&mut self) {
        let now = self.api.core.moment();
        self.api.core.lock().hub.leave(self.id, now);
        self.api.core.changed();
    }
}

async fn serve(api: TwitchApi, mut socket: WebSocket, keepalive: Duration, reconnect: Option<String>) {
    let now = api.core.moment();
    let arrived = api.core.lock().hub.arrive(keepalive, reconnect.as_deref(), now);
    let line = match arrived {
        Ok(line) => line,
        Err(refused) => return close(&mut socket, refused).await,
    };
    let forget = Forget { api: api.clone(), id: line.id };
    api.core.changed();
    let (stop, cut) = (api.core.stop.clone(), line.cut.clone());
    tokio::select! {
        () = carry(&api, &mut socket, line) => {}
        () = cut.cancelled() => {}
        () = stop.cancelled() => {}
    }
    drop(forget);
}

/// Inputs: what the hub has to say, what the client sends, the hub's next deadline, and that something about
/// this connection changed.
async fn carry(api: &TwitchApi, socket: &mut WebSocket, mut line: Line) {
    let core = &api.core;
    loop {
        let (frozen, deadline) = {
            let world = core.lock();
            (world.hub.is_frozen(line.id), world.hub.deadline(line.id))
        };
        if frozen {
            line.stirred.notified().await;
            continue;
        }
        tokio::select! {
            // A freeze holds for what is told after it; what is queued goes out before what the client says is
            // answered.
            biased;
            () = line.stirred.notified() => {}
            out = line.outs.recv() => match out {
                Some(Out::Text(text)) => {
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return;
                    }
                    core.changed();
                }
                Some(Out::Close(reason)) => return close(socket, reason).await,
                None => return,
            },
            came = socket.next() => match came {
                Some(Ok(Message::Text(_) | Message::Binary(_))) => {
                    let now = core.moment();
                    core.lock().hub.on_traffic(line.id, now);
                }
                // A ping is answered by the library, and is no traffic.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            () = at(deadline) => {
                let now = core.moment();
                core.lock().hub.on_time(line.id, now);
            }
        }
    }
}

async fn at(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Says why, and waits a little for the client to say the same.
async fn close(socket: &mut WebSocket, close: Close) {
    let frame = CloseFrame { code: close.code, reason: close.reason.as_ref().into() };
    let closing = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = tokio::time::timeout(CLOSING, closing).await;
}
