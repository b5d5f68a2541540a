//! What users and clients do.

use chatbus_event::Timestamp;
use serde_json::{Value, json};

use super::{
    DIRECT_MESSAGES, GUILD_MESSAGES, GUILDS, MAX_MESSAGES, MEMBERS, NONCE_FOR, No, Post, Said, Sent, World,
};
use crate::discord::Say;
use crate::discord::objects::{BOT_ID, Channel, ChannelKind, GUILD_ID, Message, role_id, set};

// === impl World ===

impl World {
    pub(in crate::discord) fn say(&mut self, say: &Say, now: Timestamp) -> Result<Said, &'static str> {
        if say.text.is_empty() {
            return Err("text is empty");
        }
        let roles = match &say.roles {
            None => None,
            Some(names) => {
                let ids: Option<Vec<String>> = names.iter().map(|name| role_id(name)).collect();
                Some(ids.ok_or("roles has a role that is not there")?)
            }
        };
        let named = match &say.channel {
            None => None,
            Some(name) => Some(self.channel_named(name).ok_or("channel is not there")?),
        };
        let author = self.user_named(&say.login, now)?;
        if let Some(user) = self.users.get_mut(&author) {
            user.bot = say.bot;
            user.nick = say.nick.clone().or(user.nick.take());
            user.roles = roles.unwrap_or_else(|| std::mem::take(&mut user.roles));
        }
        let channel = match named {
            Some(channel) => channel,
            None => self.direct(&author, now).ok_or("there are too many channels")?,
        };
        let (id, text) = (self.new_id(now), say.text.clone());
        let message = Message {
            id: id.clone(),
            channel: channel.clone(),
            author: author.clone(),
            text,
            nonce: None,
            reply_to: say.reply_to.clone(),
            at: now,
            edited_at: None,
        };
        self.publish(message);
        Ok(Said { id, channel, user: author })
    }

    /// A client says something; the message as it is answered, and whether it is new.
    pub(in crate::discord) fn post(&mut self, post: Post, now: Timestamp) -> Result<Value, No> {
        if !self.channels.contains_key(&post.channel) {
            return Err((404, 10_003, "Unknown Channel"));
        }
        if post.text.is_empty() {
            return Err((400, 50_006, "Cannot send an empty message"));
        }
        if post.text.chars().count() > 2_000 {
            return Err((400, 50_035, "Invalid Form Body"));
        }
        let nonce = post.nonce.as_ref().map(|nonce| match nonce {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        if nonce.as_ref().is_some_and(|nonce| nonce.len() > 25) {
            return Err((400, 50_035, "Invalid Form Body"));
        }
        let key = nonce.clone().filter(|_| post.enforce_nonce).map(|nonce| (post.channel.clone(), nonce));
        if let Some((id, at)) = key.as_ref().and_then(|key| self.nonces.get(key))
            && now.since(*at) < NONCE_FOR
        {
            let id = id.clone();
            self.repeats += 1;
            if let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.id == id) {
                sent.repeats += 1;
            }
            return Ok(self.message(&id).unwrap_or(Value::Null));
        }
        let reply_to = post.reply_to.filter(|id| self.messages.iter().any(|message| message.id == *id));
        if reply_to.is_none() && post.must_exist {
            return Err((400, 50_035, "Invalid Form Body"));
        }
        let id = self.new_id(now);
        if let Some(key) = key {
            self.nonces.retain(|_, (_, at)| now.since(*at) < NONCE_FOR);
            self.nonces.insert(key, (id.clone(), now));
        }
        let user = match self.channels.get(&post.channel).map(|channel| &channel.kind) {
            Some(ChannelKind::Direct { user }) => Some(user.clone()),
            _ => None,
        };
        if self.sent.len() >= MAX_MESSAGES {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            seq: self.sent.back().map_or(1, |last| last.seq + 1),
            at: now,
            id: id.clone(),
            channel: post.channel.clone(),
            user,
            text: post.text.clone(),
            nonce,
            reply_to: reply_to.clone(),
            allowed_mentions: post.allowed_mentions,
            repeats: 0,
        });
        self.publish(Message {
            id: id.clone(),
            channel: post.channel,
            author: BOT_ID.to_owned(),
            text: post.text,
            nonce: post.nonce,
            reply_to,
            at: now,
            edited_at: None,
        });
        Ok(self.message(&id).unwrap_or(Value::Null))
    }

    pub(in crate::discord) fn edit(
        &mut self,
        id: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<Value, &'static str> {
        let found = self.messages.iter_mut().find(|message| message.id == id);
        let message = found.ok_or("message is not there")?;
        (message.text, message.edited_at) = (text.to_owned(), Some(now));
        let message = message.clone();
        self.tell_message("MESSAGE_UPDATE", &message);
        Ok(self.message(id).unwrap_or(Value::Null))
    }

    pub(in crate::discord) fn delete(&mut self, id: &str) -> Result<(), &'static str> {
        let at = self.messages.iter().position(|message| message.id == id).ok_or("message is not there")?;
        let Some(message) = self.messages.remove(at) else { return Ok(()) };
        let mut data = json!({ "id": message.id, "channel_id": message.channel });
        let is_direct = self.is_direct(&message.channel);
        if !is_direct {
            set(&mut data, "guild_id", json!(GUILD_ID));
        }
        let needed = if is_direct { DIRECT_MESSAGES } else { GUILD_MESSAGES };
        self.tell("MESSAGE_DELETE", needed, is_direct, |_| data.clone());
        Ok(())
    }

    pub(in crate::discord) fn join(&mut self, login: &str, now: Timestamp) -> String {
        let id = self.user_named(login, now).unwrap_or_default();
        let Some(user) = self.users.get_mut(&id) else { return id };
        user.joined_at = Some(now);
        let mut member = user.full_member_json();
        set(&mut member, "guild_id", json!(GUILD_ID));
        self.tell("GUILD_MEMBER_ADD", MEMBERS, false, |_| member.clone());
        id
    }

    pub(in crate::discord) fn leave(&mut self, login: &str) -> Result<(), &'static str> {
        let found = self.users.values_mut().find(|user| user.login == login);
        let user = found.ok_or("login is not there")?;
        user.joined_at = None;
        let data = json!({ "guild_id": GUILD_ID, "user": user.json() });
        self.tell("GUILD_MEMBER_REMOVE", MEMBERS, false, |_| data.clone());
        Ok(())
    }

    pub(in crate::discord) fn thread(
        &mut self,
        parent: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<String, &'static str> {
        let parent = self.channel_named(parent).ok_or("channel is not there")?;
        let id = self.new_id(now);
        let kind = ChannelKind::Thread { parent };
        let channel = Channel { id: id.clone(), name: name.to_owned(), kind };
        let mut data = self.channel_json(&channel);
        self.channels.insert(id.clone(), channel);
        set(&mut data, "newly_created", json!(true));
        self.tell("THREAD_CREATE", GUILDS, false, |_| data.clone());
        Ok(id)
    }
}
