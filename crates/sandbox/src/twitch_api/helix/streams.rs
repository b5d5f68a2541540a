//! `GET /streams`: who is live.

use axum::extract::{RawQuery, State};
use serde_json::json;

use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem, ok};
use crate::twitch_api::pairs::Pairs;
use crate::twitch_irc::user_id;

/// Rows of one page, at most and when nothing is said.
const MAX_PAGE: usize = 100;
const PAGE: usize = 20;

pub(super) async fn get(State(api): State<TwitchApi>, RawQuery(query): RawQuery) -> Answer {
    let pairs = Pairs::of(query.as_deref(), &[]);
    let first =
        match pairs.get("first") {
            None => PAGE,
            Some(text) => text.parse().ok().filter(|first| (1..=MAX_PAGE).contains(first)).ok_or(
                Problem::bad("The parameter \"first\" was malformed: the value must be from 1 to 100"),
            )?,
        };
    let after: usize = match pairs.get("after") {
        None => 0,
        Some(text) => text.parse().map_err(|_| Problem::bad("The parameter \"after\" is no cursor"))?,
    };
    let ids: Vec<&str> = pairs.all("user_id").collect();
    let logins: Vec<&str> = pairs.all("user_login").collect();
    let live = api.core.lock().people.live();
    let asked = |login: &str| {
        (ids.is_empty() && logins.is_empty())
            || logins.iter().any(|wanted| wanted.eq_ignore_ascii_case(login))
            || ids.contains(&user_id(login).to_string().as_str())
    };
    let found: Vec<_> = live.into_iter().filter(|(login, _, _)| asked(login)).collect();
    let page = found.iter().skip(after).take(first);
    let rows: Vec<_> = page
        .map(|(login, person, stream)| {
            json!({
                "id": stream.id,
                "user_id": user_id(login).to_string(),
                "user_login": login,
                "user_name": person.display_name.clone().unwrap_or_else(|| crate::twitch_irc::display_name(login)),
                "game_id": "",
                "game_name": person.game,
                "type": "live",
                "title": person.title,
                "tags": [],
                "viewer_count": stream.viewers,
                "started_at": stream.started_at,
                "language": "en",
                "thumbnail_url": "",
                "tag_ids": [],
                "is_mature": false,
            })
        })
        .collect();
    let end = after.saturating_add(rows.len());
    let pagination = if end < found.len() { json!({ "cursor": end.to_string() }) } else { json!({}) };
    ok(json!({ "data": rows, "pagination": pagination }))
}
