//! The types of subscriptions there are (dev.twitch.tv/docs/eventsub/eventsub-subscription-types): what each
//! asks in its condition, and the scopes of which the reader has granted one.

/// A type in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Fields that the condition must have.
    pub(super) condition: &'static [&'static str],
    /// One of these; none means that anybody may ask.
    pub(super) scopes: &'static [&'static str],
}

/// The chat messages that rooms tell by themselves.
pub(in crate::twitch_api) const CHAT_MESSAGE: &str = "channel.chat.message";

const CHANNEL: &[&str] = &["broadcaster_user_id"];
const READER: &[&str] = &["broadcaster_user_id", "user_id"];
const MODERATOR: &[&str] = &["broadcaster_user_id", "moderator_user_id"];
const USER: &[&str] = &["user_id"];
const CLIENT: &[&str] = &["client_id"];

/// Names, versions, condition, scopes.
type Row =
    (&'static [&'static str], &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const TYPES: &[Row] = &[
    (
        &["automod.message.hold", "automod.message.update"],
        &["1", "2"],
        MODERATOR,
        &["moderator:manage:automod"],
    ),
    (&["automod.settings.update"], &["1"], MODERATOR, &["moderator:read:automod_settings"]),
    (&["automod.terms.update"], &["1"], MODERATOR, &["moderator:manage:automod"]),
    (&["channel.ad_break.begin"], &["1"], CHANNEL, &["channel:read:ads"]),
    (&["channel.ban", "channel.unban"], &["1"], CHANNEL, &["channel:moderate"]),
    (&["channel.bits.use", "channel.cheer"], &["1"], CHANNEL, &["bits:read"]),
    (
        &["channel.channel_points_automatic_reward_redemption.add"],
        &["1", "2"],
        CHANNEL,
        &["channel:read:redemptions", "channel:manage:redemptions"],
    ),
    (
        &[
            "channel.channel_points_custom_reward.add",
            "channel.channel_points_custom_reward.remove",
            "channel.channel_points_custom_reward.update",
            "channel.channel_points_custom_reward_redemption.add",
            "channel.channel_points_custom_reward_redemption.update",
        ],
        &["1"],
        CHANNEL,
        &["channel:read:redemptions", "channel:manage:redemptions"],
    ),
    (
        &[
            "channel.charity_campaign.donate",
            "channel.charity_campaign.progress",
            "channel.charity_campaign.start",
            "channel.charity_campaign.stop",
        ],
        &["1"],
        CHANNEL,
        &["channel:read:charity"],
    ),
    (
        &[
            "channel.chat.clear",
            "channel.chat.clear_user_messages",
            CHAT_MESSAGE,
            "channel.chat.message_delete",
            "channel.chat.notification",
            "channel.chat.user_message_hold",
            "channel.chat.user_message_update",
            "channel.chat_settings.update",
        ],
        &["1"],
        READER,
        &["user:read:chat"],
    ),
    (&["channel.follow"], &["2"], MODERATOR, &["moderator:read:followers"]),
    (
        &["channel.goal.begin", "channel.goal.end", "channel.goal.progress"],
        &["1"],
        CHANNEL,
        &["channel:read:goals"],
    ),
    (
        &[
            "channel.guest_star_guest.update",
            "channel.guest_star_session.begin",
            "channel.guest_star_session.end",
            "channel.guest_star_settings.update",
        ],
        &["beta"],
        MODERATOR,
        &["channel:read:guest_star", "channel:manage:guest_star", "moderator:read:guest_star"],
    ),
    (
        &["channel.hype_train.begin", "channel.hype_train.end", "channel.hype_train.progress"],
        &["1", "2"],
        CHANNEL,
        &["channel:read:hype_train"],
    ),
    (&["channel.moderate"], &["1", "2"], MODERATOR, &[]),
    (
        &["channel.moderator.add", "channel.moderator.remove"],
        &["1"],
        CHANNEL,
        &["moderation:read", "channel:manage:moderators"],
    ),
    (
        &["channel.poll.begin", "channel.poll.end", "channel.poll.progress"],
        &["1"],
        CHANNEL,
        &["channel:read:polls", "channel:manage:polls"],
    ),
    (
        &[
            "channel.prediction.begin",
            "channel.prediction.end",
            "channel.prediction.lock",
            "channel.prediction.progress",
        ],
        &["1"],
        CHANNEL,
        &["channel:read:predictions", "channel:manage:predictions"],
    ),
    (&["channel.raid"], &["1"], &[], &[]),
    (
        &["channel.shared_chat.begin", "channel.shared_chat.end", "channel.shared_chat.update"],
        &["1"],
        CHANNEL,
        &[],
    ),
    (
        &["channel.shield_mode.begin", "channel.shield_mode.end"],
        &["1"],
        MODERATOR,
        &["moderator:read:shield_mode", "moderator:manage:shield_mode"],
    ),
    (
        &["channel.shoutout.create", "channel.shoutout.receive"],
        &["1"],
        MODERATOR,
        &["moderator:read:shoutouts", "moderator:manage:shoutouts"],
    ),
    (
        &[
            "channel.subscribe",
            "channel.subscription.end",
            "channel.subscription.gift",
            "channel.subscription.message",
        ],
        &["1"],
        CHANNEL,
        &["channel:read:subscriptions"],
    ),
    (
        &["channel.suspicious_user.message", "channel.suspicious_user.update"],
        &["1"],
        MODERATOR,
        &["moderator:read:suspicious_users"],
    ),
    (
        &["channel.unban_request.create", "channel.unban_request.resolve"],
        &["1"],
        MODERATOR,
        &["moderator:read:unban_requests", "moderator:manage:unban_requests"],
    ),
    (&["channel.update"], &["2"], CHANNEL, &[]),
    (
        &["channel.vip.add", "channel.vip.remove"],
        &["1"],
        CHANNEL,
        &["channel:read:vips", "channel:manage:vips"],
    ),
    (
        &["channel.warning.acknowledge", "channel.warning.send"],
        &["1"],
        MODERATOR,
        &["moderator:read:warnings", "moderator:manage:warnings"],
    ),
    (&["conduit.shard.disabled"], &["1"], CLIENT, &[]),
    (&["drop.entitlement.grant"], &["1"], &["organization_id"], &[]),
    (&["extension.bits_transaction.create"], &["1"], &["extension_client_id"], &[]),
    (&["stream.offline", "stream.online"], &["1"], CHANNEL, &[]),
    (&["user.authorization.grant", "user.authorization.revoke"], &["1"], CLIENT, &[]),
    (&["user.update"], &["1"], USER, &[]),
    (&["user.whisper.message"], &["1"], USER, &["user:read:whispers", "user:manage:whispers"]),
];

// === impl Kind ===

impl Kind {
    /// The type of this name and version.
    pub(super) fn find(name: &str, version: &str) -> Option<Self> {
        TYPES.iter().find_map(|(names, versions, condition, scopes)| {
            let name = names.iter().find(|known| **known == name)?;
            let version = versions.iter().find(|known| **known == version)?;
            Some(Self { name, version, condition, scopes })
        })
    }

    /// The field of the condition that names who must have granted a scope: the reader, the moderator, or else
    /// the channel itself.
    pub(super) fn grants(self) -> Option<&'static str> {
        self.condition.last().copied().filter(|_| !self.scopes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_name_and_version() {
        let chat = Kind::find("channel.chat.message", "1").unwrap();
        assert_eq!((chat.grants(), chat.scopes), (Some("user_id"), &["user:read:chat"][..]));
        assert_eq!(Kind::find("channel.follow", "2").unwrap().grants(), Some("moderator_user_id"));
        assert_eq!(Kind::find("stream.online", "1").unwrap().grants(), None);
        assert_eq!(Kind::find("channel.follow", "1"), None);
        assert_eq!(Kind::find("channel.chat", "1"), None);
    }
}
