//! Channels that are joined beside the configured ones.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use chatbus_store::Channel;
use serde_json::{Value, json};

use super::{Admin, Order, Refused};
use crate::registry;

/// What is asked of channels.
#[derive(Debug)]
pub(crate) enum ChannelOrder {
    List,
    Add { platform: String, name: String },
    Remove { platform: String, name: String },
}

/// The longest name of a channel, in bytes.
const MAX_NAME_BYTES: usize = 200;

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/api/v1/channels", get(list))
        .route("/api/v1/channels/{platform}/{name}", put(add).delete(remove))
}

async fn list(State(admin): State<Admin>) -> Response {
    admin.carry_out(Order::Channels(ChannelOrder::List)).await.map(Json).into_response()
}

async fn add(State(admin): State<Admin>, Path((platform, name)): Path<(String, String)>) -> Response {
    match admin.carry_out(Order::Channels(ChannelOrder::Add { platform, name })).await {
        Ok(added) => (StatusCode::CREATED, Json(added)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn remove(State(admin): State<Admin>, Path((platform, name)): Path<(String, String)>) -> Response {
    admin.carry_out(Order::Channels(ChannelOrder::Remove { platform, name })).await.map(Json).into_response()
}

pub(super) async fn carry_out(admin: &Admin, order: ChannelOrder) -> Result<Value, Refused> {
    let store = admin.store()?;
    let shown = |channel: &Channel| json!({ "platform": channel.platform, "channel": channel.name });
    match order {
        ChannelOrder::List => Ok(store.channels().await?.iter().map(shown).collect()),
        ChannelOrder::Add { platform, name } => {
            let channel = read(platform, &name)?;
            let is_new = store.add_channel(&channel).await?;
            Ok(json!({ "platform": channel.platform, "channel": channel.name, "added": is_new }))
        }
        ChannelOrder::Remove { platform, name } => {
            let channel = read(platform, &name)?;
            if !store.remove_channel(&channel).await? {
                return Err(Refused::not_found(
                    "no such channel was added; one of TWITCH_CHANNELS is left by changing that setting",
                ));
            }
            Ok(json!({ "platform": channel.platform, "channel": channel.name, "removed": true }))
        }
    }
}

/// The channel in the form in which it is kept: without `#`, in small letters.
fn read(platform: String, name: &str) -> Result<Channel, Refused> {
    let known = registry::platform_names();
    if !known.contains(&platform.as_str()) {
        let known = known.join(", ");
        return Err(Refused::bad_request(&format!("{platform:?} is no platform of this build; use {known}")));
    }
    let name = name.trim().trim_start_matches('#').to_lowercase();
    let is_good = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_whitespace);
    if !is_good || name.chars().any(char::is_control) {
        return Err(Refused::bad_request(&format!("{name:?} is no channel")));
    }
    Ok(Channel { platform, name })
}
