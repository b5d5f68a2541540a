//! What sightings make of users, once the users and the known keys were read: the same for every driver.

use std::collections::{BTreeMap, HashMap};

use crate::{PlatformRoles, Seen, Sighting, StoreError, StoreErrorKind, User, UserChange, limits};

/// What was answered to a sighting the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The user was new.
    pub is_new: bool,
    /// It was the first message ever.
    pub is_first_message: bool,
    /// It began a session.
    pub is_first_in_session: bool,
}

/// What was read, and what becomes of it.
#[derive(Debug, Clone, Default)]
pub struct Census {
    /// The users of the sightings that exist, by id; then as they are to be written.
    pub users: BTreeMap<String, User>,
    /// The keys that are known, and what was answered; then the new ones as well.
    pub keys: HashMap<String, Answer>,
    /// The places of the sightings whose keys are to be written.
    pub counted: Vec<usize>,
}

// === impl Answer ===

impl Answer {
    /// As a number of three bits.
    pub fn bits(self) -> i16 {
        i16::from(self.is_new)
            | i16::from(self.is_first_message) << 1
            | i16::from(self.is_first_in_session) << 2
    }

    /// From such a number.
    pub fn from_bits(bits: i16) -> Self {
        Self { is_new: bits & 1 != 0, is_first_message: bits & 2 != 0, is_first_in_session: bits & 4 != 0 }
    }
}

// === impl Census ===

impl Census {
    /// Counts the sightings in their order; gives the answers.
    pub fn take(&mut self, sightings: &[Sighting]) -> Vec<Seen> {
        sightings.iter().enumerate().map(|(at, sighting)| self.one(at, &cleaned(sighting))).collect()
    }

    fn one(&mut self, at: usize, sighting: &Sighting) -> Seen {
        let id = user_id(sighting);
        let known = self.keys.get(&sighting.key).copied();
        let is_new = !self.users.contains_key(&id);
        let user = self.users.entry(id).or_insert_with(|| User::first_seen(sighting));
        let answer = known.unwrap_or_else(|| {
            let (is_first_message, is_first_in_session) = user.sighted(sighting);
            Answer { is_new, is_first_message, is_first_in_session }
        });
        if known.is_none() {
            self.keys.insert(sighting.key.clone(), answer);
            self.counted.push(at);
        }
        Seen {
            user: user.clone(),
            is_new: answer.is_new,
            is_first_message: answer.is_first_message,
            is_first_in_session: answer.is_first_in_session,
            is_repeated: known.is_some(),
        }
    }
}

/// `provider:provider_user_id`.
pub fn user_id(sighting: &Sighting) -> String {
    format!("{}:{}", sighting.provider, sighting.provider_user_id)
}

/// Does what people want to a user.
pub fn change(user: &mut User, change: &UserChange) {
    if let Some(status) = change.status {
        user.status = status;
    }
    if let Some(roles) = &change.granted_roles {
        user.granted_roles = names(roles);
    }
    if let Some(tags) = &change.tags {
        user.tags = names(tags);
    }
    if let Some(notes) = &change.notes {
        user.notes = Some(limits::text(notes)).filter(|notes| !notes.is_empty());
    }
}

/// A user from JSON. An old record may lack the provider and the id there: both are in the user's id.
///
/// # Errors
/// [`Unavailable`](StoreErrorKind::Unavailable) when it is no user's: somebody else wrote it, and may mend it.
pub fn parse_user(id: &str, json: &[u8]) -> Result<User, StoreError> {
    let failed = |error: serde_json::Error| {
        StoreError::new(StoreErrorKind::Unavailable, "a stored user cannot be read").caused_by(error)
    };
    match serde_json::from_slice(json) {
        Ok(user) => Ok(user),
        Err(error) => {
            let mut fields: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(json).map_err(failed)?;
            let (provider, raw) = id.split_once(':').ok_or(error).map_err(failed)?;
            for (field, value) in [("id", id), ("provider", provider), ("providerUserId", raw)] {
                fields.entry(field).or_insert_with(|| value.into());
            }
            serde_json::from_value(fields.into()).map_err(failed)
        }
    }
}

/// A user as JSON.
///
/// # Errors
/// Never, as users are; but the serializer may say so.
pub fn user_json(user: &User) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(user).map_err(|error| {
        StoreError::new(StoreErrorKind::Refused, "a user cannot be written as JSON").caused_by(error)
    })
}

/// A name by which users are found, whatever its case.
pub fn folded(name: &str) -> String {
    limits::name(name).to_lowercase()
}

fn names(list: &[String]) -> Vec<String> {
    list.iter().take(limits::MAX_LIST).map(|one| limits::name(one)).collect()
}

fn cleaned(sighting: &Sighting) -> Sighting {
    let name = |told: &Option<String>| told.as_deref().map(limits::name);
    Sighting {
        login: name(&sighting.login),
        display_name: name(&sighting.display_name),
        email: name(&sighting.email),
        roles: sighting
            .roles
            .as_ref()
            .map(|told| PlatformRoles { platform: told.platform.clone(), roles: names(&told.roles) }),
        ..sighting.clone()
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::Timestamp;

    use super::*;

    fn sighting() -> Sighting {
        Sighting {
            key: "k".into(),
            key_expires_at: Timestamp::EPOCH,
            provider: "p".into(),
            provider_user_id: "1:2".into(),
            login: None,
            display_name: None,
            email: None,
            roles: None,
            at: Timestamp::EPOCH,
            is_message: true,
        }
    }

    #[test]
    fn an_answer_survives_being_a_number() {
        for bits in 0..8 {
            assert_eq!(Answer::from_bits(bits).bits(), bits);
        }
    }

    #[test]
    fn an_old_record_gets_its_provider_from_the_id() {
        let user = User::first_seen(&sighting());
        let mut old = serde_json::to_value(&user).unwrap();
        for field in ["id", "provider", "providerUserId"] {
            old.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(parse_user("p:1:2", old.to_string().as_bytes()).unwrap(), user);
        assert!(parse_user("nobody", old.to_string().as_bytes()).is_err());
        assert!(parse_user("p:1", b"[]").is_err());
    }

    #[test]
    fn a_user_that_was_written_is_read_as_it_was() {
        let mut user = User::first_seen(&sighting());
        user.sighted(&sighting());
        assert_eq!(parse_user(&user.id, &user_json(&user).unwrap()).unwrap(), user);
    }
}
