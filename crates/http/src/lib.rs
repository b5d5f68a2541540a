//! The HTTP client for services out in the world: no redirects, no proxy from the environment, TLS with the
//! public authorities, a time limit and a size limit for every answer, and where it is asked for ([`Reach`]) no
//! connection into private networks.
//!
//! Not the client that tests and commands use for plain HTTP: what its TLS trusts, and that it has any, is a
//! choice for all of a program, which would have every one of them read the machine's certificates or refuse to
//! start.

mod client;
mod guard;
mod reach;
mod transport;

pub use client::{Answer, HttpClient, HttpError};
pub use guard::Guarded;
pub use hyper;
pub use reach::{NotPublic, Reach};
pub use transport::{Http, Sent, client as transport, next_bytes};
