//! A platform in memory, without a fault or with one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_connector::conformance::{Answer, Caller, Class, Rig};
use chatbus_connector::{
    Accept, Accepted, AuthState, Availability, Capabilities, ConnectionState, Connector, Emit, Inbound,
    LastError, Outbound, PermanentReason, Sink, Status, Target, Verdict, Webhook, WebhookAnswer,
    WebhookRequest,
};
use chatbus_event::{Attributes, MessageId, sha256_hex};
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_testkit::test_runtime;
use tokio::sync::watch;

/// What may be wrong with a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    MakesSinks,
    LosesTheSign,
    KeepsThePrefix,
    TakesEveryPrefix,
    KeepsControls,
    CountsNothing,
    SaysTwice,
    ForgetsKeys,
    IgnoresTheFence,
    WidensTheAudience,
    RefusesUnderAnotherName,
    MistakesRefusals,
    StaysAway,
    TellsInCodes,
    DoubtsOddTexts,
    ShowsItsSecret,
    ShowsTexts,
    RunsOn,
    EndsSilently,
    TakesEveryChannel,
    ForgetsItsOwnChannels,
    KeepsAddedChannels,
    ConfirmsTooSoon,
    DoubtsWhatIsSafe,
    MakesIds,
    BelievesEverybody,
    ReadsFirst,
    TellsItsSecret,
}

const SECRET: &str = "the secret of the model";
const PLATFORM: &str = "model";
const MAX_ADDED: usize = 100;

/// The platform, its connector and its rig in one.
pub(crate) struct Model {
    runtime: Runtime,
    connector: Arc<Memory>,
}

struct Memory {
    fault: Option<Fault>,
    runtime: Runtime,
    status: Status,
    sink: Arc<MemorySink>,
    calls: AtomicU64,
}

struct MemorySink {
    fault: Option<Fault>,
    /// Where the lost fence and the deafness are looked at.
    runtime: Runtime,
    status: Status,
    world: Mutex<World>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct World {
    heard: Vec<String>,
    known: BTreeMap<Arc<str>, Verdict>,
    answers: VecDeque<&'static str>,
    lost: Option<Instant>,
    quiet_until: Option<Instant>,
}

// === impl Model ===

impl Model {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let runtime = test_runtime(1);
        let status = Status::new(["#hall".to_owned()], AuthState::ok("bot"));
        let world = World { lost: Some(runtime.clock.instant()), ..World::default() };
        let sink = Arc::new(MemorySink {
            fault,
            runtime: runtime.clone(),
            status: status.clone(),
            world: Mutex::new(world),
            changes: watch::Sender::new(0),
        });
        let calls = AtomicU64::new(0);
        let connector = Memory { fault, runtime: runtime.clone(), status, sink, calls };
        Self { runtime, connector: Arc::new(connector) }
    }
}

#[async_trait]
impl Rig for Model {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector) as Arc<dyn Connector>
    }

    fn target(&self) -> Target {
        match self.connector.fault {
            // What can be wrong with channels needs a platform of users, and the other way round.
            Some(Fault::KeepsThePrefix) => Target::User("7".into()),
            _ => Target::Channel("#hall".into()),
        }
    }

    fn user(&self) -> Option<String> {
        (self.connector.fault == Some(Fault::KeepsThePrefix)).then(|| "7".to_owned())
    }

    async fn heard(&self) -> Vec<String> {
        self.connector.sink.world.lock().unwrap().heard.clone()
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    fn answers(&self) -> Vec<Answer> {
        let of = |(name, class)| Answer { name, class };
        [
            ("log in", Class::Reauth),
            ("yes", Class::Delivered),
            ("slow down", Class::Retry),
            ("no", Class::Permanent),
            ("lost", Class::Unverified),
        ]
        .map(of)
        .into()
    }

    async fn answer(&self, name: &'static str) {
        self.connector.sink.world.lock().unwrap().answers.push_back(name);
    }
}

impl Caller for Model {
    fn call(&self, id: &str) -> WebhookRequest {
        let body = format!("{id}\nhello");
        WebhookRequest {
            method: "POST".to_owned(),
            origin: "https://bot.example".to_owned(),
            path_and_query: "/webhooks/model".to_owned(),
            headers: vec![("proof".to_owned(), Bytes::from(proof(body.as_bytes())))],
            body: body.into(),
            received_at: self.runtime.clock.now(),
        }
    }
}

fn proof(body: &[u8]) -> String {
    sha256_hex(&[SECRET.as_bytes(), body].concat())
}

#[async_trait]
impl Connector for Memory {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        if self.fault == Some(Fault::MakesSinks) {
            return Model::new(None).connector.sink();
        }
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    fn webhook(&self) -> Option<Arc<dyn Webhook>> {
        Some(Arc::new(Hook { fault: self.fault, calls: self.calls.fetch_add(1, Ordering::Relaxed) }))
    }

    fn set_channels(&self, added: Vec<String>) {
        let most = if self.fault == Some(Fault::TakesEveryChannel) { usize::MAX } else { MAX_ADDED };
        let names = added.iter().filter_map(|text| self.sink.channel(text)).take(most);
        let mut wanted: BTreeSet<String> = names.map(|name| name.to_string()).collect();
        if self.fault == Some(Fault::KeepsAddedChannels) {
            wanted.extend(self.status.snapshot().wanted_channels);
        }
        if self.fault != Some(Fault::ForgetsItsOwnChannels) || wanted.is_empty() {
            wanted.insert("#hall".to_owned());
        }
        self.status.update(|snapshot| snapshot.wanted_channels = wanted);
    }

    async fn run(self: Arc<Self>, runtime: Runtime, _: Arc<dyn Emit>, _: CancellationToken) {
        self.status.update(|snapshot| {
            snapshot.state = ConnectionState::Connected;
            if self.fault == Some(Fault::ShowsItsSecret) {
                let (code, message) = ("no".to_owned(), format!("not with {SECRET}"));
                snapshot.last_error = Some(LastError { code, message, at: self.runtime.clock.now() });
            }
        });
        self.sink.set_lost(None);
        if self.fault == Some(Fault::RunsOn) {
            return std::future::pending().await;
        }
        runtime.stop.cancelled().await;
        if self.fault != Some(Fault::EndsSilently) {
            self.status.update(|snapshot| snapshot.state = ConnectionState::Disconnected);
        }
    }
}

// === impl MemorySink ===

impl MemorySink {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn set_lost(&self, since: Option<Instant>) {
        self.world.lock().unwrap().lost = since;
        self.changes.send_modify(|version| *version += 1);
    }

    fn judge(&self, outbound: &Outbound) -> Verdict {
        let mut world = self.world.lock().unwrap();
        if let Some(known) = world.known.get(&outbound.delivery_id).filter(|_| !self.has(Fault::ForgetsKeys))
        {
            return known.clone();
        }
        let (code, message) = ("code".to_owned(), "why".to_owned());
        match world.answers.pop_front().unwrap_or("yes") {
            "slow down" => {
                if self.has(Fault::StaysAway) {
                    world.lost = Some(self.runtime.clock.instant());
                }
                let after = Duration::from_secs(1);
                world.quiet_until = Some(self.runtime.clock.instant() + after);
                let code = if self.has(Fault::TellsInCodes) { "slow down, please".to_owned() } else { code };
                return Verdict::Retry { after, code, message };
            }
            "no" if self.has(Fault::MistakesRefusals) => {
                return Verdict::Retry { after: Duration::ZERO, code, message };
            }
            "no" => return Verdict::Permanent { reason: PermanentReason::Rejected, code, message },
            "log in" => return Verdict::Reauth { code, message },
            "lost" => return Verdict::Unverified { code, message },
            _ => {}
        }
        if self.has(Fault::DoubtsOddTexts) && outbound.text.contains('\0') {
            return Verdict::Unverified { code, message };
        }
        world.heard.push(outbound.text.clone());
        if self.has(Fault::SaysTwice) {
            world.heard.push(outbound.text.clone());
        }
        let said = Verdict::Delivered { provider_message_id: Some(format!("m-{}", world.heard.len())) };
        world.known.insert(Arc::clone(&outbound.delivery_id), said.clone());
        self.status.count(|snapshot| {
            snapshot.counters.sent += u64::from(!self.has(Fault::CountsNothing));
            if self.has(Fault::ShowsTexts) {
                snapshot.counters.other.insert(outbound.text.clone(), 1);
            }
        });
        said
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        let direct = self.has(Fault::KeepsThePrefix);
        Capabilities { chat: true, direct, remembers: Some(Duration::from_secs(60)), ..Default::default() }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        let name = name.trim();
        let bare = name.strip_prefix('#').unwrap_or(name);
        let is_part = |b: u8| b.is_ascii_alphanumeric();
        let keeps_controls = self.has(Fault::KeepsControls) && bare.contains('\n');
        let bare = match bare.split_once(':') {
            Some((_, bare)) if self.has(Fault::TakesEveryPrefix) => bare.trim_start_matches('#'),
            _ => bare,
        };
        if !keeps_controls && (bare.is_empty() || bare.len() > 64 || !bare.bytes().all(is_part)) {
            return None;
        }
        let sign = if self.has(Fault::LosesTheSign) { "" } else { "#" };
        Some(format!("{sign}{bare}").into())
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        Some("#hall".into())
    }

    fn recipient(&self, user_id: &str) -> Option<Arc<str>> {
        let known = self.has(Fault::KeepsThePrefix) && user_id.ends_with('7');
        known.then(|| user_id.into())
    }

    fn availability(&self, target: &Target) -> Availability {
        if matches!(target, Target::User(_)) && !self.has(Fault::KeepsThePrefix) {
            return Availability::Unserved;
        }
        let world = self.world.lock().unwrap();
        let now = self.runtime.clock.instant();
        match (world.lost, world.quiet_until.filter(|until| *until > now)) {
            (Some(since), _) => Availability::Disconnected { since },
            (None, Some(until)) => Availability::NotBefore(until),
            (None, None) => Availability::Ready,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        if matches!(outbound.target, Target::User(_)) && !self.has(Fault::WidensTheAudience) {
            let (code, message) = ("unsupported".to_owned(), String::new());
            let reason = if self.has(Fault::RefusesUnderAnotherName) {
                PermanentReason::NoRecipient
            } else {
                PermanentReason::Unsupported
            };
            return Verdict::Permanent { reason, code, message };
        }
        let is_held = outbound.fence.is_held(self.runtime.clock.instant());
        if !is_held && !self.has(Fault::IgnoresTheFence) {
            return Verdict::NotNow;
        }
        self.judge(&outbound)
    }
}

/// Its part that is called.
struct Hook {
    fault: Option<Fault>,
    calls: u64,
}

#[async_trait]
impl Webhook for Hook {
    fn path(&self) -> &'static str {
        "/webhooks/model"
    }

    async fn call(&self, request: WebhookRequest, accept: &dyn Accept) -> WebhookAnswer {
        let has = |fault| self.fault == Some(fault);
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let message = text.split_once('\n').filter(|(id, _)| !id.is_empty());
        if has(Fault::ReadsFirst) && message.is_none() {
            return WebhookAnswer::empty(400);
        }
        let is_proved = request.header("proof") == Some(&*proof(&request.body));
        if !is_proved && !has(Fault::BelievesEverybody) {
            let told = if has(Fault::TellsItsSecret) { SECRET } else { "no" };
            return WebhookAnswer::with(403, "text/plain", told);
        }
        let Some((id, _)) = message else { return WebhookAnswer::empty(400) };
        let id = if has(Fault::MakesIds) { format!("{id}-{}", self.calls) } else { id.to_owned() };
        let event = Inbound {
            id: MessageId::new(&id),
            attributes: Attributes::new(),
            body: request.body.clone(),
            conversation: "#hall".into(),
            received_at: request.received_at,
        };
        let accepted = accept.accept(event).await;
        WebhookAnswer::empty(match accepted {
            Accepted::Spooled if has(Fault::DoubtsWhatIsSafe) => 503,
            Accepted::Refused(_) if !has(Fault::ConfirmsTooSoon) => 503,
            _ => 204,
        })
    }
}
