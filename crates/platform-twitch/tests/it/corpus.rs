//! Where the public test data lies, and how its lines become events.

use std::path::PathBuf;
use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_twitch::irc::grammar::Message;
use chatbus_platform_twitch::irc::lines::{Line, LineBuffer};
use chatbus_platform_twitch::normalize::{Normalizer, NormalizerConfig};
use chatbus_testkit::SeededEntropy;
use serde_json::Value;

/// A file of the corpus; says so and gives `None` where there is none beside the checkout.
pub(crate) fn read(name: &str) -> Option<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where its data lies")]
    let root = std::env::var_os("CHATBUS_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(std::fs::read(path).unwrap());
    }
    println!("the corpus is absent: {} is not there", path.display());
    None
}

/// The rows of a file with one JSON value in each line.
pub(crate) fn rows(name: &str) -> Vec<Value> {
    let bytes = read(name).unwrap_or_default();
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

pub(crate) fn normalizer(own_login: Option<&str>) -> Normalizer {
    let config = NormalizerConfig {
        egress: Topic::egress_of(&InstanceId::parse("i-1").unwrap()),
        shape: Shape::Flat,
        own_login: own_login.map(str::to_owned),
    };
    Normalizer::new(config, Arc::new(SeededEntropy::new(1)))
}

pub(crate) fn received_at() -> Timestamp {
    Timestamp::parse("2026-01-02T03:04:05Z").unwrap()
}

/// The events of some bytes, as the connection would read them.
pub(crate) fn events(normalizer: &mut Normalizer, bytes: &[u8]) -> Vec<Inbound> {
    let mut lines = LineBuffer::new();
    lines.space().extend_from_slice(bytes);
    lines.end_line();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line() {
        all.push(event(normalizer, line));
    }
    all
}

fn event(normalizer: &mut Normalizer, line: Line<'_>) -> Inbound {
    let text = line.text();
    match Message::parse(&text) {
        Ok(message) => normalizer.line(&message, line, received_at()),
        Err(why) => normalizer.malformed(line, why, received_at()),
    }
}

/// The one event of a line, as JSON.
pub(crate) fn event_of(line: &str) -> Value {
    let events = events(&mut normalizer(None), line.as_bytes());
    assert_eq!(events.len(), 1, "{line:?}");
    serde_json::from_slice(&events[0].body).unwrap()
}
