//! The playground: a platform that only the sandbox has, and whose messages carry an idempotency key.
//!
//! It is there for tests of what chatbus promises where a platform says nothing twice, and as the
//! smallest connector to read before writing another: [`Factory`] reads the settings and makes a
//! [`PlaygroundConnector`], which looks whether the server answers; its sink posts. Nothing is read.
//! It runs only when PLAYGROUND_URL is set, and that can be no other machine than this one.

mod api;
mod channel;
mod connector;
mod factory;
mod sink;
mod verdict;

pub use api::{Endpoint, NotLoopback};
pub use channel::channel_name;
pub use connector::PlaygroundConnector;
pub use factory::Factory;

/// The platform's name.
pub const PLATFORM: &str = "playground";
