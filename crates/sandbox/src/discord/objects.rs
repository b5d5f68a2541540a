//! Discord's objects as JSON, with every member that the strict among its clients insist on.

use chatbus_event::Timestamp;
use serde_json::{Value, json};

/// The guild.
pub const GUILD_ID: &str = "900000000000000001";
/// The guild's first channel, `general`.
pub const GENERAL_ID: &str = "900000000000000010";
/// The guild's second channel, `bots`.
pub const BOTS_ID: &str = "900000000000000011";
/// The role `Wizards`, without permissions.
pub const WIZARD_ROLE_ID: &str = "900000000000000020";
/// The role `Moderators`, which may manage messages.
pub const MODERATOR_ROLE_ID: &str = "900000000000000021";
/// The bot, and its application.
pub const BOT_ID: &str = "900000000000000100";

/// Milliseconds of Discord's epoch, the first second of 2015.
const EPOCH_MS: i64 = 1_420_070_400_000;

/// Somebody.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) login: String,
    pub(super) nick: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) bot: bool,
    pub(super) joined_at: Option<Timestamp>,
}

/// Where something is said.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: ChannelKind,
}

/// What a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChannelKind {
    Text,
    Thread { parent: String },
    Direct { user: String },
}

/// Something that was said.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) channel: String,
    pub(super) author: String,
    pub(super) text: String,
    pub(super) nonce: Option<Value>,
    pub(super) reply_to: Option<String>,
    pub(super) at: Timestamp,
    pub(super) edited_at: Option<Timestamp>,
}

/// The id of something that happened then, the `count`th of all.
pub(super) fn snowflake(at: Timestamp, count: u64) -> String {
    let since = u64::try_from(at.as_millis() - EPOCH_MS).unwrap_or(0);
    ((since << 22) | (count & 0x3f_ffff)).to_string()
}

/// A moment as Discord writes it.
pub(super) fn moment(at: Timestamp) -> String {
    format!("{}000+00:00", at.to_string().trim_end_matches('Z'))
}

pub(super) fn roles() -> Vec<Value> {
    let role = |id: &str, name: &str, permissions: &str, position: u64| {
        json!({
            "id": id, "name": name, "permissions": permissions, "position": position, "color": 0,
            "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null },
            "hoist": false, "managed": false, "mentionable": false, "icon": null, "unicode_emoji": null, "flags": 0,
        })
    };
    vec![
        role(GUILD_ID, "@everyone", "68608", 0),
        role(WIZARD_ROLE_ID, "Wizards", "0", 1),
        role(MODERATOR_ROLE_ID, "Moderators", "8192", 2),
    ]
}

/// The id of a role by its name or id.
pub(super) fn role_id(name: &str) -> Option<String> {
    let is = |role: &Value, key: &str| role.get(key).and_then(Value::as_str) == Some(name);
    let role = roles().into_iter().find(|role| is(role, "name") || is(role, "id"))?;
    role.get("id").and_then(Value::as_str).map(str::to_owned)
}

impl User {
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id, "username": self.login, "discriminator": "0", "global_name": null, "avatar": null,
            "bot": self.bot, "system": false, "public_flags": 0,
        })
    }

    /// The user as the bot's own account is told of itself.
    pub(super) fn own_json(&self) -> Value {
        let mut user = self.json();
        for (key, value) in [
            ("mfa_enabled", json!(false)),
            ("verified", json!(true)),
            ("email", Value::Null),
            ("flags", json!(0)),
        ] {
            set(&mut user, key, value);
        }
        user
    }

    /// The membership; without the user, as messages carry it.
    pub(super) fn member_json(&self) -> Value {
        json!({
            "nick": self.nick, "roles": self.roles, "joined_at": self.joined_at.map(moment), "deaf": false,
            "mute": false, "flags": 0, "pending": false, "avatar": null, "premium_since": null,
            "communication_disabled_until": null,
        })
    }

    pub(super) fn full_member_json(&self) -> Value {
        let mut member = self.member_json();
        set(&mut member, "user", self.json());
        member
    }
}

impl Channel {
    pub(super) fn json(&self, users: impl Fn(&str) -> Option<Value>) -> Value {
        match &self.kind {
            ChannelKind::Text => json!({
                "id": self.id, "type": 0, "guild_id": GUILD_ID, "name": self.name, "position": 0,
                "permission_overwrites": [], "parent_id": null, "topic": null, "nsfw": false,
                "rate_limit_per_user": 0, "last_message_id": null, "flags": 0,
            }),
            ChannelKind::Thread { parent } => json!({
                "id": self.id, "type": 11, "guild_id": GUILD_ID, "name": self.name, "parent_id": parent,
                "owner_id": BOT_ID, "message_count": 0, "member_count": 1, "rate_limit_per_user": 0,
                "last_message_id": null, "flags": 0, "total_message_sent": 0,
                "thread_metadata": {
                    "archived": false, "auto_archive_duration": 1440, "locked": false,
                    "archive_timestamp": moment(Timestamp::EPOCH),
                },
            }),
            ChannelKind::Direct { user } => json!({
                "id": self.id, "type": 1, "last_message_id": null, "flags": 0,
                "recipients": users(user).into_iter().collect::<Vec<_>>(),
            }),
        }
    }
}

impl Message {
    /// The message without guild and member, as REST gives it.
    pub(super) fn json(&self, author: &Value, mentions: &[Value], replied: Option<Value>) -> Value {
        let mut message = json!({
            "id": self.id, "type": if self.reply_to.is_some() { 19 } else { 0 }, "channel_id": self.channel,
            "author": author, "content": self.text, "timestamp": moment(self.at),
            "edited_timestamp": self.edited_at.map(moment), "tts": false, "mention_everyone": false,
            "mentions": mentions, "mention_roles": [], "attachments": [], "embeds": [], "pinned": false, "flags": 0,
            "components": [],
        });
        if let Some(nonce) = &self.nonce {
            set(&mut message, "nonce", nonce.clone());
        }
        if let Some(parent) = &self.reply_to {
            let reference = json!({ "type": 0, "message_id": parent, "channel_id": self.channel });
            set(&mut message, "message_reference", reference);
            set(&mut message, "referenced_message", replied.unwrap_or(Value::Null));
        }
        message
    }
}

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}
