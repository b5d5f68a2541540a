//! Subscriptions by Helix (dev.twitch.tv/docs/api/reference, "EventSub").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_event::Clock;
use chatbus_http::hyper::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::{Api, Existing, Page, Refusal, Transport, Wanted};
use crate::helix::{Helix, HelixAnswer, HelixError};

const SUBSCRIPTIONS: &str = "/eventsub/subscriptions";
/// Logins that are asked for at once (Twitch: 100).
const LOGINS_AT_ONCE: usize = 100;
/// How long to wait when Twitch wants it and does not say how long.
const UNNAMED_WAIT: Duration = Duration::from_secs(10);

/// Asks Helix: as the bot for sessions, as the application for webhooks and conduits.
pub(crate) struct HelixApi {
    pub(crate) helix: Helix,
    pub(crate) is_app: bool,
    pub(crate) secret: Option<SecretString>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Api for HelixApi {
    async fn list(&self, after: Option<&str>) -> Result<Page, Refusal> {
        let query: Vec<(&str, &str)> = after.into_iter().map(|cursor| ("after", cursor)).collect();
        let answer = self.ask(Method::GET, SUBSCRIPTIONS, &query, None).await?;
        let next = answer.body.pointer("/pagination/cursor").and_then(Value::as_str);
        let rows = answer.data().iter().map(existing).collect();
        Ok(Page { rows, next: next.map(str::to_owned) })
    }

    async fn create(&self, wanted: &Wanted, transport: &Transport) -> Result<(), Refusal> {
        let condition: Map<String, Value> =
            wanted.condition().into_iter().map(|(key, id)| (key.to_owned(), id.into())).collect();
        let mut way = match transport {
            Transport::Session(id) => json!({ "method": "websocket", "session_id": &**id }),
            Transport::Conduit(id) => json!({ "method": "conduit", "conduit_id": &**id }),
            Transport::Webhook(address) => json!({ "method": "webhook", "callback": &**address }),
        };
        if let (Transport::Webhook(_), Some(secret)) = (transport, &self.secret) {
            way["secret"] = secret.expose_secret().into();
        }
        let body = json!({
            "type": wanted.row.name, "version": wanted.row.version, "condition": condition, "transport": way,
        });
        self.ask(Method::POST, SUBSCRIPTIONS, &[], Some(body)).await.map(drop)
    }

    async fn delete(&self, id: &str) -> Result<(), Refusal> {
        self.ask(Method::DELETE, SUBSCRIPTIONS, &[("id", id)], None).await.map(drop)
    }
}

// === impl HelixApi ===

impl HelixApi {
    /// The ids of these logins; those that are nobody's are left out.
    pub(crate) async fn users(&self, logins: &[&str]) -> Result<HashMap<String, Arc<str>>, Refusal> {
        let mut found = HashMap::new();
        for some in logins.chunks(LOGINS_AT_ONCE) {
            let query: Vec<(&str, &str)> = some.iter().map(|login| ("login", *login)).collect();
            let answer = self.ask(Method::GET, "/users", &query, None).await?;
            for row in answer.data() {
                let text = |name: &str| row.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
                if let (Some(login), Some(id)) = (text("login"), text("id")) {
                    found.insert(login.to_ascii_lowercase(), id.into());
                }
            }
        }
        Ok(found)
    }

    /// Asks, and turns all but success into a refusal.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &'static str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<HelixAnswer, Refusal> {
        let answer = if self.is_app {
            self.helix.call_as_app(method, path, query, body).await
        } else {
            self.helix.call(method, path, query, body).await
        };
        let answer = answer.map_err(|error| self.failed(error))?;
        match refusal(&answer) {
            None => Ok(answer),
            Some(refusal) => Err(refusal),
        }
    }

    fn failed(&self, error: HelixError) -> Refusal {
        match error {
            HelixError::NoToken | HelixError::Refused(_) => Refusal::Reauth(error.to_string()),
            HelixError::MissingScope(why) => Refusal::MissingScope(why),
            HelixError::Limited(until) => {
                Refusal::Limited(until.saturating_duration_since(self.clock.instant()))
            }
            HelixError::Unusable(why) | HelixError::Denied(why) => Refusal::Refused(why),
            HelixError::Lapsed | HelixError::Unreachable(_) | HelixError::Lost(_) => {
                Refusal::Unavailable(error.to_string())
            }
        }
    }
}

/// What an answer means, if it is no success. Every status that Twitch documents for these requests is a row;
/// the others are refusals for good, or of the moment when they are the server's.
fn refusal(answer: &HelixAnswer) -> Option<Refusal> {
    let message = answer.message();
    let lower = message.to_ascii_lowercase();
    Some(match answer.status {
        200..300 => return None,
        // Twitch says both with one status: too much at once, and too much in all.
        429 if lower.contains("cost") || lower.contains("maximum") => Refusal::TooCostly,
        429 => Refusal::Limited(answer.wait.unwrap_or(UNNAMED_WAIT)),
        403 => Refusal::MissingScope(message.to_owned()),
        404 => Refusal::Missing,
        409 => Refusal::Conflict,
        500.. => Refusal::Unavailable(format!("HTTP {}", answer.status)),
        // The session has ended meanwhile: the next one subscribes anew.
        400 if lower.contains("session") => Refusal::Unavailable(message.to_owned()),
        status => Refusal::Refused(format!("HTTP {status} {message}")),
    })
}

fn existing(row: &Value) -> Existing {
    let text = |path: &str| row.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut condition: Vec<(String, String)> = row
        .get("condition")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    condition.sort();
    let goals = ["/transport/session_id", "/transport/conduit_id", "/transport/callback"];
    Existing {
        id: text("/id"),
        status: text("/status"),
        kind: text("/type"),
        version: text("/version"),
        condition,
        method: text("/transport/method"),
        goal: goals.iter().map(|path| text(path)).find(|goal| !goal.is_empty()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, message: &str) -> HelixAnswer {
        HelixAnswer { status, body: json!({ "message": message }), wait: None }
    }

    #[test]
    fn every_status_of_an_answer_has_its_meaning() {
        let wait = Duration::from_secs(7);
        for (status, message, expected) in [
            (200, "", None),
            (202, "", None),
            (204, "", None),
            (400, "missing condition", Some(Refusal::Refused("HTTP 400 missing condition".to_owned()))),
            (
                400,
                "websocket transport session does not exist or has already disconnected",
                Some(Refusal::Unavailable(
                    "websocket transport session does not exist or has already disconnected".to_owned(),
                )),
            ),
            (
                403,
                "subscription missing proper authorization",
                Some(Refusal::MissingScope("subscription missing proper authorization".to_owned())),
            ),
            (404, "", Some(Refusal::Missing)),
            (409, "subscription already exists", Some(Refusal::Conflict)),
            (429, "too many requests", Some(Refusal::Limited(UNNAMED_WAIT))),
            (429, "your request would exceed the max_total_cost", Some(Refusal::TooCostly)),
            (503, "", Some(Refusal::Unavailable("HTTP 503".to_owned()))),
            (418, "tea", Some(Refusal::Refused("HTTP 418 tea".to_owned()))),
        ] {
            assert_eq!(refusal(&answer(status, message)), expected, "{status} {message}");
        }
        let limited = HelixAnswer { wait: Some(wait), ..answer(429, "") };
        assert_eq!(refusal(&limited), Some(Refusal::Limited(wait)));
    }

    #[test]
    fn a_row_of_twitchs_list_is_read_with_the_members_that_say_something() {
        let row = json!({
            "id": "f1", "status": "enabled", "type": "channel.raid", "version": "1", "cost": 0,
            "condition": { "to_broadcaster_user_id": "1", "from_broadcaster_user_id": "" },
            "transport": { "method": "websocket", "session_id": "s" }, "created_at": "2019-11-16T10:11:12.123Z",
        });
        let found = existing(&row);
        assert_eq!(found.condition, [("to_broadcaster_user_id".to_owned(), "1".to_owned())]);
        assert_eq!((&*found.method, &*found.goal, found.is_alive()), ("websocket", "s", true));
        assert_eq!(existing(&json!("odd")), Existing::default());
    }
}
