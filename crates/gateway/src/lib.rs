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
//!   `connection.resume` to any instance gives what was missed, whichever sent it, whole, or says
//!   `recovered:false`.
//! * Frames still queued when a connection closes were not sent: the engine knows which these are.
//!
//! # Frames of bots
//!
//! Of tokens that were made with `--bot`; any other is answered `unsupported_type`.
//!
//! | frame | shape |
//! |---|---|
//! | client | `{"type":"subscribe","payload":{"topic":"ingress"\|"enriched"\|"outcomes","filter":{"platform","channel","type"}?,"durable":NAME\|true?},"metadata":{"id"?}}` |
//! | server, it has begun | `{"type":"subscribed","payload":{"topic","durable"},"metadata":{"id"?,"timestamp"}}` |
//! | server | `{"type":"event","payload":{the event},"metadata":{"cursor","topic"}}` |
//! | client | `{"type":"event.ack","payload":{"cursor"}}`, of that one event; nothing answers it |
//! | client | `{"type":"unsubscribe","payload":{"topic","durable":NAME\|true?},"metadata":{"id"?}}` |
//! | server | `{"type":"unsubscribed","payload":{"topic","durable"},"metadata":{"id"?,"timestamp"}}` |
//! | client | `{"type":"egress.send","payload":{"to":TARGET\|"replyTo":ID,"text","type"?},"metadata":{"id"?}}`, answered by `chat.ack` |
//! | server, later | `{"type":"egress.outcome","payload":{"id"?,"correlationId","deliveryId","status","error"?},"metadata":{"timestamp"}}` |
//!
//! * `TARGET` is `twitch:#channel`, `websocket:USER` or `dm:PLATFORM:USER`, within what the token covers. `ID` is
//!   the `id` or `message.id` of one of the last 256 events of a subscription of this connection. `type` is
//!   `chat`, `dm` or `event`; what is private cannot be answered in public. An id that is a UUID is sent once.
//! * No `egress.outcome` comes when none is known 15 s after the deadline, or 10,000 are waited for on the
//!   instance, or the connection is gone: subscribe to `outcomes` to hear them all.
//! * A connection has one subscription to a topic. `NAME` is 1 to 32 of `A-Z a-z 0-9 _ -`, and belongs to
//!   the token: connections of one token share its events among them.
//! * A token has 16 places, of all topics and names; one more is `refused`. `unsubscribe` without `durable` ends
//!   the connection's subscription and keeps its place; with it the place is given up for good, unless another
//!   connection of the token still listens there. So are those of a token that was revoked or has expired, and those whose oldest event has waited for
//!   23 hours while nobody held any: the bus keeps events for 24.
//! * 256 events of a subscription are in flight. What is not acknowledged in 60 s comes again under
//!   another cursor; what a connection leaves behind comes again to the next one, with `durable`.
//! * What the token or the filter does not cover is not sent, an event without a channel to a token with
//!   channels included. Outcomes name neither platform nor channel: only tokens without limits hear them.
//! * A bot that leaves so much unread for 20 s that events have to wait is a slow consumer.
//! * `POST /api/v1/send` does what `egress.send` does ([`with_sends`]); there `replyTo` is one of the last 1,000
//!   events that the token covers.
//! * `bus_unavailable` that says `no subscription to TOPIC`: subscribe again.
//!
//! # Error codes of `chat.error`
//!
//! | code | means | stays open |
//! |---|---|---|
//! | `bad_frame` | not a JSON object with a `type` | yes |
//! | `bad_request` | a field is missing or wrong; the message names it | yes |
//! | `unsupported_type` | clients may not send this type, or this token may not | yes |
//! | `forbidden` | the token does not cover this channel, or this topic | yes |
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
//! | 4408 | slow consumer: nothing of what waits was read for 10 s, or over 512 frames or 1 MiB wait, or a bot's events had to for 20 s |
//! | 4410 | two pings were not answered |
//! | 4429 | the third `rate_limited` in a minute |
//!
//! # Answers to the upgrade
//!
//! JSON, `{"error":{"code","message"}}`: 400 `bad_upgrade`, 401 `unauthorized`, 403 `origin_not_allowed`,
//! 426 `upgrade_required`, 429 `too_many_connections`, 503 `unavailable` or `draining`.

mod codes;
mod connection;
mod coverage;
mod egress;
mod fate;
mod feed;
mod frames;
mod groups;
mod history;
mod link;
mod outcomes;
mod presence;
mod publish;
mod recall;
mod send;
mod server;
mod session;
mod sink;
mod socket;
pub mod tokens;
mod upgrade;
mod users;

pub use egress::{Target, TargetParser};
pub use presence::{Lives, PresenceValue};
pub use send::with_sends;
pub use server::{Gateway, GatewayConfig, GatewayParts, routes};
pub use sink::{PLATFORM, WebSocketSink};
