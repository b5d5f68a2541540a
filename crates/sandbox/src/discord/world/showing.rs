//! What is there, as clients are shown it.

use chatbus_event::Timestamp;
use serde_json::{Value, json};

use super::World;
use crate::discord::objects::{BOT_ID, Channel, ChannelKind, GUILD_ID, User, moment, roles, set};

// === impl World ===

impl World {
    pub(in crate::discord) fn application(&self) -> Value {
        json!({ "id": BOT_ID, "name": "sandbot", "icon": null, "description": "", "bot_public": false,
            "bot_require_code_grant": false, "verify_key": "", "team": null, "flags": self.flags })
    }

    pub(in crate::discord) fn own_user(&self) -> Value {
        self.users.get(BOT_ID).map_or(Value::Null, User::own_json)
    }

    pub(in crate::discord) fn user(&self, id: &str) -> Option<Value> {
        self.users.get(id).map(User::json)
    }

    pub(in crate::discord) fn ready(&self, session: &str, shard: [u64; 2]) -> Value {
        json!({
            "v": 10, "user": self.own_user(), "guilds": [{ "id": GUILD_ID, "unavailable": true }],
            "session_id": session, "session_type": "normal", "resume_gateway_url": self.gateway_url(),
            "shard": shard, "application": { "id": BOT_ID, "flags": self.flags }, "private_channels": [],
            "relationships": [], "user_settings": {}, "presences": [], "guild_join_requests": [],
            "geo_ordered_rtc_regions": [], "_trace": [],
        })
    }

    /// The guild as REST gives it.
    pub(in crate::discord) fn guild(&self) -> Value {
        json!({
            "id": GUILD_ID, "name": "Sandbox", "icon": null, "splash": null, "discovery_splash": null, "banner": null,
            "owner_id": "900000000000000999", "afk_channel_id": null, "afk_timeout": 300, "verification_level": 0,
            "default_message_notifications": 0, "explicit_content_filter": 0, "roles": roles(), "emojis": [],
            "features": [], "mfa_level": 0, "application_id": null, "system_channel_id": null,
            "system_channel_flags": 0, "rules_channel_id": null, "vanity_url_code": null, "description": null,
            "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US",
            "public_updates_channel_id": null, "nsfw_level": 0, "stickers": [], "premium_progress_bar_enabled": false,
            "safety_alerts_channel_id": null, "max_members": 500_000, "max_presences": null, "widget_enabled": false,
        })
    }

    /// The guild as the gateway gives it.
    pub(in crate::discord) fn guild_create(&self) -> Value {
        let mut guild = self.guild();
        let members: Vec<Value> =
            self.users.values().filter(|user| user.joined_at.is_some()).map(User::full_member_json).collect();
        for (key, value) in [
            ("joined_at", json!(moment(Timestamp::EPOCH))),
            ("large", json!(false)),
            ("unavailable", json!(false)),
            ("member_count", json!(members.len())),
            ("members", json!(members)),
            ("channels", json!(self.guild_channels())),
            ("threads", json!(self.threads())),
            ("voice_states", json!([])),
            ("presences", json!([])),
            ("stage_instances", json!([])),
            ("guild_scheduled_events", json!([])),
            ("soundboard_sounds", json!([])),
        ] {
            set(&mut guild, key, value);
        }
        guild
    }

    pub(in crate::discord) fn guild_channels(&self) -> Vec<Value> {
        let is_text = |channel: &&Channel| channel.kind == ChannelKind::Text;
        self.channels.values().filter(is_text).map(|channel| self.channel_json(channel)).collect()
    }

    pub(in crate::discord) fn threads(&self) -> Vec<Value> {
        let is_thread = |channel: &&Channel| matches!(channel.kind, ChannelKind::Thread { .. });
        self.channels.values().filter(is_thread).map(|channel| self.channel_json(channel)).collect()
    }

    pub(in crate::discord) fn channel(&self, id: &str) -> Option<Value> {
        self.channels.get(id).map(|channel| self.channel_json(channel))
    }

    pub(super) fn channel_json(&self, channel: &Channel) -> Value {
        channel.json(|user| self.user(user))
    }
}
