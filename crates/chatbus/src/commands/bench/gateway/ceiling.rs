//! The least that brings events to sockets: async-nats, one prepared frame, one prepared outcome.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_nats::Subject;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use chatbus_runtime::{CancellationToken, Runtime};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::bare::Bare;
use super::super::running::Running;
use super::super::sample::Sample;
use super::super::usage::Stopwatch;
use super::Sum;
use super::events::{Fill, Through, prepared_frame};
use super::orders::ClientsProcess;
use super::socket::text_frame;

/// A bare server that takes no connection yet.
pub(super) struct Ceiling {
    listener: TcpListener,
    addr: SocketAddr,
    client: async_nats::Client,
    messages: pull::Stream,
    outcomes: Bare,
}

/// One at work.
pub(super) struct Working {
    users: usize,
    done: Arc<AtomicU64>,
    failure: tokio::sync::oneshot::Receiver<anyhow::Error>,
    stop: CancellationToken,
}

/// Where its events stand; chatbus looks after the topics of its own.
const SUBJECT: &str = "bench.frames";
/// Outcomes in flight.
const WINDOW: usize = 1024;
/// What a consumer may have unacknowledged; as ours.
const MAX_ACK_PENDING: i64 = 10_000;
const BATCH: usize = 1_000;
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// The answer to every upgrade; the benchmark's clients do not look at the key.
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

// === impl Ceiling ===

impl Ceiling {
    pub(super) async fn listen(url: &str, outcome: Sample, runtime: &Runtime) -> anyhow::Result<Self> {
        let client = async_nats::connect(url).await.context("the bare client cannot connect")?;
        let config = stream::Config {
            name: "bench_frames".to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            retention: stream::RetentionPolicy::WorkQueue,
            discard: stream::DiscardPolicy::New,
            duplicate_window: Duration::from_secs(120),
            ..Default::default()
        };
        let stream = jetstream::new(client.clone()).create_stream(config).await?;
        let config = pull::Config {
            durable_name: Some("bench".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: MAX_ACK_PENDING,
            ..Default::default()
        };
        let messages =
            stream.create_consumer(config).await?.stream().max_messages_per_batch(BATCH).messages().await?;
        let outcomes = Bare::connect(url, outcome, Arc::clone(&runtime.clock)).await?;
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr, client, messages, outcomes })
    }

    /// Takes the clients' connections and begins to work.
    pub(super) async fn accept(
        self,
        clients: &mut ClientsProcess,
        users: usize,
        runtime: &Runtime,
    ) -> anyhow::Result<Working> {
        let Self { listener, addr, client, messages, outcomes } = self;
        let accepting = async {
            let mut sockets = Vec::new();
            for _ in 0..users {
                sockets.push(upgraded(listener.accept().await?.0).await?);
            }
            anyhow::Ok(sockets)
        };
        let (sockets, ()) = tokio::try_join!(accepting, clients.connect(addr, 0..users))?;
        let (done, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let (failed, failure) = tokio::sync::oneshot::channel();
        let (counted, stopped) = (Arc::clone(&done), stop.clone());
        runtime.spawn("bench.ceiling", async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                result = work(client, messages, outcomes, sockets, &counted) => {
                    if let Err(error) = result {
                        // Whoever waits for it sees it; nobody may.
                        let _ = failed.send(error);
                    }
                }
            }
        });
        Ok(Working { users, done, failure, stop })
    }
}

async fn upgraded(mut stream: TcpStream) -> anyhow::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(stream.read_buf(&mut head).await? > 0, "a client hung up");
    }
    stream.write_all(SWITCHING).await?;
    stream.write_all(&text_frame(b"{\"type\":\"connection.ready\"}")).await?;
    Ok(stream)
}

async fn work(
    client: async_nats::Client,
    mut messages: pull::Stream,
    mut outcomes: Bare,
    sockets: Vec<TcpStream>,
    done: &AtomicU64,
) -> anyhow::Result<()> {
    let frame = text_frame(prepared_frame().as_bytes());
    let mut sockets = sockets.into_iter().collect::<VecDeque<_>>();
    let mut waiting: VecDeque<Subject> = VecDeque::new();
    let mut n = 0;
    loop {
        tokio::select! {
            message = messages.next(), if outcomes.in_flight() < WINDOW => {
                let message = message.context("the consumer ended")?.map_err(|error| anyhow!("{error}"))?;
                let mut socket = sockets.pop_front().context("there is no socket")?;
                socket.write_all(&frame).await?;
                sockets.push_back(socket);
                outcomes.publish(n).await?;
                n += 1;
                waiting.push_back(message.reply.clone().context("a message has no reply subject")?);
            }
            settled = outcomes.settle(), if outcomes.in_flight() > 0 => {
                settled?;
                let mut settled = 1;
                while outcomes.in_flight() > 0 && outcomes.settle_ready()?.is_some() {
                    settled += 1;
                }
                for reply in waiting.drain(..settled) {
                    client.publish(reply, "+ACK".into()).await?;
                }
                done.fetch_add(settled as u64, Ordering::SeqCst);
            }
        }
    }
}

// === impl Working ===

impl Working {
    /// One turn.
    pub(super) async fn slice(
        &mut self,
        running: &Running,
        clients: &mut ClientsProcess,
        through: &Through,
        round: u32,
        events: u64,
    ) -> anyhow::Result<Sum> {
        let goal = self.done.load(Ordering::SeqCst) + events;
        let name = format!("bare{round}");
        let fill = Fill { subject: SUBJECT.to_owned(), name, events, users: self.users, rate: None };
        clients.count(events, false).await?;
        let watch = Stopwatch::start(&running.supervisor.runtime().clock);
        let left = events - through.fill(clients, fill).await?.min(events);
        let filled = watch.passed();
        let arriving = async {
            clients.arrived(events).await?;
            while self.done.load(Ordering::SeqCst) < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            result = tokio::time::timeout(STUCK_AFTER, arriving) => result.context("the ceiling is stuck")??,
            error = &mut self.failure => return Err(error.context("the ceiling ended")?.context("the ceiling failed")),
        }
        let spent = watch.spent();
        Ok(Sum { spent, events, left, drained: spent.wall.saturating_sub(filled) })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
