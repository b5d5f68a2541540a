//! Many events, many instances, and everything that can happen to a process: each event has one outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use chatbus_event::Clock as _;
use futures::future::join_all;
use futures::join;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::{
    Cluster, LONG, Moments, Publisher, Relay, WsClient, chat_event, eventually, now, scale, settled_records,
};

const SPEAKERS: [&str; 3] = ["speaker-0", "speaker-1", "speaker-2"];
const GATEWAYS: [&str; 3] = ["gateway-0", "gateway-1", "gateway-2"];
const USERS: usize = 300;
/// Half of them where a key keeps anything from being said twice.
const CHANNELS: usize = 100;
const WITH_KEYS: usize = CHANNELS / 2;
/// Longer than a lease.
const FROZEN: Duration = Duration::from_secs(17);
/// So short that the test need not wait a minute for what fails.
const DEADLINE_MS: u64 = 40_000;

const NATS: &str = "nats-server";
/// Events that are published at once.
const BURST: usize = 50;
/// How long the platforms take to say that they took something.
const VERDICT_MS: u64 = 150;
/// Of the answers of the platform with keys, every so many are lost on their way.
const LOST_EVERY: usize = 10;

/// How long before a fault something may have been sent whose outcome the bus did not have yet.
const BEFORE_MS: i64 = 1_500;
/// What a killed process gave the kernel is read a moment later.
const AFTER_MS: i64 = 500;
/// After it is back, clients of nats-server need a moment to be so, too.
const NATS_AFTER_MS: i64 = 5_000;

/// Something that was done to a process.
#[derive(Debug, Clone)]
struct Fault {
    what: &'static str,
    instance: String,
    from: i64,
    to: i64,
}

/// One time something was sent, by whom.
#[derive(Debug, Clone)]
struct Send {
    at: i64,
    instance: String,
}

/// What users heard: text, and each time.
type Heard = Mutex<BTreeMap<String, Vec<Send>>>;
/// Where each gateway answers now.
type Urls = Mutex<BTreeMap<String, String>>;

fn millis() -> i64 {
    chatbus_runtime::SystemClock.now().as_millis()
}

// === impl Fault ===

impl Fault {
    fn at(what: &'static str, instance: &str) -> Self {
        let now = millis();
        let fault = Self { what, instance: instance.to_owned(), from: now, to: now };
        println!("{now}: {what} {instance}");
        fault
    }

    /// Whether it can be why something was sent again that this instance had sent.
    fn explains(&self, first: &Send, again: &Send) -> bool {
        let is_its = self.instance == first.instance || self.what == NATS;
        is_its && first.at >= self.from - BEFORE_MS && first.at <= self.to + AFTER_MS && again.at >= self.from
    }
}

/// A user who wants to be connected, wherever that goes.
async fn live(n: usize, token: &str, urls: &Urls, heard: &Heard) {
    for turn in n.. {
        let name = GATEWAYS[turn % GATEWAYS.len()];
        let url = urls.lock().unwrap().get(name).cloned();
        let opened = match &url {
            // A frozen one accepts, and says nothing.
            Some(url) => tokio::time::timeout(Duration::from_secs(3), WsClient::connect(url, token)).await,
            None => continue,
        };
        let Ok(Ok(mut client)) = opened else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while let Ok(frame) = client.next().await {
            if frame["type"] == "chat.message.received" {
                let text = frame["payload"]["text"].as_str().unwrap().to_owned();
                let send = Send { at: millis(), instance: name.to_owned() };
                heard.lock().unwrap().entry(text).or_default().push(send);
            }
        }
    }
}

/// Event `n`: its topic, and itself.
fn event(n: usize) -> (String, Value) {
    let id = format!("event-{n}");
    if n.is_multiple_of(10) {
        let turn = n / 10;
        let channel = turn % CHANNELS;
        let mut event = chat_event(&id, &format!("#channel{channel}"), &id);
        if channel < WITH_KEYS {
            event["source"] = "test".into();
            event["egress"]["destination"] = "playground".into();
        }
        let topic = match turn % 2 {
            0 => "internal.egress.v1".to_owned(),
            _ => format!("internal.egress.v1.{}", SPEAKERS[turn / 2 % SPEAKERS.len()]),
        };
        return (topic, event);
    }
    let event = json!({
        "type": "chat.message.v1", "source": "test", "userId": format!("user-{}", n % USERS), "correlationId": id,
        "egress": { "destination": "websocket" }, "payload": { "text": id },
    });
    let topic = match n % 3 {
        0 => format!("internal.api.egress.v1.{}", GATEWAYS[n / 3 % GATEWAYS.len()]),
        _ => "internal.egress.v1".to_owned(),
    };
    (topic, event)
}

/// Publishes in bursts, and tells of each: a fault that strikes then finds much in hand.
async fn publish(publisher: &Publisher, ids: &[String], every: Duration, bursts: &watch::Sender<usize>) {
    let mut tick = tokio::time::interval(every);
    for (at, burst) in ids.chunks(BURST).enumerate() {
        tick.tick().await;
        bursts.send_replace(at);
        if (at * BURST).is_multiple_of(ids.len() / 5) {
            println!("{}: {} of {} are published", millis(), at * BURST, ids.len());
        }
        let all = burst.iter().enumerate().map(async |(n, id)| {
            let (topic, event) = event(at * BURST + n);
            publisher.deliver(&topic, id, &event).await;
        });
        join_all(all).await;
    }
}

/// The moment at which much is in hand.
async fn in_a_burst(moments: &Moments, bursts: &mut watch::Receiver<usize>) {
    bursts.mark_unchanged();
    // None comes any more when a slow machine is behind.
    let _ = tokio::time::timeout(Duration::from_secs(5), bursts.changed()).await;
    tokio::time::sleep(moments.between(10, 250)).await;
}

/// Kills one, and starts it again under its name.
async fn kill_and_restart(cluster: &mut Cluster, urls: &Urls, name: &str, faults: &mut Vec<Fault>) {
    let mut running = cluster.running.remove(name).unwrap();
    let pid = running.pid;
    faults.push(Fault::at("kill", name));
    running.kill().await;
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} is gone");
    let running = cluster.chatbuses[name].ready().await;
    assert_ne!(running.pid, pid);
    if let Some(url) = urls.lock().unwrap().get_mut(name) {
        url.clone_from(&running.url);
    }
    cluster.running.insert(name.to_owned(), running);
}

fn losses(cluster: &Cluster, name: &str) -> usize {
    cluster.running[name].log_lines().iter().filter(|line| line["event"] == "egress.lease_lost").count()
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

async fn cut_off(cluster: &Cluster, moments: &Moments, faults: &mut Vec<Fault>) {
    let pid = cluster.nats.pid().unwrap();
    let mut fault = Fault::at(NATS, NATS);
    cluster.nats.kill();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "nats-server {pid} is gone");
    tokio::time::sleep(moments.between(500, 2_000)).await;
    cluster.nats.restart().await;
    assert_ne!(cluster.nats.pid().unwrap(), pid);
    fault.to = millis() + NATS_AFTER_MS;
    faults.push(fault);
}

/// Two frozen for longer than a lease; meanwhile others are killed, and nats-server; then anyone.
async fn round(
    cluster: &mut Cluster,
    urls: &Urls,
    moments: &Moments,
    bursts: &mut watch::Receiver<usize>,
    faults: &mut Vec<Fault>,
) {
    let pick = |n: usize| usize::try_from(moments.between(0, n as u64 - 1).as_millis()).unwrap();
    let frozen = [SPEAKERS[pick(3)], GATEWAYS[pick(3)]];
    let all: Vec<&str> = SPEAKERS.into_iter().chain(GATEWAYS).collect();
    let others: Vec<&str> = all.iter().copied().filter(|name| !frozen.contains(name)).collect();
    in_a_burst(moments, bursts).await;
    let (began, first) = (now(), faults.len());
    let lost: Vec<usize> = frozen.iter().map(|name| losses(cluster, name)).collect();
    for name in frozen {
        cluster.running[name].signal(Signal::SIGSTOP);
        faults.push(Fault::at("freeze", name));
    }
    for turn in 0..4 {
        in_a_burst(moments, bursts).await;
        match turn {
            1 => cut_off(cluster, moments, faults).await,
            _ => kill_and_restart(cluster, urls, others[pick(others.len())], faults).await,
        }
    }
    tokio::time::sleep_until((began + FROZEN).into()).await;
    for (at, name) in frozen.into_iter().enumerate() {
        assert!(is_stopped(cluster.running[name].pid), "{name} was frozen all the time");
        cluster.running[name].signal(Signal::SIGCONT);
        faults[first + at].to = millis();
    }
    for (name, before) in frozen.into_iter().zip(lost) {
        eventually("it noticed", LONG, async || match losses(cluster, name) {
            now if now > before => Ok(()),
            _ => Err(format!("{name} did not lose its lease\n{}", cluster.running[name].log())),
        })
        .await;
    }
    in_a_burst(moments, bursts).await;
    kill_and_restart(cluster, urls, others[pick(others.len())], faults).await;
    in_a_burst(moments, bursts).await;
    cut_off(cluster, moments, faults).await;
    for name in frozen {
        cluster.running[name].until_ready().await;
    }
}

/// What was done in each round.
const FAULTS: usize = 2 + 4 + 2;

/// Every send beyond the first of a delivery must be explained by a fault. Gives how many there were.
fn explain(sends: &BTreeMap<String, Vec<Send>>, faults: &[Fault]) -> Result<usize, String> {
    let (mut extra, mut wrong) = (0, Vec::new());
    for (text, sends) in sends {
        let mut sends = sends.clone();
        sends.sort_by_key(|send| send.at);
        for pair in sends.windows(2) {
            extra += 1;
            if !faults.iter().any(|fault| fault.explains(&pair[0], &pair[1])) {
                wrong.push(format!("{text}: {pair:?}"));
            }
        }
    }
    if wrong.is_empty() {
        Ok(extra)
    } else {
        Err(format!("{} extra sends that no fault explains: {wrong:#?}", wrong.len()))
    }
}

/// What was said where a key keeps it from being said twice: ids that were all the same, and how many
/// attempts beyond the first there were.
fn said_once(messages: &[Value]) -> Result<(BTreeSet<String>, u64), String> {
    let (mut said, mut repeats) = (BTreeSet::new(), 0);
    for message in messages {
        repeats += message["repeats"].as_u64().unwrap();
        if !said.insert(message["text"].as_str().unwrap().to_owned()) {
            return Err(format!("said twice, in spite of its key: {message}"));
        }
    }
    Ok((said, repeats))
}

/// How many were heard or said before one of the same conversation that was published before them on the
/// same generic topic. Only for the eye: an instance that dies hands what it had to others, later.
fn overtaken(sends: &BTreeMap<String, Vec<Send>>) -> usize {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut count = 0;
    let first = |n: usize| sends.get(&format!("event-{n}"))?.iter().map(|send| send.at).min();
    let most = sends.keys().filter_map(|id| id.strip_prefix("event-")?.parse::<usize>().ok()).max();
    for n in 0..=most.unwrap_or_default() {
        let (topic, event) = event(n);
        let Some(at) = first(n).filter(|_| topic == "internal.egress.v1") else { continue };
        let conversation = format!("{} {}", event["channel"], event["userId"]);
        let before = last.entry(conversation).or_insert(at);
        count += usize::from(at < *before);
        *before = at.max(*before);
    }
    count
}

#[tokio::test]
async fn every_event_has_one_outcome_whichever_instances_are_killed_frozen_or_cut_off() {
    let began = now();
    let (events, rounds) = (scale(2_000_usize, 20_000), scale(1_usize, 6));
    let every = Duration::from_millis(scale(1_000, 600));
    let channels =
        |numbers: Range<usize>| numbers.map(|n| format!("channel{n}")).collect::<Vec<_>>().join(",");
    let moments = Moments::new();
    let mut cluster = Cluster::new().await;
    let playground = cluster.sandbox.playground.clone();
    let settings = [
        ("EGRESS_DEADLINE_MS", &*DEADLINE_MS.to_string()),
        ("PLAYGROUND_URL", &*playground),
        ("PLAYGROUND_CHANNELS", &*channels(0..WITH_KEYS)),
    ];
    for name in SPEAKERS {
        cluster.speaker_with(name, &channels(WITH_KEYS..CHANNELS), &settings).await;
    }
    for name in GATEWAYS {
        cluster.gateway_with(name, "EGRESS_DEADLINE_MS", &DEADLINE_MS.to_string()).await;
    }
    cluster.sandbox.post_to("playground/delay", json!({ "ms": VERDICT_MS })).await;
    cluster.sandbox.post_to("playground/lose", json!({ "every": LOST_EVERY })).await;
    for n in WITH_KEYS..CHANNELS {
        let slow = json!({ "channel": format!("channel{n}"), "ms": VERDICT_MS });
        cluster.sandbox.post("slow-verdicts", slow).await;
    }
    let mut tokens = Vec::new();
    for n in 0..USERS {
        tokens.push(cluster.token(GATEWAYS[0], &format!("user-{n}")).await);
    }
    let urls =
        Urls::new(GATEWAYS.iter().map(|name| ((*name).to_owned(), cluster.url(name).to_owned())).collect());
    let heard = Heard::default();
    println!("ready to begin after {:?}", now() - began);

    let ids: Vec<String> = (0..events).map(|n| format!("event-{n}")).collect();
    let publisher = cluster.publisher.clone();
    let (bursts, mut heard_of) = watch::channel(0);
    let mut faults = Vec::new();
    let work = async {
        let strike = async {
            for _ in 0..rounds {
                round(&mut cluster, &urls, &moments, &mut heard_of, &mut faults).await;
            }
        };
        join!(publish(&publisher, &ids, every, &bursts), strike);
        println!("all is published after {:?}", now() - began);
        cluster.outcomes(&ids).await
    };
    let users = join_all(tokens.iter().enumerate().map(|(n, token)| live(n, token, &urls, &heard)));
    let outcomes = tokio::select! {
        outcomes = work => outcomes,
        _ = users => panic!("a user never rests"),
    };
    println!("all have ended after {:?}", now() - began);

    assert_eq!(faults.len(), rounds * FAULTS, "every fault hit: {faults:?}");
    let failed: BTreeSet<&String> =
        outcomes.iter().filter(|(_, outcome)| outcome["status"] == "FAILED").map(|(id, _)| id).collect();
    let letters = settled_records(&cluster.nats.url(), "chatbus-deadletter", |records| {
        if records.len() >= failed.len() {
            Ok(())
        } else {
            Err(format!("{} of {}", records.len(), failed.len()))
        }
    })
    .await;
    let mut lettered = BTreeSet::new();
    for letter in &letters {
        let id = letter["attributes"]
            .as_object()
            .unwrap()
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("deliveryId"));
        assert!(
            lettered.insert(id.unwrap().1.as_str().unwrap().to_owned()),
            "a second dead letter: {letter}"
        );
    }
    assert!(failed.iter().copied().eq(&lettered), "FAILED {failed:?}, dead letters {lettered:?}");

    let mut said: BTreeMap<String, Vec<Send>> = BTreeMap::new();
    for sent in cluster.sandbox.sent().await {
        let at = chatbus_event::Timestamp::parse(sent["at"].as_str().unwrap()).unwrap().as_millis();
        let send = Send { at, instance: Relay::owner(&cluster.owners, &sent) };
        said.entry(sent["text"].as_str().unwrap().to_owned()).or_default().push(send);
    }
    let (once, repeats) = said_once(&cluster.sandbox.in_playground().await).unwrap();
    let heard = heard.into_inner().unwrap();
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    let mut unseen = Vec::new();
    for (id, outcome) in &outcomes {
        let (status, code) = (&outcome["status"], &outcome["error"]["code"]);
        let shown = [status, code].into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        *statuses.entry(shown).or_default() += 1;
        let is_seen = said.contains_key(id) || heard.contains_key(id) || once.contains(id);
        if status == "SENT" && !is_seen {
            unseen.push(outcome);
        }
    }
    println!("{statuses:?}");
    let (in_chat, to_users) = (explain(&said, &faults), explain(&heard, &faults));
    println!("overtaken in chat: {}; to users: {}", overtaken(&said), overtaken(&heard));
    println!("said again in chat: {in_chat:?}; to users: {to_users:?}; SENT and never seen: {unseen:#?}");
    println!("{} said once with a key, sent {repeats} times more", once.len());
    assert!(repeats as usize * 2 * LOST_EVERY >= once.len(), "answers were lost: {repeats} repeats");
    assert!(in_chat.is_ok() && to_users.is_ok() && unseen.is_empty(), "{faults:#?}");
    let good = statuses.get("SENT").copied().unwrap_or_default();
    assert!(good * 10 >= events * 9, "most are said: {statuses:?}");
    println!("{events} events, {} faults: each has one outcome; {:?}", faults.len(), now() - began);
}
