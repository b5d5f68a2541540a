//! `/eventsub/subscriptions`.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Map, Value};

use super::caller::Caller;
use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem, ok};
use crate::twitch_api::eventsub::{CHAT_MESSAGE, Filter, NewSubscription, Subscriber, Transport};
use crate::twitch_api::loopback::is_loopback;
use crate::twitch_api::pairs::{Pairs, object, text};

pub(super) async fn get(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let after = pairs
        .get("after")
        .map(|text| text.parse().map_err(|_| Problem::bad("invalid cursor")))
        .transpose()?;
    let filter = Filter {
        id: pairs.get("subscription_id"),
        status: pairs.get("status"),
        kind: pairs.get("type"),
        user_id: pairs.get("user_id"),
        after,
    };
    let user_id = caller.user_id();
    ok(api.core.lock().hub.list(subscriber(&caller, user_id.as_deref()), filter))
}

pub(super) async fn make(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let fields = object(&body)?;
    let must = |name| text(&fields, name).ok_or_else(|| Problem::missing(name));
    let part = |name| fields.get(name).and_then(Value::as_object).ok_or_else(|| Problem::missing(name));
    let new = NewSubscription {
        kind: must("type")?.to_owned(),
        version: must("version")?.to_owned(),
        condition: part("condition")?.clone(),
        transport: transport(part("transport")?)?,
    };
    // From now on the rooms tell what is said, so that nothing is missed between this and the answer.
    if new.kind == CHAT_MESSAGE {
        api.core.listens.store(true, Ordering::Relaxed);
    }
    let now = api.core.moment();
    let user_id = caller.user_id();
    let mut world = api.core.lock();
    let crate::twitch_api::world::World { auth, people, hub, .. } = &mut *world;
    let granted = |id: &str, scopes: &[&str]| {
        let own = user_id.as_deref() == Some(id);
        let of = |scope| {
            people.login_of(id).is_some_and(|login| auth.has_granted(&caller.client_id, login, scope))
        };
        (own && caller.has_any(scopes))
            || (scopes.is_empty() && of(None))
            || scopes.iter().any(|scope| !own && of(Some(*scope)))
    };
    let made = hub.subscribe(subscriber(&caller, user_id.as_deref()), new, granted, now)?;
    drop(world);
    api.core.changed();
    Ok((StatusCode::ACCEPTED, Json(made)).into_response())
}

pub(super) async fn delete(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let id = pairs.get("id").ok_or_else(|| Problem::missing("id"))?;
    let user_id = caller.user_id();
    if !api.core.lock().hub.unsubscribe(subscriber(&caller, user_id.as_deref()), id) {
        return Err(Problem::new(404, "subscription not found"));
    }
    api.core.changed();
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn subscriber<'a>(caller: &'a Caller, user_id: Option<&'a str>) -> Subscriber<'a> {
    Subscriber { client_id: &caller.client_id, login: caller.login.as_deref(), user_id }
}

/// A transport as requests name it. Callbacks lead to this machine, and secrets have 10 to 100 bytes.
pub(super) fn transport(fields: &Map<String, Value>) -> Result<Transport, Problem> {
    let must = |name| text(fields, name).map(str::to_owned).ok_or_else(|| Problem::missing(name));
    match must("method")?.as_str() {
        "websocket" => Ok(Transport::WebSocket { session: must("session_id")? }),
        "conduit" => Ok(Transport::Conduit { id: must("conduit_id")? }),
        "webhook" => {
            let (callback, secret) = (must("callback")?, must("secret")?);
            if !url::Url::parse(&callback).is_ok_and(|url| is_loopback(&url)) {
                return Err(Problem::bad("the sandbox posts to http callbacks on loopback only"));
            }
            if !(10..=100).contains(&secret.len()) {
                return Err(Problem::bad("secret must be between 10 and 100 characters"));
            }
            Ok(Transport::Webhook { callback, secret })
        }
        _ => Err(Problem::bad("invalid transport method")),
    }
}
