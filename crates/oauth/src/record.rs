//! What is kept of a login.

use std::time::Duration;

use chatbus_event::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{Identity, Tokens};

/// A login: whose it is, and its tokens, which its debug output hides.
#[derive(Debug, Clone)]
pub struct Record {
    /// The account's id on the platform; empty while nobody has asked the platform.
    pub user_id: String,
    /// Its login; empty while nobody has asked the platform.
    pub login: String,
    /// What the platform is asked with.
    pub access_token: SecretString,
    /// What another access token is had with.
    pub refresh_token: Option<SecretString>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// What the token may be used for.
    pub scopes: Vec<String>,
}

/// The record as it is written, before it is sealed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    user_id: &'a str,
    login: &'a str,
    access_token: &'a str,
    refresh_token: Option<&'a str>,
    expires_at: Option<Timestamp>,
    scopes: &'a [String],
}

/// The same as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    user_id: String,
    login: String,
    access_token: String,
    refresh_token: Option<String>,
    expires_at: Option<Timestamp>,
    scopes: Vec<String>,
}

// === impl Record ===

impl Record {
    /// A new login of this account.
    pub(crate) fn of_login(tokens: Tokens, identity: Identity, now: Timestamp) -> Self {
        let lasts = tokens.expires_in.or(identity.expires_in);
        Self {
            user_id: identity.user_id,
            login: identity.login,
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            expires_at: lasts.map(|lasts| now.plus(lasts)),
            scopes: in_order(identity.scopes),
        }
    }

    /// A token that somebody has set by hand, of which nothing else is known.
    pub(crate) fn of_token(token: SecretString, login: Option<String>) -> Self {
        Self {
            user_id: String::new(),
            login: login.unwrap_or_default(),
            access_token: token,
            refresh_token: None,
            expires_at: None,
            scopes: Vec::new(),
        }
    }

    /// The same account with new tokens. What the answer does not tell stays as it was (RFC 6749, section 6).
    pub(crate) fn renewed(&self, tokens: Tokens, now: Timestamp) -> Self {
        Self {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token.or_else(|| self.refresh_token.clone()),
            expires_at: tokens.expires_in.map(|lasts| now.plus(lasts)),
            scopes: tokens.scopes.map_or_else(|| self.scopes.clone(), in_order),
            ..self.clone()
        }
    }

    /// Takes over what the platform says of the token; gives whether that is news.
    pub(crate) fn learn(&mut self, identity: Identity, now: Timestamp) -> bool {
        let lasts = identity.expires_in.filter(|lasts| *lasts > Duration::ZERO);
        let ends = self.expires_at.or_else(|| lasts.map(|lasts| now.plus(lasts)));
        let (user_id, login, scopes) = (identity.user_id, identity.login, in_order(identity.scopes));
        let is_news =
            (&self.user_id, &self.login, &self.scopes, self.expires_at) != (&user_id, &login, &scopes, ends);
        (self.user_id, self.login, self.scopes, self.expires_at) = (user_id, login, scopes, ends);
        is_news
    }

    /// Whether it holds the same tokens.
    pub(crate) fn has_tokens_of(&self, other: &Self) -> bool {
        self.access_token.expose_secret() == other.access_token.expose_secret()
            && self.refresh_text() == other.refresh_text()
    }

    fn refresh_text(&self) -> Option<&str> {
        self.refresh_token.as_ref().map(|token| token.expose_secret())
    }

    /// Its JSON, secrets and all.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let written = Written {
            user_id: &self.user_id,
            login: &self.login,
            access_token: self.access_token.expose_secret(),
            refresh_token: self.refresh_text(),
            expires_at: self.expires_at,
            scopes: &self.scopes,
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// From its JSON; `None` when it is none.
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let Read { user_id, login, access_token, refresh_token, expires_at, scopes } =
            serde_json::from_slice(json).ok()?;
        let (access_token, refresh_token) = (access_token.into(), refresh_token.map(SecretString::from));
        Some(Self { user_id, login, access_token, refresh_token, expires_at, scopes })
    }
}

/// A platform may tell the same scopes in another order each time, which is no news.
fn in_order(mut scopes: Vec<String>) -> Vec<String> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    fn tokens(refresh: Option<&str>, scopes: Option<&[&str]>) -> Tokens {
        Tokens {
            access_token: "a2".into(),
            refresh_token: refresh.map(SecretString::from),
            expires_in: Some(HOUR),
            scopes: scopes.map(owned),
        }
    }

    fn owned(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    fn known() -> Record {
        let identity = Identity {
            user_id: "1".to_owned(),
            login: "one".to_owned(),
            scopes: owned(&["y", "x"]),
            expires_in: Some(HOUR * 2),
        };
        Record::of_login(Tokens { expires_in: None, ..tokens(Some("r1"), None) }, identity, NOW)
    }

    #[test]
    fn what_an_answer_to_a_refresh_leaves_out_stays_as_it_was() {
        let before = known();
        assert_eq!(
            (before.expires_at, before.scopes.clone()),
            (Some(NOW.plus(HOUR * 2)), owned(&["x", "y"]))
        );
        let kept = before.renewed(tokens(None, None), NOW);
        assert_eq!((kept.refresh_text(), &kept.scopes), (Some("r1"), &owned(&["x", "y"])));
        let told = before.renewed(tokens(Some("r2"), Some(&["z", "x", "z"])), NOW);
        assert_eq!((told.refresh_text(), &told.scopes), (Some("r2"), &owned(&["x", "z"])));
        assert_eq!((told.expires_at, told.user_id.as_str()), (Some(NOW.plus(HOUR)), "1"));
    }

    #[test]
    fn the_same_in_another_order_is_no_news() {
        let say = |login: &str, scopes: &[&str]| Identity {
            user_id: "1".to_owned(),
            login: login.to_owned(),
            scopes: owned(scopes),
            expires_in: Some(HOUR),
        };
        let mut record = known();
        assert!(!record.learn(say("one", &["x", "y"]), NOW) && !record.learn(say("one", &["y", "x"]), NOW));
        assert!(record.learn(say("renamed", &["x", "y"]), NOW) && record.learn(say("renamed", &["x"]), NOW));
        assert_eq!((record.login.as_str(), record.scopes), ("renamed", owned(&["x"])));
        let mut set = Record::of_token("t".into(), None);
        assert!(set.learn(say("one", &[]), NOW));
        assert_eq!(set.expires_at, Some(NOW.plus(HOUR)));
    }
}
