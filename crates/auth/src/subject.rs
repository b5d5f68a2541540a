//! An event that auth looks at, and the sighting it is. Pure.

use chatbus_bus::{Failure, Record};
use chatbus_event::json::Raw;
use chatbus_event::{Event, MAX_EVENT_BYTES, Reason, Timestamp};
use chatbus_store::{PlatformRoles, Sighting};

use crate::config::AuthConfig;
use crate::identity::Identity;
use crate::roles;

/// An event and what it tells of its user.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) event: Event,
    pub(crate) identity: Identity,
    /// The roles that it tells; `None` when it tells nothing of them.
    pub(crate) told: Option<Vec<String>>,
    /// Whether somebody said something.
    pub(crate) is_message: bool,
    /// Whether our own account said it.
    pub(crate) is_own: bool,
    /// When.
    pub(crate) at: Timestamp,
}

// === impl Subject ===

impl Subject {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is no event, or one that is too long: such a message is given up.
    pub(crate) fn read(record: &Record, config: &AuthConfig) -> Result<Self, Failure> {
        let body = &record.message.body;
        if body.len() > MAX_EVENT_BYTES {
            return Err(invalid("too_large", format!("longer than {MAX_EVENT_BYTES} bytes")));
        }
        let mut event = Event::decode(body).map_err(|error| invalid("invalid_event", error.to_string()))?;
        if event.correlation_id().is_none() {
            event.set("correlationId", Raw::of(correlation_id(record)));
        }
        let identity = Identity::of(&event, config);
        let default = Default::default();
        let told = roles::told(&event, config.roles.get(&identity.provider).unwrap_or(&default));
        let is_message = is_message(&event);
        let is_own = event.metadata("self").and_then(|own| own.as_bool()).unwrap_or(false);
        // A clock that runs ahead somewhere must not make what comes later look old for ever.
        let said_at = event.member("timestamp").and_then(|at| Timestamp::parse(&at.as_str()?));
        let at = said_at.map_or(record.published_at, |at| at.min(record.published_at));
        Ok(Self { event, identity, told, is_message, is_own, at })
    }

    /// The sighting of its user, if it is anybody's.
    pub(crate) fn sighting(&self, record: &Record, config: &AuthConfig) -> Option<Sighting> {
        let user = self.identity.user.as_ref()?;
        let told = self.told.as_ref();
        Some(Sighting {
            key: record.message.id.to_string(),
            key_expires_at: record.published_at.plus(config.keep_keys),
            provider: user.provider.clone(),
            provider_user_id: user.id.clone(),
            login: user.login.clone(),
            display_name: user.display_name.clone(),
            email: user.email.clone(),
            roles: told.map(|roles| PlatformRoles {
                platform: self.identity.provider.clone(),
                roles: roles.clone(),
            }),
            at: self.at,
            is_message: self.is_message,
        })
    }

    /// Whether it waited in a spool for longer than the bus looks back.
    pub(crate) fn is_late(&self) -> bool {
        self.event.metadata("late").and_then(|late| late.as_bool()).unwrap_or(false)
    }

    /// Whether its user is on the list of other bots.
    pub(crate) fn is_listed(&self, config: &AuthConfig) -> bool {
        let Some(user) = &self.identity.user else { return false };
        let id = format!("{}:{}", user.provider, user.id).to_lowercase();
        let names = [&user.login, &user.display_name].into_iter().flatten();
        config.ignored.contains(&id)
            || names.into_iter().any(|name| config.ignored.contains(&name.to_lowercase()))
    }
}

/// What names an event's life where the event itself does not: the attribute, else the message's id.
fn correlation_id(record: &Record) -> &str {
    let named = record.message.attributes.get(chatbus_event::names::CORRELATION_ID);
    named.filter(|id| !id.is_empty()).unwrap_or(record.message.id.as_str())
}

/// By its role, else by its type.
fn is_message(event: &Event) -> bool {
    match event.message().and_then(|message| message.role) {
        Some(role) => role == "user",
        None => {
            let kind = event.kind();
            let mut parts = kind.split('.').skip_while(|part| *part != "chat");
            parts.next().is_some() && matches!(parts.next(), Some("message" | "command"))
        }
    }
}

fn invalid(code: &str, message: String) -> Failure {
    Failure { reason: Reason::InvalidEvent, code: code.to_owned(), message }
}
