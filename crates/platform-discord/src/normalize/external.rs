//! Everything that is no chat message, as an `externalEvent` of source `discord.gateway`.
//!
//! `kind` is the dispatch's name in lower case (`message_update`, `guild_member_add`, `interaction_create`); a
//! message that Discord wrote itself is `message_system`. `payload` has what we understand, `rawPayload.d` what
//! was dispatched, without its `token`: an interaction's lets whoever has it answer, a voice server's lets them
//! in. Nobody here answers interactions in the three seconds there are for it.

use std::borrow::Cow;

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{Content, ExternalContent, MessageId, Timestamp, Value, sha256_hex};

use super::{Normalizer, Person, Subject, text};

/// The type of every event that is no chat.
const EXTERNAL_TYPE: &str = "discord.gateway.v1";
pub(super) const SOURCE: &str = "discord.gateway";
pub(super) const VERSION: &str = "1";
/// A longer name is none of Discord's.
const MAX_NAME: usize = 64;

/// Whether it is no news to anybody: what comes with every connection, and what never stops.
pub(super) fn is_noise(name: &str) -> bool {
    matches!(
        name,
        "READY"
            | "RESUMED"
            | "GUILD_CREATE"
            | "GUILD_MEMBERS_CHUNK"
            | "THREAD_LIST_SYNC"
            | "PRESENCE_UPDATE"
            | "TYPING_START"
            | "VOICE_STATE_UPDATE"
            | "VOICE_SERVER_UPDATE"
            | "VOICE_CHANNEL_STATUS_UPDATE"
            | "VOICE_CHANNEL_START_TIME_UPDATE"
            | "CHANNEL_INFO"
    )
}

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn external(
        &mut self,
        name: &str,
        seq: u64,
        data: &Raw,
        received_at: Timestamp,
    ) -> Option<Inbound> {
        let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
            self.oddities.malformed += 1;
            return None;
        }
        let [guild, channel, id, content, edited, user, author, member] = data.pick([
            "guild_id",
            "channel_id",
            "id",
            "content",
            "edited_timestamp",
            "user",
            "author",
            "member",
        ]);
        let guild = guild.filter(|guild| !guild.is_null());
        let is_direct = guild.is_none() && channel.is_some();
        let channel = text(channel.as_ref());
        // What is of no channel is of the guild, or of all the bot is in.
        if !is_direct && !self.is_ours(guild.as_ref(), channel.as_deref()) {
            self.oddities.filtered += 1;
            return None;
        }
        let who = user.or(author).filter(Raw::is_object);
        let who = who.or_else(|| member.as_ref().and_then(|member| member.get("user")));
        let who = who.unwrap_or(Raw::NULL);
        let [user_id, login, shown] = who.pick(["id", "username", "global_name"]);
        // Some tell no more of the user than the id.
        let user_id = user_id.or_else(|| data.get("user_id"));
        let nick = data.get("nick").or_else(|| member.as_ref().and_then(|member| member.get("nick")));
        let (user_id, login) = (text(user_id.as_ref()), text(login.as_ref()));
        let (nick, shown) = (text(nick.as_ref()), text(shown.as_ref()));
        let shown = nick.as_deref().or(shown.as_deref()).or(login.as_deref());
        let kind = name.to_ascii_lowercase();
        let identity = self.identity(name, seq, data, edited.as_ref());

        let (guild_id, said) = (text(guild.as_ref()), text(content.as_ref()));
        let (id, edited) = (text(id.as_ref()), text(edited.as_ref()));
        let person: Vec<(&'static str, Value<'_>)> =
            [("id", user_id.as_deref()), ("login", login.as_deref()), ("displayName", shown)]
                .into_iter()
                .filter_map(|(key, text)| Some((key, Value::Text(text?))))
                .collect();
        let mut payload: Vec<(&'static str, Value<'_>)> = Vec::with_capacity(8);
        for (key, text) in [
            ("guildId", guild_id.as_deref()),
            ("channelId", channel.as_deref()),
            (if name.starts_with("MESSAGE_") { "messageId" } else { "id" }, id.as_deref()),
            ("text", said.as_deref()),
            ("editedAt", edited.as_deref()),
        ] {
            payload.extend(text.map(|text| (key, Value::Text(text))));
        }
        if !person.is_empty() {
            payload.push(("user", Value::Object(&person)));
        }
        let command = data.get("data").filter(|_| name == "INTERACTION_CREATE");
        payload.extend(command.as_ref().map(|command| ("command", Value::Json(command))));
        let data = without_token(data);
        let raw = [("t", Value::Text(name)), ("d", Value::Json(&data))];
        let content = ExternalContent {
            id: identity.as_str(),
            source: SOURCE,
            kind: &kind,
            version: VERSION,
            created_at: received_at,
            payload: &payload,
            tags: &[],
            raw: &raw,
        };
        let subject = Subject {
            channel: channel.as_deref(),
            is_direct,
            user: Person { id: user_id.as_deref(), login: login.as_deref(), shown },
            received_at,
        };
        let is_self = self.is_own(user_id.as_deref());
        Some(self.finish(subject, &identity, EXTERNAL_TYPE, is_self, Content::External(content)))
    }

    /// The id by which two who read the same thing publish it once. What has no id of its own is named by its
    /// place in the session, which stays the same when it is told again.
    fn identity(&self, name: &str, seq: u64, data: &Raw, edited: Option<&Raw>) -> MessageId {
        let id = || text(data.get("id").as_ref()).map(Cow::into_owned).unwrap_or_default();
        let of_session = || format!("discord:{}:{seq}", self.session);
        let id = match name {
            "MESSAGE_UPDATE" => match text(edited) {
                Some(edited) => format!("discord:{}:edit:{edited}", id()),
                // Nothing was edited: a link got its preview.
                None => {
                    let hash = sha256_hex(data.as_bytes());
                    format!("discord:{}:update:{}", id(), hash.get(..16).unwrap_or_default())
                }
            },
            "MESSAGE_DELETE" => format!("discord:{}:delete", id()),
            "MESSAGE_SYSTEM" => format!("discord:{}", id()),
            "INTERACTION_CREATE" => format!("discord:interaction:{}", id()),
            "GUILD_MEMBER_ADD" => {
                let (user, at) = (data.at(&["user", "id"]), data.get("joined_at"));
                match (text(user.as_ref()), text(at.as_ref())) {
                    (Some(user), Some(at)) => format!("discord:member_add:{user}:{at}"),
                    _ => of_session(),
                }
            }
            _ => of_session(),
        };
        MessageId::new(&id)
    }
}

fn without_token(data: &Raw) -> Cow<'_, Raw> {
    if data.get("token").is_none() {
        return Cow::Borrowed(data);
    }
    match data.as_object() {
        Some(mut members) => {
            members.remove("token");
            Cow::Owned(members.to_raw())
        }
        None => Cow::Borrowed(data),
    }
}
