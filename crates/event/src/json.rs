//! JSON that is kept as it was written.
//!
//! An event passes many hands, most of which do not know all of its members. So a document is not
//! turned into maps and numbers and back: it is split into members that keep their text, and only
//! the members that change are written anew. Numbers of any size, repeated keys, their order and the
//! spelling of escapes survive; a document in which nothing changed is given back byte for byte.

mod object;
mod raw;
mod scan;

pub use object::Object;
pub use raw::Raw;
pub(crate) use raw::string;
pub(crate) use scan::plain;
pub use scan::{JsonError, MAX_DEPTH};

#[cfg(test)]
mod tests;
