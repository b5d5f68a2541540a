//! One row for each sentence of the contract about targets, channels and users. The platforms here are
//! made up: nothing in this crate knows a real one.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_connector::{Availability, Capabilities, Outbound, Verdict};
use tokio::sync::watch;

use super::*;

struct Fake {
    platform: &'static str,
    capabilities: Capabilities,
    default: Option<&'static str>,
}

#[async_trait]
impl Sink for Fake {
    fn platform(&self) -> &'static str {
        self.platform
    }
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
    fn channel(&self, name: &str) -> Option<Arc<str>> {
        let name = name.trim_start_matches('#').to_lowercase();
        name.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| format!("#{name}").into())
    }
    fn default_channel(&self) -> Option<Arc<str>> {
        self.default.map(Into::into)
    }
    fn recipient(&self, user_id: &str) -> Option<Arc<str>> {
        user_id.bytes().all(|b| b.is_ascii_digit()).then(|| user_id.into())
    }
    fn availability(&self, _: &Target) -> Availability {
        Availability::Unserved
    }
    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
    async fn send(&self, _: Outbound) -> Verdict {
        Verdict::NotNow
    }
}

fn table() -> PlatformTable {
    let platform = |name, aliases, reach| Platform { name, aliases, reach };
    PlatformTable::new([
        platform("brook", &[], Reach::Public),
        platform("delta", &[], Reach::Public),
        platform("pager", &[], Reach::Direct),
        platform("socket", &["hall-gateway"], Reach::Gateway),
    ])
}

fn sink(platform: &'static str, default: Option<&'static str>) -> Arc<dyn Sink> {
    Arc::new(Fake {
        platform,
        capabilities: Capabilities { chat: true, direct: true, ..Capabilities::default() },
        default,
    })
}

/// Brook and pager run here, delta does not.
fn sinks() -> Vec<Arc<dyn Sink>> {
    vec![sink("brook", Some("#first")), sink("pager", None)]
}

fn facts() -> Facts<'static> {
    Facts {
        family: Family::Egress,
        destination: None,
        kind: Some(EgressKind::Chat),
        source: "".into(),
        auth_provider: None,
        custom_sources: Vec::new(),
        channel: Some("#a".into()),
        user_id: Some("7".into()),
    }
}

fn to<T: From<&'static str>>(text: &'static str) -> Option<T> {
    Some(text.into())
}

/// The one user that is connected.
const CONNECTED: &str = "8";

/// `platform #channel`, `platform @user`, or the reason.
fn seen(facts: &Facts<'_>, sinks: &[Arc<dyn Sink>]) -> String {
    match resolve(facts, &table(), sinks, |user| user == CONNECTED) {
        Err(refusal) => refusal.reason.to_string(),
        Ok(Destination { platform, target, sink, .. }) => {
            let target = match &target {
                Audience::Channel(name) => name.to_string(),
                Audience::User(id) => format!("@{id}"),
            };
            format!("{platform} {target}{}", if sink.is_none() { " elsewhere" } else { "" })
        }
    }
}

fn assert_rows<'e>(
    sinks: &[Arc<dyn Sink>],
    rows: impl IntoIterator<Item = (&'static str, Facts<'e>, &'static str)>,
) {
    for (row, facts, expected) in rows {
        assert_eq!(seen(&facts, sinks), expected, "{row}");
    }
}

#[test]
fn the_first_rule_that_applies_decides_the_platform() {
    let f = facts;
    assert_rows(
        &sinks(),
        [
            ("1 a platform's name", Facts { destination: to("brook"), ..f() }, "brook #a"),
            ("1 one that runs elsewhere", Facts { destination: to("delta"), ..f() }, "delta #a elsewhere"),
            ("1 the gateway", Facts { destination: to("socket"), ..f() }, "socket @7 elsewhere"),
            ("1 its other name", Facts { destination: to("hall-gateway"), ..f() }, "socket @7 elsewhere"),
            (
                "1 a gateway's topic",
                Facts { destination: to("internal.api.egress.v1.x"), source: "ingress.brook".into(), ..f() },
                "socket @7 elsewhere",
            ),
            (
                "1 wins over everything",
                Facts { destination: to("brook"), source: "hall-gateway".into(), channel: None, ..f() },
                "brook #first",
            ),
            (
                "1 any other value",
                Facts { destination: to("system"), source: "brook".into(), ..f() },
                "no_platform",
            ),
            (
                "1 not another case",
                Facts { destination: to("Brook"), source: "brook".into(), ..f() },
                "no_platform",
            ),
            (
                "1 not what only begins like a topic",
                Facts { destination: to("internal.egress.v10"), source: "brook".into(), ..f() },
                "no_platform",
            ),
            (
                "1 the generic topic decides nothing",
                Facts { destination: to("internal.egress.v1"), source: "ingress.brook".into(), ..f() },
                "brook #a",
            ),
            (
                "1 an instance's topic decides nothing",
                Facts { destination: to("internal.egress.v1.x"), source: "ingress.brook".into(), ..f() },
                "brook #a",
            ),
            (
                "1 empty decides nothing",
                Facts { destination: to(""), source: "brook".into(), ..f() },
                "brook #a",
            ),
            (
                "2 source names the gateway",
                Facts { source: "ingress.hall-gateway.brook".into(), ..f() },
                "socket @7 elsewhere",
            ),
            (
                "2 provider names the gateway, final",
                Facts { source: "ingress.brook".into(), auth_provider: to("hall-gateway"), ..f() },
                "socket @7 elsewhere",
            ),
            ("2 in any case", Facts { source: "Hall-Gateway".into(), ..f() }, "socket @7 elsewhere"),
            (
                "3 source",
                Facts { source: "ingress.brook.events".into(), auth_provider: to("delta"), ..f() },
                "brook #a",
            ),
            ("3 a part, not a piece", Facts { source: "ingress.brooklet".into(), ..f() }, "no_platform"),
            (
                "4 annotation",
                Facts { custom_sources: vec!["x".into(), "brook".into()], auth_provider: to("delta"), ..f() },
                "brook #a",
            ),
            (
                "4 of several the gateway",
                Facts { custom_sources: vec!["brook".into(), "socket".into()], ..f() },
                "socket @7 elsewhere",
            ),
            ("5 provider", Facts { source: "bot".into(), auth_provider: to("brook"), ..f() }, "brook #a"),
            (
                "6 not where several are served",
                Facts { family: Family::InstanceEgress, ..f() },
                "no_platform",
            ),
            ("7 a connected user", Facts { user_id: to(CONNECTED), ..f() }, "socket @8 elsewhere"),
            ("7 needs a user", Facts { user_id: None, ..f() }, "no_platform"),
            ("nothing", f(), "no_platform"),
        ],
    );
}

#[test]
fn an_instance_with_one_platform_stands_for_it_on_its_own_topic_only_and_never_for_a_dm() {
    let only = [sink("brook", None)];
    let own = || Facts { family: Family::InstanceEgress, ..facts() };
    assert_rows(
        &only,
        [
            ("own topic", own(), "brook #a"),
            ("generic topic", facts(), "no_platform"),
            ("dm", Facts { kind: Some(EgressKind::Dm), ..own() }, "no_platform"),
            (
                "the gateway's stays the gateway's",
                Facts { source: "socket".into(), ..own() },
                "socket @7 elsewhere",
            ),
        ],
    );
    assert_rows(&[], [("none", own(), "no_platform")]);
}

#[test]
fn a_channel_is_the_events_own_or_the_first_configured_one_never_another_platforms() {
    let brook = || Facts { destination: to("brook"), ..facts() };
    let no_default = [sink("brook", None)];
    assert_rows(
        &sinks(),
        [
            ("valid", Facts { channel: to("Some"), ..brook() }, "brook #some"),
            ("none", Facts { channel: None, ..brook() }, "brook #first"),
            ("not valid there", Facts { channel: to("#a b!"), ..brook() }, "brook #first"),
            ("another platform's", Facts { source: "ingress.delta".into(), ..brook() }, "brook #first"),
            ("a gateway's", Facts { source: "hall-gateway".into(), ..brook() }, "brook #first"),
            ("its own platform's", Facts { source: "ingress.brook".into(), ..brook() }, "brook #a"),
            ("a bot's", Facts { source: "llm-bot".into(), ..brook() }, "brook #a"),
        ],
    );
    assert_rows(
        &no_default,
        [
            ("nothing configured", Facts { channel: None, ..brook() }, "no_channel"),
            ("another platform's", Facts { source: "ingress.delta".into(), ..brook() }, "no_channel"),
        ],
    );
    let pager = || Facts { destination: to("pager"), ..facts() };
    assert_rows(
        &sinks(),
        [
            ("direct: its own conversation", pager(), "pager #a"),
            ("direct: else the user", Facts { channel: None, ..pager() }, "pager @7"),
            ("direct: neither", Facts { channel: None, user_id: None, ..pager() }, "no_channel"),
        ],
    );
    let capabilities = Capabilities { direct: true, ..Capabilities::default() };
    let people: [Arc<dyn Sink>; 1] = [Arc::new(Fake { platform: "pager", capabilities, default: None })];
    assert_rows(
        &people,
        [
            ("direct: the user", Facts { channel: to("8"), ..pager() }, "pager @7"),
            (
                "direct: whom the channel names",
                Facts { channel: to("8"), user_id: None, ..pager() },
                "pager @8",
            ),
            ("direct: whom it does not", Facts { channel: to("x"), user_id: None, ..pager() }, "no_channel"),
        ],
    );
}

#[test]
fn a_user_is_raw_or_has_the_targets_own_prefix() {
    let dm = |id: Option<&'static str>| Facts {
        destination: to("brook"),
        kind: Some(EgressKind::Dm),
        user_id: id.map(Into::into),
        ..facts()
    };
    let hall = |id: Option<&'static str>| Facts { destination: to("socket"), ..dm(id) };
    assert_rows(
        &sinks(),
        [
            ("raw", dm(Some("1337")), "brook @1337"),
            ("own prefix", dm(Some("brook:1337")), "brook @1337"),
            ("another's prefix", dm(Some("delta:1337")), "no_recipient"),
            ("the gateway's prefix", dm(Some("socket:1337")), "no_recipient"),
            ("malformed", dm(Some("x:1337")), "no_recipient"),
            ("nothing but the prefix", dm(Some("brook:")), "no_recipient"),
            ("blank", dm(Some("  ")), "no_recipient"),
            ("never the channel", dm(None), "no_recipient"),
            ("gateway, as written", hall(Some("delta:1337")), "socket @delta:1337 elsewhere"),
            ("gateway, nobody", hall(None), "no_recipient"),
            ("gateway chat, nobody", Facts { kind: Some(EgressKind::Chat), ..hall(None) }, "no_recipient"),
        ],
    );
}

#[test]
fn what_a_platform_cannot_do_is_unsupported_and_nothing_else_instead() {
    let limited = |chat, direct| -> [Arc<dyn Sink>; 1] {
        let capabilities = Capabilities { chat, direct, ..Capabilities::default() };
        [Arc::new(Fake { platform: "brook", capabilities, default: Some("#first") })]
    };
    let kind = |kind| Facts { destination: to("brook"), kind, ..facts() };
    assert_rows(
        &limited(true, false),
        [
            ("dm", kind(Some(EgressKind::Dm)), "unsupported"),
            ("dm without a user", Facts { user_id: None, ..kind(Some(EgressKind::Dm)) }, "unsupported"),
            ("data", kind(Some(EgressKind::Event)), "unsupported"),
            ("a word we do not know", kind(None), "unsupported"),
            ("chat", kind(Some(EgressKind::Chat)), "brook #a"),
        ],
    );
    assert_rows(&limited(false, true), [("chat", kind(Some(EgressKind::Chat)), "unsupported")]);
    assert_rows(
        &[],
        [(
            "data for the gateway",
            Facts { destination: to("socket"), ..kind(Some(EgressKind::Event)) },
            "socket @7 elsewhere",
        )],
    );
}

#[test]
fn what_came_from_the_gateway_reaches_a_chat_only_by_its_destination() {
    let sinks = [sink("brook", Some("#first"))];
    let own = || Facts { family: Family::InstanceEgress, ..facts() };
    for facts in [
        Facts { source: "socket".into(), ..own() },
        Facts { source: "api.hall-gateway".into(), user_id: None, ..own() },
        Facts { auth_provider: to("socket"), source: "ingress.brook".into(), ..own() },
        Facts { custom_sources: vec!["brook".into(), "hall-gateway".into()], ..own() },
        Facts { source: "socket".into(), destination: to("internal.egress.v1.me"), ..own() },
    ] {
        let seen = seen(&facts, &sinks);
        assert!(!seen.starts_with("brook"), "{facts:?} went to {seen}");
    }
    let named = Facts { source: "socket".into(), destination: to("brook"), ..own() };
    assert_eq!(seen(&named, &sinks), "brook #first");
}

#[test]
fn facts_are_read_from_every_shape() {
    let flat = r#"{"type":"t","source":"bot","egress":{"destination":"brook","type":"dm"},"auth":{"provider":"delta"},
        "annotations":[{"kind":"custom","source":"x"},{"kind":"mood","source":"y"}],"channel":"c","userId":"u"}"#;
    let nested = r#"{"envelope":{"source":"bot","egress":{"destination":"brook","type":"dm"},"auth":{"provider":"delta"}},
        "payload":{"annotations":[{"kind":"custom","source":"x"}]},"type":"t","channel":"c","userId":"u"}"#;
    for json in [flat, nested] {
        let event = chatbus_event::Event::decode(&bytes::Bytes::copy_from_slice(json.as_bytes())).unwrap();
        let expected = Facts {
            family: Family::Egress,
            destination: to("brook"),
            kind: Some(EgressKind::Dm),
            source: "bot".into(),
            auth_provider: to("delta"),
            custom_sources: vec!["x".into()],
            channel: to("c"),
            user_id: to("u"),
        };
        assert_eq!(Facts::of(&event, Family::Egress), expected, "{json}");
    }
}
