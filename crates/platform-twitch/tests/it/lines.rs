use std::collections::{BTreeMap, HashSet};

use chatbus_event::Event;
use chatbus_platform_twitch::irc::grammar::{Message, unescape};
use serde_json::{Value, json};

use crate::corpus;

/// Every line of the corpus gives one event, and two lines are one event exactly when they have the
/// same message id.
#[test]
fn every_real_line_is_one_event_and_repeats_are_known_by_their_id() {
    let Some(bytes) = corpus::read("twitch-irc.txt") else { return };
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    let mut normalizer = corpus::normalizer(None);
    let events = corpus::events(&mut normalizer, &bytes);
    assert_eq!(events.len(), lines.len());
    let mut expected = HashSet::new();
    for line in &lines {
        let text = String::from_utf8_lossy(line);
        let message = Message::parse(&text).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        expected.insert(message.tag("id").map_or_else(|| text.clone().into_owned(), str::to_owned));
    }
    let ids: HashSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), expected.len());
    for event in &events {
        Event::decode(&event.body).unwrap();
        assert_eq!(event.attributes.get("messageId"), Some(event.id.as_str()));
    }
    println!("{} lines, {} distinct events", lines.len(), ids.len());

    let again = corpus::events(&mut corpus::normalizer(None), &bytes);
    assert!(events.iter().zip(&again).all(|(a, b)| a.id == b.id), "another instance gives the same ids");
}

#[test]
fn no_malformed_line_stops_anything() {
    let mut normalizer = corpus::normalizer(None);
    let after = b"@id=after :a!a@a PRIVMSG #a :still here\r\n";
    let mut checked = 0;
    for row in corpus::rows("twitch-irc-malformed.jsonl") {
        let mut bytes = match row["input_hex"].as_str() {
            Some(hex) => unhex(hex),
            None => row["input"].as_str().unwrap().as_bytes().to_vec(),
        };
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(after);
        let events = corpus::events(&mut normalizer, &bytes);
        for event in &events {
            Event::decode(&event.body).unwrap();
        }
        assert_eq!(events.last().map(|event| event.id.as_str()), Some("twitch:after"), "{row}");
        checked += 1;
    }
    let text = corpus::read("twitch-irc-malformed.txt").unwrap_or_default();
    for event in corpus::events(&mut normalizer, &text) {
        Event::decode(&event.body).unwrap();
    }
    println!("{checked} malformed rows, {:?}", normalizer.oddities());
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn lines_are_split_as_the_parser_tests_say() {
    let Some(bytes) = corpus::read("irc-parser-tests/msg-split.yaml") else { return };
    let cases = split_cases(&String::from_utf8(bytes).unwrap());
    assert!(cases.len() >= 19, "{} cases", cases.len());
    for case in &cases {
        let input = case["input"].as_str().unwrap();
        let message = Message::parse(input).unwrap();
        let tags: BTreeMap<String, String> =
            message.tags().iter().map(|(k, v)| (k.to_owned(), unescape(v).into_owned())).collect();
        let mut atoms = json!({ "verb": message.command() });
        if !tags.is_empty() {
            atoms["tags"] = json!(tags);
        }
        if let Some(source) = message.prefix_text() {
            atoms["source"] = json!(source);
        }
        let params: Vec<&str> = message.params().collect();
        if !params.is_empty() {
            atoms["params"] = json!(params);
        }
        assert_eq!(atoms, case["atoms"], "{input:?}");
    }
    println!("{} of {} cases", cases.len(), cases.len());
}

/// Reads the few forms of YAML that the file has.
fn split_cases(yaml: &str) -> Vec<Value> {
    let mut cases: Vec<Value> = Vec::new();
    let mut section = String::new();
    for line in yaml.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed == "tests:" || trimmed == "atoms:" {
            continue;
        }
        if let Some(text) = trimmed.strip_prefix("- input: ") {
            cases.push(json!({ "input": quoted(text), "atoms": {} }));
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        let atoms = &mut case["atoms"];
        if let Some(text) = trimmed.strip_prefix("- ") {
            atoms["params"].as_array_mut().unwrap().push(json!(quoted(text)));
        } else if trimmed == "params:" {
            atoms["params"] = json!([]);
            section.clear();
        } else if trimmed == "tags:" {
            atoms["tags"] = json!({});
            section = "tags".to_owned();
        } else {
            let (key, value) = trimmed.split_once(": ").unwrap();
            let key = key.trim_matches('"');
            if section == "tags" && key != "verb" && key != "source" {
                atoms["tags"][key] = json!(quoted(value));
            } else {
                section.clear();
                atoms[key] = json!(quoted(value));
            }
        }
    }
    cases
}

fn quoted(text: &str) -> String {
    let json = text.replace("\\x", "\\u00");
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{text}: {error}"))
}
