//! What a sandbox is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where a sandbox listens, and its bounds. Only loopback addresses; port 0 is a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxConfig {
    /// The control API.
    pub control_addr: SocketAddr,
    /// Twitch IRC over TCP.
    pub irc_addr: SocketAddr,
    /// Twitch IRC over WebSocket.
    pub irc_ws_addr: SocketAddr,
    /// The playground.
    pub playground_addr: SocketAddr,
    /// The language model.
    pub model_addr: SocketAddr,
    /// Twitch's HTTP interfaces and EventSub.
    pub twitch_api_addr: SocketAddr,
    /// Discord.
    pub discord_addr: SocketAddr,
    /// Twilio.
    pub twilio_addr: SocketAddr,
    /// Connections to a platform at one time; more are closed at once.
    pub max_connections: usize,
    /// Bytes that may wait for one connection; a client that is further behind is disconnected. Below
    /// 2 MiB, the answers to what one client sent in one go may not fit.
    pub outbox_bytes: usize,
    /// Between two PINGs of the server; a client silent from one to the next is disconnected.
    pub ping_interval: Duration,
    /// After a failed login the client may try again for so long, then it is disconnected.
    pub login_grace: Duration,
}

// === impl SandboxConfig ===

impl Default for SandboxConfig {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            control_addr: free,
            irc_addr: free,
            irc_ws_addr: free,
            playground_addr: free,
            model_addr: free,
            twitch_api_addr: free,
            discord_addr: free,
            twilio_addr: free,
            max_connections: 4_096,
            outbox_bytes: 8 * 1024 * 1024,
            // Twitch: about five minutes.
            ping_interval: Duration::from_secs(300),
            login_grace: Duration::from_secs(10),
        }
    }
}
