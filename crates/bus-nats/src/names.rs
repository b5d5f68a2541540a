//! Subjects, stream names, consumer names and message ids: everything the server sees of ours.
//!
//! BUS_PREFIX is added here and taken off here. A [`Subject`] cannot leave the crate, so a prefix
//! cannot be added twice or be forgotten.

use chatbus_bus::{BusError, BusErrorKind, Group};
use chatbus_event::{Family, MessageId, Topic, sha256_hex};
use chatbus_state::Space;

/// The server keeps every message id for the whole dedupe window in memory.
const MAX_MSG_ID_BYTES: usize = 512;

/// The names of one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

/// A topic with the prefix, or a pattern of such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject(String);

// === impl Names ===

impl Names {
    /// # Errors
    /// When prefixed subjects would not be valid, or could be a wildcard or one of the server's own.
    pub(crate) fn new(prefix: &str) -> Result<Self, BusError> {
        // A prefix may end within a part: `dev-` gives `dev-internal.ingress.v1`.
        let first = format!("{prefix}internal");
        let valid = prefix.len() <= 64
            && first.split('.').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            });
        if !valid {
            return Err(BusError::new(
                BusErrorKind::Misconfigured,
                format!(
                    "BUS_PREFIX {prefix:?} must be at most 64 of A-Z a-z 0-9 _ - in parts joined by dots"
                ),
            ));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    pub(crate) fn subject(&self, topic: &Topic) -> Subject {
        Subject(format!("{}{topic}", self.prefix))
    }

    /// The prefix, for the one place that writes subjects straight into a buffer.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The topic of a subject; `None` for what is not below our prefix or no topic at all, which a
    /// third party can publish to a wildcard stream.
    pub(crate) fn topic(&self, subject: &str) -> Option<Topic> {
        Topic::parse(subject.strip_prefix(self.prefix.as_str())?).ok()
    }

    /// The family's stream. A stream's name holds no dots, and a prefix no `=`, so no two prefixes
    /// share a stream.
    pub(crate) fn stream(&self, family: Family) -> String {
        format!("{}chatbus-{}", self.prefix.replace('.', "="), short(family))
    }

    /// What the family's stream holds. [`Family::Other`] has none of its own: its topics are added
    /// one by one, since `internal.>` would overlap with all others.
    pub(crate) fn subjects(&self, family: Family) -> Vec<String> {
        let one = |text: &str| vec![format!("{}{text}", self.prefix)];
        match family {
            Family::Ingress => one("internal.ingress.v1"),
            Family::Enriched => one("internal.user.enriched.v1"),
            Family::LlmBot => one("internal.llmbot.v1"),
            Family::Egress => one("internal.egress.v1"),
            Family::InstanceEgress => one("internal.egress.v1.>"),
            Family::ApiEgress => one("internal.api.egress.v1.>"),
            Family::Finalizer => {
                Topic::finalizers().iter().map(|topic| format!("{}{topic}", self.prefix)).collect()
            }
            Family::DeadLetter => one("internal.deadletter.v1"),
            Family::RouterDlq => one("internal.router.dlq.v1"),
            Family::Lane => one("internal.lane.v1.>"),
            Family::Other => Vec::new(),
        }
    }

    /// The key-value bucket of a space. A bucket's name holds no dots and no `=`, so a dot of the prefix
    /// becomes `_-` and an underscore two, and no two prefixes share a bucket.
    pub(crate) fn bucket(&self, space: Space) -> String {
        let safe = self.prefix.replace('_', "__").replace('.', "_-");
        format!("{safe}chatbus-{}", space.name())
    }

    /// The durable of a group on a topic. Neither part holds `=`, and dots become one, so the name
    /// is unique in its stream.
    pub(crate) fn consumer(topic: &Topic, group: &Group) -> String {
        format!("{group}={}", topic.as_str().replace('.', "="))
    }

    /// Topic and group of a durable made by [`Names::consumer`].
    pub(crate) fn topic_and_group(consumer: &str) -> Option<(Topic, Group)> {
        let (group, rest) = consumer.split_once('=')?;
        Some((Topic::parse(&rest.replace('=', ".")).ok()?, Group::parse(group).ok()?))
    }

    /// The group of a durable made by [`Names::consumer`] for this topic.
    pub(crate) fn group(consumer: &str, topic: &Topic) -> Option<Group> {
        let (group, rest) = consumer.split_once('=')?;
        (rest == topic.as_str().replace('.', "=")).then(|| Group::parse(group).ok()).flatten()
    }
}

/// The id by which the server drops repeats: of topic and message id, because the same id on another
/// subject of one stream would be dropped otherwise.
pub(crate) fn write_msg_id(out: &mut Vec<u8>, topic: &Topic, id: &MessageId) {
    if topic.as_str().len() + 1 + id.as_str().len() <= MAX_MSG_ID_BYTES {
        out.extend_from_slice(topic.as_str().as_bytes());
        out.push(b'|');
        out.extend_from_slice(id.as_str().as_bytes());
    } else {
        out.extend_from_slice(sha256_hex(format!("{topic}|{id}").as_bytes()).as_bytes());
    }
}

fn short(family: Family) -> &'static str {
    match family {
        Family::Ingress => "ingress",
        Family::Enriched => "enriched",
        Family::LlmBot => "llmbot",
        Family::Egress => "egress",
        Family::InstanceEgress => "egress-of",
        Family::ApiEgress => "api-egress-of",
        Family::Finalizer => "finalizer",
        Family::DeadLetter => "deadletter",
        Family::RouterDlq => "router-dlq",
        Family::Lane => "lane-of",
        Family::Other => "other",
    }
}

// === impl Subject ===

impl Subject {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_prefixes_or_families_share_a_stream() {
        let mut names = BTreeSet::new();
        for prefix in ["", "dev.", "dev", "dev_", "dev-", "dev_-", "a.b.", "a_b.", "a-b.", "a_-b."] {
            let of = Names::new(prefix).unwrap();
            for family in Family::ALL {
                let name = of.stream(family);
                assert!(!name.contains(['.', '*', '>', ' ', '/', '\\']), "{name}");
                assert!(names.insert(name));
            }
            for space in Space::ALL {
                let name = of.bucket(space);
                assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{name}");
                assert!(names.insert(name));
            }
        }
    }

    #[test]
    fn a_prefix_that_could_not_stand_in_a_subject_is_refused() {
        for bad in ["dev..", ".dev", ".", "a b.", "*.", ">", "$JS.", "dev.>", "ü."] {
            assert!(Names::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_is_added_and_taken_off() {
        let names = Names::new("dev.").unwrap();
        let subject = names.subject(&Topic::ingress());
        assert_eq!(subject.as_str(), "dev.internal.ingress.v1");
        assert_eq!(names.topic(subject.as_str()), Some(Topic::ingress()));
        assert_eq!(names.topic("internal.ingress.v1"), None);
        assert_eq!(names.topic("dev.dev.internal.ingress.v1"), None);
    }

    #[test]
    fn a_durable_says_its_group_and_belongs_to_one_topic() {
        let group = Group::parse("auth-1_x").unwrap();
        let [a, b] = ["internal.a.b", "internal.a"].map(|t| Topic::parse(t).unwrap());
        assert_eq!(Names::group(&Names::consumer(&a, &group), &a), Some(group.clone()));
        assert_eq!(Names::group(&Names::consumer(&a, &group), &b), None);
        assert_eq!(Names::group("somebody-elses", &a), None);
        assert_eq!(Names::topic_and_group(&Names::consumer(&a, &group)), Some((a, group)));
        for strange in ["somebody-elses", "a=b", "=internal=a", "g=", "g=internal=a="] {
            assert_eq!(Names::topic_and_group(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_message_id_differs_by_topic_and_has_a_bound() {
        let written = |topic: &Topic, id: &str| {
            let mut out = Vec::new();
            write_msg_id(&mut out, topic, &MessageId::new(id));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&Topic::ingress(), "a"), "internal.ingress.v1|a");
        assert_ne!(written(&Topic::ingress(), "a"), written(&Topic::egress(), "a"));
        let long = Topic::parse(&format!("internal.{}", "x".repeat(180))).unwrap();
        assert!(written(&long, &"y".repeat(256)).len() <= MAX_MSG_ID_BYTES);
    }
}
