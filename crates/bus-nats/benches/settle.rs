//! What taking and acknowledging a message costs, where the server confirms (egress) and where it
//! does not (ingress), one at a time and 64 at once.
//!
//! Run with `cargo bench -p chatbus-bus-nats --bench settle [-- MESSAGES]`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::VecDeque;

use chatbus_bus::{Bus, Consumer, Group, Message, Publish as _, Settlement, Subscription};
use chatbus_bus_nats::{NatsBus, NatsConfig};
use chatbus_event::{Attributes, Clock as _, MessageId, Topic};
use chatbus_runtime::SystemClock;
use chatbus_testkit::{NatsServer, test_runtime};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

fn main() {
    let messages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("an executor").block_on(run(messages));
}

async fn run(messages: u32) {
    let server = NatsServer::start().await;
    let bus = NatsBus::connect(NatsConfig::default().with_urls(&server.url()), test_runtime(1));
    let bus = bus.expect("the settings are right");
    bus.status().wait_for(|status| status.connected).await.expect("the bus connects");
    println!("{:>10} {:>8} {:>12} {:>14}", "family", "at once", "messages/s", "CPU us/message");
    for (topic, at_once) in
        [(Topic::ingress(), 1), (Topic::ingress(), 64), (Topic::egress(), 1), (Topic::egress(), 64)]
    {
        let group = Group::parse("bench").expect("a group");
        let subscription = Subscription::new(topic.clone(), group).max_in_flight(256);
        bus.declare(std::slice::from_ref(&subscription)).await.expect("the group is declared");
        fill(&bus, &topic, messages, at_once).await;
        let mut member = bus.subscribe(subscription).await.expect("a member joins");
        let (start, cpu) = (SystemClock.instant(), cpu_micros());
        take(&mut member, messages, at_once).await;
        let (wall, cpu) = (SystemClock.instant() - start, cpu_micros() - cpu);
        let each = f64::from(u32::try_from(cpu).unwrap_or(u32::MAX)) / f64::from(messages);
        let rate = f64::from(messages) / wall.as_secs_f64();
        println!(
            "{:>10} {at_once:>8} {rate:>12.0} {each:>14.2}",
            topic.as_str().split('.').nth(1).unwrap_or("")
        );
    }
    bus.close().await;
}

async fn take(member: &mut Box<dyn Consumer>, messages: u32, at_once: usize) {
    let mut settling = FuturesUnordered::new();
    for _ in 0..messages {
        if settling.len() == at_once {
            let settled: Option<Result<(), _>> = settling.next().await;
            settled.expect("one is settling").expect("it is settled");
        }
        let delivery = member.next().await.expect("the bus is open");
        settling.push(delivery.settle(Settlement::Ack));
    }
    while let Some(settled) = settling.next().await {
        settled.expect("it is settled");
    }
}

async fn fill(bus: &NatsBus, topic: &Topic, messages: u32, at_once: usize) {
    let mut window = VecDeque::new();
    for number in 0..messages {
        if window.len() == 512 {
            let oldest: chatbus_bus::Receipt = window.pop_front().expect("a full window");
            oldest.await.expect("it is stored");
        }
        let id = MessageId::new(&format!("{at_once}-{number}"));
        window.push_back(bus.publish(topic, Message::new(id, Attributes::new(), vec![b'x'; 1150])));
    }
    for receipt in window {
        receipt.await.expect("it is stored");
    }
}

fn cpu_micros() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the kernel tells what we used");
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}
