//! Reading back what happened.

use axum::Json;
use axum::extract::{Query, State};
use chatbus_event::Timestamp;
use serde_json::{Value, json};

use crate::control::fields::{Fields, Refused};
use crate::twitch_irc::{
    ConnectionView, JoinAttempt, LoginAttempt, SentFilter, SentMessage, Since, TwitchIrc,
};

type Pairs = Query<Vec<(String, String)>>;

pub(super) async fn sent(
    State(twitch): State<TwitchIrc>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<SentMessage>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let filter =
        SentFilter { channel: fields.text("channel")?.filter(|c| !c.is_empty()), since: since(&mut fields)? };
    fields.end()?;
    Ok(Json(twitch.sent(&filter)))
}

pub(super) async fn connections(State(twitch): State<TwitchIrc>) -> Json<Vec<ConnectionView>> {
    Json(twitch.connections())
}

pub(super) async fn joins(
    State(twitch): State<TwitchIrc>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<JoinAttempt>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let since = since(&mut fields)?;
    fields.end()?;
    Ok(Json(twitch.joins(since)))
}

pub(super) async fn logins(
    State(twitch): State<TwitchIrc>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<LoginAttempt>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let since = since(&mut fields)?;
    fields.end()?;
    Ok(Json(twitch.logins(since)))
}

pub(super) async fn counters(State(twitch): State<TwitchIrc>) -> Json<Value> {
    let sink = twitch.sink();
    let lasted = sink.first.zip(sink.last).map(|(first, last)| last.saturating_duration_since(first));
    Json(json!({
        "counters": twitch.counters(),
        "rules": twitch.rules(),
        "sink": {
            "received": sink.received,
            "accepted": sink.accepted,
            "bytes": sink.bytes,
            "seconds": lasted.map(|lasted| lasted.as_secs_f64()),
        },
    }))
}

/// A record's number, or a moment.
pub(in crate::control) fn since(fields: &mut Fields) -> Result<Since, Refused> {
    let Some(text) = fields.text("since")?.filter(|text| !text.is_empty()) else { return Ok(Since::Start) };
    if let Ok(seq) = text.parse() {
        return Ok(Since::Seq(seq));
    }
    // A `+` in a query that was not escaped is read as a space.
    let moment = Timestamp::parse(&text.replace(' ', "+"));
    moment.map(Since::Time).ok_or_else(|| Refused::field("since", "is neither a seq nor an RFC 3339 moment"))
}
