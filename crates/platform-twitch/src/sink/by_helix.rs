//! Whether something can be said by Helix, as far as is known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_connector::{Availability, Outbound, Share, Status, Verdict};
use chatbus_event::Clock;

use crate::TwitchConfig;
use crate::helix::Helix;
use crate::helix::chat::{Chat, Room};
use crate::helix::progress::Tried;
use crate::helix::users::Users;
use crate::helix::whispers::Whispers;

/// How long Helix is left alone after no connection to it could be made.
const REST: Duration = Duration::from_secs(5);

/// The ways by Helix.
#[derive(Debug)]
pub(crate) struct ByHelix {
    helix: Helix,
    /// `None` where only IRC speaks in channels.
    chat: Option<Chat>,
    whispers: Whispers,
    clock: Arc<dyn Clock>,
    trouble: Mutex<Trouble>,
}

/// Whether channel messages can go out by Helix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chats {
    Now,
    /// Not before then: it is out of reach.
    NotBefore(Instant),
    /// Not with this token.
    Refused,
    /// Not without a token, or not as it is configured.
    Never,
}

/// What went wrong.
#[derive(Debug, Default)]
struct Trouble {
    /// The token of this generation does not do for chat.
    refused: Option<u64>,
    resting_until: Option<Instant>,
}

// === impl ByHelix ===

impl ByHelix {
    /// As it is configured; `None` without an application.
    pub(crate) fn of(
        config: &TwitchConfig,
        share: &Share,
        status: &Status,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let clock = Arc::clone(clock);
        let helix = Helix::new(config.api.clone()?, config.bot.clone(), Arc::clone(&clock));
        let whispers = Whispers::new(helix.clone(), share.clone(), status.clone(), Arc::clone(&clock));
        let chat = config.may_chat_by_helix().then(|| {
            let users = Users::new(helix.clone(), Arc::clone(&clock));
            let paced = config.is_paced();
            Chat::new(helix.clone(), users, share.clone(), paced, status.clone(), Arc::clone(&clock))
        });
        Some(Self { helix, chat, whispers, clock, trouble: Mutex::default() })
    }

    /// Whether there is a token of the bot.
    pub(super) fn has_token(&self) -> bool {
        self.helix.account().now().token.is_some()
    }

    /// Whether there is a token of the bot, and Helix is for channels.
    pub(super) fn can_chat(&self) -> bool {
        self.chat.is_some() && self.has_token()
    }

    pub(super) fn chats(&self, now: Instant) -> Chats {
        let credential = self.helix.account().now();
        if self.chat.is_none() || credential.token.is_none() {
            return Chats::Never;
        }
        let trouble = self.trouble();
        match trouble.resting_until.filter(|until| *until > now) {
            _ if trouble.refused == Some(credential.generation) => Chats::Refused,
            Some(until) => Chats::NotBefore(until),
            None => Chats::Now,
        }
    }

    /// The part of Helix that speaks in channels, if that is configured.
    pub(super) fn chat(&self) -> Option<&Chat> {
        self.chat.as_ref()
    }

    /// From when on the limits allow something in this channel; `None` is now.
    pub(super) fn allowed_from(&self, room: Room<'_>, now: Instant) -> Option<Instant> {
        self.chat.as_ref()?.allowed_from(room, now)
    }

    /// Says it in a channel, and learns from what became of it.
    pub(super) async fn say(&self, room: Room<'_>, outbound: &Outbound) -> Tried {
        let Some(chat) = &self.chat else { return Tried::NothingSaid(Verdict::NotNow) };
        let generation = self.helix.account().now().generation;
        let tried = chat.send(room, outbound).await;
        let now = self.clock.instant();
        let mut trouble = self.trouble();
        match &tried {
            Tried::NothingSaid(Verdict::Retry { .. }) => trouble.resting_until = Some(now + REST),
            Tried::NothingSaid(_) => trouble.refused = Some(generation),
            Tried::Done(_) => {}
        }
        tried
    }

    /// Says it to one user.
    pub(super) async fn whisper(&self, to: &str, outbound: &Outbound) -> Verdict {
        self.whispers.send(to, outbound).await
    }

    pub(super) fn direct_availability(&self, now: Instant) -> Availability {
        if !self.has_token() {
            return Availability::Unserved;
        }
        super::not_before(self.whispers.allowed_from(now))
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
