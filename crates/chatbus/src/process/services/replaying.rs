//! Dead letters that are published again, as the administrator asks.

use std::num::NonZeroU32;

use chatbus_event::Topic;
use chatbus_persistence::{Refusal, ReplayError, ReplayOptions, ReplayReport, ReplayTo};
use chatbus_store::Store;
use serde_json::{Value, json};

use super::super::admin::{Admin, ReplayAsked, read_letters};
use super::super::refused::Refused;

/// Does it; gives each letter with where it went, or why it did not.
pub(in super::super) async fn replay(
    admin: &Admin,
    store: &dyn Store,
    asked: ReplayAsked,
) -> Result<Value, Refused> {
    let (filter, _) = read_letters(admin, &asked.filter)?;
    let rate = match asked.rate {
        None => None,
        Some(rate) => Some(
            NonZeroU32::new(rate)
                .ok_or_else(|| Refused::bad_request(&"rate is how many letters a second, at least 1"))?,
        ),
    };
    let options = ReplayOptions { dry_run: asked.dry_run, rate, to: read_to(asked.to.as_deref())? };
    match chatbus_persistence::replay(store, &*admin.bus, &filter, &options, &admin.runtime).await {
        Ok(report) => Ok(shown(&report)),
        Err(ReplayError::Store(report, error)) => Err(stopped(&report, "store_unavailable", &error)),
        Err(ReplayError::Bus(report, error)) => Err(stopped(&report, "bus_unavailable", &error)),
    }
}

fn stopped(report: &ReplayReport, code: &'static str, error: &impl std::fmt::Display) -> Refused {
    let done = report.replayed.len();
    Refused::new(code, &format!("{done} were replayed, then: {error}; ask again to go on"))
}

fn read_to(to: Option<&str>) -> Result<ReplayTo, Refused> {
    match to {
        None | Some("original") => Ok(ReplayTo::Original),
        Some("generic") => Ok(ReplayTo::Generic),
        Some(topic) => Topic::parse(topic)
            .map(ReplayTo::Topic)
            .map_err(|error| Refused::bad_request(&format!("original, generic or a topic: {error}"))),
    }
}

fn shown(report: &ReplayReport) -> Value {
    let replayed = report.replayed.iter().map(|(id, topic)| json!({ "id": id, "topic": topic }));
    let before = report.published_before.iter().map(|id| json!({ "id": id, "publishedBefore": true }));
    let already = report.already.iter().map(|id| json!({ "id": id, "refused": "it was settled meanwhile" }));
    let refused = report.refused.iter().map(|letter| json!({ "id": letter.id, "refused": why(letter.why) }));
    let letters: Vec<Value> = replayed.chain(before).chain(already).chain(refused).collect();
    json!({ "letters": letters, "more": report.more })
}

fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoOriginal => "the dead letter does not have its whole original",
        Refusal::NotAnEvent => "the original is no event",
        Refusal::TooOften => "it was replayed three times in a row, and failed each time",
        Refusal::TooLarge => "it would be longer than the bus takes",
        Refusal::Topic => "nothing is replayed to such a topic",
    }
}
