//! Dead letters, and what is done about them.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chatbus_store::{DeadLetterFilter, LetterState, Page, StoredLetter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::PartText;
use super::{Admin, Order, Refused, moment, page, shown};

/// What is asked of dead letters.
#[derive(Debug)]
pub(crate) enum LetterOrder {
    List(LettersAsked),
    Show(String),
    Replay(ReplayAsked),
    Discard(LettersAsked),
}

/// Which dead letters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LettersAsked {
    /// Ids, separated by commas.
    pub(crate) id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) platform: Option<String>,
    #[serde(rename = "correlationId")]
    pub(crate) correlation_id: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) state: Option<String>,
    #[serde(flatten)]
    pub(crate) part: PartText,
}

/// What is replayed, and how.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ReplayAsked {
    pub(crate) filter: LettersAsked,
    pub(crate) dry_run: bool,
    /// At most so many a second.
    pub(crate) rate: Option<u32>,
    /// `original`, `generic` or a topic.
    pub(crate) to: Option<String>,
}

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/api/v1/dlq", get(list))
        .route("/api/v1/dlq/replay", post(replay))
        .route("/api/v1/dlq/discard", post(discard))
        .route("/api/v1/dlq/{id}", get(show))
}

async fn list(State(admin): State<Admin>, Query(asked): Query<LettersAsked>) -> Response {
    admin.carry_out(Order::Letters(LetterOrder::List(asked))).await.map(Json).into_response()
}

async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    admin.carry_out(Order::Letters(LetterOrder::Show(id))).await.map(Json).into_response()
}

async fn replay(State(admin): State<Admin>, Json(asked): Json<ReplayAsked>) -> Response {
    admin.carry_out(Order::Letters(LetterOrder::Replay(asked))).await.map(Json).into_response()
}

async fn discard(State(admin): State<Admin>, Json(asked): Json<LettersAsked>) -> Response {
    admin.carry_out(Order::Letters(LetterOrder::Discard(asked))).await.map(Json).into_response()
}

/// Letters that one order discards at most; who wants more asks again.
const MOST: usize = 1_000;

pub(super) async fn carry_out(admin: &Admin, order: LetterOrder) -> Result<Value, Refused> {
    let store = admin.store()?;
    match order {
        LetterOrder::List(asked) => {
            let (filter, page) = read_letters(admin, &asked)?;
            Ok(store.letters(&filter, &page).await?.iter().map(row).collect())
        }
        LetterOrder::Show(id) => {
            let filter = DeadLetterFilter { ids: vec![id], ..DeadLetterFilter::default() };
            let letters = store.letters(&filter, &Page::default()).await?;
            let letter =
                letters.first().ok_or_else(|| Refused::not_found("there is no dead letter of this id"))?;
            let mut row = row(letter);
            if let Some(row) = row.as_object_mut() {
                row.insert("letter".to_owned(), shown(&letter.letter));
            }
            Ok(row)
        }
        LetterOrder::Replay(asked) => super::super::services::replay(admin, &*store, asked).await,
        LetterOrder::Discard(asked) => {
            let (mut filter, page) = read_letters(admin, &asked)?;
            if filter == DeadLetterFilter::default() {
                return Err(Refused::bad_request(
                    &"say which: ids, or at least one of reason, platform, correlationId, since, until and state",
                ));
            }
            let most = page.limit.min(MOST);
            let mut discarded: Vec<String> = Vec::new();
            for state in [LetterState::Open, LetterState::Replaying] {
                if asked.state.is_some() && filter.state != Some(state) {
                    continue;
                }
                filter.state = Some(state);
                let left = Page { limit: most.saturating_sub(discarded.len()), offset: page.offset };
                if left.limit == 0 {
                    break;
                }
                for letter in store.letters(&filter, &left).await? {
                    if store.settle_letter(&letter.id, LetterState::Discarded).await? {
                        discarded.push(letter.id);
                    }
                }
            }
            Ok(json!({ "discarded": discarded }))
        }
    }
}

/// The filter of what is asked.
pub(in super::super) fn read_letters(
    admin: &Admin,
    asked: &LettersAsked,
) -> Result<(DeadLetterFilter, Page), Refused> {
    let now = admin.runtime.clock.now();
    let state = match &asked.state {
        None => None,
        Some(word) => Some(LetterState::parse(word).ok_or_else(|| {
            let known = LetterState::ALL.map(LetterState::as_str).join(", ");
            Refused::bad_request(&format!("{word:?} is no state of a dead letter; use {known}"))
        })?),
    };
    let ids = asked.id.as_deref().unwrap_or_default().split(',').map(str::trim);
    let filter = DeadLetterFilter {
        ids: ids.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        reason: asked.reason.clone(),
        platform: asked.platform.clone(),
        correlation_id: asked.correlation_id.clone(),
        since: moment(asked.since.as_ref(), now)?,
        until: moment(asked.until.as_ref(), now)?,
        state,
    };
    Ok((filter, page(asked.part.read()?)))
}

fn row(letter: &StoredLetter) -> Value {
    json!({
        "id": letter.id, "reason": letter.reason, "errorCode": letter.error_code,
        "correlationId": letter.correlation_id, "platform": letter.platform, "topic": letter.topic,
        "at": letter.at, "state": letter.state.as_str(), "original": letter.original.as_deref().map(shown),
    })
}
