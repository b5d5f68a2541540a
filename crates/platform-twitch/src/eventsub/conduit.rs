//! Conduits: subscriptions that outlive sessions, for more channels than a session may have.
//!
//! An application has a conduit with shards, and each session is one shard of it. What is subscribed to by the
//! conduit comes on any of them, so instances that share an application share its conduit, and have the same
//! channels.
//!
//! Source: Twitch's "Handling conduit events", and its API reference, "Conduits".

use chatbus_http::hyper::Method;
use serde_json::{Value, json};

use super::subscriptions::{HelixApi, Refusal};

const CONDUITS: &str = "/eventsub/conduits";
const SHARDS: &str = "/eventsub/conduits/shards";
/// Shards that are looked at, a hundred a page; more instances than that are nobody's.
const MAX_PAGES: usize = 10;
/// As often it is tried to get a shard before another process.
const TRIES: usize = 3;

/// A shard, as Twitch lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shard {
    id: String,
    is_alive: bool,
    session: String,
}

/// Finds the application's conduit or makes one, and makes this session a shard of it. Gives the conduit's id.
pub(super) async fn join(api: &HelixApi, session: &str) -> Result<String, Refusal> {
    let (conduit, mut count) = conduit(api).await?;
    let mut refused = Refusal::Unavailable("no shard was given to us".to_owned());
    for _ in 0..TRIES {
        let shards = shards(api, &conduit).await?;
        let shard = match free(&shards, session, count) {
            Some(Place::Ours) => return Ok(conduit),
            Some(Place::Free(id)) => id,
            None => {
                // All are other sessions', which live: one more.
                let body = json!({ "id": conduit, "shard_count": count + 1 });
                api.ask(Method::PATCH, CONDUITS, &[], Some(body)).await?;
                count += 1;
                (count - 1).to_string()
            }
        };
        let way = json!({ "method": "websocket", "session_id": session });
        let body = json!({ "conduit_id": conduit, "shards": [{ "id": shard, "transport": way }] });
        let answer = api.ask(Method::PATCH, SHARDS, &[], Some(body)).await?;
        // Twitch takes the request, and says in its answer which shards it did not take.
        match answer.body.pointer("/errors/0") {
            None => return Ok(conduit),
            Some(error) => {
                let why = error.get("message").and_then(Value::as_str).unwrap_or("the shard was refused");
                refused = Refusal::Unavailable(why.to_owned());
            }
        }
    }
    Err(refused)
}

async fn conduit(api: &HelixApi) -> Result<(String, u64), Refusal> {
    let listed = api.ask(Method::GET, CONDUITS, &[], None).await?;
    if let Some(found) = first(listed.data()) {
        return Ok(found);
    }
    let made = api.ask(Method::POST, CONDUITS, &[], Some(json!({ "shard_count": 1 }))).await?;
    first(made.data()).ok_or_else(|| Refusal::Unavailable("no conduit was given to us".to_owned()))
}

/// The conduit of the smallest id: all who share the application take the same one.
fn first(rows: &[Value]) -> Option<(String, u64)> {
    let read = |row: &Value| {
        let count = row.get("shard_count").and_then(Value::as_u64).unwrap_or(1);
        Some((row.get("id")?.as_str()?.to_owned(), count))
    };
    rows.iter().filter_map(read).min()
}

async fn shards(api: &HelixApi, conduit: &str) -> Result<Vec<Shard>, Refusal> {
    let mut all = Vec::new();
    let mut after = String::new();
    for _ in 0..MAX_PAGES {
        let mut query = vec![("conduit_id", conduit)];
        if !after.is_empty() {
            query.push(("after", &after));
        }
        let page = api.ask(Method::GET, SHARDS, &query, None).await?;
        all.extend(page.data().iter().filter_map(shard));
        let next = page.body.pointer("/pagination/cursor").and_then(Value::as_str).unwrap_or_default();
        if next.is_empty() {
            break;
        }
        after = next.to_owned();
    }
    Ok(all)
}

fn shard(row: &Value) -> Option<Shard> {
    let text = |path: &str| row.pointer(path).and_then(Value::as_str);
    Some(Shard {
        id: text("/id")?.to_owned(),
        is_alive: matches!(text("/status")?, "enabled" | "webhook_callback_verification_pending"),
        session: text("/transport/session_id").unwrap_or_default().to_owned(),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Ours,
    Free(String),
}

/// A shard that nobody alive has; the list leaves out those that nobody ever had.
fn free(shards: &[Shard], session: &str, count: u64) -> Option<Place> {
    if shards.iter().any(|shard| shard.is_alive && shard.session == session) {
        return Some(Place::Ours);
    }
    let is_taken = |id: &str| shards.iter().any(|shard| shard.id == id && shard.is_alive);
    (0..count).map(|n| n.to_string()).find(|id| !is_taken(id)).map(Place::Free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_ours_or_one_that_nobody_alive_has() {
        let shard = |id: &str, status: &str, session: &str| {
            shard(&json!({ "id": id, "status": status, "transport": { "method": "websocket", "session_id": session } }))
                .unwrap()
        };
        let free_one = |id: &str| Some(Place::Free(id.to_owned()));
        for (shards, count, expected) in [
            (vec![], 1, free_one("0")),
            (vec![shard("0", "enabled", "me")], 1, Some(Place::Ours)),
            (vec![shard("0", "enabled", "other")], 1, None),
            (vec![shard("0", "enabled", "other")], 2, free_one("1")),
            (vec![shard("0", "websocket_disconnected", "me")], 1, free_one("0")),
            (vec![shard("0", "enabled", "x"), shard("1", "websocket_network_error", "y")], 2, free_one("1")),
        ] {
            assert_eq!(free(&shards, "me", count), expected, "{shards:?}");
        }
    }

    #[test]
    fn all_take_the_same_conduit() {
        let rows =
            [json!({ "id": "b", "shard_count": 3 }), json!({ "id": "a", "shard_count": 2 }), json!({})];
        assert_eq!(first(&rows), Some(("a".to_owned(), 2)));
        assert_eq!(first(&[]), None);
    }
}
