//! Twilio as a platform: text messages, WhatsApp, and conversations.
//!
//! [`Factory`] reads the settings and makes a [`TwilioConnector`]. What people say comes in through its webhook,
//! signed; what is said goes out over Twilio's REST APIs, and what became of it comes back as the answer's code
//! or a status that the webhook is called with. There is no connection to keep: what runs looks whether Twilio
//! takes the credentials.
//!
//! A text message belongs to no channel, so an answer to it goes to the number that sent it; what is said in a
//! conversation is answered there.

mod address;
mod api;
mod config;
mod connector;
mod factory;
pub mod form;
mod joining;
mod link;
pub mod normalize;
mod opt_out;
pub mod signature;
mod sink;
mod statuses;
mod text;
mod verdict;
mod webhook;

pub use config::{ApiKey, Sender, TwilioConfig};
pub use connector::TwilioConnector;
pub use factory::Factory;
pub use webhook::PATH as WEBHOOK_PATH;

/// The platform's name.
pub const PLATFORM: &str = "twilio";
