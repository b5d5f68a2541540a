//! The NATS JetStream bus, for nats-server 2.10 or newer.
//!
//! * **Streams.** One for each family of topics, made or adjusted on every connection before it is
//!   used (`streams`). Topics outside the families share one stream, each added on first use.
//! * **Publishing.** A bounded window of unacknowledged messages on one connection (`window`). When
//!   the connection ends, all of them have failed and none is sent later; while there is none,
//!   publishing fails at once. Whoever publishes resends from the oldest failure with the same ids.
//! * **"On the bus"** means that the stream's leader, and with replicas a majority, has written the
//!   message to its file. When that file is synced is the server's `sync_interval`.
//! * **Groups** are durable pull consumers without a bound on deliveries (`groups`); a member pulls
//!   what it has room for and shows signs of life for what it holds (`member`).
//! * **Settling.** On egress topics an acknowledgement is confirmed by the server. Elsewhere it has
//!   left the process; a server that is killed may deliver such a message once more, with or without
//!   confirmation.
//! * **Reading back** asks the leader for one message after another (`scan`).
//!
//! * **Shared state** is one key-value bucket for each space (`state`), over the same connection.
//!
//! The driver speaks the client protocol itself; `wire` says why.

mod access;
mod acks;
mod api;
mod bus;
mod config;
mod factory;
mod failures;
mod groups;
mod headers;
mod held;
mod lag;
mod link;
mod member;
mod names;
mod numbers;
mod others;
mod record;
mod scan;
mod state;
mod streams;
mod waiting;
mod window;
mod wire;

pub use bus::NatsBus;
pub use config::{NatsConfig, ServerUrl};
pub use factory::Factory;
