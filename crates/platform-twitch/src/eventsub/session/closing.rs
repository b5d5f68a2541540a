//! Why Twitch closes a connection, and what follows.

/// When the next connection is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// At once, the first time; Twitch expects it.
    AtOnce,
    /// After a wait that grows each time.
    Later,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// A stable name.
    pub name: &'static str,
    /// What it means, for people.
    pub means: &'static str,
    /// When the next connection is tried.
    pub then: Then,
}

const fn row(name: &'static str, means: &'static str, then: Then) -> Closing {
    Closing { name, means, then }
}

/// Twitch's codes ("Getting events using WebSockets", "Close message"). Every one ends the session and its
/// subscriptions, unless another connection has taken it over.
const TABLE: [(u16, Closing); 8] = [
    (4000, row("internal_server_error", "the server had a problem", Then::Later)),
    (4001, row("client_sent_traffic", "the server takes us to have sent something", Then::Later)),
    (4002, row("failed_ping_pong", "the server had no answer to its ping", Then::Later)),
    (4003, row("connection_unused", "nothing was subscribed to in time", Then::Later)),
    (4004, row("reconnect_grace_time_expired", "the session was not moved in time", Then::AtOnce)),
    (4005, row("network_timeout", "the network was too slow", Then::Later)),
    (4006, row("network_error", "the network failed", Then::Later)),
    (4007, row("invalid_reconnect", "the address to reconnect to was refused", Then::AtOnce)),
];

const OTHER: Closing = row("connection_lost", "the connection ended", Then::Later);

/// What follows from a code; any other one, and none, is a lost connection.
pub fn closing(code: Option<u16>) -> Closing {
    TABLE.iter().find(|(known, _)| Some(*known) == code).map_or(OTHER, |(_, closing)| *closing)
}
