//! Accounts and their streams. Every login is an account, with the id that IRC tells; one with that id is
//! found once its login has been seen.

use chatbus_event::Timestamp;
use serde::Serialize;

use super::shelf::Shelf;
use crate::twitch_irc::{display_name, user_id};

/// Accounts that are remembered.
const MAX_PEOPLE: usize = 100_000;

/// What was set of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Shown instead of the login with a capital.
    pub display_name: Option<String>,
    /// Twitch says that it does not exist.
    pub missing: bool,
    /// `affiliate`, `partner` or nothing.
    pub broadcaster_type: String,
    /// The title of its channel.
    pub title: String,
    /// What it plays.
    pub game: String,
    /// Set while it is live.
    pub stream: Option<Stream>,
}

/// A stream that is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Its id.
    pub id: String,
    /// Since when.
    pub started_at: Timestamp,
    /// Who watch.
    pub viewers: u64,
}

/// All accounts that were seen.
#[derive(Debug)]
pub(super) struct People {
    /// By id.
    seen: Shelf<(String, Person)>,
}

// === impl People ===

impl People {
    pub(super) fn new() -> Self {
        Self { seen: Shelf::new(MAX_PEOPLE) }
    }

    /// Remembers a login, so that its id is known.
    pub(super) fn see(&mut self, login: &str) {
        let id = user_id(login).to_string();
        if self.seen.get(&id).is_none() {
            self.seen.put(&id, (login.to_owned(), Person::default()));
        }
    }

    /// The account of an id, when it was seen and exists.
    pub(super) fn login_of(&self, id: &str) -> Option<&str> {
        self.seen.get(id).filter(|(_, person)| !person.missing).map(|(login, _)| login.as_str())
    }

    /// What was set of a login; nothing, if nothing was.
    pub(super) fn person(&self, login: &str) -> Person {
        self.seen.get(&user_id(login).to_string()).map(|(_, person)| person.clone()).unwrap_or_default()
    }

    /// Whether this login was seen.
    pub(super) fn knows(&self, login: &str) -> bool {
        self.seen.get(&user_id(login).to_string()).is_some()
    }

    /// Changes an account.
    pub(super) fn change(&mut self, login: &str, change: impl FnOnce(&mut Person)) -> Person {
        self.see(login);
        let Some((_, person)) = self.seen.get_mut(&user_id(login).to_string()) else {
            return Person::default();
        };
        change(person);
        person.clone()
    }

    /// Logins with a live stream.
    pub(super) fn live(&self) -> Vec<(String, Person, Stream)> {
        let live = |(login, person): &(String, Person)| {
            let stream = person.stream.clone()?;
            Some((login.clone(), person.clone(), stream))
        };
        self.seen.iter().filter_map(|(_, entry)| live(entry)).collect()
    }

    pub(super) fn reset(&mut self) {
        self.seen.clear();
    }

    /// How an account is shown.
    pub(super) fn shown(&self, login: &str) -> String {
        self.person(login).display_name.unwrap_or_else(|| display_name(login))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_once_its_login_was_seen_and_while_it_exists() {
        let mut people = People::new();
        let id = user_id("ronni").to_string();
        assert_eq!(people.login_of(&id), None);
        people.see("ronni");
        assert_eq!(people.login_of(&id), Some("ronni"));
        assert_eq!(people.shown("ronni"), "Ronni");
        people.change("ronni", |person| person.missing = true);
        assert_eq!(people.login_of(&id), None);
    }
}
