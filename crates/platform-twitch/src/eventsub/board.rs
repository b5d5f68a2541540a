//! What is shown of EventSub: status, counters and logs; and which channels are read.
//!
//! Where IRC is read as well, IRC's connection is what the platform's state shows, and EventSub's is shown by
//! counters beside it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chatbus_connector::{ConnectionState, Credential, LastError, RefusedChannel, Status};
use chatbus_event::Timestamp;
use tracing::{info, warn};

use super::frames::Subscription;
use super::normalize::{Gap, Oddities};
use super::session::News;
use super::subscriptions::{Channel, Refusal, Wanted};
use super::types::CHAT_MESSAGE;
use crate::added::AddedChannels;
use crate::normalize::PLATFORM;

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    /// State, channels and account as EventSub knows them.
    own: Status,
    /// What everybody sees; the same where nothing else is read.
    public: Status,
    /// The owners of channels by the channels' names.
    known: HashMap<Arc<str>, Arc<str>>,
    /// The channels that are read now.
    read: BTreeSet<Arc<str>>,
    /// The channels that were read before nothing was heard any more.
    missed: BTreeSet<Arc<str>>,
}

// === impl Board ===

impl Board {
    pub(crate) fn new(own: Status, public: Status) -> Self {
        Self { own, public, known: HashMap::new(), read: BTreeSet::new(), missed: BTreeSet::new() }
    }

    pub(super) fn known(&self) -> &HashMap<Arc<str>, Arc<str>> {
        &self.known
    }

    pub(super) fn wanted(&mut self, base: &[Arc<str>], added: &AddedChannels, now: Timestamp) {
        let beside = || added.channels.iter().map(|added| &added.name).filter(|name| !base.contains(name));
        let wanted: BTreeSet<String> = base.iter().chain(beside()).map(ToString::to_string).collect();
        info!(
            event = "twitch.eventsub.channels",
            platform = PLATFORM,
            configured = base.len(),
            added = beside().count(),
            "channels that are wanted"
        );
        self.known.retain(|name, _| wanted.contains(&**name));
        self.read.retain(|name| wanted.contains(&**name));
        self.missed.retain(|name| wanted.contains(&**name));
        let left_out = added.malformed + added.beyond;
        self.own.update(|snapshot| {
            snapshot.added_channels = beside().map(ToString::to_string).collect();
            snapshot.joined_channels.retain(|name| wanted.contains(name));
            snapshot.refused_channels.retain(|refused| wanted.contains(&refused.channel));
            snapshot.wanted_channels = wanted;
        });
        if left_out > 0 {
            let message = format!("{left_out} channels that were added cannot be read");
            self.trouble("channels_left_out", message, now);
        }
    }

    /// What the account's keeper knows.
    pub(super) fn credential(&self, credential: &Credential) {
        let known = credential.auth_state(&[]);
        self.own.update(|snapshot| {
            let auth = &mut snapshot.auth;
            auth.state = known.state;
            auth.expires_at = known.expires_at;
            auth.login = known.login.or(auth.login.take());
            auth.user_id = known.user_id.or(auth.user_id.take());
        });
    }

    pub(super) fn who(&self, user_id: String, login: String) {
        self.own.update(|snapshot| {
            snapshot.auth.user_id = Some(user_id);
            snapshot.auth.login =
                Some(login).filter(|login| !login.is_empty()).or(snapshot.auth.login.take());
            snapshot.auth.missing_scopes.clear();
        });
    }

    pub(super) fn resolved(&mut self, channels: &[Channel]) {
        self.known = channels.iter().map(|c| (Arc::clone(&c.name), Arc::clone(&c.id))).collect();
    }

    pub(super) fn nobody(&self, names: &[Arc<str>]) {
        for name in names {
            self.refuse(name, "channel_not_found");
        }
    }

    pub(super) fn lacks(&self, scopes: &BTreeSet<&'static str>) {
        for scope in scopes {
            self.lacks_one(scope);
        }
        if scopes.contains("user:read:chat") {
            for name in self.known.keys() {
                self.refuse(name, "missing_scope");
            }
        }
    }

    pub(super) fn subscribed(&mut self, wanted: &Wanted) {
        if !wanted.is_chat() {
            return;
        }
        let name = &wanted.channel.name;
        if self.read.insert(Arc::clone(name)) {
            info!(event = "twitch.eventsub.joined", platform = PLATFORM, channel = &**name, "subscribed");
        }
        self.own.update(|snapshot| {
            snapshot.refused_channels.retain(|refused| *refused.channel != **name);
            snapshot.joined_channels.insert(name.to_string());
        });
        self.count_channels();
    }

    pub(super) fn refused(&mut self, wanted: &Wanted, why: &Refusal, now: Timestamp) {
        let (kind, name) = (wanted.row.name, &wanted.channel.name);
        if matches!(why, Refusal::MissingScope(_)) {
            for scope in wanted.row.scopes.iter().take(1) {
                self.lacks_one(scope);
            }
        }
        if wanted.is_chat() {
            self.read.remove(name);
            self.refuse(name, why.code());
        } else {
            self.count("eventsubRefusedTypes", 1);
        }
        let detail = match why {
            Refusal::MissingScope(text) | Refusal::Refused(text) => text.as_str(),
            other => other.code(),
        };
        let needs = wanted.row.scopes.first().map(|scope| format!(", needs {scope}")).unwrap_or_default();
        self.trouble(why.code(), format!("{kind} in {name}{needs}: {detail}"), now);
    }

    pub(super) fn revoked(&mut self, gone: &Subscription<'_>, now: Timestamp) {
        let code = match &*gone.status {
            "authorization_revoked" => "authorization_revoked",
            "user_removed" => "user_removed",
            "version_removed" => "version_removed",
            "moderator_removed" => "moderator_removed",
            _ => "revoked",
        };
        self.count("eventsubRevoked", 1);
        let condition = &gone.condition;
        let id = condition.broadcaster_user_id.as_ref().or(condition.to_broadcaster_user_id.as_ref());
        let channel = self.known.iter().find(|(_, known)| id.is_some_and(|id| *id == ***known));
        let channel = channel.map(|(name, _)| Arc::clone(name));
        if code == "authorization_revoked" {
            self.own.update(|snapshot| snapshot.auth.state = "needs_reauth");
        }
        if let Some(name) = channel.as_ref().filter(|_| gone.kind == CHAT_MESSAGE) {
            self.read.remove(name);
            self.own.update(|snapshot| {
                snapshot.joined_channels.remove(&**name);
            });
            self.refuse(name, code);
            self.count_channels();
        }
        let of = channel.as_deref().unwrap_or("an unknown channel");
        self.trouble(code, format!("{} in {of} has ended", gone.kind), now);
    }

    /// The session is over, and its subscriptions with it.
    pub(super) fn lost(&self) {
        self.own.update(|snapshot| snapshot.joined_channels.clear());
        self.set("eventsubConnected", 0);
    }

    /// The subscriptions of before are gone; those of now are still to be made.
    pub(super) fn left(&mut self) {
        self.missed.append(&mut self.read);
        self.lost();
        self.set("eventsubConnected", 1);
        self.count_channels();
    }

    /// The subscriptions of before are there.
    pub(super) fn moved(&self) {
        self.own.update(|snapshot| {
            snapshot.joined_channels.extend(self.read.iter().map(ToString::to_string));
        });
        self.set("eventsubConnected", 1);
    }

    /// The channels of which nothing was heard for a while.
    pub(super) fn missed(&mut self) -> Vec<Arc<str>> {
        if self.missed.is_empty() {
            return self.read.iter().cloned().collect();
        }
        std::mem::take(&mut self.missed).into_iter().collect()
    }

    pub(super) fn gap(&self, gap: &Gap) {
        self.count("eventsubGaps", 1);
        warn!(
            event = "twitch.eventsub.gap",
            platform = PLATFORM,
            reason = gap.reason,
            from = %gap.from,
            to = %gap.to,
            channels = gap.channels.len(),
            "Twitch told nobody what happened for a while"
        );
    }

    pub(super) fn received(&self, now: Timestamp, oddities: Oddities, dropped: u64) {
        self.public.count(|snapshot| {
            snapshot.last_message_at = Some(now);
            let counters = &mut snapshot.counters;
            counters.received += 1;
            for (name, count) in [
                ("eventsubMalformed", oddities.malformed),
                ("eventsubUnknownTypes", oddities.unknown_types),
                ("eventsubUnreadableChat", oddities.unreadable_chat),
                ("eventsubBadEmotes", oddities.bad_emotes),
                ("eventsubDroppedForRoom", dropped),
            ] {
                if count > 0 {
                    counters.other.insert(name.to_owned(), count);
                }
            }
        });
    }

    pub(super) fn news(&self, news: News, now: Timestamp) {
        match news {
            News::State(state) => self.state(state),
            News::Reconnected => {
                self.count("eventsubReconnects", 1);
                self.own.update(|snapshot| {
                    snapshot.counters.reconnects += 1;
                    snapshot.last_reconnect_at = Some(now);
                });
            }
            News::Repeated => self.count("eventsubRepeated", 1),
            News::UnknownFrame => self.count("eventsubUnknownFrames", 1),
            News::Trouble { code, message } => self.trouble(code, message, now),
        }
    }

    pub(super) fn trouble(&self, code: &'static str, message: String, now: Timestamp) {
        warn!(
            event = "twitch.eventsub.trouble",
            platform = PLATFORM,
            errorCode = code,
            reason = message,
            "trouble"
        );
        let error = LastError { code: code.to_owned(), message, at: now };
        self.public.update(|snapshot| snapshot.last_error = Some(error));
    }

    pub(super) fn online(&self) {
        self.state(ConnectionState::Connected);
        self.set("eventsubConnected", 1);
    }

    /// Twitch refused all that was to be subscribed to.
    pub(super) fn nothing(&self, now: Timestamp) {
        self.state(ConnectionState::Error);
        self.trouble("nothing_subscribed", "nothing could be subscribed to".to_owned(), now);
    }

    pub(super) fn reauth(&self, why: &str, now: Timestamp) {
        self.own.update(|snapshot| snapshot.auth.state = "needs_reauth");
        self.state(ConnectionState::Error);
        self.trouble("needs_reauth", why.to_owned(), now);
    }

    pub(super) fn stopped(&self) {
        info!(event = "twitch.eventsub.stopped", platform = PLATFORM, "stopped");
        self.own.update(|snapshot| {
            snapshot.state = ConnectionState::Disconnected;
            snapshot.joined_channels.clear();
        });
    }

    fn state(&self, state: ConnectionState) {
        let before = self.own.snapshot().state;
        if before != state {
            info!(event = "twitch.eventsub.state", platform = PLATFORM, from = ?before, to = ?state, "connection state");
        }
        self.own.update(|snapshot| snapshot.state = state);
    }

    fn refuse(&self, name: &str, code: &str) {
        warn!(
            event = "twitch.eventsub.channel_refused",
            platform = PLATFORM,
            channel = name,
            errorCode = code,
            "a channel cannot be read"
        );
        self.own.update(|snapshot| {
            snapshot.joined_channels.remove(name);
            snapshot.refused_channels.retain(|refused| refused.channel != name);
            let (channel, code) = (name.to_owned(), code.to_owned());
            snapshot.refused_channels.push(RefusedChannel { channel, code });
        });
    }

    fn lacks_one(&self, scope: &str) {
        self.public.update(|snapshot| {
            if !snapshot.auth.missing_scopes.iter().any(|known| known == scope) {
                snapshot.auth.missing_scopes.push(scope.to_owned());
            }
        });
    }

    fn count_channels(&self) {
        self.set("eventsubChannels", self.read.len() as u64);
    }

    fn count(&self, name: &str, by: u64) {
        self.public.count(|snapshot| *snapshot.counters.other.entry(name.to_owned()).or_default() += by);
    }

    fn set(&self, name: &str, value: u64) {
        self.public.update(|snapshot| {
            snapshot.counters.other.insert(name.to_owned(), value);
        });
    }
}
