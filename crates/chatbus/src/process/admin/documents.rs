//! Rules and personalities that are kept in the store.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use chatbus_store::{Document, DocumentKind};
use serde_json::{Value, json};

use super::{Admin, Refused, shown};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/api/v1/documents/{kind}", get(list))
        .route("/api/v1/documents/{kind}/{name}", put(write).delete(remove))
}

async fn list(State(admin): State<Admin>, Path(kind): Path<String>) -> Response {
    all(&admin, &kind).await.map(Json).into_response()
}

async fn write(
    State(admin): State<Admin>,
    Path((kind, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    put_one(&admin, &kind, name, body).await.map(Json).into_response()
}

async fn remove(State(admin): State<Admin>, Path((kind, name)): Path<(String, String)>) -> Response {
    remove_one(&admin, &kind, &name).await.map(Json).into_response()
}

async fn all(admin: &Admin, kind: &str) -> Result<Value, Refused> {
    let documents = admin.store()?.documents(read(kind)?).await?;
    let row = |d: &Document| json!({ "name": d.name, "updatedAt": d.updated_at, "document": shown(&d.body) });
    Ok(documents.iter().map(row).collect())
}

async fn put_one(admin: &Admin, kind: &str, name: String, body: Bytes) -> Result<Value, Refused> {
    let kind = read(kind)?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(Refused::bad_request(&format!("a name has 1 to {MAX_NAME_BYTES} bytes")));
    }
    check(kind, &name, &body).map_err(|why| Refused::bad_request(&why))?;
    let document = Document { kind, name, body, updated_at: admin.runtime.clock.now() };
    admin.store()?.put_document(&document).await?;
    Ok(json!({ "name": document.name, "written": true }))
}

async fn remove_one(admin: &Admin, kind: &str, name: &str) -> Result<Value, Refused> {
    match admin.store()?.remove_document(read(kind)?, name).await? {
        true => Ok(json!({ "name": name, "removed": true })),
        false => Err(Refused::not_found("there is no document of this name")),
    }
}

fn read(kind: &str) -> Result<DocumentKind, Refused> {
    [DocumentKind::Rule, DocumentKind::Personality]
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| Refused::not_found("there are documents of the kinds rule and personality"))
}

/// What is wrong with a document, before it is kept: a broken one would be found only when it is read.
fn check(kind: DocumentKind, name: &str, body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("the document is no UTF-8: {error}"))?;
    serde_json::from_str::<Value>(text).map_err(|error| format!("the document is no JSON: {error}"))?;
    match kind {
        DocumentKind::Rule => super::super::services::check_rule(name, text),
        DocumentKind::Personality => super::super::services::check_personality(name, text),
    }
}
