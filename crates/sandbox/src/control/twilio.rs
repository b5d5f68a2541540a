//! What the control API does with the fake Twilio.

use axum::Router;

use crate::twilio::Twilio;

pub(super) fn routes() -> Router<Twilio> {
    Router::new()
}
