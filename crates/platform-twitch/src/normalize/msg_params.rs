//! The parameters of USERNOTICEs that we know, as members of `payload.params`. Others stay under the
//! raw tags, where all of them are.

use chatbus_event::Value;

use super::tag_set::TagSet;

/// How a parameter is written.
#[derive(Debug, Clone, Copy)]
enum As {
    Text,
    Number,
    Bool,
}

const TABLE: &[(&str, &str, As)] = &[
    ("amount", "msg-param-amount", As::Number),
    ("category", "msg-param-category", As::Text),
    ("charityName", "msg-param-charity-name", As::Text),
    ("color", "msg-param-color", As::Text),
    ("communityGiftId", "msg-param-community-gift-id", As::Text),
    ("cumulativeMonths", "msg-param-cumulative-months", As::Number),
    ("currency", "msg-param-currency", As::Text),
    ("currentBadgeLevel", "msg-param-current-badge-level", As::Number),
    ("displayName", "msg-param-displayName", As::Text),
    ("domain", "msg-param-domain", As::Text),
    ("donationAmount", "msg-param-donation-amount", As::Number),
    ("donationCurrency", "msg-param-donation-currency", As::Text),
    ("emoteId", "msg-param-emote-id", As::Text),
    ("exponent", "msg-param-exponent", As::Number),
    ("funString", "msg-param-fun-string", As::Text),
    ("giftMonthBeingRedeemed", "msg-param-gift-month-being-redeemed", As::Number),
    ("giftMonths", "msg-param-gift-months", As::Number),
    ("giftTheme", "msg-param-gift-theme", As::Text),
    ("goalContributionType", "msg-param-goal-contribution-type", As::Text),
    ("goalCurrentContributions", "msg-param-goal-current-contributions", As::Number),
    ("goalDescription", "msg-param-goal-description", As::Text),
    ("goalTargetContributions", "msg-param-goal-target-contributions", As::Number),
    ("goalUserContributions", "msg-param-goal-user-contributions", As::Number),
    ("id", "msg-param-id", As::Text),
    ("isHighlighted", "msg-param-is-highlighted", As::Bool),
    ("login", "msg-param-login", As::Text),
    ("massGiftCount", "msg-param-mass-gift-count", As::Number),
    ("months", "msg-param-months", As::Number),
    ("multimonthDuration", "msg-param-multimonth-duration", As::Number),
    ("multimonthTenure", "msg-param-multimonth-tenure", As::Number),
    ("originId", "msg-param-origin-id", As::Text),
    ("pillType", "msg-param-pill-type", As::Text),
    ("priorGifterAnonymous", "msg-param-prior-gifter-anonymous", As::Bool),
    ("priorGifterDisplayName", "msg-param-prior-gifter-display-name", As::Text),
    ("priorGifterId", "msg-param-prior-gifter-id", As::Text),
    ("priorGifterLogin", "msg-param-prior-gifter-user-name", As::Text),
    ("profileImageUrl", "msg-param-profileImageURL", As::Text),
    ("promoGiftTotal", "msg-param-promo-gift-total", As::Number),
    ("promoName", "msg-param-promo-name", As::Text),
    ("recipientDisplayName", "msg-param-recipient-display-name", As::Text),
    ("recipientId", "msg-param-recipient-id", As::Text),
    ("recipientLogin", "msg-param-recipient-user-name", As::Text),
    ("rewardPoints", "msg-param-copoReward", As::Number),
    ("ritualName", "msg-param-ritual-name", As::Text),
    ("senderCount", "msg-param-sender-count", As::Number),
    ("senderLogin", "msg-param-sender-login", As::Text),
    ("senderName", "msg-param-sender-name", As::Text),
    ("shouldShareStreak", "msg-param-should-share-streak", As::Bool),
    ("streakMonths", "msg-param-streak-months", As::Number),
    ("subPlan", "msg-param-sub-plan", As::Text),
    ("subPlanName", "msg-param-sub-plan-name", As::Text),
    ("threshold", "msg-param-threshold", As::Number),
    ("value", "msg-param-value", As::Number),
    ("viewerCount", "msg-param-viewerCount", As::Number),
    ("wasGifted", "msg-param-was-gifted", As::Bool),
];

/// The known parameters that are there. One that is not what it should be stays a text.
pub(super) fn members<'a>(tags: &'a TagSet<'_>) -> Vec<(&'static str, Value<'a>)> {
    TABLE
        .iter()
        .filter_map(|(key, tag, kind)| {
            let text = tags.get(tag)?;
            let value = match (kind, text) {
                (As::Number, _) => text.parse().map(Value::Number).unwrap_or(Value::Text(text)),
                (As::Bool, "1" | "true") => Value::Bool(true),
                (As::Bool, "0" | "false") => Value::Bool(false),
                _ => Value::Text(text),
            };
            Some((*key, value))
        })
        .collect()
}
