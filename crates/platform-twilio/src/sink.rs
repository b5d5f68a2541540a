//! Says things by text message and in conversations.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{
    Audience, Availability, Capabilities, Outbound, PermanentReason, Sink, Status, Target, Verdict,
};
use chatbus_event::Clock;
use tokio::sync::watch;

use crate::address::{self, WHATSAPP};
use crate::api::{Api, TextMessage};
use crate::config::Sender;
use crate::link::Link;
use crate::opt_out::{OptOuts, Wish};
use crate::statuses::Statuses;
use crate::verdict::{Class, Refusal};
use crate::{PLATFORM, text};

/// How long a delivery waits to hear what became of its messages. What is told later is an event.
const STATUS_WITHIN: Duration = Duration::from_secs(5);
/// A text is not cut any smaller than this when Twilio finds it too long.
const SMALLEST_PART: usize = 200;
/// Of parts after the first, as what went before cannot be taken back.
const TRIES: u32 = 5;

/// The saying half.
#[derive(Debug)]
pub(crate) struct TwilioSink {
    pub(crate) api: Arc<Api>,
    pub(crate) from: Option<Sender>,
    pub(crate) identity: Option<String>,
    /// Where statuses are told; nobody waits for them where they cannot come.
    pub(crate) status_callback: Option<String>,
    pub(crate) statuses: Statuses,
    pub(crate) opt_outs: OptOuts,
    pub(crate) status: Status,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) link: Link,
}

/// What a send has done so far.
struct Progress {
    /// The ids of the parts that were taken.
    said: Vec<String>,
    /// Until when statuses are waited for, over all parts.
    wait_until: Instant,
}

// === impl TwilioSink ===

impl TwilioSink {
    /// Our number as this recipient knows it: WhatsApp numbers are written to from one.
    fn sender(&self, to: &str) -> Option<Sender> {
        match self.from.clone()? {
            Sender::Number(from) if to.starts_with(WHATSAPP) && !from.starts_with(WHATSAPP) => {
                Some(Sender::Number(format!("{WHATSAPP}{from}")))
            }
            // And others from the number that it is.
            Sender::Number(from) if !to.starts_with(WHATSAPP) => {
                Some(Sender::Number(from.strip_prefix(WHATSAPP).unwrap_or(&from).to_owned()))
            }
            from => Some(from),
        }
    }

    async fn send_parts(&self, outbound: &Outbound, from: Option<&Sender>) -> Verdict {
        let mut most = text::MAX_TEXT;
        let mut parts: VecDeque<String> = text::split(&outbound.text, most).into();
        let wait_until = (self.clock.instant() + STATUS_WITHIN).min(outbound.deadline);
        let mut progress = Progress { said: Vec::new(), wait_until };
        let mut tries = 0;
        while let Some(part) = parts.pop_front() {
            if !outbound.fence.is_held(self.clock.instant()) {
                return match progress.said.len() {
                    0 => Verdict::NotNow,
                    _ => Refusal::unverified("lease_lost", "another instance has the lease")
                        .verdict(&progress.told(1 + parts.len())),
                };
            }
            let refusal = match self.send_part(&outbound.target, from, &part, &mut progress).await {
                Ok(()) => {
                    tries = 0;
                    continue;
                }
                Err(refusal) => refusal,
            };
            self.note(&refusal, from, &outbound.target).await;
            let missing = 1 + parts.len();
            match refusal.class {
                Class::TooLong if most / 2 >= SMALLEST_PART => {
                    most /= 2;
                    for piece in text::split(&part, most).into_iter().rev() {
                        parts.push_front(piece);
                    }
                }
                Class::Retry(_) | Class::Reauth if progress.said.is_empty() => return refusal.verdict(""),
                Class::Retry(after) => {
                    tries += 1;
                    let after = after.max(Duration::from_millis(200));
                    if tries >= TRIES || self.clock.instant() + after >= outbound.deadline {
                        return self.given_up(refusal, &progress, missing);
                    }
                    tokio::time::sleep(after).await;
                    parts.push_front(part);
                }
                Class::Reauth => return self.given_up(refusal, &progress, missing),
                _ => return refusal.verdict(&progress.told(missing)),
            }
        }
        self.status.count(|snapshot| snapshot.counters.sent += 1);
        Verdict::Delivered { provider_message_id: progress.said.into_iter().next() }
    }

    /// What was refused only for now, when some of it went out: all of it again would be said twice.
    fn given_up(&self, refusal: Refusal, progress: &Progress, missing: usize) -> Verdict {
        Refusal { class: Class::Unverified, ..refusal }.verdict(&progress.told(missing))
    }

    /// Sends one part, and waits for its status for as long as this delivery does.
    async fn send_part(
        &self,
        target: &Target,
        from: Option<&Sender>,
        part: &str,
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        let (to, from) = match (target, from) {
            (Audience::User(to), Some(from)) => (to, from),
            (Audience::Channel(to) | Audience::User(to), _) => {
                let sid = self.api.say(to, self.identity.as_deref(), part).await?;
                progress.said.push(sid);
                return Ok(());
            }
        };
        let callback = self.status_callback.as_deref();
        let message = TextMessage { status_callback: callback, ..TextMessage::new(from, to, part) };
        let sid = self.api.message(&message).await?;
        if !to.starts_with(WHATSAPP) {
            self.add("segments", text::segments(part));
        }
        if callback.is_some() {
            let mut waiting = self.statuses.wait(&sid);
            let left = progress.wait_until.saturating_duration_since(self.clock.instant());
            let report = tokio::time::timeout(left, waiting.report()).await;
            if let Ok(Some(report)) = report
                && report.is_failure()
            {
                return Err(Refusal::of_status(&report.status, report.code));
            }
        }
        progress.said.push(sid);
        Ok(())
    }

    /// Remembers what a refusal says of more than one message.
    async fn note(&self, refusal: &Refusal, from: Option<&Sender>, target: &Target) {
        if !refusal.is_known {
            self.add("unknownCodes", 1);
        }
        match refusal.class {
            Class::OptedOut => {
                self.add("optedOut", 1);
                if let (Some(from), Audience::User(to)) = (from, target) {
                    self.opt_outs.note(from.as_str(), to, Wish::Stop).await;
                }
            }
            Class::Retry(after) if matches!(&*refusal.code, "20429" | "http_429") => {
                self.link.share.refused_until(self.clock.instant() + after);
            }
            Class::Retry(_) if refusal.code == "unreachable" => self.link.doubted.notify_one(),
            Class::Reauth => {
                self.link.set_lost(Some(self.clock.instant()));
                self.link.doubted.notify_one();
            }
            _ => {}
        }
    }

    fn add(&self, counter: &str, more: u64) {
        self.status.count(|snapshot| {
            *snapshot.counters.other.entry(counter.to_owned()).or_default() += more;
        });
    }
}

#[async_trait]
impl Sink for TwilioSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, direct: true, ..Capabilities::default() }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        address::conversation(name)
    }

    /// Nothing is public here.
    fn default_channel(&self) -> Option<Arc<str>> {
        None
    }

    fn recipient(&self, user_id: &str) -> Option<Arc<str>> {
        address::recipient(user_id)
    }

    fn availability(&self, target: &Target) -> Availability {
        if matches!(target, Audience::User(_)) && self.from.is_none() {
            return Availability::Unserved;
        }
        self.link.availability(self.clock.instant())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.link.changes()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let permanent = |reason, code: &str, message: &str| Verdict::Permanent {
            reason,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let from = match &outbound.target {
            Audience::Channel(conversation) if address::conversation(conversation).is_none() => {
                return permanent(
                    PermanentReason::Rejected,
                    "bad_conversation",
                    "this is no conversation's id",
                );
            }
            Audience::Channel(_) => None,
            Audience::User(to) if address::recipient(to).is_none() => {
                return permanent(PermanentReason::NoRecipient, "bad_number", "this is no phone number");
            }
            Audience::User(to) => {
                let Some(from) = self.sender(to) else {
                    return permanent(PermanentReason::Unsupported, "no_sender", "TWILIO_FROM is not set");
                };
                if self.opt_outs.has(from.as_str(), to).await {
                    self.add("optedOut", 1);
                    let message =
                        "the recipient opted out of messages from this number, and has not written START";
                    return permanent(PermanentReason::Rejected, "21610", message);
                }
                Some(from)
            }
        };
        if text::split(&outbound.text, text::MAX_TEXT).is_empty() {
            return permanent(PermanentReason::Rejected, "21602", "nothing of the text can be sent");
        }
        self.send_parts(&outbound, from.as_ref()).await
    }
}

// === impl Progress ===

impl Progress {
    /// Which parts went out, where some did and so many did not.
    fn told(&self, missing: usize) -> String {
        match self.said.len() {
            0 => String::new(),
            said => format!(" (of {} parts the first {said} went out)", said + missing),
        }
    }
}
