//! A message.

use std::borrow::Cow;
use std::sync::PoisonError;

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{ChatContent, Content, MessageId, Timestamp, Value};

use super::{Normalizer, Person, Subject, emojis, text};
use crate::channel::snowflake;
use crate::directory::id_of;

const CHAT_TYPE: &str = "chat.message.v1";
/// The kinds that somebody said: plain, reply, slash command, context menu command. The others are what Discord
/// tells of a channel: who joined, what was pinned.
const SAID: [u64; 4] = [0, 19, 20, 23];

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn message(
        &mut self,
        data: &Raw,
        received_at: Timestamp,
        is_backfill: bool,
    ) -> Option<Inbound> {
        let [id, channel, guild, author, member, content, kind, at] =
            data.pick(["id", "channel_id", "guild_id", "author", "member", "content", "type", "timestamp"]);
        let (id, channel) = (text(id.as_ref()), text(channel.as_ref()));
        let (Some(id), Some(channel)) = (id, channel) else {
            self.oddities.malformed += 1;
            return None;
        };
        let guild = guild.filter(|guild| !guild.is_null());
        let is_direct = guild.is_none() && !is_backfill;
        if !is_direct && !self.is_ours(guild.as_ref(), Some(&channel)) {
            self.oddities.filtered += 1;
            return None;
        }
        if !kind.and_then(|kind| kind.as_u64()).is_none_or(|kind| SAID.contains(&kind)) {
            // What REST gives of it does not tell where it was.
            return if is_backfill { None } else { self.external("MESSAGE_SYSTEM", 0, data, received_at) };
        }
        let author = author.unwrap_or(Raw::NULL);
        let [user_id, login, global_name, bot] = author.pick(["id", "username", "global_name", "bot"]);
        let [nick, roles] = member.as_ref().map(|member| member.pick(["nick", "roles"])).unwrap_or_default();
        let (user_id, login) = (text(user_id.as_ref()), text(login.as_ref()));
        let (nick, global_name) = (text(nick.as_ref()), text(global_name.as_ref()));
        let shown = nick.as_deref().or(global_name.as_deref()).or(login.as_deref());
        let said = text(content.as_ref()).unwrap_or(Cow::Borrowed(""));

        let directory = std::sync::Arc::clone(&self.directory);
        let directory = directory.read().unwrap_or_else(PoisonError::into_inner);
        let roles: Vec<u64> =
            roles.and_then(|roles| roles.as_array()).unwrap_or_default().iter().filter_map(id_of).collect();
        let known: Vec<_> = roles.iter().filter_map(|role| directory.role(*role)).collect();
        let role_names: Vec<&str> = known.iter().map(|role| &*role.name).collect();
        let is_mod = known.iter().any(|role| role.moderates);
        let is_owner = directory.is_owner(user_id.as_deref().and_then(snowflake));
        let place = snowflake(&channel).and_then(|id| directory.place(id));

        let emotes = emojis::parse(&said);
        let more = More::of(data);
        let reply = more.reply();
        let mut extra: Vec<(&'static str, Value<'_>)> = Vec::with_capacity(8);
        if !is_direct {
            extra.push(("roles", Value::Texts(&role_names)));
        }
        let guild_id = text(guild.as_ref());
        extra.extend(guild_id.as_deref().map(|guild| ("guildId", Value::Text(guild))));
        extra.extend(place.map(|place| ("channelName", Value::Text(&place.name))));
        let parent = place.and_then(|place| place.thread_of).map(|parent| parent.to_string());
        extra.extend(parent.as_deref().map(|parent| ("threadOf", Value::Text(parent))));
        extra.extend(is_owner.then_some(("isOwner", Value::Bool(true))));
        let is_bot = bot.and_then(|bot| bot.as_bool()) == Some(true);
        extra.extend(is_bot.then_some(("isBot", Value::Bool(true))));
        extra.extend(is_direct.then_some(("isDirect", Value::Bool(true))));
        extra.extend(more.lists());
        if !reply.is_empty() {
            extra.push(("reply", Value::Object(&reply)));
        }
        let raw = [("message", Value::Json(data))];
        let content = ChatContent {
            message_id: &id,
            text: &said,
            color: None,
            badges: &[],
            is_mod,
            is_subscriber: false,
            emotes: &emotes,
            extra: &extra,
            tags: &[],
            raw: &raw,
            sent_at: text(at.as_ref()).and_then(|at| Timestamp::parse(&at)),
        };
        let subject = Subject {
            channel: Some(&channel),
            is_direct,
            user: Person { id: user_id.as_deref(), login: login.as_deref(), shown },
            received_at,
        };
        let is_self = self.is_own(user_id.as_deref());
        let identity = MessageId::new(&["discord:", &id].concat());
        Some(self.finish(subject, &identity, CHAT_TYPE, is_self, Content::Chat(content)))
    }

    /// Whether something is of our guild, and of a channel that is wanted, if it is of one.
    pub(super) fn is_ours(&self, guild: Option<&Raw>, channel: Option<&str>) -> bool {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        let is_guild = guild.is_none_or(|guild| id_of(guild) == Some(directory.guild()));
        is_guild && channel.is_none_or(|channel| directory.is_wanted(channel))
    }
}

/// What not every message has.
struct More {
    lists: [(&'static str, Option<Raw>); 4],
    webhook: Option<Raw>,
    parent_id: Option<Raw>,
    parent: [Option<Raw>; 3],
}

// === impl More ===

impl More {
    fn of(data: &Raw) -> Self {
        let [mentions, attachments, embeds, stickers, webhook, reference, parent] = data.pick([
            "mentions",
            "attachments",
            "embeds",
            "sticker_items",
            "webhook_id",
            "message_reference",
            "referenced_message",
        ]);
        let full = |list: Option<Raw>| list.filter(|list| list.as_bytes().len() > 2 && !list.is_null());
        let reference = reference.filter(Raw::is_object);
        // 1 is a forward, which answers nothing.
        let is_reply = reference
            .as_ref()
            .is_some_and(|reference| reference.get("type").and_then(|kind| kind.as_u64()).unwrap_or(0) == 0);
        let reference = reference.filter(|_| is_reply);
        let parent = parent.filter(|parent| parent.is_object() && is_reply);
        let author = parent.as_ref().and_then(|parent| parent.get("author"));
        let of_author = |key| author.as_ref().and_then(|author| author.get(key));
        Self {
            lists: [
                ("mentions", full(mentions)),
                ("attachments", full(attachments)),
                ("embeds", full(embeds)),
                ("stickers", full(stickers)),
            ],
            webhook: webhook.filter(|webhook| !webhook.is_null()),
            parent_id: reference.and_then(|reference| reference.get("message_id")),
            parent: [
                of_author("id"),
                of_author("username"),
                parent.as_ref().and_then(|parent| parent.get("content")),
            ],
        }
    }

    fn lists(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let webhook = self.webhook.as_ref().map(|id| ("webhookId", Value::Json(id)));
        let lists = self.lists.iter().filter_map(|(key, list)| Some((*key, Value::Json(list.as_ref()?))));
        lists.chain(webhook)
    }

    /// What the message answers.
    fn reply(&self) -> Vec<(&'static str, Value<'_>)> {
        let [user, login, text] = &self.parent;
        let members = [
            ("parentMessageId", &self.parent_id),
            ("parentUserId", user),
            ("parentUserLogin", login),
            ("parentText", text),
        ];
        if self.parent_id.is_none() {
            return Vec::new();
        }
        members.into_iter().filter_map(|(key, raw)| Some((key, Value::Json(raw.as_ref()?)))).collect()
    }
}
