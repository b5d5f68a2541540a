//! The envelope and everything pure about it: topics, attributes, wire shapes, text selection, dead
//! letters. Nothing here does I/O, reads a clock or draws a random number.

mod attributes;
mod clock;
#[cfg(test)]
mod corpus;
mod event;
mod ids;
pub mod json;
mod reason;
mod text;
mod topic;
mod view;

pub use attributes::{Attributes, names};
pub use clock::{Clock, Entropy, Timestamp};
pub use event::{Event, InvalidEvent, Shape};
pub use ids::{InstanceId, InvalidInstanceId, MessageId, sha256_hex};
pub use reason::Reason;
pub use text::{best_candidate, egress_text};
pub use topic::{Family, InvalidTopic, Topic};
pub use view::{Annotation, AuthView, Candidate, EgressKind, MessageView, Step};
