//! Which events a subscription is sent: what its token covers and its filter asks for.
//!
//! What a limited token cannot be shown to cover is not covered: an event without a channel is not heard
//! by a token that has channels.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_event::Event;
use chatbus_event::json::Raw;

use crate::frames::{Feed, Filter};
use crate::publish::SOURCE;
use crate::sink::PLATFORM;
use crate::tokens::Token;

/// What a subscription is sent.
pub(crate) struct Coverage {
    pub(crate) feed: Feed,
    pub(crate) token: Arc<Token>,
    pub(crate) filter: Filter,
}

// === impl Coverage ===

impl Coverage {
    /// Whether this body is sent. What is no event is not.
    pub(crate) fn covers(&self, body: &Bytes) -> bool {
        // Outcomes name no platform and no channel: a token or filter that does has no such subscription.
        if self.feed == Feed::Outcomes {
            return Raw::parse(body).is_ok_and(|outcome| outcome.is_object());
        }
        let Ok(event) = Event::decode(body) else { return false };
        let (source, channel, kind) = (event.source(), event.channel(), event.kind());
        let Filter { platform: wanted_platform, channel: wanted_channel, kind: wanted_kind } = &self.filter;
        let Token { platforms, channels, types, .. } = &*self.token;
        let of = |platform: &String| is_of(&source, platform);
        let in_it = |name: &String| channel.as_deref().is_some_and(|channel| bare(channel) == bare(name));
        let is_kind = |name: &String| *name == *kind;
        any(platforms, of)
            && any(channels, in_it)
            && any(types, is_kind)
            && wanted_platform.as_ref().is_none_or(of)
            && wanted_channel.as_ref().is_none_or(in_it)
            && wanted_kind.as_ref().is_none_or(is_kind)
    }
}

/// Whether there is a limit at all, and if so, whether one of its names fits.
fn any(names: &[String], fits: impl Fn(&String) -> bool) -> bool {
    names.is_empty() || names.iter().any(fits)
}

fn bare(channel: &str) -> String {
    channel.trim_start_matches('#').to_lowercase()
}

/// Whether a source such as `ingress.twitch` is of this platform. Our own clients' is the gateway's name.
fn is_of(source: &str, platform: &str) -> bool {
    source.split('.').any(|part| part.eq_ignore_ascii_case(platform))
        || (source == SOURCE && platform.eq_ignore_ascii_case(PLATFORM))
}

#[cfg(test)]
mod tests {
    use chatbus_event::Timestamp;
    use serde_json::json;

    use super::*;

    fn coverage(feed: Feed, limits: [&[&str]; 3], filter: Filter) -> Coverage {
        let [platforms, channels, types] = limits.map(|l| l.iter().map(|&s| s.to_owned()).collect());
        let token = Token {
            id: "tok_1".to_owned(),
            user_id: "bot".to_owned(),
            created_at: Timestamp::EPOCH,
            expires_at: None,
            origins: vec![],
            channels,
            types,
            bot: true,
            name: Some("bot".to_owned()),
            platforms,
        };
        Coverage { feed, token: Arc::new(token), filter }
    }

    fn event(source: &str, channel: Option<&str>) -> Bytes {
        let mut body = json!({"v": "1", "type": "chat.message.v1", "source": source, "correlationId": "c"});
        if let Some(channel) = channel {
            body["channel"] = json!(channel);
        }
        serde_json::to_vec(&body).unwrap().into()
    }

    #[test]
    fn a_limit_lets_only_what_it_names_through_and_what_names_nothing_is_not_covered() {
        let twitch = event("ingress.twitch", Some("#Room"));
        let nowhere = event("ingress.twitch", None);
        let own = event("api-gateway", Some("room"));
        for (limits, covered) in [
            ([&[][..], &[], &[]], [true, true, true]),
            ([&["twitch"], &[], &[]], [true, true, false]),
            ([&["websocket"], &[], &[]], [false, false, true]),
            ([&["witch"], &[], &[]], [false, false, false]),
            ([&[], &["room"], &[]], [true, false, true]),
            ([&[], &["other"], &[]], [false, false, false]),
            ([&[], &[], &["chat.message.v1"]], [true, true, true]),
            ([&[], &[], &["chat.command.v1"]], [false, false, false]),
        ] {
            let coverage = coverage(Feed::Ingress, limits, Filter::default());
            assert_eq!([&twitch, &nowhere, &own].map(|body| coverage.covers(body)), covered, "{limits:?}");
        }
    }

    #[test]
    fn a_filter_narrows_what_the_token_covers_and_never_widens_it() {
        let body = event("ingress.twitch", Some("#a"));
        let channel = |name: &str| Filter { channel: Some(name.to_owned()), ..Filter::default() };
        assert!(coverage(Feed::Ingress, [&[], &["#a"], &[]], channel("a")).covers(&body));
        assert!(!coverage(Feed::Ingress, [&[], &["#a"], &[]], channel("b")).covers(&body));
        assert!(!coverage(Feed::Ingress, [&[], &["#b"], &[]], channel("a")).covers(&body));
    }

    #[test]
    fn what_is_no_json_object_is_never_put_into_a_frame() {
        for feed in [Feed::Ingress, Feed::Outcomes] {
            let all = coverage(feed, [&[], &[], &[]], Filter::default());
            for bad in ["", "nonsense", "[1]", "{\"type\":"] {
                assert!(!all.covers(&Bytes::from_static(bad.as_bytes())), "{bad}");
            }
        }
        let outcome = Bytes::from_static(br#"{"correlationId":"c","status":"SENT"}"#);
        assert!(coverage(Feed::Outcomes, [&[], &[], &[]], Filter::default()).covers(&outcome));
    }
}
