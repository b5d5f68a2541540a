//! A fake of the platform: the API that `src/api.rs` describes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chatbus_runtime::Runtime;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "a-token-of-the-fake";

/// One fake, and what happened on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    url: String,
    /// What viewers said.
    said: Vec<Value>,
    /// What was said through the API.
    heard: Vec<String>,
    /// The statuses that the next posts are answered with.
    refusals: VecDeque<u16>,
}

#[derive(Deserialize)]
struct After {
    after: Option<usize>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

// === impl Fake ===

impl Fake {
    /// Listens on a free port until the test ends.
    pub(crate) async fn start(runtime: &Runtime) -> Self {
        let fake = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        fake.0.lock().unwrap().url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/messages", get(read))
            .route("/v1/channels/{channel}/messages", post(say))
            .with_state(fake.clone());
        runtime.spawn("fake", async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    pub(crate) fn url(&self) -> String {
        self.0.lock().unwrap().url.clone()
    }

    /// A viewer says something.
    pub(crate) fn speak(&self, id: &str, channel: &str, text: &str) {
        let user = json!({ "id": "7", "name": "ada" });
        let message = json!({ "id": id, "channel": channel, "user": user, "text": text });
        self.0.lock().unwrap().said.push(message);
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.0.lock().unwrap().heard.clone()
    }

    /// The next text is refused so.
    pub(crate) fn refuse(&self, status: u16) {
        self.0.lock().unwrap().refusals.push_back(status);
    }
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value == &format!("Bearer {TOKEN}"))
}

async fn read(State(fake): State<Fake>, Query(query): Query<After>, headers: HeaderMap) -> Response {
    if !is_known(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let world = fake.0.lock().unwrap();
    let from = query.after.unwrap_or(world.said.len()).min(world.said.len());
    let new: Vec<Value> = world.said.iter().skip(from).cloned().collect();
    Json(json!({ "next": world.said.len().to_string(), "messages": new })).into_response()
}

async fn say(
    State(fake): State<Fake>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    Json(Text { text }): Json<Text>,
) -> Response {
    let mut world = fake.0.lock().unwrap();
    if !is_known(&headers) || channel != "hall" {
        return StatusCode::FORBIDDEN.into_response();
    }
    if let Some(status) = world.refusals.pop_front() {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    world.heard.push(text);
    (StatusCode::CREATED, Json(json!({ "id": format!("m-{}", world.heard.len()) }))).into_response()
}
