//! One connection as the server sees it, and how tests name connections.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use chatbus_event::Timestamp;
use chatbus_runtime::CancellationToken;
use serde::Serialize;
use tokio::sync::watch;

use super::outbox::Outbox;

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// WebSocket.
    Ws,
}

/// Which connections are meant: those that fit all that is given; with nothing given, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The connection with this number.
    pub connection: Option<u64>,
    /// Connections of this account.
    pub login: Option<String>,
    /// Connections that have joined this channel.
    pub channel: Option<String>,
}

/// A connection as tests read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionView {
    /// Its number, counting up from 1.
    pub id: u64,
    /// How it came.
    pub transport: Transport,
    /// The client's address.
    pub peer: SocketAddr,
    /// Whose it is, once logged in.
    pub login: Option<String>,
    /// Whether it may only read.
    pub anonymous: bool,
    /// The capabilities it asked for.
    pub capabilities: Vec<&'static str>,
    /// The channels it has joined.
    pub channels: Vec<String>,
    /// Whether it is frozen.
    pub frozen: bool,
    /// When it came.
    pub since: Timestamp,
    /// Lines read from it.
    pub lines: u64,
    /// Lines of it dropped because they were over 16 KiB.
    pub overlong: u64,
    /// Bytes not yet with the kernel.
    pub queued_bytes: usize,
    /// Writes lost because it was frozen and its queue full.
    pub discarded: u64,
}

/// The capabilities a client asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) commands: bool,
    pub(super) membership: bool,
    pub(super) tags: bool,
}

/// What the connection's loops share with the rest.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) id: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) frozen: watch::Receiver<bool>,
    /// Cancelled: close at once, whatever is queued.
    pub(super) cut: CancellationToken,
    /// Cancelled together with `cut` when the close is to be a TCP reset.
    pub(super) reset: CancellationToken,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) line: Line,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) since: Timestamp,
    pub(super) pass: Option<String>,
    /// Set once logged in.
    pub(super) login: Option<Arc<str>>,
    pub(super) anonymous: bool,
    pub(super) capabilities: Capabilities,
    pub(super) channels: BTreeSet<Arc<str>>,
    pub(super) freeze: watch::Sender<bool>,
    pub(super) lines: u64,
    pub(super) overlong: u64,
    /// A PING was sent and nothing came since.
    pub(super) awaits_pong: bool,
}

// === impl Client ===

impl Client {
    pub(super) fn fits(&self, who: &Who) -> bool {
        who.connection.is_none_or(|id| id == self.line.id)
            && who.login.as_deref().is_none_or(|login| self.login.as_deref() == Some(login))
            && who.channel.as_deref().is_none_or(|channel| self.channels.contains(channel))
    }

    pub(super) fn view(&self) -> ConnectionView {
        let (queued_bytes, discarded) = self.line.outbox.fill();
        ConnectionView {
            id: self.line.id,
            transport: self.transport,
            peer: self.peer,
            login: self.login.as_deref().map(ToOwned::to_owned),
            anonymous: self.anonymous,
            capabilities: self.capabilities.names(),
            channels: self.channels.iter().map(|channel| channel.to_string()).collect(),
            frozen: *self.freeze.borrow(),
            since: self.since,
            lines: self.lines,
            overlong: self.overlong,
            queued_bytes,
            discarded,
        }
    }

    pub(super) fn set_frozen(&self, frozen: bool) {
        self.freeze.send_replace(frozen);
        self.line.outbox.freeze(frozen);
    }
}

// === impl Capabilities ===

impl Capabilities {
    fn names(self) -> Vec<&'static str> {
        let all = [
            (self.commands, "twitch.tv/commands"),
            (self.membership, "twitch.tv/membership"),
            (self.tags, "twitch.tv/tags"),
        ];
        all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect()
    }

    /// With the asked for ones added (or, after a `-`, taken away); `None` when one is unknown: then
    /// nothing changes.
    pub(super) fn request(self, list: &str) -> Option<Self> {
        let mut changed = self;
        for word in list.split_ascii_whitespace() {
            let (name, on) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            match name {
                "twitch.tv/commands" => changed.commands = on,
                "twitch.tv/membership" => changed.membership = on,
                "twitch.tv/tags" => changed.tags = on,
                _ => return None,
            }
        }
        Some(changed)
    }

    pub(super) fn list(self) -> String {
        self.names().join(" ")
    }
}
