//! A connector under test: a server on a real socket that does what the test says, and an ear that
//! keeps what was emitted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{
    Account, Connector, Credential, Emit, Emitted, Inbound, Outbound, Sink, Snapshot, Target,
};
use chatbus_event::{InstanceId, Topic};
use chatbus_platform_twitch::irc::transport::{Endpoint, public_roots};
use chatbus_platform_twitch::{TwitchConfig, TwitchConnector, channel_name};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_testkit::test_runtime;
use futures::FutureExt as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// How long anything may take that should happen at once.
const SOON: Duration = Duration::from_secs(30);

/// A server that waits for its one client.
pub(crate) struct Server {
    listener: TcpListener,
}

/// One connection, seen from the server.
pub(crate) struct Peer {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

/// Keeps what was emitted. Can be told to take its time.
pub(crate) struct Ear {
    heard: watch::Sender<Vec<Inbound>>,
    open: Semaphore,
    forgets: AtomicBool,
}

/// A running connector.
pub(crate) struct Rig {
    pub(crate) connector: Arc<TwitchConnector>,
    pub(crate) ear: Arc<Ear>,
    pub(crate) runtime: Runtime,
    pub(crate) drained: CancellationToken,
    ended: watch::Receiver<bool>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) async fn accept_stream(&self) -> TcpStream {
        tokio::time::timeout(SOON, self.listener.accept()).await.expect("a client connects").unwrap().0
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (read, write) = self.accept_stream().await.into_split();
        Peer { lines: BufReader::new(read).lines(), write }
    }

    /// Accepts, and logs the client in.
    pub(crate) async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.log_in().await;
        peer
    }

    /// Whether nobody connects for this long.
    pub(crate) async fn is_left_alone(&self, by: Duration) -> bool {
        tokio::time::timeout(by, self.listener.accept()).await.is_err()
    }
}

// === impl Peer ===

impl Peer {
    /// The next line from the client that is no PING of its own, which is answered.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let line = tokio::time::timeout(SOON, self.lines.next_line()).await.expect("a line").ok()??;
            match line.strip_prefix("PING ") {
                Some(token) => self.send(&format!(":tmi.twitch.tv PONG tmi.twitch.tv {token}")).await,
                None => return Some(line),
            }
        }
    }

    /// A line from the client that is there already, PINGs apart.
    pub(crate) fn try_next(&mut self) -> Option<String> {
        let line = self.lines.next_line().now_or_never()?.ok()??;
        (!line.starts_with("PING")).then_some(line)
    }

    pub(crate) async fn expect(&mut self, beginning: &str) -> String {
        let line = self.next().await.unwrap_or_default();
        assert!(line.starts_with(beginning), "{line:?} instead of {beginning}");
        line
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // The client may have left; tests look at what it did, not at this.
        let _ = self.write.write_all(bytes).await;
    }

    pub(crate) async fn log_in(&mut self) {
        self.expect("CAP REQ").await;
        let mut line = self.next().await.unwrap();
        if line.starts_with("PASS") {
            line = self.next().await.unwrap();
        }
        let nick = line.strip_prefix("NICK ").unwrap().to_owned();
        self.send(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands").await;
        self.send(&format!(":tmi.twitch.tv 001 {nick} :Welcome, GLHF!")).await;
    }

    /// Lets the client into the channel it asks for next.
    pub(crate) async fn let_in(&mut self) -> String {
        let line = self.expect("JOIN #").await;
        let channel = line.trim_start_matches("JOIN ").to_owned();
        self.send(&format!("@room-id=42;slow=0 :tmi.twitch.tv ROOMSTATE {channel}")).await;
        channel
    }
}

// === impl Ear ===

impl Ear {
    pub(crate) fn new() -> Self {
        Self {
            heard: watch::Sender::new(Vec::new()),
            open: Semaphore::new(Semaphore::MAX_PERMITS),
            forgets: AtomicBool::new(false),
        }
    }

    /// Takes nothing until [`Ear::unblock`].
    pub(crate) fn block(&self) {
        self.open.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Takes everything and keeps nothing, for floods.
    pub(crate) fn forget(&self) {
        self.forgets.store(true, Ordering::Relaxed);
    }

    pub(crate) fn unblock(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn heard(&self) -> Vec<Inbound> {
        self.heard.borrow().clone()
    }

    /// The events so far, once there are that many of the wanted ones.
    pub(crate) async fn wait_for(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut changes = self.heard.subscribe();
        let found = |heard: &Vec<Inbound>| -> Vec<Value> {
            let bodies = heard.iter().map(|event| serde_json::from_slice(&event.body).unwrap());
            bodies.filter(|event| wanted(event)).collect()
        };
        let enough = changes.wait_for(|heard| found(heard).len() >= count);
        match tokio::time::timeout(SOON, enough).await {
            Ok(heard) => found(&heard.unwrap()),
            Err(_) => panic!("heard only {} of {count}", found(&self.heard()).len()),
        }
    }

    /// Waits until something was heard for each of these names.
    pub(crate) async fn wait_for_each(
        &self,
        wanted: &HashSet<String>,
        name: impl Fn(&Value) -> Option<String>,
    ) {
        let mut changes = self.heard.subscribe();
        let (mut missing, mut seen) = (wanted.clone(), 0);
        let all = async {
            while !missing.is_empty() {
                let new: Vec<Inbound> = changes.borrow_and_update().iter().skip(seen).cloned().collect();
                seen += new.len();
                for event in new {
                    if let Some(name) = name(&serde_json::from_slice(&event.body).unwrap()) {
                        missing.remove(&name);
                    }
                }
                if !missing.is_empty() {
                    changes.changed().await.unwrap();
                }
            }
        };
        let in_time = tokio::time::timeout(SOON, all).await.is_ok();
        assert!(in_time, "{} of {} are missing: {missing:?}", missing.len(), wanted.len());
    }

    pub(crate) async fn wait_for_text(&self, text: &str) -> Value {
        self.wait_for(1, |event| event["message"]["text"] == text).await.remove(0)
    }
}

#[async_trait]
impl Emit for Ear {
    async fn emit(&self, events: Vec<Inbound>) -> Emitted {
        drop(self.open.acquire().await.unwrap());
        if !self.forgets.load(Ordering::Relaxed) {
            self.heard.send_modify(|heard| heard.extend(events));
        }
        Emitted::Taken
    }
}

// === impl Rig ===

/// A token of our account.
pub(crate) fn bot(token: &str) -> Credential {
    Credential::ready(token.into(), Some("bot".to_owned()), None)
}

pub(crate) fn config(url: &str, channels: &[&str], account: bool) -> TwitchConfig {
    let instance = InstanceId::parse("i-1").unwrap();
    TwitchConfig {
        endpoint: Endpoint::parse(url).unwrap(),
        bot: Account::fixed(if account { bot("secret-token") } else { Credential::default() }),
        reconnect_initial: Duration::from_millis(50),
        reconnect_max: Duration::from_millis(200),
        ..TwitchConfig::anonymous(
            channels.iter().map(|name| channel_name(name).unwrap()).collect(),
            Topic::egress_of(&instance),
        )
    }
}

impl Rig {
    pub(crate) fn run(config: TwitchConfig) -> Self {
        Self::run_with(config, public_roots().unwrap())
    }

    pub(crate) fn run_with(config: TwitchConfig, tls: Arc<rustls::ClientConfig>) -> Self {
        Self::run_beside(config, tls, &[])
    }

    /// With channels that were added before it runs.
    pub(crate) fn run_beside(config: TwitchConfig, tls: Arc<rustls::ClientConfig>, added: &[&str]) -> Self {
        let runtime = test_runtime(7);
        let connector = Arc::new(TwitchConnector::new(config, tls, Arc::clone(&runtime.clock)));
        connector.set_channels(added.iter().map(|name| (*name).to_owned()).collect());
        let ear = Arc::new(Ear::new());
        let drained = CancellationToken::new();
        let (end, ended) = watch::channel(false);
        let run = Arc::clone(&connector).run(runtime.clone(), ear.clone(), drained.clone());
        runtime.spawn("test.connector", async move {
            run.await;
            end.send_replace(true);
        });
        Self { connector, ear, runtime, drained, ended }
    }

    pub(crate) fn set_channels(&self, added: &[&str]) {
        self.connector.set_channels(added.iter().map(|name| (*name).to_owned()).collect());
    }

    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        self.connector.sink()
    }

    pub(crate) fn status(&self) -> Snapshot {
        self.connector.status().snapshot()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let status = self.connector.status();
        let mut changes = status.changes();
        let reached = async {
            while !wanted(&status.snapshot()) {
                changes.changed().await.unwrap();
            }
            status.snapshot()
        };
        match tokio::time::timeout(SOON * 4, reached).await {
            Ok(snapshot) => snapshot,
            Err(_) => panic!("still {:?}", status.snapshot()),
        }
    }

    pub(crate) async fn joined(&self, channels: usize) {
        self.until(|status| status.joined_channels.len() == channels).await;
    }

    pub(crate) fn outbound(&self, channel: &str, text: &str) -> Outbound {
        Outbound {
            delivery_id: "d-1".into(),
            target: Target::Channel(channel.into()),
            text: text.to_owned(),
            reply_to: None,
            deadline: self.runtime.clock.instant() + Duration::from_secs(60),
            may_have_been_sent: false,
            fence: chatbus_runtime::Fence::always(),
            event: None,
        }
    }

    /// Begins to say something, and gives what will be the verdict.
    pub(crate) fn say(
        &self,
        outbound: Outbound,
    ) -> tokio::sync::oneshot::Receiver<chatbus_connector::Verdict> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let sink = self.sink();
        self.runtime.spawn("test.say", async move {
            let _ = sender.send(sink.send(outbound).await);
        });
        receiver
    }

    pub(crate) async fn end(mut self) {
        self.runtime.stop.cancel();
        self.drained.cancel();
        tokio::time::timeout(SOON, self.ended.wait_for(|ended| *ended)).await.expect("it ends").unwrap();
    }
}
