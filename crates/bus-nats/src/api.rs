//! JetStream's API: JSON questions and answers over one session.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chatbus_bus::{BusError, BusErrorKind};
use chatbus_event::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::acks::ApiError;
use crate::headers;
use crate::wire::Session;

/// Creating a replicated stream elects a leader first, which takes seconds on a busy cluster.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A stream or consumer configuration, member by member, so that what we do not know is kept.
pub(crate) type Settings = Map<String, Value>;

/// The name in a consumer's metadata of a value that no other consumer has.
pub(crate) const LIFE: &str = "chatbus_life";

/// A stream.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: Settings,
    pub(crate) state: StreamState,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// A consumer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    #[serde(default)]
    created: String,
    pub(crate) config: Settings,
    pub(crate) delivered: Position,
    pub(crate) ack_floor: Position,
    #[serde(default)]
    pub(crate) num_ack_pending: u64,
    #[serde(default)]
    pub(crate) num_pending: u64,
}

// === impl ConsumerInfo ===

impl ConsumerInfo {
    /// What tells it from another of the same name that was there before: the mark that it was made with,
    /// or when that was if somebody else made it. The time alone would not do, as nats-server 2.10 keeps
    /// another one on disk than it tells before its first restart.
    pub(crate) fn life(&self) -> &str {
        let mark = self.config.get("metadata").and_then(|metadata| metadata.get(LIFE)?.as_str());
        mark.unwrap_or(&self.created)
    }
}

/// Up to where.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Position {
    #[serde(default)]
    pub(crate) consumer_seq: u64,
    #[serde(default)]
    pub(crate) stream_seq: u64,
}

/// A message as the stream keeps it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

/// Which message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    /// The one with this place.
    At(u64),
    /// The first from this place on, on this subject or pattern.
    From(u64, &'a str),
    /// The last one on this subject.
    Last(&'a str),
}

#[derive(Deserialize)]
struct Answer<T> {
    error: Option<ApiError>,
    #[serde(flatten)]
    value: Option<T>,
}

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

#[derive(Deserialize)]
struct NamesPage {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct SubjectsPage {
    #[serde(default)]
    total: usize,
    state: SubjectsState,
}

#[derive(Deserialize)]
struct SubjectsState {
    /// Left out where there are none.
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
struct ConsumerPage {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<ConsumerInfo>>,
}

#[derive(Deserialize)]
struct SubjectPage {
    #[serde(default)]
    total: usize,
    state: SubjectState,
}

#[derive(Deserialize)]
struct SubjectState {
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

/// The server's codes for what is not there: stream, consumer, message (two ways).
const NOT_FOUND: [u32; 4] = [10059, 10014, 10037, 10043];

/// The codes for what another process made a moment ago: stream name in use, consumer exists,
/// consumer name in use.
const EXISTS: [u32; 3] = [10058, 10148, 10013];

pub(crate) async fn account(session: &Session) -> Result<(), BusError> {
    let _: Value = ask(session, "INFO", &Value::Null).await?.map_err(|e| e.into_bus_error("JetStream"))?;
    Ok(())
}

pub(crate) async fn stream(session: &Session, name: &str) -> Result<Option<StreamInfo>, BusError> {
    found(ask(session, &format!("STREAM.INFO.{name}"), &Value::Null).await?, name)
}

/// Makes a stream; `None` when it is there already, made differently.
pub(crate) async fn create_stream(
    session: &Session,
    name: &str,
    settings: &Settings,
) -> Result<Option<StreamInfo>, ApiErrorOr> {
    created(ask(session, &format!("STREAM.CREATE.{name}"), settings).await?)
}

pub(crate) async fn update_stream(
    session: &Session,
    name: &str,
    settings: &Settings,
) -> Result<StreamInfo, ApiErrorOr> {
    ask(session, &format!("STREAM.UPDATE.{name}"), settings).await?.map_err(ApiErrorOr::Api)
}

pub(crate) async fn delete_stream(session: &Session, name: &str) -> Result<(), BusError> {
    found::<Value>(ask(session, &format!("STREAM.DELETE.{name}"), &Value::Null).await?, name).map(drop)
}

pub(crate) async fn consumer(
    session: &Session,
    stream: &str,
    name: &str,
) -> Result<Option<ConsumerInfo>, BusError> {
    found(ask(session, &format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null).await?, name)
}

/// Makes a consumer or changes it; `None` when another process made it meanwhile.
pub(crate) async fn put_consumer(
    session: &Session,
    stream: &str,
    name: &str,
    settings: &Settings,
    action: &str,
) -> Result<Option<ConsumerInfo>, BusError> {
    let filter = settings.get("filter_subject").and_then(Value::as_str).unwrap_or_default();
    let question = json!({ "stream_name": stream, "config": settings, "action": action });
    let answer = ask(session, &format!("CONSUMER.CREATE.{stream}.{name}.{filter}"), &question).await?;
    created(answer).map_err(|e| e.into_bus_error(&format!("consumer {name}")))
}

/// Every consumer of a stream; none when the stream is not there.
pub(crate) async fn consumers(session: &Session, stream: &str) -> Result<Vec<ConsumerInfo>, BusError> {
    let mut all = Vec::new();
    loop {
        let question = json!({ "offset": all.len() });
        let answer = ask(session, &format!("CONSUMER.LIST.{stream}"), &question).await?;
        let Some(page) = found::<ConsumerPage>(answer, stream)? else { return Ok(all) };
        let came = page.consumers.unwrap_or_default();
        let done = came.is_empty();
        all.extend(came);
        if done || all.len() >= page.total {
            return Ok(all);
        }
    }
}

/// The names of a stream's consumers, so many at most; none when the stream is not there.
pub(crate) async fn consumer_names(
    session: &Session,
    stream: &str,
    max: usize,
) -> Result<Vec<String>, BusError> {
    let mut all = Vec::new();
    loop {
        let question = json!({ "offset": all.len() });
        let answer = ask(session, &format!("CONSUMER.NAMES.{stream}"), &question).await?;
        let Some(page) = found::<NamesPage>(answer, stream)? else { return Ok(all) };
        let came = page.consumers.unwrap_or_default();
        let done = came.is_empty();
        all.extend(came);
        if done || all.len() >= page.total || all.len() >= max {
            all.truncate(max);
            return Ok(all);
        }
    }
}

/// The subjects a stream holds messages of, so many at most, each with how many it holds; none when
/// the stream is not there.
pub(crate) async fn subject_counts(
    session: &Session,
    stream: &str,
    max: usize,
) -> Result<BTreeMap<String, u64>, BusError> {
    let mut all = BTreeMap::new();
    // Counted apart: a subject may come or go between two pages, and so come twice.
    let mut offset = 0;
    loop {
        let question = json!({ "subjects_filter": ">", "offset": offset });
        let answer = ask(session, &format!("STREAM.INFO.{stream}"), &question).await?;
        let Some(page) = found::<SubjectsPage>(answer, stream)? else { return Ok(all) };
        let came = page.state.subjects.unwrap_or_default();
        let done = came.is_empty();
        offset += came.len();
        all.extend(came);
        if done || offset >= page.total || offset >= max {
            return Ok(all);
        }
    }
}

/// Removes a consumer. What is not there is removed.
pub(crate) async fn delete_consumer(session: &Session, stream: &str, name: &str) -> Result<(), BusError> {
    found::<Value>(ask(session, &format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).await?, name)
        .map(drop)
}

/// Reads one message from the stream's leader, so that what was just acknowledged is there.
pub(crate) async fn message(
    session: &Session,
    stream: &str,
    which: Which<'_>,
) -> Result<Option<Kept>, BusError> {
    let question = match which {
        Which::At(seq) => json!({ "seq": seq }),
        Which::From(seq, subject) => json!({ "seq": seq.max(1), "next_by_subj": subject }),
        Which::Last(subject) => json!({ "last_by_subj": subject }),
    };
    let answer = ask(session, &format!("STREAM.MSG.GET.{stream}"), &question).await?;
    let Some(Got { message }) = found(answer, stream)? else { return Ok(None) };
    let decoded = |text: &str| {
        STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(|e| BusError::new(BusErrorKind::Refused, "NATS gave a message badly").caused_by(e))
    };
    Ok(Some(Kept {
        seq: message.seq,
        time: Timestamp::parse(&message.time).unwrap_or(Timestamp::EPOCH),
        headers: decoded(&message.hdrs)?,
        payload: decoded(&message.data)?,
        subject: message.subject,
    }))
}

/// The subjects of a stream that match `filter` and hold something, as its leader knows them.
pub(crate) async fn subjects(session: &Session, stream: &str, filter: &str) -> Result<Vec<String>, BusError> {
    let mut all = Vec::new();
    loop {
        let question = json!({ "subjects_filter": filter, "offset": all.len() });
        let answer = ask(session, &format!("STREAM.INFO.{stream}"), &question).await?;
        let Some(page) = found::<SubjectPage>(answer, stream)? else { return Ok(all) };
        let came = page.state.subjects.unwrap_or_default();
        let done = came.is_empty();
        all.extend(came.into_keys());
        if done || all.len() >= page.total {
            return Ok(all);
        }
    }
}

/// Removes what stands on one subject up to this place, which is removed too.
pub(crate) async fn purge(session: &Session, stream: &str, subject: &str, upto: u64) -> Result<(), BusError> {
    let question = json!({ "filter": subject, "seq": upto.saturating_add(1) });
    found::<Value>(ask(session, &format!("STREAM.PURGE.{stream}"), &question).await?, stream).map(drop)
}

/// Removes one message. What is not there is removed.
pub(crate) async fn remove(session: &Session, stream: &str, seq: u64) -> Result<(), BusError> {
    let question = json!({ "seq": seq, "no_erase": true });
    found::<Value>(ask(session, &format!("STREAM.MSG.DELETE.{stream}"), &question).await?, stream).map(drop)
}

/// An error of the API, or one on the way to it.
#[derive(Debug)]
pub(crate) enum ApiErrorOr {
    Api(ApiError),
    Bus(BusError),
}

// === impl ApiErrorOr ===

impl ApiErrorOr {
    pub(crate) fn into_bus_error(self, what: &str) -> BusError {
        match self {
            Self::Api(error) => error.into_bus_error(what),
            Self::Bus(error) => error,
        }
    }

    /// Whether the servers have no room to reserve what a stream asks for.
    pub(crate) fn is_no_room(&self) -> bool {
        // A cluster of 2.10 says only that no peer suits.
        matches!(self, Self::Api(error) if error.kind() == BusErrorKind::Full || error.err_code == 10005)
    }
}

impl From<BusError> for ApiErrorOr {
    fn from(error: BusError) -> Self {
        Self::Bus(error)
    }
}

async fn ask<T: DeserializeOwned>(
    session: &Session,
    question: &str,
    body: &(impl serde::Serialize + ?Sized),
) -> Result<Result<T, ApiError>, BusError> {
    let refused = || BusError::new(BusErrorKind::Refused, format!("JetStream {question}"));
    let body = serde_json::to_vec(body).map_err(|e| refused().caused_by(e))?;
    let body = if body == b"null" { Vec::new() } else { body };
    let answer = session.request(&format!("$JS.API.{question}"), &body, TIMEOUT).await?;
    if headers::status(answer.headers()).is_some() {
        let why = "no JetStream answers: it is off, or has no leader";
        return Err(BusError::new(BusErrorKind::Misconfigured, why));
    }
    let answer: Answer<T> = serde_json::from_slice(answer.payload()).map_err(|e| refused().caused_by(e))?;
    match (answer.error, answer.value) {
        (Some(error), _) => Ok(Err(error)),
        (None, Some(value)) => Ok(Ok(value)),
        (None, None) => Err(refused().caused_by("an answer of another shape")),
    }
}

fn found<T>(answer: Result<T, ApiError>, what: &str) -> Result<Option<T>, BusError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if NOT_FOUND.contains(&error.err_code) || error.code == 404 => Ok(None),
        Err(error) => Err(error.into_bus_error(what)),
    }
}

fn created<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiErrorOr> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if EXISTS.contains(&error.err_code) => Ok(None),
        Err(error) => Err(ApiErrorOr::Api(error)),
    }
}
