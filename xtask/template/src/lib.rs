//! __Platform__ as a platform.
//!
//! [`Factory`] reads the settings and makes a [`__Platform__Connector`], which reads what is new, turns it
//! into events, and has a sink that says things. What it speaks is a small JSON API, described in `api`, that
//! the fake in `tests/it/fake.rs` speaks too: this is where the words of the real platform go, and the table
//! in `verdict` is where its answers go.

mod api;
mod channel;
mod connector;
mod factory;
mod normalize;
mod sink;
mod verdict;

pub use channel::channel_name;
pub use connector::{__Platform__Config, __Platform__Connector};
pub use factory::Factory;

/// The platform's name.
pub const PLATFORM: &str = "__platform__";
