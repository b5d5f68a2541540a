//! Its HTTP server: two layouts of paths over one set of endpoints, and the faults that tests ordered.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chatbus_runtime::CancellationToken;
use tokio::net::TcpListener;

use super::answer::Problem;
use super::orders::Fault;
use super::{TwitchApi, eventsub, helix, oauth};
use crate::http_door::{HttpDoor, NoAnswer};

/// A longer body is refused.
const MAX_BODY: usize = 256 * 1024;

/// `/helix`, `/oauth2` and `/ws` as Twitch and our own connectors have them; `/mock`, `/auth` and
/// `/eventsub/subscriptions` as twitch-cli has, and Twurple with it.
fn router(api: &TwitchApi) -> Router {
    let helix = helix::routes(api);
    Router::new()
        .nest("/helix", helix.clone())
        .nest("/mock", helix)
        .merge(helix::subscriptions_alone(api))
        .route("/ws", get(eventsub::upgrade))
        .route("/eventsub/ws", get(eventsub::upgrade))
        .nest("/oauth2", oauth::routes())
        .nest("/auth", oauth::routes())
        .route("/activate", get(oauth::activate))
        .fallback(async || Problem::new(404, "no such endpoint"))
        .method_not_allowed_fallback(async || Problem::new(405, "no such method"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(api.clone(), as_ordered))
        .with_state(api.clone())
}

/// The path as orders name it: that of Helix without its beginning, that of OAuth under `oauth2/`.
fn canonical(path: &str) -> String {
    for (beginning, instead) in
        [("/helix/", ""), ("/mock/", ""), ("/oauth2/", "oauth2/"), ("/auth/", "oauth2/")]
    {
        if let Some(rest) = path.strip_prefix(beginning) {
            return format!("{instead}{rest}");
        }
    }
    path.trim_start_matches('/').to_owned()
}

async fn as_ordered(State(api): State<TwitchApi>, request: Request, next: Next) -> Response {
    let path = canonical(request.uri().path());
    let take = |kind: fn(&Fault) -> bool| {
        let now = api.core.moment().mono;
        api.core.lock().orders.take(&path, now, kind)
    };
    let late = take(|fault| matches!(fault, Fault::Delay(_)));
    let response = match take(|fault| matches!(fault, Fault::Status { .. })) {
        Some(Fault::Status { status, message, retry_after }) => {
            refusal(&api, &path, status, &message, retry_after)
        }
        _ => {
            let lost = take(|fault| matches!(fault, Fault::Lose)).is_some();
            let mut response = next.run(request).await;
            if lost {
                response.extensions_mut().insert(NoAnswer);
            }
            response
        }
    };
    if let Some(Fault::Delay(by)) = late {
        tokio::time::sleep(by).await;
    }
    response
}

fn refusal(api: &TwitchApi, path: &str, status: u16, message: &str, after: Option<Duration>) -> Response {
    let oauth = path.starts_with("oauth2/");
    let problem = if oauth { Problem::oauth(status, message) } else { Problem::new(status, message) };
    let mut response = problem.into_response();
    if let Some(after) = after {
        let reset = api.core.moment().wall.plus(after).as_millis().div_euclid(1_000) + 1;
        let headers = response.headers_mut();
        headers.insert("Ratelimit-Remaining", HeaderValue::from_static("0"));
        headers.insert("Ratelimit-Reset", HeaderValue::from(reset));
    }
    response
}

pub(super) async fn accept(api: TwitchApi, listener: TcpListener, most: usize, stop: CancellationToken) {
    let door = HttpDoor {
        name: "twitch_api",
        connection: "sandbox.twitch_api.connection",
        max_connections: most,
        drops: None,
        runtime: api.core.runtime.clone(),
        tasks: api.core.tasks.clone(),
        stop,
    };
    door.serve(listener, router(&api)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_have_one_name_for_a_path() {
        for (path, name) in [
            ("/helix/chat/messages", "chat/messages"),
            ("/mock/chat/messages", "chat/messages"),
            ("/eventsub/subscriptions", "eventsub/subscriptions"),
            ("/helix/eventsub/subscriptions", "eventsub/subscriptions"),
            ("/oauth2/token", "oauth2/token"),
            ("/auth/token", "oauth2/token"),
            ("/ws", "ws"),
        ] {
            assert_eq!(canonical(path), name, "{path}");
        }
    }
}
