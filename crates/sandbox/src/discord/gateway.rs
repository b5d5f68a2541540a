//! The gateway: hello, identify or resume, heartbeats, dispatches.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Shared;
use super::session::{Frame, Line};

/// The longest frame a client may send, as Discord has it.
const MAX_FRAME: usize = 4_096;
/// All intents that there are, privileged ones included.
const KNOWN_INTENTS: u64 = 0x3fff_ffff;

/// What a frame of a client leads to.
enum Flow {
    On,
    Answer(String),
    Close(u16),
}

/// Forgets the connection, however it ends.
struct Departure {
    shared: Arc<Shared>,
    line: u64,
}

pub(super) async fn upgrade(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    let Some((line, frames)) = shared.lock().sessions.arrive() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let departure = Departure { shared: Arc::clone(&shared), line: line.id };
    upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).on_upgrade(move |socket| {
        let tasks = shared.tasks.clone();
        tasks.track_future(async move {
            serve(&shared, socket, &line, frames).await;
            drop(departure);
        })
    })
}

async fn serve(shared: &Shared, mut socket: WebSocket, line: &Line, mut frames: mpsc::Receiver<Frame>) {
    let heartbeat = shared.lock().heartbeat.as_millis();
    let hello =
        format!(r#"{{"t":null,"s":null,"op":10,"d":{{"heartbeat_interval":{heartbeat},"_trace":[]}}}}"#);
    let talking = async {
        if socket.send(Message::Text(hello.into())).await.is_err() {
            return;
        }
        let mut frozen = line.frozen.subscribe();
        loop {
            tokio::select! {
                biased;
                // Frozen for good: only the end of the connection ends this.
                () = async { drop(frozen.wait_for(|frozen| *frozen).await); } => std::future::pending().await,
                frame = frames.recv() => match frame {
                    None => return,
                    Some(Frame::Text(text)) => {
                        if socket.send(Message::Text(text.into())).await.is_err() {
                            return;
                        }
                    }
                    Some(Frame::Close(code)) => return close(&mut socket, code).await,
                },
                message = socket.recv() => {
                    let flow = match message {
                        None | Some(Err(_) | Ok(Message::Close(_))) => return,
                        Some(Ok(Message::Text(text))) => take(shared, line, text.as_bytes()),
                        Some(Ok(Message::Binary(bytes))) => take(shared, line, &bytes),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Flow::On,
                    };
                    match flow {
                        Flow::On => {}
                        Flow::Answer(text) => {
                            if socket.send(Message::Text(text.into())).await.is_err() {
                                return;
                            }
                        }
                        Flow::Close(code) => return close(&mut socket, code).await,
                    }
                }
            }
        }
    };
    tokio::select! {
        () = talking => {}
        () = line.cut.cancelled() => {}
        () = shared.runtime.stop.cancelled() => {}
    }
}

async fn close(socket: &mut WebSocket, code: u16) {
    let frame = CloseFrame { code, reason: reason(code).into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        // The client's answer, or its end.
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        4001 => "Unknown opcode.",
        4002 => "Error while decoding payload.",
        4003 => "Not authenticated.",
        4004 => "Authentication failed.",
        4005 => "Already authenticated.",
        4007 => "Invalid seq.",
        4009 => "Session timed out.",
        4010 => "Invalid shard.",
        4013 => "Invalid intent(s).",
        4014 => "Disallowed intent(s).",
        _ => "",
    }
}

fn take(shared: &Shared, line: &Line, bytes: &[u8]) -> Flow {
    let Ok(frame) = serde_json::from_slice::<Value>(bytes) else { return Flow::Close(4002) };
    let data = frame.get("d").cloned().unwrap_or(Value::Null);
    match frame.get("op").and_then(Value::as_u64) {
        Some(1) => Flow::Answer(r#"{"t":null,"s":null,"op":11,"d":null}"#.to_owned()),
        Some(2) => identify(shared, line, &data),
        Some(6) => resume(shared, line, &data),
        // Presence, voice state, members: nothing to tell of them here.
        Some(3 | 4 | 8) => Flow::On,
        _ => Flow::Close(4001),
    }
}

fn is_refused(shared: &Shared, data: &Value) -> bool {
    let token = data.get("token").and_then(Value::as_str).unwrap_or_default();
    token.trim_start_matches("Bot ").is_empty() || shared.lock().token_refused
}

fn identify(shared: &Shared, line: &Line, data: &Value) -> Flow {
    if is_refused(shared, data) {
        return Flow::Close(4004);
    }
    let Some(intents) = data.get("intents").and_then(Value::as_u64) else { return Flow::Close(4013) };
    if intents & !KNOWN_INTENTS != 0 {
        return Flow::Close(4013);
    }
    let shard = data.get("shard").and_then(Value::as_array).map(|pair| {
        let number = |at: usize| pair.get(at).and_then(Value::as_u64).unwrap_or(0);
        [number(0), number(1)]
    });
    let shard = shard.unwrap_or([0, 1]);
    if shard[0] >= shard[1] {
        return Flow::Close(4010);
    }
    let session = shared.runtime.entropy.uuid().simple().to_string();
    let mut world = shared.lock();
    if world.not_granted(intents) != 0 {
        return Flow::Close(4014);
    }
    world.sessions.identify(&session, shard, intents, line);
    let ready = world.ready(&session, shard);
    world.sessions.tell(&session, "READY", &ready);
    let guild: u64 = super::GUILD_ID.parse().unwrap_or(0);
    if intents & 1 != 0 && (guild >> 22) % shard[1] == shard[0] {
        let guild = world.guild_create();
        world.sessions.tell(&session, "GUILD_CREATE", &guild);
    }
    Flow::On
}

fn resume(shared: &Shared, line: &Line, data: &Value) -> Flow {
    if is_refused(shared, data) {
        return Flow::Close(4004);
    }
    let session = data.get("session_id").and_then(Value::as_str).unwrap_or_default();
    let seq = data.get("seq").and_then(Value::as_u64).unwrap_or(0);
    if shared.lock().sessions.resume(session, seq, line) {
        return Flow::On;
    }
    Flow::Answer(json!({ "op": 9, "d": false }).to_string())
}

// === impl Departure ===

impl Drop for Departure {
    fn drop(&mut self) {
        self.shared.lock().sessions.depart(self.line);
    }
}
