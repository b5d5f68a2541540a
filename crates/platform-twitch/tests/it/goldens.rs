//! Each line of `fixtures/twitch` gives the event beside it, member for member.

use std::path::PathBuf;

use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_platform_twitch::normalize::{Normalizer, NormalizerConfig};
use chatbus_testkit::SeededEntropy;
use serde_json::Value;

use crate::corpus;

#[test]
fn each_line_gives_the_event_beside_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/twitch");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    names.retain(|name| name.extension().is_some_and(|extension| extension == "irc"));
    names.sort();
    assert!(names.len() >= 25, "{} lines", names.len());
    for name in names {
        let line = std::fs::read(&name).unwrap();
        let mut normalizer = corpus::normalizer(Some("charles"));
        let events = corpus::events(&mut normalizer, &line);
        assert_eq!(events.len(), 1, "{}", name.display());
        let mut event: Value = serde_json::from_slice(&events[0].body).unwrap();
        for random in ["id", "correlationId", "traceId"] {
            event[random] = Value::from("random");
        }
        let expected = std::fs::read_to_string(name.with_extension("json")).unwrap_or_default();
        let expected: Value = serde_json::from_str(&expected).unwrap_or_default();
        let written = serde_json::to_string_pretty(&event).unwrap();
        assert!(event == expected, "{} gives\n{written}", name.display());
    }
}

#[test]
fn every_shape_says_the_same_of_a_line() {
    let line = b"@display-name=Ada;id=m-1;room-id=42;user-id=7 :ada!ada@ada PRIVMSG #a :hi";
    let event = |shape| -> Value {
        let egress = Topic::egress_of(&InstanceId::parse("i-1").unwrap());
        let config = NormalizerConfig { egress, shape, own_login: None };
        let mut normalizer = Normalizer::new(config, std::sync::Arc::new(SeededEntropy::new(1)));
        serde_json::from_slice(&corpus::events(&mut normalizer, line)[0].body).unwrap()
    };
    assert_eq!(event(Shape::Flat)["channel"], "#a");
    assert_eq!(event(Shape::Nested)["payload"]["chat"]["text"], "hi");
    let v1 = event(Shape::V1);
    assert_eq!(v1["source"], serde_json::json!({"platform":"twitch","channel":"a","channelId":"42"}));
    assert_eq!((v1["user"]["name"].as_str(), v1["user"]["displayName"].as_str()), (Some("ada"), Some("Ada")));
}
