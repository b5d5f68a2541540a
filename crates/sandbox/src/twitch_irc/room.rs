//! One channel: who is in it, its modes, what accounts may do there, and what it was told to refuse.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde::Serialize;

/// People whose last message is remembered for slow mode and duplicates. When there are more, those
/// whose message is older than [`MEMORY`] go first; if that frees nothing, all are forgotten.
const MAX_TALKERS: usize = 10_000;
/// Slow mode is at most this long on Twitch.
const MEMORY: Duration = Duration::from_secs(120);
/// Accounts with a role in one channel.
pub(super) const MAX_ROLES: usize = 10_000;

/// What a channel was set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Modes {
    /// Least seconds between two messages of one account; 0 is off.
    pub slow_seconds: u64,
    /// -1 is off, 0 any follower, else followers for so many minutes.
    pub followers_only_minutes: i64,
    /// Only subscribers may speak.
    pub subs_only: bool,
    /// Only emotes may be said.
    pub emote_only: bool,
    /// Joining and speaking are refused with `msg_channel_suspended`.
    pub suspended: bool,
    /// A JOIN is never answered.
    pub never_joins: bool,
    /// Messages are accepted and delivered, and their sender is told nothing.
    pub silent: bool,
    /// Verdicts (USERSTATE or NOTICE) come this much later, in milliseconds.
    pub verdict_delay_ms: u64,
}

/// What an account is in one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Role {
    /// Moderator: 100 messages in 30 s, above the modes.
    pub moderator: bool,
    /// VIP: above the modes.
    pub vip: bool,
    /// Subscriber.
    pub subscriber: bool,
    /// Follower, for as long as the channel asks.
    pub follower: bool,
    /// Banned for good.
    pub banned: bool,
    /// Timed out until then.
    pub timeout_until: Option<Instant>,
}

/// What a role comes to now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    pub(super) broadcaster: bool,
    pub(super) moderator: bool,
    pub(super) vip: bool,
    pub(super) subscriber: bool,
    pub(super) follower: bool,
    pub(super) banned: bool,
    pub(super) timed_out: bool,
    /// Above the modes of the channel.
    pub(super) privileged: bool,
}

/// What somebody said last.
#[derive(Debug)]
pub(super) struct LastSaid {
    pub(super) text: String,
    pub(super) at: Instant,
}

/// A channel.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) members: BTreeSet<u64>,
    pub(super) modes: Modes,
    roles: HashMap<String, Role>,
    talkers: HashMap<String, LastSaid>,
}

// === impl Modes ===

impl Default for Modes {
    fn default() -> Self {
        Self {
            slow_seconds: 0,
            followers_only_minutes: -1,
            subs_only: false,
            emote_only: false,
            suspended: false,
            never_joins: false,
            silent: false,
            verdict_delay_ms: 0,
        }
    }
}

// === impl Room ===

impl Room {
    /// Whether forgetting it changes nothing.
    pub(super) fn is_plain(&self) -> bool {
        self.members.is_empty() && self.modes == Modes::default() && self.roles.is_empty()
    }

    /// Back to what it was at first; who is in it stays in it.
    pub(super) fn reset(&mut self) {
        self.modes = Modes::default();
        self.roles.clear();
        self.talkers.clear();
    }

    pub(super) fn role(&self, login: &str) -> Role {
        self.roles.get(login).copied().unwrap_or_default()
    }

    /// Sets a role; `false` when there are too many.
    pub(super) fn set_role(&mut self, login: &str, role: Role) -> bool {
        if role == Role::default() {
            self.roles.remove(login);
            return true;
        }
        if self.roles.len() >= MAX_ROLES && !self.roles.contains_key(login) {
            return false;
        }
        self.roles.insert(login.to_owned(), role);
        true
    }

    pub(super) fn standing(&self, login: &str, channel: &str, now: Instant) -> Standing {
        let role = self.role(login);
        let broadcaster = login == channel;
        Standing {
            broadcaster,
            moderator: role.moderator || broadcaster,
            vip: role.vip,
            subscriber: role.subscriber,
            follower: role.follower,
            banned: role.banned,
            timed_out: role.timeout_until.is_some_and(|until| now < until),
            privileged: role.moderator || role.vip || broadcaster,
        }
    }

    pub(super) fn last_said(&self, login: &str) -> Option<&LastSaid> {
        self.talkers.get(login)
    }

    pub(super) fn remember(&mut self, login: &str, said: LastSaid) {
        if self.talkers.len() >= MAX_TALKERS && !self.talkers.contains_key(login) {
            self.talkers.retain(|_, last| said.at.saturating_duration_since(last.at) < MEMORY);
            if self.talkers.len() >= MAX_TALKERS {
                self.talkers.clear();
            }
        }
        self.talkers.insert(login.to_owned(), said);
    }
}

impl Standing {
    /// The `badges` tag.
    pub(super) fn badges(self) -> String {
        let held = [
            (self.broadcaster, "broadcaster/1"),
            (self.moderator && !self.broadcaster, "moderator/1"),
            (self.vip, "vip/1"),
            (self.subscriber, "subscriber/0"),
        ];
        held.iter().filter(|(has, _)| *has).map(|(_, badge)| *badge).collect::<Vec<_>>().join(",")
    }
}
