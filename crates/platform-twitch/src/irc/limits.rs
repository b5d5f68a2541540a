//! Every number of Twitch's IRC, and of how we deal with it, with where it comes from.

use std::time::Duration;

/// A line's text has at most this many characters (Twitch: 500 a message). We count code points, as
/// Twitch does; the 512 bytes of RFC 1459 are not enforced by Twitch.
pub const MAX_TEXT_CHARS: usize = 500;

/// Lines from the server are cut here. Tags may take 8,191 bytes (IRCv3) and the rest 512, so this is
/// far above anything real.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The scope without which Twitch tells an account nothing.
pub const SCOPE_READ: &str = "chat:read";

/// The scope without which Twitch takes no message from an account.
pub const SCOPE_SPEAK: &str = "chat:edit";

/// Joins an account may make within [`JOIN_WINDOW`] (Twitch: 20 in 10 seconds).
pub const JOINS_PER_WINDOW: usize = 20;

/// The same for a bot that Twitch has verified (Twitch: 2,000 in 10 seconds).
pub const JOINS_PER_WINDOW_VERIFIED: usize = 2_000;

/// Twitch's 10 seconds and one more, since lines that leave evenly may arrive bunched.
pub const JOIN_WINDOW: Duration = Duration::from_secs(11);

/// Channels that one connector is in at most, the configured ones included: their names must fit into the
/// 64 KiB that an instance's lease says of itself, and 2,000 of 26 characters do.
pub const MAX_CHANNELS: usize = 2_000;

/// Channels that are left within [`PART_WINDOW`]. Twitch names no limit; this one keeps a long list from
/// filling the queue of what is to be written.
pub const PARTS_PER_WINDOW: usize = 100;

/// See [`PARTS_PER_WINDOW`].
pub const PART_WINDOW: Duration = Duration::from_secs(1);

/// How long a JOIN, or a PART of a channel we are in, may stay without an answer. Twitch answers within a fraction of a second, or not
/// at all when the channel does not exist.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// After this many unanswered tries a channel counts as refused, or as left.
pub const JOIN_TRIES: u32 = 3;

/// How long a refused channel is left alone before it is tried again: a suspension may end.
pub const REFUSED_RETRY: Duration = Duration::from_secs(300);

/// After our own JOIN came back, how long the USERSTATE and ROOMSTATE that belong to it may take. A
/// USERSTATE before that must not pass for the verdict on a message.
pub const JOIN_SETTLE: Duration = Duration::from_secs(1);

/// Messages an account may send within [`SEND_WINDOW`] to channels where it is neither moderator nor
/// broadcaster (Twitch: 20 in 30 seconds).
pub const SENDS_PER_WINDOW: usize = 20;

/// The same where it is one of them (Twitch: 100 in 30 seconds). These do not use up the 20; what is
/// sent elsewhere uses up both.
pub const SENDS_PER_WINDOW_MODERATOR: usize = 100;

/// Twitch's 30 seconds and one more, as for joins. Overstepping silences the account for half an hour.
pub const SEND_WINDOW: Duration = Duration::from_secs(31);

/// Between two messages to one channel, for all but moderators, VIPs and the broadcaster (Twitch: one
/// a second, msg_ratelimit otherwise).
pub const CHANNEL_GAP: Duration = Duration::from_millis(1100);

/// A text that was said in a channel within this time is dropped there (Twitch: msg_duplicate, 30 s).
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(31);

/// How often a repeated text is told apart by a mark before it waits instead.
pub const DUPLICATE_MARKS: usize = 8;

/// How long a message may stay without a verdict on a connection that lives (contract section 5:
/// `ACCEPTED`).
pub const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);

/// When a message has no verdict after this long, a PING asks whether the connection lives.
pub const VERDICT_PROBE: Duration = Duration::from_secs(2);

/// How often we PING. Freezing is noticed after this and [`PONG_TIMEOUT`] at the latest: 35 of the
/// 40 seconds that are allowed.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// A connection on which nothing at all arrives for this long after a PING is dead.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on which lines arrive but no PONG, this many times in a row, takes nothing from us
/// any more.
pub const UNANSWERED_PINGS: u32 = 3;

/// For name lookup, TCP, TLS and WebSocket handshakes together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From a connection to the server's welcome.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// After the welcome, how long the answer to our capability request may take before we go on without.
pub const CAPABILITY_TIMEOUT: Duration = Duration::from_secs(2);

/// A refused login is tried again this late at first, then twice as late each time. Twitch allows 20
/// logins in 10 seconds, but a token does not become valid by asking.
pub const LOGIN_RETRY_INITIAL: Duration = Duration::from_secs(30);

/// The longest wait between refused logins.
pub const LOGIN_RETRY_MAX: Duration = Duration::from_secs(900);

/// A connection that lasted this long was a success: the next backoff starts anew.
pub const STABLE_AFTER: Duration = Duration::from_secs(30);

/// After the server asked us to reconnect, how long messages in flight may wait for their verdicts.
pub const RECONNECT_GRACE: Duration = Duration::from_secs(2);

/// A server that takes no bytes for this long is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// When a refusal for speed names no time.
pub const RATE_LIMIT_RETRY: Duration = Duration::from_secs(5);

/// When a refusal for slow mode or a timeout names no time.
pub const MODE_RETRY: Duration = Duration::from_secs(30);

/// For the last bytes and the goodbye when we stop.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Events that may wait here while the publisher's queue is full; more are dropped and counted.
pub const MAX_UNTAKEN: usize = 8192;

/// When so many wait, reading pauses: what stays in the socket is neither lost by a kill nor held in
/// memory, and counts as read only when it is.
pub const PAUSE_AT: usize = 128;

/// How long reading pauses at most. Then it goes on, for the sake of PINGs and verdicts, and what
/// cannot be kept is counted as dropped.
pub const READ_PAUSE: Duration = Duration::from_secs(5);
