//! `GET /api/v1/tail`: what is on the bus, one JSON object a line.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chatbus_bus::{Record, Records, Scan, ScanFrom, ScanTopics};
use chatbus_event::json::Raw;
use chatbus_event::{Family, Topic};
use serde::Deserialize;
use serde_json::json;

use super::error;
use crate::router::Ops;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailQuery {
    topic: Option<String>,
    /// How many of what is there already.
    last: Option<u32>,
    #[serde(default)]
    follow: bool,
}

/// Without a number, this many of what is there.
const LAST: u32 = 10;

pub(crate) async fn tail(
    State(ops): State<Arc<Ops>>,
    query: Result<Query<TailQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, "invalid_request", rejection.body_text()),
    };
    let topics = match query.topic.as_deref().map(Topic::parse) {
        None => ScanTopics::All,
        Some(Ok(topic)) => ScanTopics::One(topic),
        Some(Err(why)) => return error(StatusCode::BAD_REQUEST, "invalid_topic", format!("topic: {why}")),
    };
    let lanes = topics != ScanTopics::All;
    let from = match query.last {
        Some(0) => ScanFrom::New,
        last => ScanFrom::Last(last.unwrap_or(LAST)),
    };
    match ops.bus.scan(Scan { topics, from, follow: query.follow }).await {
        Err(failure) => error(StatusCode::SERVICE_UNAVAILABLE, "bus_unavailable", failure.to_string()),
        Ok(records) => {
            let lines =
                futures::stream::unfold((records, ops.stop.clone()), move |(mut records, stop)| async move {
                    let line = tokio::select! {
                        biased;
                        () = stop.cancelled() => None,
                        line = next_line(&mut *records, lanes) => line,
                    }?;
                    Some((Ok::<_, std::convert::Infallible>(line), (records, stop)))
                });
            ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
    }
}

/// The next line. Lanes hold copies of what stands on egress topics: they are shown to who asks for them.
async fn next_line(records: &mut dyn Records, lanes: bool) -> Option<Bytes> {
    loop {
        let record = records.next().await?.ok()?;
        if lanes || record.topic.family() != Family::Lane {
            return Some(line(&record));
        }
    }
}

fn line(record: &Record) -> Bytes {
    let attributes: serde_json::Map<String, serde_json::Value> =
        record.message.attributes.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let event = Raw::parse(&record.message.body);
    let lossy = || Raw::of(&json!({ "invalid": String::from_utf8_lossy(&record.message.body) }));
    let mut object: chatbus_event::json::Object = [
        ("topic", Raw::of(record.topic.as_str())),
        ("seq", Raw::of(&record.seq)),
        ("publishedAt", Raw::of(&record.published_at)),
        ("messageId", Raw::of(record.message.id.as_str())),
        ("attributes", Raw::of(&attributes)),
    ]
    .into_iter()
    .collect();
    object.set("event", event.unwrap_or_else(|_| lossy()));
    let mut line = object.encode().to_vec();
    // White space in an event may hold line ends; an object a line is the promise.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line.into()
}
