//! A platform that does what the test says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{Audience, Availability, Capabilities, Outbound, Sink, Target, Verdict};
use chatbus_event::Clock;
use tokio::sync::watch;

/// A platform that does what the test says, and remembers what it was asked to say.
pub(crate) struct FakeSink {
    platform: &'static str,
    clock: Arc<dyn Clock>,
    script: Mutex<Script>,
    changes: watch::Sender<u64>,
}

/// Something that was said, as far as the platform's users can see.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) target: String,
    pub(crate) may_have_been_sent: bool,
}

#[derive(Default)]
struct Script {
    default_channel: Option<&'static str>,
    takes: Duration,
    verdicts: HashMap<String, VecDeque<Verdict>>,
    hanging: HashSet<String>,
    panicking: HashSet<String>,
    disconnected: bool,
    unserved: HashSet<String>,
    /// When it is set, nobody else is served.
    served: Option<HashSet<String>>,
    pace: HashMap<String, (Duration, Option<Instant>)>,
    remembers: Option<Duration>,
    in_flight: HashSet<String>,
    said: Vec<Said>,
}

impl FakeSink {
    pub(crate) fn new(platform: &'static str, clock: Arc<dyn Clock>) -> Arc<Self> {
        let script = Script { takes: Duration::from_millis(1), ..Script::default() };
        Arc::new(Self { platform, clock, script: Mutex::new(script), changes: watch::Sender::new(0) })
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(crate) fn set_default_channel(&self, channel: &'static str) {
        self.script().default_channel = Some(channel);
    }

    /// How long each send takes.
    pub(crate) fn set_takes(&self, takes: Duration) {
        self.script().takes = takes;
    }

    /// What the platform answers to this text, in turn, before it says yes.
    pub(crate) fn answers(&self, text: &str, verdicts: impl IntoIterator<Item = Verdict>) {
        self.script().verdicts.insert(text.to_owned(), verdicts.into_iter().collect());
    }

    /// This text is said, and no verdict ever comes.
    pub(crate) fn hangs_on(&self, text: &str) {
        self.script().hanging.insert(text.to_owned());
    }

    /// It says nothing twice within this time.
    pub(crate) fn remembers(&self, time: Duration) {
        self.script().remembers = Some(time);
    }

    pub(crate) fn panics_on(&self, text: &str) {
        self.script().panicking.insert(text.to_owned());
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.script().disconnected = !connected;
        self.changes.send_modify(|version| *version += 1);
    }

    pub(crate) fn does_not_serve(&self, target: &str) {
        self.script().unserved.insert(target.to_owned());
    }

    /// It serves these channels and no others.
    pub(crate) fn serves_only(&self, channels: &[&str]) {
        self.script().served = Some(channels.iter().map(|channel| (*channel).to_owned()).collect());
    }

    pub(crate) fn serves_nobody(&self) {
        self.serves_only(&[]);
    }

    pub(crate) fn begins_to_serve(&self, user: &str) {
        self.script().served.get_or_insert_default().insert(format!("@{user}"));
        self.changes.send_modify(|version| *version += 1);
    }

    /// At most one message in this long for a target.
    pub(crate) fn limits(&self, target: &str, every: Duration) {
        self.script().pace.insert(target.to_owned(), (every, None));
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.script().said.clone()
    }

    pub(crate) fn texts(&self, target: &str) -> Vec<String> {
        self.said().into_iter().filter(|said| said.target == target).map(|said| said.text).collect()
    }
}

/// Ends a send however it ends.
struct InFlight<'a>(&'a FakeSink, String);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.script().in_flight.remove(&self.1);
    }
}

fn name(target: &Target) -> String {
    match target {
        Audience::Channel(channel) => channel.to_string(),
        Audience::User(user) => format!("@{user}"),
    }
}

#[async_trait]
impl Sink for FakeSink {
    fn platform(&self) -> &'static str {
        self.platform
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, direct: true, data: false, remembers: self.script().remembers }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        name.starts_with('#').then(|| name.into())
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        self.script().default_channel.map(Into::into)
    }

    fn recipient(&self, user_id: &str) -> Option<Arc<str>> {
        user_id.bytes().all(|b| b.is_ascii_digit()).then(|| user_id.into())
    }

    fn availability(&self, target: &Target) -> Availability {
        let now = self.clock.instant();
        let script = self.script();
        let serves = |served: &HashSet<String>| served.contains(&name(target));
        if script.unserved.contains(&name(target)) || !script.served.as_ref().is_none_or(serves) {
            return Availability::Unserved;
        }
        if script.disconnected {
            return Availability::Disconnected { since: now };
        }
        match script.pace.get(&name(target)) {
            Some((every, Some(last))) if *last + *every > now => Availability::NotBefore(*last + *every),
            _ => Availability::Ready,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let target = name(&outbound.target);
        let now = self.clock.instant();
        let said = Said {
            text: outbound.text.clone(),
            target: target.clone(),
            may_have_been_sent: outbound.may_have_been_sent,
        };
        let (takes, verdict, hangs, panics) = {
            let mut script = self.script();
            assert!(script.in_flight.insert(target.clone()), "two in flight in {target}");
            if let Some((_, last)) = script.pace.get_mut(&target) {
                *last = Some(now);
            }
            let verdict = script.verdicts.get_mut(&outbound.text).and_then(VecDeque::pop_front);
            let goes_out = verdict.as_ref().is_none_or(|verdict| {
                matches!(verdict, Verdict::Delivered { .. } | Verdict::Accepted | Verdict::Unverified { .. })
            });
            if goes_out {
                script.said.push(said);
            }
            (
                script.takes,
                verdict,
                script.hanging.contains(&outbound.text),
                script.panicking.contains(&outbound.text),
            )
        };
        let _in_flight = InFlight(self, target);
        assert!(!panics, "asked to panic");
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(takes).await;
        verdict.unwrap_or_else(|| Verdict::Delivered {
            provider_message_id: Some(format!("p-{}", outbound.text)),
        })
    }
}
