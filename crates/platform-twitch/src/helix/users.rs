//! Ids by logins and logins by ids, remembered.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chatbus_event::Clock;
use chatbus_http::hyper::Method;
use lru::LruCache;
use serde_json::Value;

use super::answer::{HelixAnswer, HelixError};
use super::client::Helix;
use crate::irc::limits::RATE_LIMIT_RETRY;

/// So many are remembered: both directions of twice as many channels as one instance is in. The one that was
/// wanted least lately makes room.
const MOST: NonZeroUsize = NonZeroUsize::new(8_000).expect("more than none");
/// Logins can be changed, and given to somebody else half a year later.
const LASTS: Duration = Duration::from_secs(3600);
/// One that is nobody's may be somebody's soon.
const NOBODY_LASTS: Duration = Duration::from_secs(60);
/// So many can be asked for at once (dev.twitch.tv/docs/api/reference/#get-users).
const BATCH: usize = 100;

/// Finds users. Cheap to clone; clones remember together.
#[derive(Debug, Clone)]
pub struct Users(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    helix: Helix,
    clock: Arc<dyn Clock>,
    known: Mutex<LruCache<Key, Known>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Login(Arc<str>),
    Id(Arc<str>),
}

/// An id and its login.
type User = (Arc<str>, Arc<str>);

/// The other half; `None` when there is no such user.
#[derive(Debug, Clone)]
struct Known {
    other: Option<Arc<str>>,
    until: Instant,
}

// === impl Users ===

impl Users {
    /// Asks by this client.
    pub fn new(helix: Helix, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { helix, clock, known: Mutex::new(LruCache::new(MOST)) }))
    }

    /// The id of the user with this login, without `#`; `None` when there is none.
    ///
    /// # Errors
    /// When Helix does not say. Nothing was done by asking.
    pub async fn id_of(&self, login: &str) -> Result<Option<Arc<str>>, HelixError> {
        Ok(self.find(&[Key::login(login)]).await?.pop().flatten())
    }

    /// The same for many, a hundred at a time; the answer stands in the place of its login.
    ///
    /// # Errors
    /// When Helix does not say.
    pub async fn ids_of(&self, logins: &[Arc<str>]) -> Result<Vec<Option<Arc<str>>>, HelixError> {
        self.find(&logins.iter().map(|login| Key::login(login)).collect::<Vec<_>>()).await
    }

    /// The login of the user with this id; `None` when there is none.
    ///
    /// # Errors
    /// When Helix does not say.
    pub async fn login_of(&self, id: &str) -> Result<Option<Arc<str>>, HelixError> {
        Ok(self.find(&[Key::Id(id.into())]).await?.pop().flatten())
    }

    async fn find(&self, keys: &[Key]) -> Result<Vec<Option<Arc<str>>>, HelixError> {
        let mut found: Vec<Option<Known>> = keys.iter().map(|key| self.known(key)).collect();
        let unknown: Vec<usize> =
            found.iter().enumerate().filter(|(_, known)| known.is_none()).map(|(at, _)| at).collect();
        for batch in unknown.chunks(BATCH) {
            let asked: Vec<&Key> = batch.iter().filter_map(|at| keys.get(*at)).collect();
            let answers = self.ask(&asked).await?;
            for (at, known) in batch.iter().zip(answers) {
                if let Some(place) = found.get_mut(*at) {
                    *place = Some(known);
                }
            }
        }
        Ok(found.into_iter().map(|known| known.and_then(|known| known.other)).collect())
    }

    fn known(&self, key: &Key) -> Option<Known> {
        let now = self.0.clock.instant();
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|known| now < known.until).cloned()
    }

    async fn ask(&self, keys: &[&Key]) -> Result<Vec<Known>, HelixError> {
        let query: Vec<(&str, &str)> = keys.iter().map(|key| key.query()).collect();
        let helix = &self.0.helix;
        let answer = match helix.call(Method::GET, "/users", &query, None).await {
            Err(HelixError::NoToken) => helix.call_as_app(Method::GET, "/users", &query, None).await,
            answer => answer,
        };
        let answer = answer.map_err(HelixError::harmless)?;
        let now = self.0.clock.instant();
        let users = users(&answer, now)?;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, login) in &users {
            let until = now + LASTS;
            known.put(Key::Login(Arc::clone(login)), Known { other: Some(Arc::clone(id)), until });
            known.put(Key::Id(Arc::clone(id)), Known { other: Some(Arc::clone(login)), until });
        }
        let nobody = Known { other: None, until: now + NOBODY_LASTS };
        Ok(keys
            .iter()
            .map(|key| {
                let is_found = users.iter().any(|(id, login)| match key {
                    Key::Login(asked) => asked == login,
                    Key::Id(asked) => asked == id,
                });
                match known.get(*key).filter(|_| is_found) {
                    Some(found) => found.clone(),
                    None => {
                        known.put((*key).clone(), nobody.clone());
                        nobody.clone()
                    }
                }
            })
            .collect())
    }
}

// === impl Key ===

impl Key {
    fn login(login: &str) -> Self {
        Self::Login(login.trim_start_matches('#').to_ascii_lowercase().into())
    }

    fn query(&self) -> (&'static str, &str) {
        match self {
            Self::Login(login) => ("login", login),
            Self::Id(id) => ("id", id),
        }
    }
}

/// Ids and logins. Anything but a list of users is no answer: 400 is what a malformed login gets, which none
/// of ours is.
fn users(answer: &HelixAnswer, now: Instant) -> Result<Vec<User>, HelixError> {
    match answer.status {
        200 => {}
        429 => return Err(HelixError::Limited(now + answer.wait.unwrap_or(RATE_LIMIT_RETRY))),
        400..=499 => return Err(HelixError::Denied(answer.message().to_owned())),
        status => return Err(HelixError::Unreachable(format!("users were not told: HTTP {status}"))),
    }
    let text = |user: &Value, name: &str| user.get(name).and_then(Value::as_str).map(Arc::from);
    Ok(answer.data().iter().filter_map(|user| text(user, "id").zip(text(user, "login"))).collect())
}
