//! `/eventsub/conduits` and `/eventsub/conduits/shards`: for applications, not for users.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::subscriptions::transport;
use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem, data, ok};
use crate::twitch_api::eventsub::{MAX_SHARDS, NewShard};
use crate::twitch_api::pairs::{Pairs, object, text};

/// Shards on one page.
const PAGE: usize = 100;

pub(super) async fn get(State(api): State<TwitchApi>, Extension(caller): Extension<Caller>) -> Answer {
    let client_id = application(&caller)?;
    data(&api.core.lock().hub.conduits_of(client_id))
}

pub(super) async fn make(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    let client_id = application(&caller)?;
    let fields = object(&body)?;
    let count = shard_count(&fields, &Pairs::of(query.as_deref(), &[]))?;
    let made = api.core.lock().hub.make_conduit(client_id, count);
    data(&[made.ok_or(Problem::new(429, "Conduit limit reached"))?])
}

pub(super) async fn resize(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    let client_id = application(&caller)?;
    let fields = object(&body)?;
    let pairs = Pairs::of(query.as_deref(), &[]);
    let id = text(&fields, "id").or_else(|| pairs.get("id")).ok_or_else(|| Problem::missing("id"))?;
    let count = shard_count(&fields, &pairs)?;
    let resized = api.core.lock().hub.resize_conduit(client_id, id, count);
    data(&[resized.ok_or_else(not_found)?])
}

pub(super) async fn delete(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    let client_id = application(&caller)?;
    let pairs = Pairs::of(query.as_deref(), &[]);
    let id = pairs.get("id").ok_or_else(|| Problem::missing("id"))?;
    if !api.core.lock().hub.delete_conduit(client_id, id) {
        return Err(not_found());
    }
    api.core.changed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn shards(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    let client_id = application(&caller)?;
    let pairs = Pairs::of(query.as_deref(), &[]);
    let id = pairs.get("conduit_id").ok_or_else(|| Problem::missing("conduit_id"))?;
    let after: usize = match pairs.get("after") {
        None => 0,
        Some(text) => text.parse().map_err(|_| Problem::bad("invalid cursor"))?,
    };
    let shards = api.core.lock().hub.shards_of(client_id, id, pairs.get("status")).ok_or_else(not_found)?;
    let page: Vec<Value> = shards.iter().skip(after).take(PAGE).cloned().collect();
    let end = after.saturating_add(page.len());
    let pagination = if end < shards.len() { json!({ "cursor": end.to_string() }) } else { json!({}) };
    ok(json!({ "data": page, "pagination": pagination }))
}

pub(super) async fn set_shards(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let client_id = application(&caller)?;
    let fields = object(&body)?;
    let id = text(&fields, "conduit_id").ok_or_else(|| Problem::missing("conduit_id"))?;
    let rows = fields.get("shards").and_then(Value::as_array).ok_or_else(|| Problem::missing("shards"))?;
    let shards = rows.iter().map(shard).collect::<Result<Vec<_>, _>>()?;
    let now = api.core.moment();
    let (set, errors) = api.core.lock().hub.set_shards(client_id, id, shards, now).ok_or_else(not_found)?;
    api.core.changed();
    Ok((StatusCode::ACCEPTED, Json(json!({ "data": set, "errors": errors }))).into_response())
}

fn shard(row: &Value) -> Result<NewShard, Problem> {
    let number = row.get("id").and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok()));
    let fields =
        row.get("transport").and_then(Value::as_object).ok_or_else(|| Problem::missing("transport"))?;
    let transport = transport(fields)?;
    if matches!(transport, crate::twitch_api::eventsub::Transport::Conduit { .. }) {
        return Err(Problem::bad("invalid transport method"));
    }
    Ok(NewShard { number: number.ok_or_else(|| Problem::missing("id"))?, transport })
}

/// A field of the body, or of the query, where Twurple puts it.
fn shard_count(fields: &Map<String, Value>, pairs: &Pairs) -> Result<u64, Problem> {
    let count = fields.get("shard_count").and_then(Value::as_u64);
    let count = count.or_else(|| pairs.get("shard_count")?.parse().ok());
    let count = count.filter(|count| (1..=MAX_SHARDS).contains(count));
    count.ok_or(Problem::bad("shard_count must be from 1 to 20000"))
}

/// The application, when it calls for itself.
fn application(caller: &Caller) -> Result<&str, Problem> {
    if caller.login.is_some() {
        return Err(Problem::new(401, "An app access token is required"));
    }
    Ok(&caller.client_id)
}

fn not_found() -> Problem {
    Problem::new(404, "conduit not found")
}
