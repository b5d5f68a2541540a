//! What operators see: the session's news as status and logs.

use chatbus_connector::{AuthState, ConnectionState, LastError, RefusedChannel, Status};
use chatbus_event::Timestamp;
use tracing::{info, warn};

use super::session::News;

const PLATFORM: &str = "twitch";

/// Writes one piece of news down. `login` is the account's.
pub(crate) fn report(status: &Status, news: News, login: Option<&str>, now: Timestamp) {
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
        News::LoggedIn { user_id } => status.update(|snapshot| {
            let user_id = user_id.or(snapshot.auth.user_id.take());
            snapshot.auth = AuthState { user_id, ..AuthState::ok(login.unwrap_or_default()) };
        }),
        News::LoginRefused => status.update(|snapshot| snapshot.auth.state = "needs_reauth"),
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
        News::Allowance | News::TooFast(_) => {}
    }
}

/// The session has ended for good.
pub(crate) fn stopped(status: &Status) {
    info!(event = "twitch.irc.stopped", platform = PLATFORM, "stopped");
    status.update(|snapshot| {
        snapshot.state = ConnectionState::Disconnected;
        snapshot.joined_channels.clear();
    });
}
