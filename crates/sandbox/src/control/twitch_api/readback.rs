//! Reading back what there is and what happened.

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use crate::control::fields::{Fields, Refused};
use crate::control::twitch::since;
use crate::twitch_api::{SentWhisper, TwitchApi};
use crate::twitch_irc::{SentFilter, SentMessage};

type Pairs = Query<Vec<(String, String)>>;

pub(super) async fn tokens(State(api): State<TwitchApi>) -> Json<Value> {
    Json(json!(api.tokens()))
}

pub(super) async fn refreshes(State(api): State<TwitchApi>) -> Json<Value> {
    Json(json!({ "refreshes": api.refreshes() }))
}

pub(super) async fn devices(State(api): State<TwitchApi>) -> Json<Value> {
    Json(json!(api.waiting_devices()))
}

pub(super) async fn sent(
    State(api): State<TwitchApi>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<SentMessage>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let filter =
        SentFilter { channel: fields.text("channel")?.filter(|c| !c.is_empty()), since: since(&mut fields)? };
    fields.end()?;
    Ok(Json(api.sent(&filter)))
}

pub(super) async fn whispers(
    State(api): State<TwitchApi>,
    Query(pairs): Pairs,
) -> Result<Json<Vec<SentWhisper>>, Refused> {
    let mut fields = Fields::of_query(pairs);
    let since = since(&mut fields)?;
    fields.end()?;
    Ok(Json(api.whispers(since)))
}

pub(super) async fn counters(State(api): State<TwitchApi>) -> Json<Value> {
    Json(json!({ "undeliverable": api.undeliverable(), "connections": api.sessions().len() }))
}

pub(super) async fn sessions(State(api): State<TwitchApi>) -> Json<Value> {
    Json(json!(api.sessions()))
}

pub(super) async fn subscriptions(State(api): State<TwitchApi>) -> Json<Value> {
    Json(json!(api.subscriptions()))
}
