//! The control API: HTTP and JSON in front of what the handles do. The crate's page has its table.

mod discord;
mod fields;
mod index;
mod model;
mod playground;
mod twilio;
mod twitch;
mod twitch_api;

use std::net::IpAddr;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chatbus_runtime::CancellationToken;
use tokio::net::TcpListener;

use crate::discord::Discord;
use crate::model::Model;
use crate::playground::Playground;
use crate::twilio::Twilio;
use crate::twitch_api::TwitchApi;
use crate::twitch_irc::{MAX_RAW_BYTES, TwitchIrc};
use fields::Refused;

/// What the API steers.
pub(crate) struct Steered {
    pub(crate) twitch: TwitchIrc,
    pub(crate) playground: Playground,
    pub(crate) model: Model,
    pub(crate) twitch_api: TwitchApi,
    pub(crate) discord: Discord,
    pub(crate) twilio: Twilio,
}

/// Serves the API until `stop`; requests under way then are cut off.
pub(crate) async fn serve(listener: TcpListener, steered: Steered, stop: CancellationToken) {
    let control = listener.local_addr().ok();
    let index = index::page(control, &steered);
    let Steered { twitch, playground, model, twitch_api, discord, twilio } = steered;
    let router = Router::new()
        .route("/", get(async move || axum::Json(index)))
        .nest("/twitch", twitch::routes().with_state(twitch))
        .nest("/playground", playground::routes().with_state(playground))
        .nest("/model", model::routes().with_state(model))
        .nest("/twitch-api", twitch_api::routes().with_state(twitch_api))
        .nest("/discord", discord::routes().with_state(discord))
        .nest("/twilio", twilio::routes().with_state(twilio))
        .fallback(async || Refused::with(StatusCode::NOT_FOUND, "path is none of those that GET / lists"))
        .method_not_allowed_fallback(async || {
            Refused::with(
                StatusCode::METHOD_NOT_ALLOWED,
                "method is not the one that GET / lists for this path",
            )
        })
        // Hex doubles the bytes, and JSON adds some.
        .layer(DefaultBodyLimit::max(3 * MAX_RAW_BYTES))
        .layer(middleware::from_fn(only_from_here));
    let closing = stop.clone().cancelled_owned();
    tokio::select! {
        result = axum::serve(listener, router).with_graceful_shutdown(closing) => if let Err(error) = result {
            tracing::error!(event = "sandbox.control_ended", %error, "the control API ended");
        },
        () = stop.cancelled() => {}
    }
}

/// A web page can make a browser send requests to loopback, and a hostile name server can make a page's
/// own name point there: both show in these headers.
async fn only_from_here(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !is_local(headers, &header::HOST) {
        return Refused::with(StatusCode::FORBIDDEN, "host is not a loopback name").into_response();
    }
    if !is_local(headers, &header::ORIGIN) {
        return Refused::with(StatusCode::FORBIDDEN, "origin is not a loopback page").into_response();
    }
    next.run(request).await
}

/// Whether the header is absent or names a loopback host.
fn is_local(headers: &HeaderMap, name: &header::HeaderName) -> bool {
    let Some(value) = headers.get(name) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let authority = value.rsplit_once("//").map_or(value, |(_, authority)| authority);
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_loopback_names_are_local() {
        for (value, local) in [
            ("127.0.0.1:8080", true),
            ("localhost:1", true),
            ("localhost", true),
            ("[::1]:80", true),
            ("http://127.0.0.1:3000", true),
            ("http://[::1]:3000", true),
            ("null", false),
            ("example.com", false),
            ("https://example.com", false),
            ("localhost.example.com:80", false),
            ("10.0.0.1", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(value));
            assert_eq!(is_local(&headers, &header::ORIGIN), local, "{value}");
        }
        assert!(is_local(&HeaderMap::new(), &header::ORIGIN));
    }
}
