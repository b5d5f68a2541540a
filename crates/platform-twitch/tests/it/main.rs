//! Twitch from outside: the corpus of real lines, and the connector against a server on a real socket.

mod corpus;
mod expected;
mod lines;
mod snapshots;
