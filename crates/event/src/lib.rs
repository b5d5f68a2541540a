//! The envelope and everything pure about it: topics, attributes, wire shapes, text selection, dead
//! letters. Nothing here does I/O, reads a clock or draws a random number.

mod attributes;
mod clock;
#[cfg(test)]
mod corpus;
mod ids;
pub mod json;
mod reason;
mod topic;

pub use attributes::{Attributes, names};
pub use clock::{Clock, Entropy, Timestamp};
pub use ids::{InstanceId, InvalidInstanceId, MessageId, sha256_hex};
pub use reason::Reason;
pub use topic::{Family, InvalidTopic, Topic};
