//! Tokens: 32 random bytes in hex, shown once, kept as their SHA-256.
//!
//! The hash is the key under which the token's terms stand in the shared state, so nobody who reads the
//! state can connect, and looking one up compares no secrets: it takes as long whatever is wrong.

mod book;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_event::{Clock, Entropy, Timestamp, sha256_hex};
use chatbus_state::{Expected, Key, Space, State, StateError};
use serde::{Deserialize, Serialize};

pub use book::{TokenBook, TokenError};

/// What a token is for. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names it in lists and when it is revoked.
    pub id: String,
    /// Whose it is: 1 to [`MAX_USER_BYTES`] bytes.
    pub user_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The origins browsers may connect from; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The channels it may name; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The types of events it may hear; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Whether it is a bot's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
    /// The bot's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The platforms a bot hears; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// What a token is to be for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewToken {
    /// See [`Token::user_id`].
    pub user_id: String,
    /// How long it lives; for ever when there is none.
    pub lives: Option<Duration>,
    /// See [`Token::origins`].
    pub origins: Vec<String>,
    /// See [`Token::channels`].
    pub channels: Vec<String>,
    /// See [`Token::types`].
    pub types: Vec<String>,
    /// The bot's name, when it is a bot's.
    pub bot: Option<String>,
    /// See [`Token::platforms`].
    pub platforms: Vec<String>,
}

/// A token that was just made, with its secret: to be shown once.
pub struct Created {
    /// The secret, 64 hex digits.
    pub secret: String,
    /// What it is for.
    pub token: Token,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The user's name cannot be a token's.
    #[error("a user id has 1 to {MAX_USER_BYTES} bytes and no control characters")]
    BadUser,
    /// The state did not take it.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The longest user id, in bytes: in hex, with an instance behind it, it is a key of the presence space.
pub const MAX_USER_BYTES: usize = 160;

/// Makes a token and writes it to the shared state.
///
/// # Errors
/// When the user id cannot be one, or the state does not take it.
pub async fn create(
    state: &dyn State,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    new: NewToken,
) -> Result<Created, CreateError> {
    if !is_user(&new.user_id) {
        return Err(CreateError::BadUser);
    }
    let mut random = [0; 32];
    entropy.fill(&mut random);
    let secret: String = random.iter().flat_map(|byte| hex_digits(*byte)).collect();
    let created_at = clock.now();
    let token = Token {
        id: format!("tok_{:016x}", entropy.next_u64()),
        user_id: new.user_id,
        created_at,
        expires_at: new.lives.map(|lives| created_at.plus(lives)),
        origins: new.origins,
        channels: new.channels,
        types: new.types,
        bot: new.bot.is_some(),
        name: new.bot,
        platforms: new.platforms,
    };
    let value = Bytes::from(serde_json::to_vec(&token).unwrap_or_default());
    state.put(Space::Tokens, &key_of(&secret)?, value, Expected::Absent).await?;
    Ok(Created { secret, token })
}

/// All tokens, oldest first.
///
/// # Errors
/// When the state cannot be read.
pub async fn list(state: &dyn State) -> Result<Vec<Token>, StateError> {
    let entries = state.list(Space::Tokens, None).await?;
    let mut tokens: Vec<Token> = entries.iter().filter_map(|(_, entry)| Token::read(&entry.value)).collect();
    tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(tokens)
}

/// Revokes the token with this id, or with this secret; says whether there was one.
///
/// # Errors
/// When the state cannot be read or written.
pub async fn revoke(state: &dyn State, id_or_secret: &str) -> Result<bool, StateError> {
    let by_secret = key_of(id_or_secret)?;
    let mut revoked = false;
    for (key, entry) in state.list(Space::Tokens, None).await? {
        if key == by_secret || Token::read(&entry.value).is_some_and(|token| token.id == id_or_secret) {
            state.remove(Space::Tokens, &key, Expected::Anything).await?;
            revoked = true;
        }
    }
    Ok(revoked)
}

/// The key a secret's token stands under.
fn key_of(secret: &str) -> Result<Key, StateError> {
    let invalid = |error: chatbus_state::InvalidKey| {
        StateError::new(chatbus_state::StateErrorKind::Refused, error.to_string())
    };
    Key::parse(&sha256_hex(secret.as_bytes())).map_err(invalid)
}

fn hex_digits(byte: u8) -> [char; 2] {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    [digit(byte >> 4), digit(byte & 15)]
}

fn is_user(user: &str) -> bool {
    (1..=MAX_USER_BYTES).contains(&user.len()) && !user.chars().any(char::is_control) && user.trim() == user
}

// === impl Token ===

impl Token {
    /// Reads what stands in the state; `None` when it is no token of ours.
    fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(value).ok().filter(|token| is_user(&token.user_id))
    }

    /// Whether it has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether a page of this origin may use it. What is no browser sends none.
    pub fn allows_origin(&self, origin: Option<&str>) -> bool {
        self.origins.is_empty()
            || origin.is_some_and(|origin| self.origins.iter().any(|o| o.eq_ignore_ascii_case(origin)))
    }

    /// Whether it may name this channel. With or without `#`, any case.
    pub fn allows_channel(&self, channel: Option<&str>) -> bool {
        let bare = |name: &str| name.trim_start_matches('#').to_lowercase();
        match channel {
            None => true,
            Some(_) if self.channels.is_empty() => true,
            Some(channel) => self.channels.iter().any(|allowed| bare(allowed) == bare(channel)),
        }
    }
}

/// Shared by everybody who holds it.
pub(crate) type Held = (Key, Arc<Token>);
