//! The process of the clients: does what it is ordered, until nobody orders any more.

use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chatbus_runtime::Runtime;
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Notify;

use super::super::report::Times;
use super::events::{self, monotonic_nanos, said_at};
use super::orders::{Done, Order};
use super::socket::Socket;
use crate::commands::Failure;
use crate::supervisor::Supervisor;

/// What all connections count together.
struct Tally {
    frames: AtomicU64,
    goal: AtomicU64,
    reached: Notify,
    timed: AtomicBool,
    times: Mutex<Times>,
    lost: Mutex<Option<String>>,
}

/// Upgrades under way at once.
const CONNECTING: usize = 32;

pub(in super::super) async fn run() -> Result<(), Failure> {
    let supervisor = Supervisor::new();
    let runtime = supervisor.runtime();
    let tally = Arc::new(Tally::new()?);
    let stdin = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut orders = BufReader::new(tokio::fs::File::from_std(stdin)).lines();
    while let Some(line) = orders.next_line().await? {
        let order = serde_json::from_str(&line).map_err(|error| Failure::Runtime(error.into()))?;
        let done = match perform(order, &tally, &runtime).await {
            Ok(done) => done,
            Err(error) => Done { problem: Some(format!("{error:#}")), ..Done::default() },
        };
        let line = serde_json::to_string(&done).map_err(|error| Failure::Runtime(error.into()))?;
        writeln!(std::io::stdout().lock(), "{line}")?;
    }
    Ok(())
}

async fn perform(order: Order, tally: &Arc<Tally>, runtime: &Runtime) -> anyhow::Result<Done> {
    let mut times = Vec::new();
    match order {
        Order::Connect { addr, tokens, users } => connect(addr, &tokens, users, tally, runtime).await?,
        Order::Count { goal, timed } => tally.begin(goal, timed)?,
        Order::Fill { url, fill } => {
            // On a worker, as the connections are: the main thread would be woken for each answer.
            let (done, filled) = tokio::sync::oneshot::channel();
            runtime.spawn("bench.fill", async move {
                let _ = done.send(events::fill_nats(&url, fill).await);
            });
            filled.await.context("the filling was cut off")??;
        }
        Order::Arrived => {
            tally.arrived().await;
            times = tally.lock().counts();
        }
    }
    if let Some(lost) = tally.lost.lock().unwrap_or_else(PoisonError::into_inner).take() {
        anyhow::bail!("a connection was lost: {lost}");
    }
    Ok(Done { frames: tally.frames.load(Ordering::SeqCst), times, problem: None })
}

async fn connect(
    addr: SocketAddr,
    tokens: &Path,
    users: Range<usize>,
    tally: &Arc<Tally>,
    runtime: &Runtime,
) -> anyhow::Result<()> {
    let tokens = std::fs::read_to_string(tokens)?;
    let tokens: Vec<&str> = tokens.lines().collect();
    let chosen = tokens.get(users.clone()).context("there are fewer tokens")?;
    let connecting = users.zip(chosen).map(|(n, token)| Socket::connect(addr, token, n));
    let mut connecting = stream::iter(connecting).buffer_unordered(CONNECTING);
    while let Some(socket) = connecting.next().await {
        let (socket, tally) = (socket?, Arc::clone(tally));
        runtime.spawn("bench.client", async move {
            let ended = socket.listen(|frame| tally.heard(frame)).await;
            *tally.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{ended:#}"));
            tally.reached.notify_one();
        });
    }
    Ok(())
}

// === impl Tally ===

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            frames: AtomicU64::new(0),
            goal: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
            timed: AtomicBool::new(false),
            times: Mutex::new(Times::new()?),
            lost: Mutex::default(),
        })
    }

    fn begin(&self, goal: u64, timed: bool) -> anyhow::Result<()> {
        *self.lock() = Times::new()?;
        self.timed.store(timed, Ordering::SeqCst);
        self.goal.store(goal, Ordering::SeqCst);
        self.frames.store(0, Ordering::SeqCst);
        Ok(())
    }

    fn heard(&self, frame: &[u8]) {
        if self.timed.load(Ordering::Relaxed)
            && let Some(begun) = said_at(frame)
        {
            self.lock().record(Duration::from_nanos(monotonic_nanos().saturating_sub(begun)));
        }
        if self.frames.fetch_add(1, Ordering::SeqCst) + 1 >= self.goal.load(Ordering::Relaxed) {
            self.reached.notify_one();
        }
    }

    /// Waits for the goal, or for a connection to end.
    async fn arrived(&self) {
        let is_lost = || self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        while self.frames.load(Ordering::SeqCst) < self.goal.load(Ordering::SeqCst) && !is_lost() {
            self.reached.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
