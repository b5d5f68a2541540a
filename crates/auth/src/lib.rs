//! Who said it: the service between ingress and the rules.
//!
//! [`Auth`] is a [`BatchHandler`](chatbus_bus::BatchHandler) on `internal.ingress.v1`. It tells the store of each
//! user it sees, one call for a batch, and forwards every event with `user` and `auth`, matched or not. What
//! default rules are not to answer (our own account, other bots, banned users, a bot that answers us) gets
//! `metadata.ignored:true` and `metadata.ignoredReason`.
//!
//! `auth.provider` names the way an event came: a gateway user whose token belongs to an account of a platform is
//! that account (`user.id`, `auth.userRef`), and its event stays the gateway's, so that an answer to it stays as
//! private as it was.

mod config;
mod counters;
mod enrich;
mod handler;
mod identity;
mod lookup;
mod loops;
mod roles;
mod subject;

pub use config::{AuthConfig, LoopPolicy, RoleTable};
pub use counters::{AuthCounters, AuthTotals};
pub use enrich::Ignored;
pub use handler::Auth;
