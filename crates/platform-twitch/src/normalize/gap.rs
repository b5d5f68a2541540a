//! That nobody read for a while, as a `system.source.gap.v1` with an `externalEvent` of source `twitch.irc`.

use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::{Content, ExternalContent, Timestamp, Value};

use super::external::{SOURCE, VERSION};
use super::identity::Identity;
use super::sender::Sender;
use super::tag_set::TagSet;
use super::{Normalizer, PLATFORM, Subject};

const GAP_TYPE: &str = "system.source.gap.v1";
const KIND: &str = "source.gap";

// === impl Normalizer ===

impl Normalizer {
    /// The event of a gap: between these moments these channels were not read, and Twitch replays nothing.
    /// Known by all it says and by the instance, so that each instance's gaps are events of their own.
    pub fn gap(
        &self,
        from: Timestamp,
        to: Timestamp,
        reason: &str,
        channels: &[Arc<str>],
        received_at: Timestamp,
    ) -> Inbound {
        let (from, to) = (from.to_string(), to.to_string());
        let channels: Vec<&str> = channels.iter().map(|channel| &**channel).collect();
        let identity = Identity::of_gap(self.config.egress.as_str(), &from, &to, reason, &channels);
        let payload = [
            ("platform", Value::Text(PLATFORM)),
            ("from", Value::Text(&from)),
            ("to", Value::Text(&to)),
            ("reason", Value::Text(reason)),
            ("channels", Value::Texts(&channels)),
        ];
        let content = ExternalContent {
            id: &identity.id.clone(),
            source: SOURCE,
            kind: KIND,
            version: VERSION,
            created_at: received_at,
            payload: &payload,
            tags: &[],
            raw: &[],
        };
        let subject = Subject {
            tags: &TagSet::EMPTY,
            sender: Sender::default(),
            identity,
            channel: None,
            conversation: None,
            sent_at: None,
            received_at,
            base64: None,
        };
        self.finish(&subject, GAP_TYPE, false, Content::External(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::NormalizerConfig;
    use chatbus_event::{InstanceId, Shape, Topic};
    use chatbus_testkit::SeededEntropy;

    fn gap(instance: &str, from: i64, channels: &[&str]) -> Inbound {
        let egress = Topic::egress_of(&InstanceId::parse(instance).unwrap());
        let config = NormalizerConfig { egress, shape: Shape::Flat, own_login: None };
        let channels: Vec<Arc<str>> = channels.iter().map(|channel| Arc::from(*channel)).collect();
        let at = Timestamp::from_millis;
        Normalizer::new(config, Arc::new(SeededEntropy::new(1))).gap(
            at(from),
            at(3_000),
            "connection_lost",
            &channels,
            at(3_500),
        )
    }

    #[test]
    fn a_gap_says_when_why_and_where_and_is_known_by_that() {
        let event: serde_json::Value =
            serde_json::from_slice(&gap("i-1", 1_000, &["#a", "#b"]).body).unwrap();
        assert_eq!(event["type"], "system.source.gap.v1");
        assert_eq!(event["egressDestination"], "internal.egress.v1.i-1");
        let external = &event["externalEvent"];
        assert_eq!(
            (external["source"].as_str(), external["kind"].as_str()),
            (Some("twitch.irc"), Some(KIND))
        );
        let expected = serde_json::json!({
            "platform": "twitch",
            "from": "1970-01-01T00:00:01.000Z",
            "to": "1970-01-01T00:00:03.000Z",
            "reason": "connection_lost",
            "channels": ["#a", "#b"],
        });
        assert_eq!(external["payload"], expected);

        let id = |gap: Inbound| gap.id.as_str().to_owned();
        let known = id(gap("i-1", 1_000, &["#a", "#b"]));
        assert_eq!(known, id(gap("i-1", 1_000, &["#a", "#b"])));
        for other in
            [gap("i-2", 1_000, &["#a", "#b"]), gap("i-1", 1_001, &["#a", "#b"]), gap("i-1", 1_000, &["#a"])]
        {
            assert_ne!(known, id(other));
        }
    }
}
