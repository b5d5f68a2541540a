//! What every test here uses.

mod corpus;
mod event;
mod faults;
mod nats;
mod process;
mod sandbox;
mod wait;

pub(crate) use corpus::Corpus;
pub(crate) use event::{Ids, chat_event};
pub(crate) use faults::{Moments, scale};
pub(crate) use nats::{publish, records as nats_records, settled_records};
pub(crate) use process::{Chatbus, Running, TOKEN, run};
pub(crate) use sandbox::SandboxProcess;
pub(crate) use wait::{LONG, SHORT, eventually, now};
