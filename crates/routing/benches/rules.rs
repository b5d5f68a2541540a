//! What rules cost for one event, on one core, beside what cannot be beaten: reading the event.
//!
//! Run with `cargo bench -p chatbus-routing`, and a part of a name to measure only that.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it prints its measurements, or fails")]

use std::hint::black_box;

use bytes::Bytes;
use chatbus_event::{Event, MessageId, Timestamp};
use chatbus_routing::slip::{OnwardContext, onward};
use chatbus_routing::{Compiler, DefaultRules, RouteContext, RuleSet};
use serde_json::json;

const FOR_SECONDS: f64 = 2.0;
/// Events between two looks at the clock.
const ROUND: u32 = 200;

fn main() {
    let event = event();
    println!("an event of {} bytes", event.len());
    measure("read the event", || Event::decode(&event).unwrap());
    for (name, kind) in [
        ("100 rules, text_contains", Kind::Contains),
        ("100 rules, re_test", Kind::Pattern),
        ("100 rules, roles and text", Kind::Mixed),
    ] {
        let rules = rules(100, kind);
        measure(name, || route(&rules, &event));
    }
    for count in [0, 10, 1_000] {
        let rules = rules(count, Kind::Mixed);
        measure(&format!("{count} rules, roles and text"), || route(&rules, &event));
    }
    let defaults = DefaultRules { bot_name: Some("bot".into()), has_llm: true, commands: vec![] };
    let defaults = RuleSet::new(defaults.compile(&Compiler::default()).0);
    measure("the default rules", || route(&defaults, &event));
    let cx = OnwardContext { now: Timestamp::EPOCH, source: "bench", known_topics: &[] };
    measure("the default rules, and onward", || onward(route(&defaults, &event), None, &cx));
}

#[derive(Clone, Copy)]
enum Kind {
    Contains,
    Pattern,
    Mixed,
}

fn route(rules: &RuleSet, event: &Bytes) -> Event {
    let event = Event::decode(event).unwrap();
    let id = MessageId::new("m");
    rules.route(event, &RouteContext { now: Timestamp::EPOCH, message_id: &id }, |_, _| 0).event
}

/// Rules of which none matches, so that all are asked.
fn rules(count: usize, kind: Kind) -> RuleSet {
    let text = json!({ "var": "message.text" });
    let rules: Vec<_> = (0..count)
        .map(|n| {
            let logic = match kind {
                Kind::Contains => json!({ "text_contains": [text, format!("!command{n} "), true] }),
                Kind::Pattern => json!({ "re_test": [text, format!(r"^\s*!command{n}(\s|$)"), "i"] }),
                Kind::Mixed => json!({ "and": [
                    { "===": [{ "var": "type" }, "chat.message.v1"] },
                    { "or": [{ "has_role": [{ "var": "user.roles" }, "moderator"] }, { "var": "payload.isMod" }] },
                    { "text_contains": [text, format!("!command{n} "), true] },
                ] }),
            };
            json!({ "id": format!("r{n}"), "logic": logic })
        })
        .collect();
    RuleSet::new(Compiler::default().rules("bench.json", &json!(rules).to_string()).unwrap())
}

fn event() -> Bytes {
    let event = json!({
        "v": "1", "id": "0b9f4b1e-2f5e-4a55-9a53-0f6f2a3f0c11", "correlationId": "0b9f4b1e-2f5e-4a55-9a53-0f6f2a3f0c11",
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "timestamp": "2025-11-21T17:02:00.000Z",
        "type": "chat.message.v1", "source": "ingress.x", "channel": "#my_channel", "userId": "1337",
        "egress": { "destination": "internal.egress.v1.i1", "type": "chat" },
        "egressDestination": "internal.egress.v1.i1", "routingSlip": [],
        "finalizationDestination": "internal.finalizer.v1",
        "message": { "id": "m", "role": "user", "text": "what a nice day to look at some rules, is it not?",
            "rawPlatformPayload": { "text": "what a nice day to look at some rules, is it not?", "messageId": "m",
                "user": { "id": "1337", "login": "ann", "displayName": "Ann" }, "roomId": "1",
                "color": "#AABBCC", "badges": ["subscriber"], "isMod": true, "isSubscriber": true,
                "emotes": [{ "id": "25", "start": 0, "end": 4 }], "raw": { "tags": { "badge-info": "" } } } },
        "annotations": [], "candidates": [],
        "user": { "id": "x:1337", "displayName": "Ann", "roles": ["subscriber", "vip"], "status": "active", "tags": [] },
        "auth": { "v": "1", "method": "enrichment", "matched": true, "provider": "x", "userRef": "users/x:1337" },
    });
    event.to_string().into()
}

fn measure<T>(name: &str, mut one: impl FnMut() -> T) {
    let filter = std::env::args().nth(1).filter(|arg| !arg.starts_with("--"));
    if filter.is_some_and(|filter| !name.contains(&filter)) {
        return;
    }
    let clock = chatbus_testkit::test_runtime(1).clock;
    let begin = clock.instant();
    let (mut count, mut best, mut seconds) = (0_u64, f64::INFINITY, 0.0);
    while seconds < FOR_SECONDS {
        let start = clock.instant();
        for _ in 0..ROUND {
            black_box(one());
        }
        best = best.min((clock.instant() - start).as_secs_f64() / f64::from(ROUND));
        count += u64::from(ROUND);
        seconds = (clock.instant() - begin).as_secs_f64();
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
    let mean = seconds / count as f64;
    println!("{name:32} {:8.2} us, at best {:8.2} us", mean * 1e6, best * 1e6);
}
