//! What a chat platform is to chatbus.
//!
//! A platform crate gives a [`Connector`]: a [`Source`](Connector::run) that reads, and a [`Sink`] that
//! says. It hands over events already normalised, and roles already named; nothing outside the
//! platform's crate knows its words. Trouble with a connection is state, shown by [`Status`], never a
//! return value: a connector runs until it is told to stop.

mod accept;
mod account;
pub mod conformance;
mod factory;
mod notes;
mod share;
mod sink;
mod source;
mod status;
mod webhook;

pub use accept::{Accept, Accepted};
pub use account::{Account, AccountKeeper, AccountSource, Credential, CredentialState, NoAccounts};
pub use factory::{BuildContext, PlatformFactory};
pub use notes::{MemoryNotes, Notes, NotesUnavailable};
pub use share::Share;
pub use sink::{Audience, Availability, Capabilities, Outbound, PermanentReason, Sink, Target, Verdict};
pub use source::{Connector, Emit, Emitted, Inbound};
pub use status::{AuthState, ConnectionState, Counters, LastError, RefusedChannel, Snapshot, Status};
pub use webhook::{Webhook, WebhookAnswer, WebhookRequest};
