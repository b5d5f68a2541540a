//! PRIVMSG: from a client, judged and answered; and from a viewer, who is no connection and is above
//! all rules.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::attached::InRoom;
use super::message::{ChatLine, Parent};
use super::names;
use super::records::{SentMessage, Way};
use super::replies;
use super::room::{Modes, Room, Standing};
use super::rules::{MAX_TEXT_CHARS, Spoken, Verdict, as_action, notice};
use super::wire::ClientLine;
use super::world::{Moment, World};

/// What the ring keeps of a text.
pub(super) const KEPT_TEXT_CHARS: usize = 2_000;

/// What became of a client's message.
struct Outcome {
    id: Option<String>,
    code: Option<String>,
}

/// Something said by a viewer.
pub(super) struct ViewerLine<'a> {
    pub(super) login: &'a str,
    pub(super) channel: &'a str,
    pub(super) text: &'a str,
    /// Tags set to a value, or with `None` left out.
    pub(super) tags: &'a BTreeMap<String, Option<String>>,
}

/// What comes with a client's message.
#[derive(Debug, Clone, Copy)]
pub(super) struct With<'a> {
    /// The connection it came on, which is not told of it.
    pub(super) from: Option<u64>,
    /// The message it answers.
    pub(super) parent: Option<&'a str>,
    /// The client's own mark.
    pub(super) nonce: Option<&'a str>,
}

// === impl World ===

impl World {
    pub(super) fn on_privmsg(&mut self, id: u64, login: &str, line: &ClientLine<'_>, now: Moment) {
        let text = line.param(1);
        let target = line.param(0);
        let channel = names::irc_channel(target);
        let outcome = match &channel {
            None => Outcome::ignored("not_a_channel"),
            Some(_) if text.trim().is_empty() => Outcome::ignored("blank"),
            Some(_) if names::is_anonymous(login) => Outcome::ignored("anonymous"),
            Some(channel) => self.speak(id, Spoken { login, channel, text }, line, now),
        };
        let accepted = outcome.id.is_some();
        self.counters.sent += 1;
        self.counters.accepted += u64::from(accepted);
        if self.rules.sink {
            self.sink.count(text, accepted, now.mono);
            return;
        }
        self.sent.add(|seq| SentMessage {
            seq,
            at: now.wall,
            channel: channel.unwrap_or_else(|| target.chars().take(64).collect()),
            login: login.to_owned(),
            text: text.chars().take(KEPT_TEXT_CHARS).collect(),
            tags: line.tags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            connection: id,
            way: Way::Irc,
            accepted,
            code: outcome.code,
            id: outcome.id,
        });
    }

    fn speak(&mut self, id: u64, spoken: Spoken<'_>, line: &ClientLine<'_>, now: Moment) -> Outcome {
        let modes = self.modes(spoken.channel);
        let (message_id, standing) = match self.admit(spoken, now) {
            Ok(admitted) => admitted,
            Err((code, text)) => return self.refuse(id, spoken.channel, code, &text, modes, now),
        };
        let nonce = line.tags.get("client-nonce").filter(|nonce| !nonce.is_empty());
        let tag = |name: &str| line.tags.get(name).filter(|value| !value.is_empty()).map(String::as_str);
        let with = With { from: Some(id), parent: tag("reply-parent-msg-id"), nonce: tag("client-nonce") };
        self.deliver_spoken(spoken, with, &message_id, standing, now);
        let caps = self.clients.get(&id).map(|client| client.capabilities).unwrap_or_default();
        if caps.commands && !modes.silent {
            let of = Some((message_id.as_str(), nonce.map(String::as_str)));
            let state = replies::user_state(spoken.login, spoken.channel, standing, of, caps.tags);
            self.tell_verdict(id, state, modes, now);
        }
        Outcome { id: Some(message_id), code: None }
    }

    /// Judges a message: the id it gets and who its sender is there, or the code and text of its refusal.
    pub(super) fn admit(
        &mut self,
        spoken: Spoken<'_>,
        now: Moment,
    ) -> Result<(String, Standing), (String, String)> {
        if let Some(code) = self.refusals.take(spoken.channel) {
            let text = notice(&code, spoken, &self.modes(spoken.channel));
            return Err((code, text));
        }
        let rules = self.rules;
        let verdict =
            self.with_account(spoken.login, now.mono, |world, account| match world.room(spoken.channel) {
                Some(room) => rules.judge(account, room, spoken, now.mono),
                // So many channels that this one is not known: judged as an empty one.
                None => rules.judge(account, &mut Room::default(), spoken, now.mono),
            });
        match verdict {
            Verdict::Refuse { code, text } => Err((code, text)),
            Verdict::Accept => {
                Ok((self.entropy.uuid().to_string(), self.standing(spoken.login, spoken.channel, now)))
            }
        }
    }

    pub(super) fn deliver_spoken(
        &mut self,
        spoken: Spoken<'_>,
        with: With<'_>,
        message_id: &str,
        standing: Standing,
        now: Moment,
    ) {
        let members = self.rooms.get(spoken.channel).map(|room| &room.members);
        let alone = members.is_none_or(|members| members.iter().all(|member| Some(*member) == with.from));
        let unheard = alone && !self.is_listened_to();
        if unheard && self.rules.sink {
            return;
        }
        let text = as_said(spoken.text);
        let parent: Option<Parent> = with.parent.and_then(|parent| self.recent.get(parent).cloned());
        if !self.rules.sink {
            self.recent.add(message_id, spoken.login, &text, parent.as_ref());
        }
        if unheard {
            return;
        }
        let mut chat = ChatLine::new(spoken.login, spoken.channel, text, message_id, standing, now.wall);
        if let Some(nonce) = with.nonce {
            chat.tags.insert(Cow::Borrowed("client-nonce"), nonce.to_owned());
        }
        if let (Some(id), Some(parent)) = (with.parent, &parent) {
            chat.reply_to(id, parent);
        }
        self.tell_members(spoken.channel, with.from, |_| true, |tags| chat.render(tags));
        self.pass_on(&chat, now);
    }

    /// Whether something else than IRC wants to hear what is said.
    fn is_listened_to(&self) -> bool {
        self.attached.as_ref().is_some_and(|it| it.listens())
    }

    fn pass_on(&self, chat: &ChatLine<'_>, now: Moment) {
        if let Some(it) = &self.attached {
            it.said(
                &InRoom { login: chat.login, channel: chat.channel, text: &chat.text, tags: &chat.tags },
                now,
            );
        }
    }

    /// A viewer speaks. Gives the message's id and how many connections it was told.
    pub(super) fn say(&mut self, viewer: &ViewerLine<'_>, now: Moment) -> (String, usize) {
        let standing = self.standing(viewer.login, viewer.channel, now);
        let fresh = self.entropy.uuid().to_string();
        let text = as_said(viewer.text);
        let mut chat = ChatLine::new(viewer.login, viewer.channel, text, &fresh, standing, now.wall);
        let parent_id = viewer.tags.get("reply-parent-msg-id").cloned().flatten();
        let parent = parent_id.as_deref().and_then(|id| self.recent.get(id).cloned());
        if let (Some(id), Some(parent)) = (&parent_id, &parent) {
            chat.reply_to(id, parent);
        }
        for (key, value) in viewer.tags {
            match value {
                Some(value) => chat.tags.insert(Cow::Owned(key.clone()), value.clone()),
                None => chat.tags.remove(key.as_str()),
            };
        }
        let id = chat.tags.get("id").cloned().unwrap_or_default();
        if !self.rules.sink {
            self.recent.add(&id, viewer.login, &chat.text, parent.as_ref());
        }
        self.counters.said += 1;
        let told = self.tell_members(viewer.channel, None, |_| true, |tags| chat.render(tags));
        self.pass_on(&chat, now);
        (id, told)
    }

    fn standing(&self, login: &str, channel: &str, now: Moment) -> Standing {
        match self.rooms.get(channel) {
            Some(room) => room.standing(login, channel, now.mono),
            None => Room::default().standing(login, channel, now.mono),
        }
    }

    fn refuse(
        &mut self,
        id: u64,
        channel: &str,
        code: String,
        text: &str,
        modes: Modes,
        now: Moment,
    ) -> Outcome {
        if !modes.silent {
            self.notify(id, channel, &code, text, modes, now);
        }
        Outcome { id: None, code: Some(code) }
    }
}

// === impl Outcome ===

impl Outcome {
    fn ignored(code: &str) -> Self {
        Self { id: None, code: Some(code.to_owned()) }
    }
}

/// The text as the others see it: a `/me` as an ACTION, cut at Twitch's 500 code points. Blanks at the
/// end go, as on Twitch.
fn as_said(text: &str) -> Cow<'_, str> {
    let cut = text.char_indices().nth(MAX_TEXT_CHARS).map_or(text, |(at, _)| text.split_at(at).0);
    match as_action(cut) {
        Some(action) => Cow::Owned(format!("\u{1}ACTION {action}\u{1}")),
        None => Cow::Borrowed(cut.trim_end_matches(' ')),
    }
}
