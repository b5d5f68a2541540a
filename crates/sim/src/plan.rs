//! What a seed makes: instances, events, users that come and go, and faults. Only values, so that faults
//! can be left out one by one.

use std::fmt;
use std::time::Duration;

use chatbus_delivery::Role;
use serde_json::{Value, json};

use crate::clock::Skew;
use crate::death;
use crate::rng::Rng;

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it was made from.
    pub seed: u64,
    pub(crate) instances: Vec<Instance>,
    pub(crate) events: Vec<Planned>,
    pub(crate) moves: Vec<Move>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// An instance, through all of its lives.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Platform and channel.
    pub(crate) channels: Vec<(&'static str, &'static str)>,
    pub(crate) skew: Skew,
}

/// An event that somebody publishes.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Its correlation id, and its text.
    pub(crate) name: String,
    pub(crate) at: Duration,
    pub(crate) topic: String,
    pub(crate) body: String,
    pub(crate) delivery_id: Option<String>,
    /// Published once more under the same message id, as by a client that saw no answer.
    pub(crate) twice: bool,
    /// The only platform and target at which it may be heard; none when it may be heard nowhere.
    pub(crate) audience: Option<(&'static str, String)>,
    pub(crate) answer: Answer,
}

/// What the platform makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    /// Said; the platform gives no verdict.
    Silence,
    /// Refused so often, then said.
    Later(u32),
    Never,
    /// Refused for good, but only where it arrives first: of several gateways one fails.
    NeverFirst,
    /// The connection ends; whether it was said cannot be known.
    Cut {
        said: bool,
    },
    /// Said, and confirmed only after so many seconds.
    Slow(u64),
}

/// A user's connection to a gateway begins or ends.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) at: Duration,
    pub(crate) instance: usize,
    pub(crate) user: &'static str,
    pub(crate) comes: bool,
}

/// Something goes wrong with one instance.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(crate) at: Duration,
    pub(crate) instance: usize,
    pub(crate) what: What,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// It dies at the n-th await from then, and is started again after a while.
    Crash { awaits: u32, back: Duration, known_over: bool },
    /// It is told to stop, and started again after a while.
    Stop { back: Duration },
    /// It does not run while time goes on.
    Freeze { lasts: Duration },
    /// It is cut off from the bus, the state or both.
    Cut { bus: bool, state: bool, lasts: Duration },
    /// The servers are out of reach, for all.
    Outage { lasts: Duration },
    /// Operations fail, or their answers do.
    Flaky { bus: u64, state: u64, lasts: Duration },
    /// Everything is under way for up to so long.
    Slow { most: Duration, lasts: Duration },
    /// The server hands out again what it handed out.
    Repeats { percent: u64, lasts: Duration },
    /// Its connection to a platform is lost.
    Disconnected { platform: &'static str, lasts: Duration },
}

/// The platforms of this world: both public, the second with an idempotency key; and the gateway.
pub(crate) const BROOK: &str = "brook";
pub(crate) const DELTA: &str = "delta";
pub(crate) const SOCKET: &str = "socket";
pub(crate) const SOCKET_ALIAS: &str = "hall-gateway";

pub(crate) const CHANNELS: [&str; 3] = ["#one", "#two", "#three"];
/// Nobody is there.
const NOWHERE: &str = "#nowhere";
const USERS: [&str; 3] = ["ann", "bob", "cid"];
/// Comes never.
const ABSENT: &str = "zed";
/// When the last event is published and the last fault begins.
const BUSY: u64 = 70_000;

// === impl Plan ===

impl Plan {
    /// What this seed makes.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let mut instances = instances(&mut rng);
        let moves = moves(&mut rng, &instances);
        let n = rng.between(20, 60);
        let mut events = (0..n).map(|n| event(&mut rng, n, &instances)).collect();
        let mut faults = faults(&mut rng, &instances);
        death::strike(seed, &mut instances, &mut events, &mut faults);
        Self { seed, instances, events, moves, faults }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for instance in &self.instances {
            writeln!(
                f,
                "  {} {} {:?} {:?}",
                instance.name,
                instance.role.as_str(),
                instance.channels,
                instance.skew
            )?;
        }
        for moved in &self.moves {
            let name = self.instances.get(moved.instance).map_or("", |instance| &instance.name);
            let how = if moved.comes { "comes to" } else { "leaves" };
            writeln!(f, "  {:?} {} {how} {name}", moved.at, moved.user)?;
        }
        for fault in &self.faults {
            let name = self.instances.get(fault.instance).map_or("", |instance| &instance.name);
            writeln!(f, "  {:?} {name}: {:?}", fault.at, fault.what)?;
        }
        Ok(())
    }
}

fn instances(rng: &mut Rng) -> Vec<Instance> {
    let n = rng.between(2, 4);
    let gateways = rng.between(0, n - 1);
    (0..n)
        .map(|at| {
            let role = if at < gateways { Role::ApiGateway } else { Role::IngressEgress };
            let name = if role == Role::ApiGateway { format!("g{at}") } else { format!("i{at}") };
            let mut channels = Vec::new();
            if role == Role::IngressEgress {
                for platform in [BROOK, DELTA] {
                    channels
                        .extend(CHANNELS.into_iter().filter(|_| rng.chance(60)).map(|name| (platform, name)));
                }
            }
            let wall_ms = i64::try_from(rng.between(0, 4_000)).unwrap_or(0) - 2_000;
            let speed = u32::try_from(rng.between(0, 10)).unwrap_or(0);
            Instance { name, role, channels, skew: Skew { wall_ms, speed } }
        })
        .collect()
}

fn moves(rng: &mut Rng, instances: &[Instance]) -> Vec<Move> {
    let gateways: Vec<usize> = (0..instances.len())
        .filter(|at| instances.get(*at).is_some_and(|i| i.role == Role::ApiGateway))
        .collect();
    let mut moves = Vec::new();
    if gateways.is_empty() {
        return moves;
    }
    for user in USERS {
        let mut at = if rng.chance(60) { Duration::ZERO } else { rng.millis(0, 40_000) };
        for _ in 0..rng.between(1, 3) {
            let Some(&instance) = rng.pick(&gateways) else { break };
            moves.push(Move { at, instance, user, comes: true });
            let stays = rng.millis(500, 60_000);
            if rng.chance(40) {
                break;
            }
            moves.push(Move { at: at + stays, instance, user, comes: false });
            // A third is in two places for a while.
            at = if rng.chance(33) { at + stays / 2 } else { at + stays + rng.millis(0, 10_000) };
        }
    }
    moves
}

fn event(rng: &mut Rng, n: u64, instances: &[Instance]) -> Planned {
    let name = format!("e{n}");
    let at = rng.millis(0, BUSY - 10_000);
    let topic = topic(rng, instances);
    let answer = match rng.below(20) {
        0 => Answer::Silence,
        1 | 2 => Answer::Later(u32::try_from(rng.between(1, 3)).unwrap_or(1)),
        3 if rng.chance(50) => Answer::NeverFirst,
        3 => Answer::Never,
        4 => Answer::Cut { said: rng.chance(50) },
        5 => Answer::Slow(rng.between(1, 8)),
        6 => Answer::Slow(rng.between(10, 40)),
        _ => Answer::Yes,
    };
    let deadline = if rng.chance(25) { Some(rng.between(500, 20_000)) } else { None };
    let mut event = Draft { name: &name, deadline, ..Draft::default() };
    let channel =
        |rng: &mut Rng| if rng.chance(8) { NOWHERE } else { rng.pick(&CHANNELS).copied().unwrap_or(NOWHERE) };
    let user =
        |rng: &mut Rng| if rng.chance(10) { ABSENT } else { rng.pick(&USERS).copied().unwrap_or(ABSENT) };
    let audience = match rng.below(100) {
        0..45 => {
            let platform = if rng.chance(65) { BROOK } else { DELTA };
            let channel = channel(rng);
            (event.destination, event.channel) = (platform, channel);
            if rng.chance(30) {
                // Where it comes from decides.
                (event.destination, event.source) =
                    ("", if platform == BROOK { "ingress.brook" } else { "ingress.delta" });
            }
            Some((platform, channel.to_owned()))
        }
        45..75 => {
            let user = user(rng);
            (event.destination, event.user) = (SOCKET, user);
            Some((SOCKET, format!("@{user}")))
        }
        75..90 => {
            // The gateway is named, and a channel stands there too: it must not be said in that.
            let user = user(rng);
            (event.destination, event.user, event.channel) = ("", user, channel(rng));
            match rng.below(3) {
                0 => event.source = "api-gateway.socket",
                1 => (event.source, event.provider) = ("ingress.brook", Some(SOCKET_ALIAS)),
                _ => (event.source, event.annotation) = ("bot", Some(SOCKET)),
            }
            Some((SOCKET, format!("@{user}")))
        }
        90..95 => {
            let platform = if rng.chance(50) { BROOK } else { DELTA };
            (event.destination, event.kind, event.user) = (platform, "dm", "4711");
            event.channel = channel(rng);
            Some((platform, "@4711".to_owned()))
        }
        95..97 => {
            (event.destination, event.channel) = (BROOK, channel(rng));
            event.silent = true;
            None
        }
        97..99 => {
            event.destination = "marsh";
            None
        }
        _ => None,
    };
    let body = if audience.is_none() && event.destination.is_empty() && !event.silent {
        "{ this is no event".to_owned()
    } else {
        event.encode(rng.below(3))
    };
    let delivery_id = rng.chance(60).then(|| format!("d-{name}"));
    Planned { name, at, topic, body, delivery_id, twice: rng.chance(10), audience, answer }
}

fn topic(rng: &mut Rng, instances: &[Instance]) -> String {
    let of = |role: Role, name: &str| match role {
        Role::IngressEgress => format!("internal.egress.v1.{name}"),
        Role::ApiGateway => format!("internal.api.egress.v1.{name}"),
    };
    match rng.below(100) {
        0..50 => "internal.egress.v1".to_owned(),
        50..90 => rng.pick(instances).map_or_else(String::new, |instance| of(instance.role, &instance.name)),
        90..95 => of(Role::IngressEgress, "ghost"),
        _ => of(Role::ApiGateway, "ghost"),
    }
}

/// An event to be written.
#[derive(Default)]
pub(crate) struct Draft<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    pub(crate) destination: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) user: &'a str,
    pub(crate) provider: Option<&'a str>,
    pub(crate) annotation: Option<&'a str>,
    pub(crate) deadline: Option<u64>,
    pub(crate) silent: bool,
}

// === impl Draft ===

impl Draft<'_> {
    /// In one of the three shapes.
    pub(crate) fn encode(&self, shape: u64) -> String {
        let kind = if self.kind.is_empty() { "chat" } else { self.kind };
        let source = if self.source.is_empty() { "bot" } else { self.source };
        let mut egress = json!({ "type": kind });
        put(&mut egress, "destination", self.destination);
        let mut metadata = json!({});
        if let Some(deadline) = self.deadline {
            set(&mut metadata, "deadlineMs", json!(deadline));
        }
        let text = if self.silent { "" } else { self.name };
        let annotations = self
            .annotation
            .map_or_else(|| json!([]), |source| json!([{ "id": "a", "kind": "custom", "source": source }]));
        let auth = self.provider.map(|provider| json!({ "v": "1", "provider": provider }));
        let mut event = match shape {
            0 => {
                let mut event = json!({
                    "v": "1", "type": "chat.message.v1", "source": source, "correlationId": self.name,
                    "egress": egress, "metadata": metadata, "annotations": annotations,
                    "message": { "role": "assistant", "text": text },
                });
                auth.into_iter().for_each(|auth| set(&mut event, "auth", auth));
                event
            }
            1 => {
                let mut envelope = json!({
                    "v": "1", "source": source, "correlationId": self.name, "egress": egress, "metadata": metadata,
                });
                auth.into_iter().for_each(|auth| set(&mut envelope, "auth", auth));
                json!({
                    "envelope": envelope, "type": "chat.message.v1", "annotations": annotations,
                    "payload": { "chat": { "text": text } },
                })
            }
            _ => {
                let mut event = json!({
                    "v": "1", "id": self.name, "type": "external.chat.message.v1", "correlationId": self.name,
                    "source": { "platform": source, "channel": "", "channelId": "" },
                    "egress": egress, "metadata": metadata, "annotations": annotations,
                    "routingSlip": [], "payload": { "text": text },
                });
                auth.into_iter().for_each(|auth| set(&mut event, "auth", auth));
                event
            }
        };
        put(&mut event, "channel", self.channel);
        put(&mut event, "userId", self.user);
        event.to_string()
    }
}

fn put(object: &mut Value, key: &str, text: &str) {
    if !text.is_empty() {
        set(object, key, json!(text));
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}

fn faults(rng: &mut Rng, instances: &[Instance]) -> Vec<Fault> {
    // Every tenth world is calm: there order and outcomes are as if nothing could go wrong.
    let n = if rng.chance(10) { 0 } else { rng.between(1, 8) };
    let mut faults: Vec<Fault> = (0..n)
        .map(|_| {
            let lasts = if rng.chance(50) { rng.millis(100, 6_000) } else { rng.millis(6_000, 35_000) };
            let back = rng.millis(100, 30_000);
            let what = match rng.below(100) {
                0..25 => {
                    let awaits = u32::try_from(rng.below(200)).unwrap_or(0);
                    What::Crash { awaits, back, known_over: rng.chance(50) }
                }
                25..30 => What::Stop { back },
                30..45 => What::Freeze { lasts },
                45..52 => What::Cut { bus: true, state: false, lasts },
                52..59 => What::Cut { bus: false, state: true, lasts },
                59..65 => What::Cut { bus: true, state: true, lasts },
                65..68 => What::Outage { lasts },
                68..76 => What::Flaky { bus: rng.between(5, 50), state: rng.between(0, 40), lasts },
                76..86 => What::Slow { most: rng.millis(5, 3_000), lasts },
                86..93 => What::Repeats { percent: rng.between(10, 60), lasts },
                _ => What::Disconnected { platform: if rng.chance(50) { BROOK } else { DELTA }, lasts },
            };
            Fault { at: rng.millis(0, BUSY), instance: rng.index(instances.len()), what }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}
