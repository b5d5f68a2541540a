//! The language model, over HTTP.

mod client;
mod failure;
mod pause;
mod reader;
mod sse;

pub use client::ClientError;
pub(crate) use client::ModelClient;
pub(crate) use failure::ModelFailure;
