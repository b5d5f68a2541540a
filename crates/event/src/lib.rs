//! The envelope and everything pure about it: topics, attributes, wire shapes, text selection, dead
//! letters. Nothing here does I/O, reads a clock or draws a random number.

mod attributes;
mod clock;
#[cfg(test)]
mod corpus;
mod dead_letter;
mod draft;
mod event;
mod ids;
pub mod json;
mod outcome;
mod reason;
pub mod schema;
mod text;
mod topic;
mod view;
mod words;
mod writer;

pub use attributes::{Attributes, names};
pub use clock::{Clock, Entropy, Timestamp};
pub use dead_letter::{DEAD_LETTER_TYPE, DeadLetter};
pub use draft::{ChatContent, Content, Draft, Emote, ExternalContent, MAX_EVENT_BYTES, Value};
pub use event::{Event, InvalidEvent, Shape};
pub use ids::{InstanceId, InvalidInstanceId, MessageId, sha256_hex};
pub use outcome::{Attempt, ErrorInfo, FINALIZE_TYPE, Finalize, Status};
pub use reason::Reason;
pub use text::{best_candidate, egress_text};
pub use topic::{Family, InvalidTopic, Topic};
pub use view::{Annotation, AuthView, Candidate, EgressKind, EgressView, MessageView, Step};
