//! What every test here uses.

mod cluster;
mod corpus;
mod event;
mod faults;
mod nats;
mod process;
mod publisher;
mod relay;
mod sandbox;
mod wait;
mod websocket;

pub(crate) use cluster::Cluster;
pub(crate) use corpus::Corpus;
pub(crate) use event::{Ids, chat_event};
pub(crate) use faults::{Moments, scale};
pub(crate) use nats::{publish, records as nats_records, settled_records};
pub(crate) use process::{Chatbus, Running, TOKEN, run};
pub(crate) use publisher::Publisher;
pub(crate) use relay::Relay;
pub(crate) use sandbox::SandboxProcess;
pub(crate) use wait::{LONG, SHORT, eventually, now};
pub(crate) use websocket::{Closed, WsClient};
