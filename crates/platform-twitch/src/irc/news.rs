//! What operators see: the session's news as status and logs.

use std::sync::Arc;

use chatbus_connector::{AuthState, ConnectionState, LastError, RefusedChannel, Status};
use chatbus_event::Timestamp;
use tracing::{info, warn};

use super::limits::MAX_CHANNELS;
use super::session::{Gap, News};
use crate::added::AddedChannels;

const PLATFORM: &str = "twitch";

/// Writes one piece of news down.
pub(crate) fn report(status: &Status, news: News, now: Timestamp) {
    match news {
        News::State(state) => {
            let before = status.snapshot().state;
            if before != state {
                info!(event = "twitch.irc.state", platform = PLATFORM, from = ?before, to = ?state, "connection state");
            }
            status.update(|snapshot| snapshot.state = state);
        }
        News::Reconnected => status.update(|snapshot| {
            snapshot.counters.reconnects += 1;
            snapshot.last_reconnect_at = Some(now);
        }),
        News::Joined(channel) => {
            info!(event = "twitch.irc.joined", platform = PLATFORM, channel = &*channel, "joined");
            status.update(|snapshot| {
                snapshot.refused_channels.retain(|refused| *refused.channel != *channel);
                snapshot.joined_channels.insert(channel.to_string());
            });
        }
        News::Left(channel) => status.update(|snapshot| {
            snapshot.joined_channels.remove(&*channel);
        }),
        News::Refused { channel, code } => {
            warn!(
                event = "twitch.irc.channel_refused",
                platform = PLATFORM,
                channel = &*channel,
                errorCode = code,
                "a channel cannot be joined"
            );
            status.update(|snapshot| {
                snapshot.refused_channels.retain(|refused| *refused.channel != *channel);
                snapshot.refused_channels.push(RefusedChannel { channel: channel.to_string(), code });
            });
        }
        News::Pong(latency) => status.update(|snapshot| {
            snapshot.last_pong_at = Some(now);
            snapshot.latency_ms = u64::try_from(latency.as_millis()).ok();
        }),
        News::Trouble { code, message } => {
            warn!(
                event = "twitch.irc.trouble",
                platform = PLATFORM,
                errorCode = code,
                reason = message,
                "trouble"
            );
            let error = LastError { code: code.to_owned(), message, at: now };
            status.update(|snapshot| snapshot.last_error = Some(error));
        }
        News::UnknownRefusal(code) => {
            warn!(
                event = "twitch.irc.unknown_refusal",
                platform = PLATFORM,
                errorCode = code,
                "a refusal with a code that is not in the table"
            );
            status.count(|snapshot| {
                *snapshot.counters.other.entry("unknownRefusals".to_owned()).or_default() += 1;
            });
        }
        // Whoever knows the account shows it.
        News::LoggedIn { .. } | News::Allowance | News::TooFast(_) => {}
    }
}

/// Writes down how the account is, if that has changed.
pub(crate) fn auth(status: &Status, auth: AuthState) {
    let before = status.snapshot().auth;
    if before == auth {
        return;
    }
    if before.state != auth.state {
        info!(
            event = "twitch.auth.state",
            platform = PLATFORM,
            from = before.state,
            to = auth.state,
            "account"
        );
    }
    status.update(|snapshot| snapshot.auth = auth);
}

/// Tells of a gap.
pub(crate) fn gap(gap: &Gap) {
    let seconds = gap.to.saturating_duration_since(gap.from).as_secs();
    warn!(
        event = "twitch.irc.gap",
        platform = PLATFORM,
        reason = gap.reason,
        channels = gap.channels.len(),
        seconds,
        "what was said meanwhile was not read"
    );
}

/// Writes down which channels are wanted. What was refused and is no longer wanted is no trouble any more.
pub(crate) fn wanted(status: &Status, base: &[Arc<str>], added: &AddedChannels, now: Timestamp) {
    let AddedChannels { channels, malformed, beyond, .. } = added;
    let names = || channels.iter().map(|added| &added.name).filter(|name| !base.contains(name));
    let left_out = malformed + beyond;
    if left_out > 0 {
        warn!(
            event = "twitch.irc.channels_left_out",
            platform = PLATFORM,
            malformed,
            beyond,
            "not all channels that were added can be joined"
        );
    }
    let error = (left_out > 0).then(|| LastError {
        code: "channels_left_out".to_owned(),
        message: format!(
            "of the channels that were added {malformed} have no channel's name, and {beyond} are beyond the \
             {MAX_CHANNELS} that one instance is in"
        ),
        at: now,
    });
    info!(
        event = "twitch.irc.channels",
        platform = PLATFORM,
        configured = base.len(),
        added = names().count(),
        "channels that are wanted"
    );
    status.update(|snapshot| {
        snapshot.added_channels = names().map(ToString::to_string).collect();
        snapshot.wanted_channels = base.iter().chain(names()).map(ToString::to_string).collect();
        let wanted = &snapshot.wanted_channels;
        snapshot.refused_channels.retain(|refused| wanted.contains(&refused.channel));
        snapshot.last_error = error.or(snapshot.last_error.take());
    });
}

/// The session has ended for good.
pub(crate) fn stopped(status: &Status) {
    info!(event = "twitch.irc.stopped", platform = PLATFORM, "stopped");
    status.update(|snapshot| {
        snapshot.state = ConnectionState::Disconnected;
        snapshot.joined_channels.clear();
    });
}
