//! What the benchmark and the process of its clients say to each other: one JSON object a line.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::super::child::Guarded;
use super::super::report::Times;
use super::events::Fill;

/// What the clients are to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(super) enum Order {
    /// Connect the users of these numbers, each with the token on its line of the file.
    Connect { addr: SocketAddr, tokens: PathBuf, users: Range<usize> },
    /// Count frames anew up to a goal.
    Count { goal: u64, timed: bool },
    /// Put events on a server's topic.
    Fill { url: String, fill: Fill },
    /// Wait until the goal is reached.
    Arrived,
}

/// What they say when it is done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Done {
    /// Text frames since the counting began.
    pub(super) frames: u64,
    /// Times in microseconds, with how often each was met.
    pub(super) times: Vec<(u64, u64)>,
    /// Why it was not done.
    pub(super) problem: Option<String>,
}

/// The process of the clients; it ends with this value.
pub(super) struct ClientsProcess {
    tokens: PathBuf,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Guarded,
}

/// The longest an order may take.
const DONE_WITHIN: Duration = Duration::from_secs(300);

// === impl ClientsProcess ===

impl ClientsProcess {
    /// Starts it from this program.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(tokens: PathBuf) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let mut command = Command::new(program);
        command.args(["bench", "gateway", "--clients"]).env_clear();
        let (process, orders, answers) = Guarded::start_steered(&mut command)?;
        Ok(Self { tokens, orders, answers: BufReader::new(answers).lines(), _process: process })
    }

    pub(super) async fn connect(&mut self, addr: SocketAddr, users: Range<usize>) -> anyhow::Result<()> {
        let tokens = self.tokens.clone();
        self.order(&Order::Connect { addr, tokens, users }).await.map(drop)
    }

    pub(super) async fn count(&mut self, goal: u64, timed: bool) -> anyhow::Result<()> {
        self.order(&Order::Count { goal, timed }).await.map(drop)
    }

    /// Puts events on a server's topic; says how many frames there were when it was done.
    pub(super) async fn fill(&mut self, url: &str, fill: Fill) -> anyhow::Result<u64> {
        Ok(self.order(&Order::Fill { url: url.to_owned(), fill }).await?.frames)
    }

    /// Waits for the goal; gives the times, when they were asked for.
    pub(super) async fn arrived(&mut self, goal: u64) -> anyhow::Result<Times> {
        let done = self.order(&Order::Arrived).await?;
        anyhow::ensure!(done.frames == goal, "{} frames came, and {goal} should have", done.frames);
        let mut times = Times::new()?;
        for (micros, count) in done.times {
            times.record_many(Duration::from_micros(micros), count);
        }
        Ok(times)
    }

    async fn order(&mut self, order: &Order) -> anyhow::Result<Done> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await?;
        let answer = tokio::time::timeout(DONE_WITHIN, self.answers.next_line()).await;
        let answer = answer.context("the clients are stuck")??.context("the clients' process ended")?;
        let done: Done = serde_json::from_str(&answer)?;
        match done.problem {
            Some(problem) => Err(anyhow::anyhow!("the clients: {problem}")),
            None => Ok(done),
        }
    }
}
