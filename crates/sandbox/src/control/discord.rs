//! What the control API does with the fake Discord.

use axum::Router;

use crate::discord::Discord;

pub(super) fn routes() -> Router<Discord> {
    Router::new()
}
