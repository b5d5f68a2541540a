//! Signed webhooks as a platform: whoever can post JSON can speak, and whoever can take a post can be spoken to.
//!
//! [`Factory`] reads the settings and makes a [`WebhookConnector`]. What is posted to it is checked by
//! `signature` before anything else, read by `message`, turned into an event by `normalize`, and confirmed by
//! `inbox` once it is safe. What is to be said is posted by the sink, signed the same way, to WEBHOOK_URL, with
//! the delivery's id as the idempotency key; `verdict` has the table of what the answers mean.
//!
//! The signatures are those of the Standard Webhooks specification, for which there are libraries in most
//! languages.

mod channel;
mod channels;
mod connector;
mod destination;
mod factory;
mod inbox;
mod message;
mod normalize;
mod outbox;
mod seen;
pub mod signature;
mod sink;
mod verdict;

pub use channel::channel_name;
pub use connector::{WebhookConfig, WebhookConnector};
pub use destination::{Destination, InvalidDestination};
pub use factory::Factory;

/// The platform's name.
pub const PLATFORM: &str = "webhook";

/// Where others post.
pub const PATH: &str = "/webhooks/generic";
