//! Users: who said something.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chatbus_event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Page, StoreError};

/// Whether a user may be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// As anybody.
    #[default]
    Active,
    /// Not answered.
    Banned,
}

/// A user. `provider` and `provider_user_id` always stand: a driver that finds an old record without them makes
/// them from the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// `provider:id`.
    pub id: String,
    /// The platform's name, or `api-gateway`.
    pub provider: String,
    /// The id there.
    pub provider_user_id: String,
    /// The name by which the platform knows the user.
    pub login: Option<String>,
    /// The name as shown.
    pub display_name: Option<String>,
    /// The e-mail address, where one was told.
    pub email: Option<String>,
    /// Whether the user may be answered.
    pub status: UserStatus,
    /// Roles that people gave here, by hand.
    pub granted_roles: Vec<String>,
    /// Roles that platforms tell, by platform: replaced whenever they are told.
    pub platform_roles: BTreeMap<String, Vec<String>>,
    /// Tags that people gave.
    pub tags: Vec<String>,
    /// What people noted.
    pub notes: Option<String>,
    /// When the user was first seen.
    pub first_seen_at: Timestamp,
    /// When the user was last seen.
    pub last_seen_at: Timestamp,
    /// Messages said, exactly.
    pub messages: u64,
    /// Sessions: a message after 24 h of silence begins one.
    pub sessions: u64,
    /// When the present session began.
    pub session_started_at: Option<Timestamp>,
    /// When the last message was.
    pub last_message_at: Option<Timestamp>,
}

/// What a platform tells of a user's roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformRoles {
    /// The platform.
    pub platform: String,
    /// All roles there; none when all were taken away.
    pub roles: Vec<String>,
}

/// Somebody was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Names the event: the same one changes and counts nothing the second time, and is answered as the first
    /// time.
    pub key: String,
    /// When the key may go; as long as the event may be handed over again.
    pub key_expires_at: Timestamp,
    /// The platform's name, or `api-gateway`.
    pub provider: String,
    /// The id there. The user's id is `provider:provider_user_id`.
    pub provider_user_id: String,
    /// The name by which the platform knows the user, where it was told.
    pub login: Option<String>,
    /// The name as shown, where it was told.
    pub display_name: Option<String>,
    /// The e-mail address, where it was told.
    pub email: Option<String>,
    /// The roles, where they were told.
    pub roles: Option<PlatformRoles>,
    /// When. An older one than the last changes no name and no role.
    pub at: Timestamp,
    /// Whether it is a message, which counts and may begin a session.
    pub is_message: bool,
}

/// What a sighting found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The user, as after this sighting (of a repeated one: as now).
    pub user: User,
    /// The user was new.
    pub is_new: bool,
    /// It was the first message ever.
    pub is_first_message: bool,
    /// It began a session.
    pub is_first_in_session: bool,
    /// The key was known: what it says of the first time is said again.
    pub is_repeated: bool,
}

/// What people change. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Whether the user may be answered.
    pub status: Option<UserStatus>,
    /// Roles given by hand.
    pub granted_roles: Option<Vec<String>>,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// Notes; an empty one removes them.
    pub notes: Option<String>,
}

/// Which users; every field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// The login or the name as shown, in any case.
    pub name: Option<String>,
    /// The platform.
    pub provider: Option<String>,
    /// Whether they may be answered.
    pub status: Option<UserStatus>,
}

/// Users.
#[async_trait]
pub trait Users: Send + Sync {
    /// Creates or changes the users of these sightings, in their order and in one transaction; answers in the
    /// same order. Several of one user in one call count each.
    ///
    /// # Errors
    /// [`Refused`](crate::StoreErrorKind::Refused) with the place of a sighting that can never be written; else
    /// when the store is out of reach.
    async fn sight(&self, sightings: &[Sighting]) -> Result<Vec<Seen>, StoreError>;

    /// A user.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn user(&self, id: &str) -> Result<Option<User>, StoreError>;

    /// Users, the last seen first.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn users(&self, filter: &UserFilter, page: &Page) -> Result<Vec<User>, StoreError>;

    /// Changes a user; `None` when there is no such user.
    ///
    /// # Errors
    /// When the store is out of reach.
    async fn change_user(&self, id: &str, change: &UserChange) -> Result<Option<User>, StoreError>;
}

// === impl User ===

impl User {
    /// Silence after which a message begins a session.
    pub const SESSION_MILLIS: i64 = 24 * 60 * 60 * 1000;

    /// All roles, given by hand and told by platforms, each once, in alphabetical order.
    pub fn roles(&self) -> Vec<&str> {
        let told = self.platform_roles.values().flatten();
        let all: std::collections::BTreeSet<&str> =
            self.granted_roles.iter().chain(told).map(String::as_str).collect();
        all.into_iter().collect()
    }

    /// The user that a first sighting makes, before anything is counted.
    pub fn first_seen(sighting: &Sighting) -> Self {
        Self {
            id: format!("{}:{}", sighting.provider, sighting.provider_user_id),
            provider: sighting.provider.clone(),
            provider_user_id: sighting.provider_user_id.clone(),
            login: None,
            display_name: None,
            email: None,
            status: UserStatus::Active,
            granted_roles: Vec::new(),
            platform_roles: BTreeMap::new(),
            tags: Vec::new(),
            notes: None,
            first_seen_at: sighting.at,
            last_seen_at: sighting.at,
            messages: 0,
            sessions: 0,
            session_started_at: None,
            last_message_at: None,
        }
    }

    /// Counts a sighting that is not repeated and takes over what it tells; gives whether it is the first
    /// message ever, and whether it began a session.
    pub fn sighted(&mut self, sighting: &Sighting) -> (bool, bool) {
        let is_newest = sighting.at >= self.last_seen_at;
        let take = |mine: &mut Option<String>, told: &Option<String>| {
            if told.is_some() && (is_newest || mine.is_none()) {
                mine.clone_from(told);
            }
        };
        take(&mut self.login, &sighting.login);
        take(&mut self.display_name, &sighting.display_name);
        take(&mut self.email, &sighting.email);
        if let Some(PlatformRoles { platform, roles }) = &sighting.roles
            && (is_newest || !self.platform_roles.contains_key(platform))
        {
            self.platform_roles.insert(platform.clone(), roles.clone());
        }
        self.first_seen_at = self.first_seen_at.min(sighting.at);
        self.last_seen_at = self.last_seen_at.max(sighting.at);
        if !sighting.is_message {
            return (false, false);
        }
        let is_first = self.messages == 0;
        let silence = |last: Timestamp| sighting.at.as_millis() - last.as_millis() >= Self::SESSION_MILLIS;
        let begins = self.last_message_at.is_none_or(silence);
        self.messages += 1;
        if begins {
            self.sessions += 1;
            self.session_started_at = Some(sighting.at);
        }
        self.last_message_at = Some(self.last_message_at.map_or(sighting.at, |last| last.max(sighting.at)));
        (is_first, begins)
    }
}

// === impl UserStatus ===

impl UserStatus {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Banned => "banned",
        }
    }

    /// The status of this word, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Banned].into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word))
    }
}
