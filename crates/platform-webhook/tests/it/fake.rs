//! A fake of whoever takes what is posted to WEBHOOK_URL: it believes only what is signed, and says nothing twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chatbus_platform_webhook::signature::Keys;
use chatbus_runtime::Runtime;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One fake, and what happened on it.
#[derive(Clone)]
pub(crate) struct Fake {
    runtime: Runtime,
    world: Arc<Mutex<World>>,
    pub(crate) url: String,
}

#[derive(Default)]
struct World {
    /// What was heard: the body, once for each id.
    heard: Vec<Value>,
    /// The answer to each id.
    known: HashMap<String, String>,
    /// How often a good post came, repeats included.
    posts: usize,
    answers: VecDeque<Answer>,
}

/// What the next post is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is heard, and its id is the answer.
    Heard,
    /// It is not.
    Refused(u16, Option<&'static str>),
    /// It is heard, and the answer breaks off.
    Lost,
}

// === impl Fake ===

impl Fake {
    /// Listens on a free port until the test ends.
    pub(crate) async fn start(runtime: &Runtime) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?key=a-key-of-the-url", listener.local_addr().unwrap());
        let fake = Self { runtime: runtime.clone(), world: Arc::default(), url };
        let router = Router::new().route("/hook", post(take)).with_state(fake.clone());
        runtime.spawn("fake", async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    /// The bodies that were heard, in order.
    pub(crate) fn heard(&self) -> Vec<Value> {
        self.world.lock().unwrap().heard.clone()
    }

    /// How often a good post came, repeats included.
    pub(crate) fn posts(&self) -> usize {
        self.world.lock().unwrap().posts
    }

    /// The next post is answered so.
    pub(crate) fn answer(&self, answer: Answer) {
        self.world.lock().unwrap().answers.push_back(answer);
    }
}

async fn take(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let keys = Keys::parse(SECRET).unwrap();
    if keys.verify(header, &body, fake.runtime.clock.now()).is_err() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut world = fake.world.lock().unwrap();
    world.posts += 1;
    let answer = world.answers.pop_front().unwrap_or(Answer::Heard);
    if let Answer::Refused(status, retry_after) = answer {
        let retry_after = retry_after.map(|text| (header::RETRY_AFTER, text));
        let location = (header::LOCATION, "/hook?key=a-key-of-the-url");
        let mut response = (StatusCode::from_u16(status).unwrap(), [location]).into_response();
        response.headers_mut().extend(retry_after.map(|(name, text)| (name, text.parse().unwrap())));
        return response;
    }
    let key = header("webhook-id").unwrap();
    let next = format!("m-{}", world.heard.len() + 1);
    let id = world.known.get(&key).cloned().unwrap_or_else(|| next.clone());
    if id == next {
        world.heard.push(serde_json::from_slice(&body).unwrap());
        world.known.insert(key, id.clone());
    }
    match answer {
        // The body is longer than what comes of it.
        Answer::Lost => {
            ([(header::CONTENT_LENGTH, "100")], axum::body::Body::from_stream(Broken)).into_response()
        }
        _ => (StatusCode::ACCEPTED, format!("{{\"id\":\"{id}\"}}")).into_response(),
    }
}

/// A body whose connection ends.
struct Broken;

impl futures::Stream for Broken {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
