//! What the control API does with the fake TwitchApi.

use axum::Router;

use crate::twitch_api::TwitchApi;

pub(super) fn routes() -> Router<TwitchApi> {
    Router::new()
}
