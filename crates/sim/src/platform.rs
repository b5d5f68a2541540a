//! The platforms, as all their users see them; and an instance's connections to them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{
    Audience, Availability, Capabilities, Outbound, PermanentReason, Sink, Target, Verdict,
};
use chatbus_event::Clock;
use tokio::sync::watch;

use crate::clock::now;
use crate::link::Link;
use crate::plan::{Answer, BROOK, DELTA, SOCKET};
use crate::process::Control;

/// Everything that was ever said, and what the platforms make of texts.
#[derive(Debug, Default)]
pub(crate) struct Platforms(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    answers: HashMap<String, Answer>,
    said: Vec<Said>,
    /// Delivery ids, on the platform that has a key.
    keys: HashSet<String>,
    last: HashMap<(&'static str, String, String), Instant>,
}

/// Something that its audience saw.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) at: Instant,
    pub(crate) instance: usize,
    pub(crate) platform: &'static str,
    pub(crate) target: String,
    pub(crate) text: String,
    /// The platform had refused it as a duplicate, and it was made to look different.
    pub(crate) past_duplicate: bool,
}

/// What an instance is connected to, through all of its lives.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) channels: Vec<(&'static str, &'static str)>,
    inner: Mutex<ReachInner>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct ReachInner {
    /// Platforms it is not connected to.
    lost: BTreeMap<&'static str, Instant>,
    users: Vec<&'static str>,
}

/// One life's sink for one platform.
pub(crate) struct SimSink {
    pub(crate) platform: &'static str,
    pub(crate) instance: usize,
    pub(crate) reach: Arc<Reach>,
    pub(crate) platforms: Arc<Platforms>,
    pub(crate) link: Arc<Link>,
    pub(crate) control: Arc<Control>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// For so long the same text in the same channel is a duplicate, where there is no key.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(30);

// === impl Platforms ===

impl Platforms {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answers(&self, text: &str, answer: Answer) {
        self.lock().answers.insert(text.to_owned(), answer);
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.lock().said.clone()
    }
}

// === impl Reach ===

impl Reach {
    pub(crate) fn new(channels: Vec<(&'static str, &'static str)>) -> Self {
        Self { channels, inner: Mutex::default(), changes: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, ReachInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its connection to a platform is lost, at this moment of its clock; or is back.
    pub(crate) fn set_lost(&self, platform: &'static str, since: Option<Instant>) {
        match since {
            Some(since) => drop(self.lock().lost.insert(platform, since)),
            None => drop(self.lock().lost.remove(platform)),
        }
        self.changed();
    }

    pub(crate) fn set_user(&self, user: &'static str, comes: bool) {
        let mut inner = self.lock();
        if comes {
            inner.users.push(user);
        } else if let Some(at) = inner.users.iter().position(|there| *there == user) {
            inner.users.remove(at);
        }
        drop(inner);
        self.changed();
    }

    pub(crate) fn users(&self) -> Vec<&'static str> {
        self.lock().users.clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// What its lease says it serves.
    pub(crate) fn serves(&self) -> Vec<chatbus_delivery::Served> {
        let lost = self.lock().lost.clone();
        let platforms = [BROOK, DELTA].into_iter().filter(|platform| !lost.contains_key(platform));
        let of = |platform: &'static str| {
            let channels = self.channels.iter().filter(|(on, _)| *on == platform);
            let channels: Vec<String> = channels.map(|(_, name)| (*name).to_owned()).collect();
            (!channels.is_empty()).then(|| chatbus_delivery::Served {
                platform: platform.to_owned(),
                channels,
                direct: true,
                account: None,
            })
        };
        platforms.filter_map(of).collect()
    }
}

// === impl SimSink ===

fn name(target: &Target) -> String {
    match target {
        Audience::Channel(channel) => channel.to_string(),
        Audience::User(user) => format!("@{user}"),
    }
}

impl SimSink {
    /// Its bytes reach the platform: what the platform makes of them. Whether they were said, by the answer.
    fn arrive(&self, outbound: &Outbound, target: &str) -> Verdict {
        let mut inner = self.platforms.lock();
        let text = &outbound.text;
        let answer = inner.answers.get(text).copied().unwrap_or(Answer::Yes);
        let refused = |code: &str| (code.to_owned(), "the platform says no".to_owned());
        match answer {
            Answer::Later(left) => {
                let next = if left <= 1 { Answer::Yes } else { Answer::Later(left - 1) };
                inner.answers.insert(text.clone(), next);
                let (code, message) = refused("slow_down");
                return Verdict::Retry { after: Duration::from_millis(300), code, message };
            }
            Answer::NeverFirst if self.platform == SOCKET => {
                inner.answers.insert(text.clone(), Answer::Yes);
                let (code, message) = refused("slow_consumer");
                return Verdict::Permanent { reason: PermanentReason::Rejected, code, message };
            }
            Answer::Never | Answer::NeverFirst => {
                let (code, message) = refused("banned");
                return Verdict::Permanent { reason: PermanentReason::Rejected, code, message };
            }
            Answer::Cut { said } => {
                // The connection is back for who may try again.
                if self.platform == DELTA {
                    inner.answers.insert(text.clone(), Answer::Yes);
                }
                if !said {
                    let (code, message) = refused("connection_lost");
                    return Verdict::Unverified { code, message };
                }
            }
            Answer::Yes | Answer::Silence | Answer::Slow(_) => {}
        }
        let key = (self.platform, target.to_owned(), text.clone());
        let is_fresh = |at: &Instant| now() < *at + DUPLICATE_WINDOW;
        let is_duplicate = self.platform == BROOK && inner.last.get(&key).is_some_and(is_fresh);
        let is_repeat = self.platform == DELTA && !inner.keys.insert(outbound.delivery_id.to_string());
        if (is_duplicate && outbound.may_have_been_sent) || is_repeat {
            self.link.say(|| format!("says {text} again in {target}: the platform drops it"));
        } else {
            self.link.say(|| format!("SAYS {text} in {} {target}", self.platform));
            inner.last.insert(key, now());
            inner.said.push(Said {
                at: now(),
                instance: self.instance,
                platform: self.platform,
                target: target.to_owned(),
                text: text.clone(),
                past_duplicate: is_duplicate,
            });
        }
        match answer {
            Answer::Silence => Verdict::Accepted,
            Answer::Cut { .. } => {
                let (code, message) = refused("connection_lost");
                Verdict::Unverified { code, message }
            }
            _ => Verdict::Delivered { provider_message_id: Some(format!("p-{text}")) },
        }
    }

    fn is_connected(&self, user: &str) -> bool {
        self.reach.lock().users.contains(&user)
    }
}

#[async_trait]
impl Sink for SimSink {
    fn platform(&self) -> &'static str {
        self.platform
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            chat: self.platform != SOCKET,
            direct: true,
            data: self.platform == SOCKET,
            // Longer than any run.
            remembers: (self.platform == DELTA).then_some(Duration::from_secs(24 * 3600)),
        }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        name.starts_with('#').then(|| name.into())
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        None
    }

    fn recipient(&self, user_id: &str) -> Option<Arc<str>> {
        user_id.bytes().all(|b| b.is_ascii_digit()).then(|| user_id.into())
    }

    fn availability(&self, target: &Target) -> Availability {
        let serves = match target {
            Audience::User(user) if self.platform == SOCKET => self.is_connected(user),
            Audience::User(_) => self.reach.channels.iter().any(|(on, _)| *on == self.platform),
            Audience::Channel(name) => {
                self.reach.channels.iter().any(|(on, channel)| *on == self.platform && **channel == **name)
            }
        };
        let lost = self.reach.lock().lost.get(self.platform).copied();
        match lost {
            _ if !serves => Availability::Unserved,
            Some(since) => Availability::Disconnected { since },
            None => Availability::Ready,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.reach.changes()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let target = name(&outbound.target);
        self.control.point().await;
        let (queued, verdict) = self.link.draw(|rng| {
            let queued = if rng.chance(10) { rng.millis(1, 2_000) } else { Duration::ZERO };
            (queued, rng.millis(1, 60))
        });
        crate::link::pause(queued).await;
        // The last step before the bytes go out.
        if !outbound.fence.is_held(self.clock.instant()) {
            self.link.say(|| format!("does not say {}: no lease", outbound.text));
            return Verdict::NotNow;
        }
        let lost = matches!(self.availability(&outbound.target), Availability::Disconnected { .. });
        if lost || self.availability(&outbound.target) == Availability::Unserved {
            return Verdict::NotNow;
        }
        let answer = self.platforms.lock().answers.get(&outbound.text).copied();
        let said = self.arrive(&outbound, &target);
        self.control.point().await;
        let slow = match answer {
            Some(Answer::Slow(seconds)) => Duration::from_secs(seconds),
            _ => verdict,
        };
        tokio::time::sleep(slow).await;
        self.control.point().await;
        said
    }
}
