//! The paths under `/twitch-api`.

mod accounts;
mod eventsub;
mod faults;
mod readback;

use axum::Router;
use axum::routing::{get, post};

use crate::twitch_api::TwitchApi;

pub(super) fn routes() -> Router<TwitchApi> {
    Router::new()
        .route("/token", post(accounts::token))
        .route("/expire", post(accounts::expire))
        .route("/revoke", post(accounts::revoke))
        .route("/token-lifetime", post(accounts::token_lifetime))
        .route("/refuse-refreshes", post(accounts::refuse_refreshes))
        .route("/client", post(accounts::client))
        .route("/grant-as", post(accounts::grant_as))
        .route("/device", post(accounts::device))
        .route("/user", post(accounts::user))
        .route("/refuse", post(faults::refuse))
        .route("/drop-message", post(faults::drop_message))
        .route("/lose", post(faults::lose))
        .route("/delay", post(faults::delay))
        .route("/points", post(faults::points))
        .route("/whisper-rules", post(faults::whisper_rules))
        .route("/reset", post(faults::reset))
        .route("/emit", post(eventsub::emit))
        .route("/freeze", post(eventsub::freeze))
        .route("/unfreeze", post(eventsub::unfreeze))
        .route("/keepalives", post(eventsub::keepalives))
        .route("/drop", post(eventsub::drop_sessions))
        .route("/close", post(eventsub::close))
        .route("/reconnect", post(eventsub::reconnect))
        .route("/revoke-subscription", post(eventsub::revoke))
        .route("/repeat", post(eventsub::repeat))
        .route("/orphans", post(eventsub::orphans))
        .route("/tokens", get(readback::tokens))
        .route("/refreshes", get(readback::refreshes))
        .route("/devices", get(readback::devices))
        .route("/sent", get(readback::sent))
        .route("/whispers", get(readback::whispers))
        .route("/counters", get(readback::counters))
        .route("/sessions", get(readback::sessions))
        .route("/subscriptions", get(readback::subscriptions))
}
