//! `GET /users`.

use axum::extract::{Extension, RawQuery, State};
use serde_json::{Value, json};

use super::caller::Caller;
use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem, data};
use crate::twitch_api::pairs::Pairs;
use crate::twitch_irc::{login, user_id};

/// Ids and logins of one request.
const MAX_ASKED: usize = 100;

pub(super) async fn get(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let ids: Vec<&str> = pairs.all("id").collect();
    let names: Vec<&str> = pairs.all("login").collect();
    if ids.len() + names.len() > MAX_ASKED {
        return Err(Problem::bad("The number of IDs and logins must not exceed 100"));
    }
    let mut logins: Vec<String> = ids.iter().filter_map(|id| api.login_of(id)).collect();
    for name in &names {
        logins.push(
            login(name)
                .filter(|_| !name.starts_with('#'))
                .ok_or_else(|| Problem::bad("Invalid login names, emails or IDs in request"))?,
        );
    }
    if ids.is_empty() && names.is_empty() {
        logins.extend(caller.login.clone());
        if logins.is_empty() {
            return Err(Problem::bad("Must provide an ID, Login or OAuth Token"));
        }
    }
    let own = caller.login.as_deref().filter(|_| caller.has_any(&["user:read:email"]));
    let mut world = api.core.lock();
    let mut rows = Vec::new();
    for login in logins {
        let person = world.people.person(&login);
        if person.missing {
            continue;
        }
        world.people.see(&login);
        let mut row = json!({
            "id": user_id(&login).to_string(),
            "login": login,
            "display_name": world.people.shown(&login),
            "type": "",
            "broadcaster_type": person.broadcaster_type,
            "description": "",
            "profile_image_url": "",
            "offline_image_url": "",
            "view_count": 0,
            "created_at": "2016-12-14T20:32:28Z",
        });
        if own == Some(&*login) {
            row["email"] = Value::String(format!("{login}@example.com"));
        }
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    data(&rows)
}
