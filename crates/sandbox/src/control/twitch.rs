//! The paths under `/twitch`.

mod chat;
mod faults;
mod readback;
mod settings;

use axum::Router;
use axum::routing::{get, post};

pub(super) use readback::since;

use super::fields::{Fields, Refused};
use crate::twitch_irc::{TwitchIrc, Who};

pub(super) fn routes() -> Router<TwitchIrc> {
    Router::new()
        .route("/say", post(chat::say))
        .route("/raw", post(chat::raw))
        .route("/flood", post(chat::flood))
        .route("/viewers", post(chat::viewers))
        .route("/drop", post(faults::drop_connections))
        .route("/freeze", post(faults::freeze))
        .route("/unfreeze", post(faults::unfreeze))
        .route("/reconnect", post(faults::reconnect))
        .route("/accept", post(faults::accept))
        .route("/refuse", post(faults::refuse))
        .route("/silence", post(faults::silence))
        .route("/slow-verdicts", post(faults::slow_verdicts))
        .route("/reset", post(faults::reset))
        .route("/channel", post(settings::channel))
        .route("/role", post(settings::role))
        .route("/ban", post(settings::ban))
        .route("/suspend", post(settings::suspend))
        .route("/token", post(settings::token))
        .route("/rules", post(settings::rules))
        .route("/sent", get(readback::sent))
        .route("/connections", get(readback::connections))
        .route("/joins", get(readback::joins))
        .route("/logins", get(readback::logins))
        .route("/counters", get(readback::counters))
}

/// The connections meant. A login or channel in any case, a channel with or without `#`.
fn who(fields: &mut Fields) -> Result<Who, Refused> {
    let name = |text: Option<String>| text.map(|text| text.trim_start_matches('#').to_ascii_lowercase());
    Ok(Who {
        connection: fields.number("connection")?,
        login: name(fields.text("login")?),
        channel: name(fields.text("channel")?),
    })
}
