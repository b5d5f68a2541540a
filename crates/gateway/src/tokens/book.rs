//! Looking tokens up, and noticing when they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatbus_event::Clock;
use chatbus_state::{Key, Mirror, Space, State};
use tokio::sync::Semaphore;

use super::{Held, Token, key_of};

/// The tokens as this process knows them.
///
/// While the mirror is current it is believed, but for what it does not hold, which may have been made
/// a moment ago: that is asked for. While it is not, the state is asked, and what it said is believed
/// for as long as `STALE_AFTER` says when it does not answer.
pub struct TokenBook {
    state: Arc<dyn State>,
    mirror: Mirror,
    clock: Arc<dyn Clock>,
    seen: Mutex<HashMap<Key, (Instant, Arc<Token>)>>,
    asking: Semaphore,
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none with this secret.
    #[error("the token is unknown or was revoked")]
    Unknown,
    /// It ended.
    #[error("the token has expired")]
    Expired,
    /// Nobody can tell now.
    #[error("tokens cannot be looked up at the moment")]
    Unavailable,
}

/// For how long an answer of the state is believed while it cannot be asked.
const STALE_AFTER: Duration = Duration::from_secs(60);
/// Answers kept for that; when there are more, the old ones go.
const MAX_SEEN: usize = 10_000;
/// Questions to the state at once: bad secrets cost the others no more than that.
const MAX_ASKING: usize = 64;
/// How long the state may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

// === impl TokenBook ===

impl TokenBook {
    /// A book over this state. Whoever gives the mirror (of [`Space::Tokens`]) keeps it.
    pub fn new(state: Arc<dyn State>, mirror: Mirror, clock: Arc<dyn Clock>) -> Self {
        Self { state, mirror, clock, seen: Mutex::default(), asking: Semaphore::new(MAX_ASKING) }
    }

    /// The token with this secret.
    ///
    /// # Errors
    /// When there is none, it ended, or nobody can tell.
    pub async fn find(&self, secret: &str) -> Result<Arc<Token>, TokenError> {
        self.find_held(secret).await.map(|(_, token)| token)
    }

    pub(crate) async fn find_held(&self, secret: &str) -> Result<Held, TokenError> {
        let key = key_of(secret).map_err(|_| TokenError::Unknown)?;
        let token = match self.mirrored(&key) {
            Some(token) => token,
            None => self.ask(&key).await?,
        };
        if token.is_expired(self.clock.now()) { Err(TokenError::Expired) } else { Ok((key, token)) }
    }

    /// Whether this token is known to have been revoked, as far as the mirror tells.
    pub(crate) fn is_revoked(&self, key: &Key) -> bool {
        self.mirror.is_current() && self.mirror.get(key).is_none()
    }

    /// Changes whenever a token may have been revoked.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.mirror.losses()
    }

    /// Whether the state says that this token is gone. What it cannot say is not.
    pub(crate) async fn is_gone(&self, key: &Key) -> bool {
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.state.get(Space::Tokens, key)).await;
        matches!(asked, Ok(Ok(None)))
    }

    fn mirrored(&self, key: &Key) -> Option<Arc<Token>> {
        if !self.mirror.is_current() {
            return None;
        }
        Token::read(&self.mirror.get(key)?.value).map(Arc::new)
    }

    async fn ask(&self, key: &Key) -> Result<Arc<Token>, TokenError> {
        let answer = async {
            let _turn = self.asking.acquire().await.ok()?;
            self.state.get(Space::Tokens, key).await.ok()
        };
        let now = self.clock.instant();
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Some(Some(entry))) => {
                let token = Arc::new(Token::read(&entry.value).ok_or(TokenError::Unknown)?);
                let mut seen = self.lock();
                if seen.len() >= MAX_SEEN {
                    seen.retain(|_, (at, _)| now.saturating_duration_since(*at) < STALE_AFTER);
                }
                if seen.len() < MAX_SEEN {
                    seen.insert(key.clone(), (now, Arc::clone(&token)));
                }
                Ok(token)
            }
            Ok(Some(None)) => {
                self.lock().remove(key);
                Err(TokenError::Unknown)
            }
            Ok(None) | Err(_) => {
                let seen = self.lock();
                let fresh = |at: Instant| now.saturating_duration_since(at) < STALE_AFTER;
                match seen.get(key) {
                    Some((at, token)) if fresh(*at) => Ok(Arc::clone(token)),
                    _ => Err(TokenError::Unavailable),
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (Instant, Arc<Token>)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TokenBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenBook")
    }
}
