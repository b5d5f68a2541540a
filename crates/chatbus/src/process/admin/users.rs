//! Users: who they are, what they may, and that some are not answered.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use chatbus_store::{User, UserChange, UserFilter, UserStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::PartText;
use super::{Admin, Order, Refused, page};

/// What is asked of users.
#[derive(Debug)]
pub(crate) enum UserOrder {
    List(UsersAsked),
    Show(String),
    Change(String, UserChangeAsked),
}

/// Which users.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UsersAsked {
    pub(crate) name: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) status: Option<String>,
    #[serde(flatten)]
    pub(crate) part: PartText,
}

/// What is changed. What does not stand there stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UserChangeAsked {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) granted_roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notes: Option<String>,
}

/// The most roles or tags of a user, and the longest of each, in bytes.
const MOST: usize = 64;
const LONGEST: usize = 100;
/// The longest notes, in bytes.
const MAX_NOTES_BYTES: usize = 4_000;

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/api/v1/users", get(list)).route("/api/v1/users/{id}", get(show).patch(change))
}

async fn list(State(admin): State<Admin>, Query(asked): Query<UsersAsked>) -> Response {
    admin.carry_out(Order::Users(UserOrder::List(asked))).await.map(Json).into_response()
}

async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    admin.carry_out(Order::Users(UserOrder::Show(id))).await.map(Json).into_response()
}

async fn change(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Json(asked): Json<UserChangeAsked>,
) -> Response {
    admin.carry_out(Order::Users(UserOrder::Change(id, asked))).await.map(Json).into_response()
}

pub(super) async fn carry_out(admin: &Admin, order: UserOrder) -> Result<Value, Refused> {
    let store = admin.store()?;
    let unknown = || Refused::not_found("there is no user of this id; ids are such as twitch:1337");
    match order {
        UserOrder::List(asked) => {
            let filter = UserFilter {
                status: asked.status.as_deref().map(status).transpose()?,
                name: asked.name,
                provider: asked.platform,
            };
            let users = store.users(&filter, &page(asked.part.read()?)).await?;
            Ok(users.iter().map(row).collect())
        }
        UserOrder::Show(id) => store.user(&id).await?.as_ref().map(row).ok_or_else(unknown),
        UserOrder::Change(id, asked) => {
            let change = UserChange {
                status: asked.status.as_deref().map(status).transpose()?,
                granted_roles: asked.granted_roles.map(words).transpose()?,
                tags: asked.tags.map(words).transpose()?,
                notes: match asked.notes {
                    Some(notes) if notes.len() > MAX_NOTES_BYTES => {
                        return Err(Refused::bad_request(&format!(
                            "notes are at most {MAX_NOTES_BYTES} bytes"
                        )));
                    }
                    notes => notes,
                },
            };
            store.change_user(&id, &change).await?.as_ref().map(row).ok_or_else(unknown)
        }
    }
}

fn status(word: &str) -> Result<UserStatus, Refused> {
    UserStatus::parse(word)
        .ok_or_else(|| Refused::bad_request(&format!("{word:?} is no status; use active or banned")))
}

fn words(words: Vec<String>) -> Result<Vec<String>, Refused> {
    let is_good = |word: &String| !word.trim().is_empty() && word.len() <= LONGEST;
    if words.len() > MOST || !words.iter().all(is_good) {
        let why = format!("at most {MOST} roles or tags, each of 1 to {LONGEST} bytes");
        return Err(Refused::bad_request(&why));
    }
    Ok(words)
}

fn row(user: &User) -> Value {
    let mut row = json!(user);
    if let Some(row) = row.as_object_mut() {
        row.insert("roles".to_owned(), json!(user.roles()));
    }
    row
}
