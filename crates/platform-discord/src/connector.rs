//! Discord as a platform.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use async_trait::async_trait;
use chatbus_connector::{
    AuthState, ConnectionState, Connector, Emit, LastError, Notes, RefusedChannel, Share, Sink, Status,
};
use chatbus_event::{Clock, Timestamp, sha256_hex};
use chatbus_runtime::{CancellationToken, Runtime};
use futures::future::join_all;
use rustls::crypto::aws_lc_rs;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::directory::Directory;
use crate::gateway::life::Halt;
use crate::gateway::reader::Reader;
use crate::gateway::start::start;
use crate::normalize::NormalizerConfig;
use crate::rest::Rest;
use crate::sink::DiscordSink;
use crate::{DiscordConfig, PLATFORM};

/// Reads Discord's gateway, and speaks over REST.
#[derive(Debug)]
pub struct DiscordConnector {
    shared: Arc<Shared>,
    sink: Arc<DiscordSink>,
}

/// What the readers of all shards and the sink have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: DiscordConfig,
    pub(crate) rest: Arc<Rest>,
    pub(crate) directory: Arc<RwLock<Directory>>,
    pub(crate) status: Status,
    pub(crate) notes: Arc<dyn Notes>,
    clock: Arc<dyn Clock>,
    /// Names this instance among those that use the token.
    instance: String,
    /// Shards that are connected and logged in.
    live: Mutex<BTreeSet<u32>>,
    /// Since when nothing can be said; `None` once Discord has answered.
    down_since: Mutex<Option<Instant>>,
    changes: watch::Sender<u64>,
}

// === impl DiscordConnector ===

impl DiscordConnector {
    /// A connector that does not run yet.
    ///
    /// # Errors
    /// When the provider of cryptography supports no protocol version, which the one used does.
    pub fn new(
        config: DiscordConfig,
        notes: Arc<dyn Notes>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, rustls::Error> {
        // The gateway's library takes the provider of the process, and gives up where there is none. Somebody
        // else's choice is as good.
        let _ = aws_lc_rs::default_provider().install_default();
        let status = Status::new(config.channels.iter().map(ToString::to_string), AuthState::ok(""));
        status.update(|snapshot| snapshot.auth.login = None);
        let rest = Rest::new(config.api.clone(), config.token.clone(), Arc::clone(&clock), status.clone())?;
        let directory = Directory::new(&config.guild, &config.channels);
        let shared = Arc::new(Shared {
            instance: sha256_hex(config.egress.as_str().as_bytes()).get(..16).unwrap_or_default().to_owned(),
            rest: Arc::new(rest),
            directory: Arc::new(RwLock::new(directory)),
            config,
            status,
            notes,
            live: Mutex::default(),
            down_since: Mutex::new(Some(clock.instant())),
            changes: watch::Sender::new(0),
            clock,
        });
        let sink = Arc::new(DiscordSink::new(Arc::clone(&shared)));
        Ok(Self { shared, sink })
    }

    async fn read(&self, runtime: &Runtime, emit: &Arc<dyn Emit>) {
        let shared = &self.shared;
        match runtime.stop.run_until_cancelled(start(shared, runtime)).await {
            None => {}
            Some(Err(halt)) => shared.halt(halt, runtime.clock.now()),
            Some(Ok(started)) => {
                shared.up();
                let readers = (0..started.shards).map(|shard| {
                    let (shared, started) = (Arc::clone(shared), started.clone());
                    Reader::new(shared, runtime.clone(), Arc::clone(emit), started, shard).run()
                });
                join_all(readers).await;
            }
        }
        runtime.stop.cancelled().await;
    }
}

#[async_trait]
impl Connector for DiscordConnector {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.shared.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    fn share(&self) -> Option<Share> {
        Some(self.shared.rest.share().clone())
    }

    /// At most 500 channels are read, the configured ones included. Names of the guild's channels do, too, once
    /// they are known.
    fn set_channels(&self, added: Vec<String>) {
        let left_out = {
            let mut directory = self.shared.directory.write().unwrap_or_else(PoisonError::into_inner);
            directory.set_added(&added)
        };
        if left_out > 0 {
            let message = format!("{left_out} added channels are no ids, or more than can be read");
            self.shared.note_error("channels_left_out", &message);
        }
        self.shared.show_channels();
    }

    /// What is said needs no connection of its own, so only reading ends with the stop.
    async fn run(self: Arc<Self>, runtime: Runtime, emit: Arc<dyn Emit>, drained: CancellationToken) {
        self.read(&runtime, &emit).await;
        drained.cancelled().await;
        self.shared.status.update(|snapshot| snapshot.state = ConnectionState::Disconnected);
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn normalizer_config(&self) -> NormalizerConfig {
        NormalizerConfig { egress: self.config.egress.clone(), shape: self.config.shape }
    }

    /// The channels that are read.
    pub(crate) fn wanted(&self) -> Vec<Arc<str>> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).wanted().to_vec()
    }

    /// Whether a channel is one of them; a thread of one is not.
    pub(crate) fn wanted_is(&self, channel: &str) -> bool {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.wanted().iter().any(|wanted| &**wanted == channel)
    }

    pub(crate) fn instant(&self) -> Instant {
        self.clock.instant()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The id of the guild's channel with this name.
    pub(crate) fn channel_named(&self, name: &str) -> Option<Arc<str>> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).named(name)
    }

    /// Since when nothing can be said.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        *self.down_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when something can be said again.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn up(&self) {
        *self.down_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Counts something that only Discord has.
    pub(crate) fn count(&self, name: &str, more: u64) {
        self.status.count(|snapshot| *snapshot.counters.other.entry(name.to_owned()).or_default() += more);
    }

    /// A shard is connected and logged in.
    pub(crate) fn live(&self, shard: u32, total: u32, now: Timestamp) {
        let is_whole = {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.insert(shard);
            u32::try_from(live.len()).is_ok_and(|count| count >= total)
        };
        if !is_whole {
            return;
        }
        info!(event = "discord.gateway.connected", platform = PLATFORM, shards = total, "connected");
        self.status.update(|snapshot| {
            if snapshot.state == ConnectionState::Reconnecting {
                snapshot.last_reconnect_at = Some(now);
                snapshot.counters.reconnects += 1;
            }
            snapshot.state = ConnectionState::Connected;
        });
        self.show_channels();
    }

    /// A shard's connection ended.
    pub(crate) fn lost(&self, shard: u32) {
        let was_live = self.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard);
        if was_live {
            self.status.update(|snapshot| {
                if snapshot.state == ConnectionState::Connected {
                    snapshot.state = ConnectionState::Reconnecting;
                }
                snapshot.joined_channels.clear();
            });
        }
    }

    /// Something went wrong that passes.
    pub(crate) fn fail(&self, code: &str, message: &str, at: Timestamp) {
        self.status.update(|snapshot| {
            snapshot.last_error = Some(LastError { code: code.to_owned(), message: message.to_owned(), at });
        });
    }

    /// Something went wrong that does not keep anything from working.
    pub(crate) fn note_error(&self, code: &str, message: &str) {
        self.fail(code, message, self.clock.now());
    }

    /// Only a person can help.
    pub(crate) fn halt(&self, halt: Halt, at: Timestamp) {
        let (code, message) = match halt {
            Halt::Unauthorized => ("unauthorized", "Discord refuses DISCORD_BOT_TOKEN".to_owned()),
            Halt::MissingIntent => ("missing_intent", missing_intent(&self.config)),
            Halt::Refused(code) => ("gateway_refused", format!("the gateway closed with code {code}")),
        };
        error!(event = "discord.gateway.refused", platform = PLATFORM, code, "{message}");
        self.status.update(|snapshot| {
            snapshot.state = ConnectionState::Error;
            snapshot.joined_channels.clear();
            if halt == Halt::Unauthorized {
                snapshot.auth.state = "needs_reauth";
            }
            snapshot.last_error = Some(LastError { code: code.to_owned(), message, at });
        });
    }

    /// Shows which channels are read, and which cannot be.
    pub(crate) fn show_channels(&self) {
        let (wanted, added, joined, refused) = {
            let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
            let wanted = directory.wanted();
            let texts = |some: &[Arc<str>]| some.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            let (known, unknown): (Vec<Arc<str>>, Vec<Arc<str>>) =
                wanted.iter().map(Arc::clone).partition(|channel| directory.is_known(channel));
            let unknown = if directory.is_filled() { unknown } else { Vec::new() };
            (texts(wanted), texts(directory.added()), texts(&known), unknown)
        };
        for channel in &refused {
            warn!(
                event = "discord.channel_refused",
                platform = PLATFORM,
                channel = &**channel,
                "there is no such channel in the guild"
            );
        }
        self.status.update(|snapshot| {
            snapshot.wanted_channels = wanted;
            snapshot.added_channels = added;
            if snapshot.state == ConnectionState::Connected {
                snapshot.joined_channels = joined;
            }
            snapshot.refused_channels = refused
                .iter()
                .map(|channel| RefusedChannel {
                    channel: channel.to_string(),
                    code: "unknown_channel".to_owned(),
                })
                .collect();
        });
    }
}

/// What to do about an intent that is not switched on.
fn missing_intent(config: &DiscordConfig) -> String {
    use twilight_model::gateway::Intents;
    let names = [
        (Intents::MESSAGE_CONTENT, "MESSAGE CONTENT INTENT"),
        (Intents::GUILD_MEMBERS, "SERVER MEMBERS INTENT"),
        (Intents::GUILD_PRESENCES, "PRESENCE INTENT"),
    ];
    let asked: Vec<&str> = names
        .into_iter()
        .filter(|(intent, _)| config.intents.contains(*intent))
        .map(|(_, name)| name)
        .collect();
    format!(
        "switch on {} for the bot in Discord's developer portal, or leave it out of DISCORD_INTENTS",
        asked.join(" and ")
    )
}
