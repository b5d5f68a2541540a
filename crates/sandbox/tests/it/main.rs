//! The sandbox over real sockets.

mod bench;
mod chat;
mod client;
mod control;
mod corpus;
mod discord;
mod faults;
mod handshake;
mod model;
mod transport;
mod twilio;
mod twitch_api;
mod viewers;
