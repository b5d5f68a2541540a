//! What the publisher costs a message, beside calling the bus directly with the same messages.
//!
//! Run with `cargo bench -p chatbus-ingress`. CPU time is that of all threads of this process, as the
//! kernel accounts for it; events are made before the clock starts. The bus acknowledges each message
//! from another task, as a driver does.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::{
    Bus, BusError, BusErrorKind, BusStatus, Consumer, Group, Lag, Message, Publish, Receipt, Record, Records,
    Scan, Stored, Subscription, Waiting,
};
use chatbus_connector::Inbound;
use chatbus_event::{Attributes, Clock, Family, InstanceId, MessageId, Topic, names};
use chatbus_ingress::{Ingress, IngressConfig};
use chatbus_runtime::{CancellationToken, SystemClock};
use chatbus_telemetry::{Metrics, PlatformLabels};
use chatbus_testkit::test_runtime;
use tokio::sync::{Notify, oneshot, watch};

const MESSAGES: u64 = 20_000;
const ROUNDS: u64 = 60;
const BATCH: usize = 100;

type Answer = oneshot::Sender<Result<Stored, BusError>>;

/// Answers each message a moment later.
#[derive(Default)]
struct QuickBus {
    waiting: Mutex<VecDeque<Answer>>,
    more: Notify,
    status: Option<watch::Sender<BusStatus>>,
}

impl QuickBus {
    fn new() -> Arc<Self> {
        let status = watch::Sender::new(BusStatus { connected: true, epoch: 1, reason: None });
        Arc::new(Self { status: Some(status), ..Self::default() })
    }

    async fn answer(self: Arc<Self>) {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if waiting.is_empty() {
                self.more.notified().await;
            }
            for answer in waiting {
                let _ = answer.send(Ok(Stored { seq: 0, duplicate: false }));
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Publish for QuickBus {
    fn publish(&self, _: &Topic, message: Message) -> Receipt {
        let (answer, receiver) = oneshot::channel();
        std::hint::black_box(message);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
        self.more.notify_one();
        Receipt::oneshot(receiver)
    }

    fn max_message_bytes(&self) -> usize {
        1 << 20
    }
}

fn only_publishes() -> BusError {
    BusError::new(BusErrorKind::Refused, "this bus only takes what is published")
}

#[async_trait]
impl Bus for QuickBus {
    async fn declare(&self, _: &[Subscription]) -> Result<(), BusError> {
        Err(only_publishes())
    }
    async fn subscribe(&self, _: Subscription) -> Result<Box<dyn Consumer>, BusError> {
        Err(only_publishes())
    }
    async fn scan(&self, _: Scan) -> Result<Box<dyn Records>, BusError> {
        Err(only_publishes())
    }
    async fn fetch(&self, _: &Topic, _: u64) -> Result<Option<Record>, BusError> {
        Err(only_publishes())
    }
    async fn remove(&self, _: &Topic, _: u64) -> Result<(), BusError> {
        Err(only_publishes())
    }
    fn status(&self) -> watch::Receiver<BusStatus> {
        self.status.as_ref().map_or_else(|| watch::channel(gone()).1, watch::Sender::subscribe)
    }
    async fn lag(&self) -> Result<Vec<Lag>, BusError> {
        Ok(Vec::new())
    }
    async fn waiting(&self, _: Family) -> Result<Vec<Waiting>, BusError> {
        Ok(Vec::new())
    }
    async fn delete_group(&self, _: &Topic, _: &Group) -> Result<(), BusError> {
        Err(only_publishes())
    }
    async fn close(&self) {}
}

fn gone() -> BusStatus {
    BusStatus { connected: false, epoch: 0, reason: None }
}

fn events(round: u64, body: &Bytes) -> Vec<Vec<Inbound>> {
    let conversation: Arc<str> = "#channel".into();
    let now = SystemClock.now();
    let mut batches = Vec::new();
    let mut batch = Vec::with_capacity(BATCH);
    for n in 0..MESSAGES {
        let id = MessageId::new(&format!("bench-{round}-{n}"));
        let mut attributes = Attributes::with_capacity(14);
        for name in [
            names::CORRELATION_ID,
            names::TYPE,
            names::SOURCE,
            names::TRACEPARENT,
            names::MESSAGE_ID,
            names::CHANNEL,
            names::CE_ID,
            names::CE_TYPE,
            names::CE_SOURCE,
            names::CE_SPECVERSION,
            names::CE_TIME,
        ] {
            attributes.set(name, "0af76519-16cd-43dd-8448-eb211c80319c");
        }
        batch.push(Inbound {
            id,
            attributes,
            body: body.clone(),
            conversation: Arc::clone(&conversation),
            received_at: now,
        });
        if batch.len() == BATCH {
            batches.push(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
        }
    }
    batches
}

/// CPU time of all threads. The kernel brings it up to date every few milliseconds, so that only the
/// sum over many rounds says anything.
fn cpu() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let of_task = |path: std::path::PathBuf| -> Option<u64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(Result::ok).filter_map(|task| of_task(task.path())).sum())
}

/// As many in flight as the publisher's window, answers awaited in order.
async fn directly(bus: &Arc<QuickBus>, batches: Vec<Vec<Inbound>>) {
    let topic = Topic::ingress();
    let mut in_flight = VecDeque::new();
    for batch in batches {
        for event in batch {
            in_flight.push_back(bus.publish(&topic, Message::new(event.id, event.attributes, event.body)));
        }
        while in_flight.len() > 512 {
            if let Some(oldest) = in_flight.pop_front() {
                let _ = oldest.await;
            }
        }
    }
    for receipt in in_flight {
        let _ = receipt.await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few million messages at most")]
fn per_message(spent: Duration) -> f64 {
    spent.as_secs_f64() * 1e6 / (MESSAGES * ROUNDS) as f64
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is its own supervisor")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = Bytes::from(vec![b'x'; 1150]);
    let folder = std::env::temp_dir().join(format!("chatbus-ingress-bench-{}", std::process::id()));
    let config = IngressConfig::new(InstanceId::parse("bench")?, &folder);
    let (bus, metrics) = (QuickBus::new(), Metrics::new());
    tokio::spawn(Arc::clone(&bus).answer());
    let ingress = Ingress::open(config, Arc::clone(&bus) as _, metrics.clone(), test_runtime(1)).await?;
    let emit = ingress.handle().emitter("bench", None);
    let finish = CancellationToken::new();
    let running = tokio::spawn(ingress.run(finish.clone()));
    let labels = PlatformLabels { platform: "bench" };
    let published = metrics.ingress_published.get_or_create(&labels).clone();
    let (mut through, mut bare) = (Duration::ZERO, Duration::ZERO);
    for round in 0..ROUNDS {
        let batches = events(round, &body);
        let before = cpu();
        directly(&bus, batches).await;
        bare += cpu().saturating_sub(before);

        let batches = events(round, &body);
        let goal = published.get() + MESSAGES;
        let before = cpu();
        for batch in batches {
            emit.emit(batch).await;
        }
        while published.get() < goal {
            tokio::task::yield_now().await;
        }
        through += cpu().saturating_sub(before);
    }
    let spooled = metrics.ingress_spooled.get_or_create(&labels).get();
    finish.cancel();
    running.await?;
    std::fs::remove_dir_all(&folder)?;
    let (through, bare) = (per_message(through), per_message(bare));
    writeln!(
        std::io::stdout(),
        "{ROUNDS} rounds of {MESSAGES} messages of 1150 bytes with 11 attributes\n\
         directly to the bus    {bare:.3} us CPU a message\n\
         through the publisher  {through:.3} us CPU a message\n\
         the publisher itself   {:.3} us CPU a message\n\
         spooled                {spooled}",
        through - bare
    )?;
    Ok(())
}
