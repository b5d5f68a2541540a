//! Every subscription type that Twitch documents: what it is about, what it needs, who acts in it.
//!
//! Source: Twitch's EventSub reference, "Subscription types". A type that is not here is no error anywhere: its
//! notifications are published like those of any other.

/// What a subscription's condition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The channel's owner.
    Channel,
    /// The channel's owner, and a moderator whose token it is.
    ChannelAsModerator,
    /// The channel's owner, and the user whose token it is.
    ChannelAsUser,
    /// The channel's owner, as the goal of a raid.
    RaidedChannel,
    /// Something else than a channel: a user, a client, an organisation.
    Other,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// The type's name.
    pub name: &'static str,
    /// The version that is subscribed to.
    pub version: &'static str,
    /// What its condition names.
    pub about: About,
    /// The scopes of which one is needed; none when anyone may see it.
    pub scopes: &'static [&'static str],
    /// How the members are named that say who did it: `user` for `user_id`, `user_login`, `user_name`.
    pub by: &'static str,
    /// The same of whom it hit.
    pub to: &'static str,
    /// Whether it is subscribed to even when the scopes that were granted are not known.
    pub is_basic: bool,
}

/// The type of chat messages: a channel counts as joined when it is subscribed to.
pub const CHAT_MESSAGE: &str = "channel.chat.message";

/// The rows that are subscribed to come first, those that matter most at the beginning: what Twitch allows
/// may not be enough for all.
pub const TABLE: &[EventType] = &[
    as_user("channel.chat.message", "chatter_user", "").basic(),
    as_user("channel.chat.notification", "chatter_user", "").basic(),
    as_user("channel.chat.clear", "", "").basic(),
    as_user("channel.chat.clear_user_messages", "", "target_user").basic(),
    as_user("channel.chat.message_delete", "", "target_user").basic(),
    channel("stream.online", &[], "", "").basic(),
    channel("stream.offline", &[], "", "").basic(),
    channel("channel.update", &[], "", "").version("2").basic(),
    moderator("channel.follow", &["moderator:read:followers"], "user", "").version("2").basic(),
    EventType {
        about: About::RaidedChannel,
        ..channel("channel.raid", &[], "from_broadcaster_user", "to_broadcaster_user").basic()
    },
    as_user("channel.chat_settings.update", "", "").basic(),
    channel("channel.subscribe", &["channel:read:subscriptions"], "user", ""),
    channel("channel.subscription.end", &["channel:read:subscriptions"], "user", ""),
    channel("channel.subscription.gift", &["channel:read:subscriptions"], "user", ""),
    channel("channel.subscription.message", &["channel:read:subscriptions"], "user", ""),
    channel("channel.cheer", &["bits:read"], "user", ""),
    channel("channel.bits.use", &["bits:read"], "user", ""),
    channel("channel.channel_points_automatic_reward_redemption.add", REDEMPTIONS, "user", "").version("2"),
    channel("channel.channel_points_custom_reward.add", REDEMPTIONS, "", ""),
    channel("channel.channel_points_custom_reward.update", REDEMPTIONS, "", ""),
    channel("channel.channel_points_custom_reward.remove", REDEMPTIONS, "", ""),
    channel("channel.channel_points_custom_reward_redemption.add", REDEMPTIONS, "user", ""),
    channel("channel.channel_points_custom_reward_redemption.update", REDEMPTIONS, "user", ""),
    channel("channel.custom_power_up_redemption.add", &["bits:read"], "user", ""),
    channel("channel.custom_power_up_redemption.update", &["bits:read"], "user", ""),
    channel("channel.ban", &["channel:moderate"], "moderator_user", "user"),
    channel("channel.unban", &["channel:moderate"], "moderator_user", "user"),
    moderator("channel.unban_request.create", UNBAN_REQUESTS, "user", ""),
    moderator("channel.unban_request.resolve", UNBAN_REQUESTS, "moderator_user", "user"),
    moderator("channel.moderate", MODERATE, "moderator_user", "").version("2"),
    channel("channel.moderator.add", &["moderation:read"], "", "user"),
    channel("channel.moderator.remove", &["moderation:read"], "", "user"),
    channel("channel.vip.add", &["channel:read:vips", "channel:manage:vips"], "", "user"),
    channel("channel.vip.remove", &["channel:read:vips", "channel:manage:vips"], "", "user"),
    moderator("channel.warning.acknowledge", WARNINGS, "user", ""),
    moderator("channel.warning.send", WARNINGS, "moderator_user", "user"),
    moderator("channel.suspicious_user.message", &["moderator:read:suspicious_users"], "user", ""),
    moderator(
        "channel.suspicious_user.update",
        &["moderator:read:suspicious_users"],
        "moderator_user",
        "user",
    ),
    moderator("channel.shield_mode.begin", SHIELD, "moderator_user", ""),
    moderator("channel.shield_mode.end", SHIELD, "moderator_user", ""),
    moderator("channel.shoutout.create", SHOUTOUTS, "moderator_user", "to_broadcaster_user"),
    moderator("channel.shoutout.receive", SHOUTOUTS, "from_broadcaster_user", ""),
    moderator("automod.message.hold", AUTOMOD, "user", "").version("2"),
    moderator("automod.message.update", AUTOMOD, "moderator_user", "user").version("2"),
    moderator("automod.settings.update", &["moderator:read:automod_settings"], "moderator_user", ""),
    moderator("automod.terms.update", AUTOMOD, "moderator_user", ""),
    channel("channel.ad_break.begin", &["channel:read:ads"], "requester_user", ""),
    channel("channel.poll.begin", POLLS, "", ""),
    channel("channel.poll.progress", POLLS, "", ""),
    channel("channel.poll.end", POLLS, "", ""),
    channel("channel.prediction.begin", PREDICTIONS, "", ""),
    channel("channel.prediction.progress", PREDICTIONS, "", ""),
    channel("channel.prediction.lock", PREDICTIONS, "", ""),
    channel("channel.prediction.end", PREDICTIONS, "", ""),
    channel("channel.goal.begin", &["channel:read:goals"], "", ""),
    channel("channel.goal.progress", &["channel:read:goals"], "", ""),
    channel("channel.goal.end", &["channel:read:goals"], "", ""),
    channel("channel.hype_train.begin", &["channel:read:hype_train"], "", "").version("2"),
    channel("channel.hype_train.progress", &["channel:read:hype_train"], "", "").version("2"),
    channel("channel.hype_train.end", &["channel:read:hype_train"], "", "").version("2"),
    channel("channel.charity_campaign.donate", &["channel:read:charity"], "user", ""),
    channel("channel.charity_campaign.start", &["channel:read:charity"], "", ""),
    channel("channel.charity_campaign.progress", &["channel:read:charity"], "", ""),
    channel("channel.charity_campaign.stop", &["channel:read:charity"], "", ""),
    channel("channel.shared_chat.begin", &[], "", ""),
    channel("channel.shared_chat.update", &[], "", ""),
    channel("channel.shared_chat.end", &[], "", ""),
    as_user("channel.chat.user_message_hold", "user", ""),
    as_user("channel.chat.user_message_update", "user", ""),
    moderator("channel.guest_star_session.begin", GUEST_STAR, "moderator_user", "").version("beta"),
    moderator("channel.guest_star_session.end", GUEST_STAR, "moderator_user", "").version("beta"),
    moderator("channel.guest_star_guest.update", GUEST_STAR, "moderator_user", "guest_user").version("beta"),
    moderator("channel.guest_star_settings.update", GUEST_STAR, "", "").version("beta"),
    other("conduit.shard.disabled", "", ""),
    other("drop.entitlement.grant", "", ""),
    other("extension.bits_transaction.create", "user", ""),
    other("user.authorization.grant", "user", ""),
    other("user.authorization.revoke", "user", ""),
    other("user.update", "user", ""),
    other("user.whisper.message", "from_user", "to_user"),
];

const REDEMPTIONS: &[&str] = &["channel:read:redemptions", "channel:manage:redemptions"];
const UNBAN_REQUESTS: &[&str] = &["moderator:read:unban_requests", "moderator:manage:unban_requests"];
/// Twitch wants one of each kind; who has this one has as a rule the others too, and Twitch says so if not.
const MODERATE: &[&str] = &["moderator:read:banned_users", "moderator:manage:banned_users"];
const WARNINGS: &[&str] = &["moderator:read:warnings", "moderator:manage:warnings"];
const SHIELD: &[&str] = &["moderator:read:shield_mode", "moderator:manage:shield_mode"];
const SHOUTOUTS: &[&str] = &["moderator:read:shoutouts", "moderator:manage:shoutouts"];
const AUTOMOD: &[&str] = &["moderator:manage:automod"];
const POLLS: &[&str] = &["channel:read:polls", "channel:manage:polls"];
const PREDICTIONS: &[&str] = &["channel:read:predictions", "channel:manage:predictions"];
const GUEST_STAR: &[&str] = &["channel:read:guest_star", "moderator:read:guest_star"];

// === impl EventType ===

impl EventType {
    const fn basic(self) -> Self {
        Self { is_basic: true, ..self }
    }

    const fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }
}

/// The row of a type.
pub fn known(name: &str) -> Option<&'static EventType> {
    TABLE.iter().find(|row| row.name == name)
}

const fn channel(
    name: &'static str,
    scopes: &'static [&'static str],
    by: &'static str,
    to: &'static str,
) -> EventType {
    EventType { name, version: "1", about: About::Channel, scopes, by, to, is_basic: false }
}

const fn moderator(
    name: &'static str,
    scopes: &'static [&'static str],
    by: &'static str,
    to: &'static str,
) -> EventType {
    EventType { about: About::ChannelAsModerator, ..channel(name, scopes, by, to) }
}

const fn as_user(name: &'static str, by: &'static str, to: &'static str) -> EventType {
    EventType { about: About::ChannelAsUser, ..channel(name, &["user:read:chat"], by, to) }
}

const fn other(name: &'static str, by: &'static str, to: &'static str) -> EventType {
    EventType { about: About::Other, ..channel(name, &[], by, to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_stands_once_and_chat_comes_first() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names[0], CHAT_MESSAGE);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        assert!(known("channel.follow").is_some_and(|row| row.version == "2"));
        assert!(known("channel.new_thing").is_none());
    }

    #[test]
    fn what_matters_is_at_the_beginning() {
        let basic = TABLE.iter().take_while(|row| row.is_basic).count();
        assert_eq!(basic, TABLE.iter().filter(|row| row.is_basic).count());
    }
}
