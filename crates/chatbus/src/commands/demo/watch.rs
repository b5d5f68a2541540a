//! Reads the bus as anyone could, prints what passes and enters it in the books.

use std::io::Write as _;
use std::sync::Arc;

use chatbus_bus::{Bus, BusError, Record, Records, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Event, Family, Status, names};
use chatbus_runtime::CancellationToken;

use super::account::Account;
use crate::terminal;

/// A reader of everything.
pub(super) struct Watch {
    records: Box<dyn Records>,
    account: Account,
    prints: bool,
}

// === impl Watch ===

impl Watch {
    /// Begins to read; what is published after this is seen.
    pub(super) async fn begin(bus: &Arc<dyn Bus>, account: &Account, prints: bool) -> Result<Self, BusError> {
        let records = bus.scan(Scan { topics: ScanTopics::All, from: ScanFrom::New, follow: true }).await?;
        Ok(Self { records, account: account.clone(), prints })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let record = tokio::select! {
                () = stop.cancelled() => return,
                record = self.records.next() => record,
            };
            let Some(Ok(record)) = record else { return };
            self.enter(&record);
            if self.prints {
                let line = line_of(&record);
                // The demo goes on whether or not somebody reads it.
                let _ = writeln!(std::io::stdout().lock(), "{line}");
            }
        }
    }

    fn enter(&self, record: &Record) {
        let attribute = |name: &str| record.message.attributes.get(name).unwrap_or_default().to_owned();
        match record.topic.family() {
            Family::Ingress => {
                let id = Event::decode(&record.message.body).ok().and_then(|event| event.message()?.id);
                if let Some(id) = id {
                    self.account.published(id, attribute(names::CORRELATION_ID), record.published_at);
                }
            }
            Family::Finalizer => {
                if let Some(status) = Status::parse(&attribute(names::STATUS)) {
                    self.account.ended(attribute(names::CORRELATION_ID), status);
                }
            }
            Family::DeadLetter => self.account.dead_letter(attribute(names::CORRELATION_ID)),
            _ => {}
        }
    }
}

/// The user, what is known of them, and what they are.
fn who(event: &Event) -> String {
    let user = event.member("user");
    let text = |name: &str| {
        let text = user.as_ref().and_then(|user| user.get(name));
        terminal::safe(&text.as_ref().and_then(|text| text.as_str()).unwrap_or_default())
    };
    let list = |name: &str| {
        let list = user.as_ref().and_then(|user| user.get(name)).and_then(|list| list.as_array());
        let words = list.unwrap_or_default();
        let words: Vec<String> =
            words.iter().filter_map(|word| word.as_str().map(|word| terminal::safe(&word))).collect();
        words.join(" ")
    };
    format!("{} {} {}", text("id"), list("roles"), list("tags"))
}

/// One readable line for each thing that happens.
fn line_of(record: &Record) -> String {
    let time = record.published_at.to_string();
    let time = time.get(11..23).unwrap_or(&time);
    let attribute = |name: &str| terminal::safe(record.message.attributes.get(name).unwrap_or_default());
    let short = attribute(names::CORRELATION_ID).chars().take(8).collect::<String>();
    let event = Event::decode(&record.message.body).ok();
    let what = match record.topic.family() {
        Family::Ingress => {
            let message = event.as_ref().and_then(Event::message);
            let who =
                message.as_ref().and_then(|m| m.raw_platform_payload.as_ref()?.at(&["user", "displayName"]));
            let who = who.as_ref().and_then(|name| name.as_str()).unwrap_or_default().into_owned();
            let text = message.and_then(|m| m.text);
            match text {
                Some(text) => format!(
                    "in   {} {}: {}",
                    attribute(names::CHANNEL),
                    terminal::safe(&who),
                    terminal::safe(&text)
                ),
                None => {
                    let kind = event.as_ref().and_then(|event| event.member("externalEvent")?.get("kind"));
                    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().into_owned();
                    format!("in   {} ({})", attribute(names::CHANNEL), terminal::safe(&kind))
                }
            }
        }
        Family::Enriched => format!("who  {}", event.as_ref().map(who).unwrap_or_default()),
        Family::LlmBot => "ask  the language model".to_owned(),
        Family::Finalizer => match attribute(names::STATUS).as_str() {
            "NONE" => "end  nothing to answer".to_owned(),
            status => format!("end  {status}"),
        },
        Family::DeadLetter => "     dead letter".to_owned(),
        family if family.is_egress() => {
            let text = event.as_ref().and_then(chatbus_event::egress_text).unwrap_or_default();
            format!("out  {} {}", attribute(names::CHANNEL), terminal::safe(&text))
        }
        _ => format!("     {}", record.topic),
    };
    // Where an event begins its id stands whole, for `events show`.
    match record.topic.family() {
        Family::Ingress => format!("{time}  {short}  {what}  [{}]", attribute(names::CORRELATION_ID)),
        _ => format!("{time}  {short}  {what}"),
    }
}
