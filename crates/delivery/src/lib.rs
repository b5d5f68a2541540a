//! The egress engine: one outcome for every event that asks to be said.
//!
//! An [`Engine`] reads one instance's own egress topic and the generic one, decides where each event
//! goes ([`resolve()`]), says it through the [`Sink`](chatbus_connector::Sink) of its platform, and
//! publishes how it ended. What it promises, and how:
//!
//! * **One outcome.** The finalize event is published first and its receipt awaited, then for a failure
//!   the dead letter, then the input is acknowledged or its lane record removed. All ids come from the
//!   delivery's, so that a repeat is a duplicate. Bytes that are no event are a delivery like any other
//!   that failed: they have a finalize event (correlated by their attributes, else by their delivery
//!   id) and a dead letter `invalid_event`.
//! * **Order** holds in a conversation, one channel or one user of a platform, through retries, waits
//!   and a takeover; one thing is in flight in it. Conversations do not wait for each other. After a
//!   restart what waits in the lane may go ahead of what its last life held in slots of the bus, which
//!   the bus hands over again when it sees fit.
//! * **Waiting holds no slot of the bus.** What cannot be said now is published to the durable lane
//!   topic of the instance and then acknowledged; memory keeps its ticket only. Slots are shared while
//!   there are some; when all are taken, conversations that empty theirs slowly keep a few.
//! * **Nothing is said twice** unless the process dies between handing the bytes over and publishing the
//!   outcome. Before it reads, at the start and after each break of the bus, the engine looks back at
//!   the outcomes since its oldest waiting event; what ended is remembered. Outcomes that the bus has
//!   not confirmed are kept, and published again under the same id until it has.
//!
//! Decisions are pure and apart from the loop: where ([`resolve()`]), what next (`decide`), in which
//! order (`lanes`). The loop is one task that owns all state; time, randomness and the stop signal come
//! from the [`Runtime`](chatbus_runtime::Runtime), and it polls in a fixed order, so a simulation that
//! drives it sees the same run again.
//!
//! Where several instances share the generic topic, who forwards to whom is decided before an event
//! reaches its conversation: see `engine::intake`, which today forwards only what this instance does not
//! serve, and only from its own topic to the generic one.

mod cluster;
mod config;
mod decide;
mod defects;
mod engine;
mod facts;
mod finished;
mod lanes;
mod ledger;
mod membership;
mod outcome;
mod outcomes;
mod peers;
mod platform;
mod policy;
mod presented;
mod resolve;
mod role;
mod slab;
mod takeover;
mod ticket;
mod view;

pub use cluster::Cluster;
pub use config::{EngineConfig, LATE_BUT_TRIED, LATE_CHANCE, Limits, MAX_DEADLINE, MAX_HOPS, PATIENCE};
#[cfg(feature = "defects")]
#[doc(hidden)]
pub use defects::Defect;
pub use engine::{Ended, Engine, EngineState};
pub use facts::Facts;
pub use ledger::Ledger;
pub use membership::{Applicant, Membership};
pub use peers::{Alone, Peer, PeerChange, Peers};
pub use platform::{Platform, PlatformTable, Reach};
pub use policy::{Answer, Policy, Question};
pub use presented::{Presented, Process, Served, dispatcher_key, lease_key};
pub use resolve::{Destination, Refusal, resolve};
pub use role::Role;
pub use takeover::Takeover;
pub use view::ClusterView;
