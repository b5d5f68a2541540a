//! `GET /channels`.

use axum::extract::{RawQuery, State};
use serde_json::json;

use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem, data};
use crate::twitch_api::pairs::Pairs;

/// Ids of one request.
const MAX_ASKED: usize = 100;

pub(super) async fn get(State(api): State<TwitchApi>, RawQuery(query): RawQuery) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let ids: Vec<&str> = pairs.all("broadcaster_id").collect();
    if ids.is_empty() {
        return Err(Problem::missing("broadcaster_id"));
    }
    if ids.len() > MAX_ASKED {
        return Err(Problem::bad("The number of broadcaster IDs must not exceed 100"));
    }
    let found: Vec<(&str, String)> = ids.iter().filter_map(|id| Some((*id, api.login_of(id)?))).collect();
    let world = api.core.lock();
    let rows = found.into_iter().map(|(id, login)| {
        let person = world.people.person(&login);
        json!({
            "broadcaster_id": id,
            "broadcaster_login": login,
            "broadcaster_name": world.people.shown(&login),
            "broadcaster_language": "en",
            "game_id": "",
            "game_name": person.game,
            "title": person.title,
            "delay": 0,
            "tags": [],
            "content_classification_labels": [],
            "is_branded_content": false,
        })
    });
    data(&rows.collect::<Vec<_>>())
}
