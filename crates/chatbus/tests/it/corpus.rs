//! Every real line over a socket becomes one envelope on the bus.

use std::collections::{BTreeMap, BTreeSet};

use chatbus_testkit::NatsServer;
use serde_json::Value;

use crate::harness::{
    Chatbus, Corpus, LONG, Running, SHORT, SandboxProcess, eventually, nats_records, settled_records,
};

/// What Twitch says when it refuses a login; each ends the connection.
const LOGIN_REFUSED: [&str; 4] =
    ["Login authentication failed", "Login unsuccessful", "Improperly formatted auth", "Invalid NICK"];

/// By what a line is known again: its id, or itself. A USERSTATE has the id of the message that it
/// confirms, and is not that message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Id(bool, String),
    Line(String),
}

fn known(line: &[u8]) -> Known {
    let text = String::from_utf8_lossy(line).into_owned();
    match tag(&text, "source-id").or_else(|| tag(&text, "id")) {
        Some(id) => Known::Id(text.contains(" USERSTATE "), id),
        None => Known::Line(text),
    }
}

fn tag(line: &str, name: &str) -> Option<String> {
    let tags = line.strip_prefix('@')?.split(' ').next()?;
    let found = tags.split(';').find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))?;
    Some(found.to_owned())
}

/// Whether a line can end the connection, so that it needs a run of its own.
fn ends_connection(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let command = text.split(' ').find(|word| !word.starts_with(['@', ':'])).unwrap_or_default();
    command == "RECONNECT" || (command == "NOTICE" && LOGIN_REFUSED.iter().any(|why| text.contains(why)))
}

/// The line that an event was made of, as far as the event tells it.
fn id_of(event: &Value) -> &str {
    let id = event["externalEvent"]["id"].as_str().or_else(|| event["message"]["id"].as_str());
    id.unwrap_or_else(|| panic!("no id: {event}"))
}

fn line_of(event: &Value) -> Option<&str> {
    event["externalEvent"]["rawPayload"]["line"].as_str()
}

/// Holds the events against the lines.
fn compare(lines: &[Vec<u8>], events: &[&Value]) -> Result<(), String> {
    let mut wanted: BTreeMap<Known, Vec<String>> = BTreeMap::new();
    for line in lines {
        wanted.entry(known(line)).or_default().extend(tag(&String::from_utf8_lossy(line), "id"));
    }
    if events.len() != wanted.len() {
        return Err(format!("{} events of {} distinct lines", events.len(), wanted.len()));
    }
    let ids: BTreeSet<&str> = events.iter().map(|event| id_of(event)).collect();
    let mut raw: BTreeMap<&str, usize> = BTreeMap::new();
    for line in events.iter().filter_map(|event| line_of(event)) {
        *raw.entry(line).or_default() += 1;
    }
    for (line, own) in &wanted {
        let is_there = match line {
            // In shared chat the event has the id of the room where it was read.
            Known::Id(..) => own.iter().any(|id| ids.contains(id.as_str())),
            // Chat does not keep its line: all of it is in the event.
            Known::Line(line) if chat_of(line).is_some() => {
                events.iter().any(|event| is_chat_of(event, line))
            }
            Known::Line(line) => raw.get(line.as_str()) == Some(&1),
        };
        if !is_there {
            return Err(format!("not once: {line:?}"));
        }
    }
    Ok(())
}

/// Channel and text of a chat line, read here in the simplest way.
fn chat_of(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(" PRIVMSG")?;
    // Some lines lack a text, or all.
    let (channel, text) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    let text = text.strip_prefix(':').unwrap_or(text);
    let action = text.strip_prefix("\u{1}ACTION").map(|text| text.trim_start().trim_end_matches('\u{1}'));
    Some((channel, action.unwrap_or(text)))
}

fn is_chat_of(event: &Value, line: &str) -> bool {
    // What is addressed to something else than a channel has none.
    chat_of(line).is_some_and(|(channel, text)| {
        event["message"]["text"] == text && event["channel"].as_str().is_none_or(|own| own == channel)
    })
}

/// Facts that other libraries state of a line, as an event tells them.
fn compare_facts(rows: &[Value], events: &[&Value]) -> usize {
    let by_id: BTreeMap<&str, &&Value> = events.iter().map(|event| (id_of(event), event)).collect();
    let mut compared = 0;
    for row in rows {
        let facts = &row["expected"]["facts"]["msg"];
        let Some(event) = facts["message_id"].as_str().and_then(|id| by_id.get(id)) else { continue };
        let chat = &event["message"]["rawPlatformPayload"];
        let told = if chat.is_object() { chat } else { &event["externalEvent"]["payload"] };
        if let Some(text) = facts["message_text"].as_str() {
            assert_eq!(told["text"], *text, "{row}");
            compared += 1;
        }
        if let Some(badges) = facts["badges"].as_array().filter(|badges| !badges.is_empty()) {
            let names: Vec<_> = badges.iter().map(|badge| badge["name"].clone()).collect();
            assert_eq!(told["badges"], Value::Array(names), "{row}");
            compared += 1;
        }
        for (n, emote) in facts["emotes"].as_array().into_iter().flatten().enumerate() {
            let (range, own) = (&emote["char_range"], &told["emotes"][n]);
            assert_eq!((&own["id"], &own["start"]), (&emote["id"], &range["start"]), "{row}");
            // Theirs is a Rust range; ours, as Twitch's, includes its end.
            assert_eq!(own["end"].as_u64().map(|end| end + 1), range["end"].as_u64(), "{row}");
            compared += 1;
        }
    }
    compared
}

/// The text of each chat line.
fn compare_texts(lines: &[Vec<u8>], events: &[&Value]) -> usize {
    let texts: BTreeMap<&str, &Value> =
        events.iter().map(|event| (id_of(event), &event["message"]["text"])).collect();
    let mut compared = 0;
    let mut seen = BTreeSet::new();
    for line in lines {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Known::Id(false, known_by) = known(line.as_bytes()) else { continue };
        let (Some(id), Some((_, text))) = (tag(line, "id"), chat_of(line)) else { continue };
        // Of lines that are one message the first one counts.
        if seen.insert(known_by) {
            assert_eq!(texts.get(id.as_str()).and_then(|text| text.as_str()), Some(text), "{line}");
        }
        compared += 1;
    }
    compared
}

async fn replay(corpus: &Corpus, sandbox: &SandboxProcess, running: &Running) -> Vec<Vec<u8>> {
    sandbox.joined("pajlada", 1).await;
    let lines = corpus.lines("twitch-irc.txt");
    let (ending, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| ends_connection(line));
    println!("{} lines, {} more end the connection", lines.len(), ending.len());
    assert!(!ending.is_empty() && lines.len() > 400);
    sandbox.raw(lines.iter().map(|line| Corpus::hex(line)).collect()).await;
    // A line of our own behind them all.
    sandbox.say("pajlada", "the end").await;
    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    assert_eq!(debug["snapshot"]["counters"]["reconnects"], 0, "{debug}");
    lines
}

/// Events of the replay alone: what the bus held before it is not, nor is the last line.
fn of_replay<'a>(records: &'a [Value], before: &BTreeSet<String>) -> Vec<&'a Value> {
    let events = records.iter().map(|record| &record["event"]);
    events.filter(|event| event["message"]["text"] != "the end" && !before.contains(id_of(event))).collect()
}

fn ids(records: &[Value]) -> BTreeSet<String> {
    records.iter().map(|record| id_of(&record["event"]).to_owned()).collect()
}

fn is_over(records: &[Value]) -> Result<(), String> {
    let last = records.iter().any(|record| record["event"]["message"]["text"] == "the end");
    if last { Ok(()) } else { Err(format!("{} records", records.len())) }
}

fn check(corpus: &Corpus, lines: &[Vec<u8>], events: &[&Value]) {
    compare(lines, events).unwrap();
    let texts = compare_texts(lines, events);
    let facts = compare_facts(&corpus.rows("twitch-irc-expected.jsonl"), events);
    println!("{} events, {texts} texts, {facts} facts compared", events.len());
    assert!(texts > 50 && facts > 5, "too little was compared");
}

#[tokio::test]
async fn every_real_line_is_one_envelope_on_the_embedded_bus() {
    let Some(corpus) = Corpus::find() else { return };
    let sandbox = SandboxProcess::start().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "pajlada");
    let running = chatbus.ready().await;
    let tail = async || {
        let args = ["tail", "--json", "--last", "100000", "--topic", "internal.ingress.v1", "--url"];
        let done = chatbus.run(&[&args[..], &[running.url.as_str()]].concat()).await;
        assert_eq!(done.code, Some(0), "{}", done.err);
        done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let before = ids(&tail().await);
    let lines = replay(&corpus, &sandbox, &running).await;
    let records = eventually("the replay is on the bus", LONG, async || {
        let records = tail().await;
        is_over(&records).map(|()| records)
    })
    .await;
    check(&corpus, &lines, &of_replay(&records, &before));
}

#[tokio::test]
async fn every_real_line_is_one_envelope_on_nats() {
    let Some(corpus) = Corpus::find() else { return };
    let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
    let chatbus = Chatbus::new().reading(&sandbox.irc_ws, "pajlada").on_nats(&nats.url());
    let running = chatbus.ready().await;
    let before = ids(&nats_records(&nats.url(), "chatbus-ingress").await);
    let lines = replay(&corpus, &sandbox, &running).await;
    let records = settled_records(&nats.url(), "chatbus-ingress", is_over).await;
    check(&corpus, &lines, &of_replay(&records, &before));
}

#[tokio::test]
async fn lines_that_end_the_connection_are_envelopes_too_and_chat_goes_on_after_them() {
    let Some(corpus) = Corpus::find() else { return };
    let lines = corpus.lines("twitch-irc.txt").into_iter().filter(|line| ends_connection(line));
    for line in lines.collect::<BTreeSet<_>>() {
        let sandbox = SandboxProcess::start().await;
        let running = Chatbus::new().reading(&sandbox.irc, "pajlada").ready().await;
        let shown = String::from_utf8_lossy(&line).into_owned();
        sandbox.raw(vec![Corpus::hex(&line)]).await;
        eventually("the line is on the bus", SHORT, async || {
            let records = running.records("internal.ingress.v1").await;
            let found = records.iter().filter(|record| line_of(&record["event"]) == Some(&shown)).count();
            if found == 1 { Ok(()) } else { Err(format!("{found} of {shown}")) }
        })
        .await;
        if shown.contains("RECONNECT") {
            eventually("it connected again", SHORT, async || {
                let (_, debug) = running.get("/_debug/twitch").await.unwrap();
                let again = debug["snapshot"]["counters"]["reconnects"].as_u64() > Some(0);
                if again { Ok(()) } else { Err(debug.to_string()) }
            })
            .await;
        }
        running.until_ready().await;
        sandbox.joined("pajlada", 1).await;
        let id = sandbox.say("pajlada", "after it").await;
        eventually("chat goes on", SHORT, async || {
            let records = running.records("internal.ingress.v1").await;
            let found = records.iter().any(|record| record["event"]["message"]["id"] == id.as_str());
            if found { Ok(()) } else { Err(format!("{} records", records.len())) }
        })
        .await;
    }
}
