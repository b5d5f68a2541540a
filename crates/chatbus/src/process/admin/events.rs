//! Events and their ways.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use chatbus_persistence::Timeline;
use chatbus_store::{EventFilter, EventStatus, StoredEvent, TimelineStep};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Admin, Order, Part, Refused, moment, page, shown};

/// What is asked of events.
#[derive(Debug)]
pub(crate) enum EventOrder {
    List(EventsAsked),
    Show(String),
}

/// Which events.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventsAsked {
    pub(crate) user: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    #[serde(flatten)]
    pub(crate) part: PartText,
}

/// [`Part`] as it stands in a query, where numbers are texts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PartText {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<String>,
}

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/api/v1/events", get(list)).route("/api/v1/events/{id}", get(show))
}

async fn list(State(admin): State<Admin>, Query(asked): Query<EventsAsked>) -> Response {
    admin.carry_out(Order::Events(EventOrder::List(asked))).await.map(Json).into_response()
}

async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    admin.carry_out(Order::Events(EventOrder::Show(id))).await.map(Json).into_response()
}

pub(super) async fn carry_out(admin: &Admin, order: EventOrder) -> Result<Value, Refused> {
    let store = admin.store()?;
    match order {
        EventOrder::List(asked) => {
            let now = admin.runtime.clock.now();
            let status = match &asked.status {
                None => None,
                Some(word) => Some(EventStatus::parse(word).ok_or_else(|| {
                    let known = EventStatus::ALL.map(EventStatus::as_str).join(", ");
                    Refused::bad_request(&format!("{word:?} is no status; use {known}"))
                })?),
            };
            let filter = EventFilter {
                status,
                since: moment(asked.since.as_ref(), now)?,
                until: moment(asked.until.as_ref(), now)?,
                user: asked.user,
                channel: asked.channel,
                platform: asked.platform,
                text: asked.text,
            };
            let events = store.events(&filter, &page(asked.part.read()?)).await?;
            Ok(events.iter().map(row).collect())
        }
        EventOrder::Show(id) => match store.event(&id).await? {
            None => Err(Refused::not_found("no event of this correlation id is kept")),
            Some((event, steps)) => {
                let lines = Timeline::of(&event, &steps);
                let (text, way) = (lines.to_text(), json!(lines));
                let steps: Vec<Value> = steps.iter().map(step).collect();
                Ok(json!({ "event": row(&event), "timeline": steps, "way": way, "text": text }))
            }
        },
    }
}

fn row(event: &StoredEvent) -> Value {
    json!({
        "correlationId": event.correlation_id, "status": event.status.as_str(), "facts": event.facts,
        "firstAt": event.first_at, "lastAt": event.last_at, "event": event.body.as_deref().map(shown),
    })
}

fn step(step: &TimelineStep) -> Value {
    json!({
        "key": step.key, "name": step.name, "at": step.at, "detail": shown(&step.detail),
        "snapshot": step.snapshot.as_deref().map(shown),
    })
}

// === impl PartText ===

impl PartText {
    pub(super) fn read(&self) -> Result<Part, Refused> {
        let number = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| Refused::bad_request(&format!("{text:?} is no number of rows"))),
        };
        Ok(Part { limit: number(&self.limit)?, offset: number(&self.offset)?.unwrap_or(0) })
    }
}
