//! What a request can meet instead of a plain answer.

use std::time::Duration;

/// What one request meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFault {
    /// An answer other than its own.
    Say(String),
    /// A status, a `Retry-After` where one is given, and a body of JSON.
    Status {
        /// 300 to 599.
        status: u16,
        /// The header's text.
        retry_after: Option<String>,
        /// The body.
        body: String,
    },
    /// Its own answer, with a wait before every piece of it.
    Slow(Duration),
    /// Its own answer, with a wait before all of it.
    Late(Duration),
    /// Its own answer, of which the connection carries so many bytes and then ends.
    Cut(usize),
    /// The connection ends without an answer.
    Lost,
    /// Exactly these bytes, in pieces of this size, with status 200.
    Raw {
        /// The content type.
        content_type: String,
        /// The bytes.
        body: Vec<u8>,
        /// Bytes of a piece, at least 1.
        piece: usize,
    },
    /// Its own answer without the word that ends a stream, after which the connection stays open and silent.
    Endless,
}
