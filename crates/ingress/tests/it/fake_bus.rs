//! A bus whose answers a test decides: it keeps what it stored, drops duplicates, and takes the
//! connection away at any moment.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusErrorKind, BusStatus, Consumer, Group, Lag, Message, Publish, Receipt, Record, Records,
    Scan, Stored, Subscription, Waiting,
};
use chatbus_event::{Family, Topic, names};
use tokio::sync::{oneshot, watch};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At once.
    Ack,
    /// Not before it is told to.
    Hold,
    /// With this error.
    Refuse(BusErrorKind),
}

/// See the module.
pub(crate) struct FakeBus {
    state: Mutex<State>,
    status: watch::Sender<BusStatus>,
    /// Called with each message that is stored.
    pub(crate) on_stored: Box<dyn Fn(&str) + Send + Sync>,
}

struct State {
    mode: Mode,
    connected: bool,
    max: usize,
    ids: HashSet<String>,
    stored: Vec<(Topic, Message)>,
    held: VecDeque<Held>,
    calls: u64,
}

type Held = (Topic, Message, oneshot::Sender<Result<Stored, BusError>>);

impl FakeBus {
    pub(crate) fn new() -> Arc<Self> {
        Self::calling(Box::new(|_| {}))
    }

    pub(crate) fn calling(on_stored: Box<dyn Fn(&str) + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                mode: Mode::Ack,
                connected: true,
                max: 1 << 20,
                ids: HashSet::new(),
                stored: Vec::new(),
                held: VecDeque::new(),
                calls: 0,
            }),
            status: watch::Sender::new(BusStatus { connected: true, epoch: 1, reason: None }),
            on_stored,
        })
    }

    pub(crate) fn mode(&self, mode: Mode) {
        self.state.lock().unwrap().mode = mode;
    }

    pub(crate) fn takes_at_most(&self, bytes: usize) {
        self.state.lock().unwrap().max = bytes;
    }

    /// Stores and answers everything that is held.
    pub(crate) fn release(&self) {
        let held: Vec<_> = self.state.lock().unwrap().held.drain(..).collect();
        for (topic, message, answer) in held {
            let stored = self.store(&topic, message);
            let _ = answer.send(Ok(stored));
        }
    }

    /// The connection breaks: of what is held the first half is stored, and nobody hears of it.
    pub(crate) fn disconnect(&self) {
        let held: Vec<_> = {
            let mut state = self.state.lock().unwrap();
            state.connected = false;
            state.held.drain(..).collect()
        };
        let half = held.len() / 2;
        for (n, (topic, message, answer)) in held.into_iter().enumerate() {
            if n < half {
                self.store(&topic, message);
            }
            let _ = answer.send(Err(BusError::closed("the connection broke")));
        }
        self.status.send_modify(|status| status.connected = false);
    }

    pub(crate) fn connect(&self) {
        self.state.lock().unwrap().connected = true;
        self.status.send_modify(|status| {
            status.connected = true;
            status.epoch += 1;
        });
    }

    /// The ids on a topic, in their order.
    pub(crate) fn ids(&self, topic: &Topic) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.stored.iter().filter(|(on, _)| on == topic).map(|(_, message)| message.id.to_string()).collect()
    }

    pub(crate) fn stored(&self) -> Vec<Message> {
        self.state.lock().unwrap().stored.iter().map(|(_, message)| message.clone()).collect()
    }

    pub(crate) fn held(&self) -> usize {
        self.state.lock().unwrap().held.len()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    fn store(&self, topic: &Topic, message: Message) -> Stored {
        assert_eq!(
            message.attributes.get(names::MESSAGE_ID),
            Some(message.id.as_str()),
            "attributes are whole, first time and again"
        );
        let mut state = self.state.lock().unwrap();
        let duplicate = !state.ids.insert(message.id.to_string());
        if !duplicate {
            (self.on_stored)(message.id.as_str());
            state.stored.push((topic.clone(), message));
        }
        Stored { seq: state.stored.len() as u64, duplicate }
    }
}

impl Publish for FakeBus {
    fn publish(&self, topic: &Topic, message: Message) -> Receipt {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        if !state.connected {
            return Receipt::ready(Err(BusError::closed("no connection")));
        }
        if message.body.len() > state.max {
            return Receipt::ready(Err(BusError::new(BusErrorKind::TooLarge, "too long")));
        }
        match state.mode {
            Mode::Ack => {
                drop(state);
                Receipt::ready(Ok(self.store(topic, message)))
            }
            Mode::Hold => {
                let (answer, receiver) = oneshot::channel();
                state.held.push_back((topic.clone(), message, answer));
                Receipt::oneshot(receiver)
            }
            Mode::Refuse(kind) => Receipt::ready(Err(BusError::new(kind, "refused"))),
        }
    }

    fn max_message_bytes(&self) -> usize {
        1 << 20
    }
}

fn only_publishes() -> BusError {
    BusError::new(BusErrorKind::Refused, "this bus only takes what is published")
}

#[async_trait]
impl Bus for FakeBus {
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
        self.status.subscribe()
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
