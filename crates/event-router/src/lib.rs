//! The event-router: finds the rule for every event, applies it, and sends the event on.
//!
//! A [`Router`] is a handler: its input is acknowledged after what it publishes is, and the same input gives the
//! same bytes again. A [`RuleBook`] keeps the rules that it asks: those of files and of the store, and the
//! default ones, read again when they change; what is broken leaves in force what was there before. A
//! [`PolicyBook`] does the same for what may be said. [`check`] and [`test()`] are for people who write rules.

mod book;
mod files;
mod kept;
mod memory;
mod policy_book;
mod router;
mod status;
mod tools;

pub use book::{RuleBook, RuleBookConfig};
pub use files::MAX_FILES;
pub use policy_book::PolicyBook;
pub use router::{Router, RouterConfig, RouterCounts};
pub use status::{BookStatus, SourceStatus};
pub use tools::{Checked, Tested, check, test};
