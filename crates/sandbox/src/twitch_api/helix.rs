//! Helix: who calls, the points it costs, and the endpoints.

mod caller;
mod channels;
mod chat;
mod conduits;
mod streams;
mod subscriptions;
mod users;
mod whispers;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use super::TwitchApi;
use caller::identify;

pub use whispers::SentWhisper;
pub(super) use whispers::Whispers;

/// All endpoints, each asking who calls.
pub(super) fn routes(api: &TwitchApi) -> Router<TwitchApi> {
    Router::new()
        .route("/users", get(users::get))
        .route("/streams", get(streams::get))
        .route("/channels", get(channels::get))
        .route("/chat/messages", post(chat::send))
        .route("/whispers", post(whispers::send))
        .merge(subscription_routes("/eventsub/subscriptions"))
        .route(
            "/eventsub/conduits",
            get(conduits::get).post(conduits::make).patch(conduits::resize).delete(conduits::delete),
        )
        .route("/eventsub/conduits/shards", get(conduits::shards).patch(conduits::set_shards))
        .layer(middleware::from_fn_with_state(api.clone(), identify))
}

/// Subscriptions at the path where twitch-cli has them, outside of Helix.
pub(super) fn subscriptions_alone(api: &TwitchApi) -> Router<TwitchApi> {
    subscription_routes("/eventsub/subscriptions")
        .layer(middleware::from_fn_with_state(api.clone(), identify))
}

fn subscription_routes(path: &str) -> Router<TwitchApi> {
    let endpoint = get(subscriptions::get).post(subscriptions::make).delete(subscriptions::delete);
    Router::new().route(path, endpoint)
}
