//! What is kept: the life of each event, dead letters, users, tokens, rules, personalities, sources, channels.
//!
//! A [`Store`] is a set of repositories over one database. What a driver promises:
//!
//! * A call that returned is committed: it outlives a kill of the process.
//! * A call that takes several records is one transaction: all of it or none.
//! * Whatever may be handed over twice may be written twice: entries of a timeline, dead letters and sightings
//!   have keys, and a repeat changes nothing and counts nothing.
//! * Text that is searched is cleaned (see [`clean`]); bodies are bytes, and come back as they were.
//! * What a record may hold is the same everywhere: see [`limits`].
//! * A record that the database can never take is [`StoreErrorKind::Refused`], and nothing of its call was
//!   written; one that it cannot take now is [`StoreErrorKind::Unavailable`].

mod accounts;
pub mod census;
mod channels;
mod clean;
pub mod conformance;
mod dead_letters;
mod documents;
mod error;
mod events;
pub mod life;
pub mod limits;
mod memory;
mod page;
mod patience;
mod sources;
mod store;
mod tokens;
mod users;

pub use accounts::{Account, Accounts};
pub use channels::{Channel, Channels};
pub use clean::clean;
pub use dead_letters::{DeadLetterFilter, DeadLetters, LetterState, Replay, StoredLetter};
pub use documents::{Document, DocumentKind, Documents};
pub use error::{StoreError, StoreErrorKind};
pub use events::{Entry, EventFacts, EventFilter, EventStatus, Events, StepEntry, StoredEvent, TimelineStep};
pub use memory::MemoryStore;
pub use page::Page;
pub use patience::until_available;
pub use sources::{SourceChange, SourceRow, Sources};
pub use store::Store;
pub use tokens::{TokenRow, Tokens};
pub use users::{PlatformRoles, Seen, Sighting, User, UserChange, UserFilter, UserStatus, Users};
