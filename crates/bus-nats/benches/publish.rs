//! Publishing through the driver against a bare async-nats publisher: the same bytes, the same
//! headers, the same window, one nats-server each time, in turns.
//!
//! Run with `cargo bench -p chatbus-bus-nats --bench publish [-- MESSAGES [ROUNDS]]`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use bytes::Bytes;
use chatbus_bus::{Bus as _, Message, Publish as _, Receipt};
use chatbus_bus_nats::{NatsBus, NatsConfig};
use chatbus_event::{Attributes, Clock as _, MessageId, Topic, names};
use chatbus_runtime::SystemClock;
use chatbus_testkit::{NatsServer, test_runtime};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

const WINDOW: usize = 1024;
const BODY_BYTES: usize = 1150;
const WARM_UP: usize = 20_000;

/// What one run cost this process.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu_micros: f64,
    messages: usize,
}

// === impl Cost ===

impl Cost {
    fn rate(self) -> f64 {
        as_f64(self.messages) / self.wall.as_secs_f64()
    }

    fn each(self) -> f64 {
        self.cpu_micros / as_f64(self.messages)
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let messages = numbers.next().unwrap_or(300_000);
    let rounds = numbers.next().unwrap_or(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("an executor").block_on(run(messages, rounds));
}

async fn run(messages: usize, rounds: usize) {
    println!("{messages} messages of {BODY_BYTES} bytes, 12 attributes and an id; window {WINDOW}");
    println!("{:>6} {:>12} {:>12} {:>14}", "round", "publisher", "messages/s", "CPU us/message");
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let server = NatsServer::start().await;
        bare.push(through_async_nats(&server, messages).await);
        println!(
            "{round:>6} {:>12} {:>12.0} {:>14.2}",
            "async-nats",
            bare[round - 1].rate(),
            bare[round - 1].each()
        );
        drop(server);
        let server = NatsServer::start().await;
        ours.push(through_the_driver(&server, messages).await);
        println!(
            "{round:>6} {:>12} {:>12.0} {:>14.2}",
            "chatbus",
            ours[round - 1].rate(),
            ours[round - 1].each()
        );
    }
    let best = |costs: &[Cost], of: fn(Cost) -> f64, better: fn(f64, f64) -> f64| {
        costs.iter().copied().map(of).reduce(better).unwrap_or_default()
    };
    let rate = best(&ours, Cost::rate, f64::max) / best(&bare, Cost::rate, f64::max);
    let cpu = best(&ours, Cost::each, f64::min) / best(&bare, Cost::each, f64::min);
    println!("best of each: rate {rate:.2} of the bare client's, CPU {cpu:.2} of the bare client's");
}

/// The attributes that ingress sets, `Nats-Msg-Id` aside.
fn attributes(number: usize) -> [(&'static str, String); 12] {
    let id = format!("0192f0c1-1111-7222-8333-{number:012}");
    [
        (names::CORRELATION_ID, id.clone()),
        (names::TYPE, "chat.message.v1".into()),
        (names::SOURCE, "ingress.twitch".into()),
        (names::TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        (names::MESSAGE_ID, id.clone()),
        (names::CHANNEL, "#some_channel".into()),
        (names::CE_ID, id),
        (names::CE_TYPE, "chat.message.v1".into()),
        (names::CE_SOURCE, "ingress.twitch".into()),
        (names::CE_SPECVERSION, "1.0".into()),
        (names::CE_TIME, "2025-11-21T17:02:00.000Z".into()),
        (names::HOPS, "0".into()),
    ]
}

fn body() -> Bytes {
    Bytes::from(vec![b'x'; BODY_BYTES])
}

async fn through_the_driver(server: &NatsServer, messages: usize) -> Cost {
    let config = NatsConfig { window_messages: 2 * WINDOW, ..NatsConfig::default().with_urls(&server.url()) };
    let bus = NatsBus::connect(config, test_runtime(1)).expect("the settings are right");
    bus.status().wait_for(|status| status.connected).await.expect("the bus connects");
    let (topic, body) = (Topic::ingress(), body());
    let mut window: VecDeque<Receipt> = VecDeque::with_capacity(WINDOW);
    let mut meter = Meter::new();
    for number in 0..WARM_UP + messages {
        if number == WARM_UP {
            meter = Meter::new();
        }
        if window.len() == WINDOW {
            let oldest = window.pop_front().expect("a full window");
            assert!(!oldest.await.expect("it is stored").duplicate);
        }
        let given = attributes(number);
        let id = MessageId::new(&given[4].1);
        let mut set = Attributes::with_capacity(given.len());
        for (name, value) in given {
            set.set(name, value);
        }
        window.push_back(bus.publish(&topic, Message::new(id, set, body.clone())));
    }
    for receipt in window {
        receipt.await.expect("it is stored");
    }
    let cost = meter.read(messages);
    bus.close().await;
    cost
}

async fn through_async_nats(server: &NatsServer, messages: usize) -> Cost {
    let client = async_nats::connect(server.url()).await.expect("the client connects");
    let context = jetstream::context::ContextBuilder::new().max_ack_inflight(2 * WINDOW).build(client);
    let config = jetstream::stream::Config {
        name: "bare".into(),
        subjects: vec!["internal.ingress.v1".into()],
        duplicate_window: Duration::from_secs(120),
        max_bytes: 4 << 30,
        ..Default::default()
    };
    context.create_stream(config).await.expect("the stream is made");
    let body = body();
    let mut window = VecDeque::with_capacity(WINDOW);
    let mut meter = Meter::new();
    for number in 0..WARM_UP + messages {
        if number == WARM_UP {
            meter = Meter::new();
        }
        if window.len() == WINDOW {
            let oldest: jetstream::context::PublishAckFuture = window.pop_front().expect("a full window");
            oldest.await.expect("it is stored");
        }
        let given = attributes(number);
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("internal.ingress.v1|{}", given[4].1));
        for (name, value) in given {
            headers.insert(name, value);
        }
        let sent = context.publish_with_headers("internal.ingress.v1", headers, body.clone());
        window.push_back(sent.await.expect("it is sent"));
    }
    for ack in window {
        ack.await.expect("it is stored");
    }
    meter.read(messages)
}

/// Wall time, and CPU time of this process in all its threads.
struct Meter {
    start: Instant,
    cpu: i64,
}

// === impl Meter ===

impl Meter {
    fn new() -> Self {
        Self { start: SystemClock.instant(), cpu: cpu_micros() }
    }

    fn read(&self, messages: usize) -> Cost {
        let wall = SystemClock.instant() - self.start;
        let spent = u32::try_from(cpu_micros() - self.cpu).unwrap_or(u32::MAX);
        Cost { wall, cpu_micros: f64::from(spent), messages }
    }
}

fn cpu_micros() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the kernel tells what we used");
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

fn as_f64(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
