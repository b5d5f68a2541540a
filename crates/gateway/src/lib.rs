//! The WebSocket gateway: `GET /ws/v1`.
//!
//! A program or a browser connects with a token ([`tokens`]), says things with `chat.message.send`, and
//! hears what is addressed to its user. What is decided is decided by the session, a pure state machine;
//! one task a connection moves bytes; the delivery engine writes through [`WebSocketSink`].
//!
//! What a client can rely on:
//!
//! * `connection.ready` comes first. `chat.ack` comes once the event is on the bus, or synced in the spool.
//! * `seq` counts this instance's frames for the user within `epoch`, one life of the instance;
//!   `connection.resume` gives what was missed, whole, or says `recovered:false`.
//! * Frames still queued when a connection closes were not sent: the engine knows which these are.
//!
//! # Error codes of `chat.error`
//!
//! | code | means | stays open |
//! |---|---|---|
//! | `bad_frame` | not a JSON object with a `type` | yes |
//! | `bad_request` | a field is missing or wrong; the message names it | yes |
//! | `unsupported_type` | clients may not send this type, or this token may not | yes |
//! | `forbidden` | the token does not cover this channel | yes |
//! | `rate_limited` | more than 20 messages, or 100 other frames, in 10 s | until the third in a minute |
//! | `refused` | the bus can never take this event | yes |
//! | `bus_unavailable` | no acknowledgement within 10 s: it may still arrive, send again under the same UUID | yes |
//! | `draining` | the instance stops; connect to another, after `retry_after` seconds | no |
//!
//! # Close codes
//!
//! | code | means |
//! |---|---|
//! | 1002 | the frame breaks the WebSocket protocol: not masked, a reserved bit, an odd opcode |
//! | 1003 | a binary frame |
//! | 1007 | a text frame that is not UTF-8 |
//! | 1009 | a frame or message over 64 KiB |
//! | 1012 | the instance stops; the reason is `{"retry_after":seconds}` |
//! | 4401 | the token expired or was revoked |
//! | 4408 | slow consumer: over 512 frames or 1 MiB were waiting to be read |
//! | 4410 | two pings were not answered |
//! | 4429 | the third `rate_limited` in a minute |
//!
//! # Answers to the upgrade
//!
//! JSON, `{"error":{"code","message"}}`: 400 `bad_upgrade`, 401 `unauthorized`, 403 `origin_not_allowed`,
//! 426 `upgrade_required`, 429 `too_many_connections`, 503 `unavailable` or `draining`.

mod codes;
mod connection;
mod fate;
mod frames;
mod history;
mod link;
mod presence;
mod publish;
mod server;
mod session;
mod sink;
mod socket;
pub mod tokens;
mod upgrade;
mod users;

pub use history::{Histories, Mark, Recall, Remembered};
pub use presence::{Lives, PresenceValue};
pub use server::{Gateway, GatewayConfig, GatewayParts, routes};
pub use sink::{PLATFORM, WebSocketSink};
