//! Messages that come by another way than a connection: judged by the room as those of clients are, heard by
//! everybody in it, the sender's own connections too.

use super::TwitchIrc;
use super::records::{SentMessage, Way};
use super::rules::Spoken;
use super::speak::{KEPT_TEXT_CHARS, With};
use super::world::{Moment, World};

/// A message to be posted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Post<'a> {
    pub(crate) login: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) text: &'a str,
    /// The message it answers.
    pub(crate) parent: Option<&'a str>,
}

/// Why it was not said: the code that the NOTICE would have had, and what a person would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) message: String,
}

// === impl TwitchIrc ===

impl TwitchIrc {
    /// Says it, and gives the id it got. With `refused` it is kept as refused by that and the room is not asked.
    pub(crate) fn post(&self, post: Post<'_>, refused: Option<Refused>) -> Result<String, Refused> {
        let now = self.shared.moment();
        let result = self.shared.lock().post(post, refused, now);
        self.shared.changed.notify_waiters();
        result
    }
}

// === impl World ===

impl World {
    fn post(&mut self, post: Post<'_>, refused: Option<Refused>, now: Moment) -> Result<String, Refused> {
        let spoken = Spoken { login: post.login, channel: post.channel, text: post.text };
        let result = match refused {
            Some(refused) => Err(refused),
            None => self.admit(spoken, now).map_err(|(code, message)| Refused { code, message }),
        };
        let result = result.map(|(id, standing)| {
            let with = With { from: None, parent: post.parent, nonce: None };
            self.deliver_spoken(spoken, with, &id, standing, now);
            id
        });
        self.counters.sent += 1;
        self.counters.accepted += u64::from(result.is_ok());
        if self.rules.sink {
            self.sink.count(post.text, result.is_ok(), now.mono);
            return result;
        }
        let parent = post.parent.map(|parent| ("reply-parent-msg-id".to_owned(), parent.to_owned()));
        self.sent.add(|seq| SentMessage {
            seq,
            at: now.wall,
            channel: post.channel.to_owned(),
            login: post.login.to_owned(),
            text: post.text.chars().take(KEPT_TEXT_CHARS).collect(),
            tags: parent.into_iter().collect(),
            connection: 0,
            way: Way::Helix,
            accepted: result.is_ok(),
            code: result.as_ref().err().map(|refused| refused.code.clone()),
            id: result.as_ref().ok().cloned(),
        });
        result
    }
}
