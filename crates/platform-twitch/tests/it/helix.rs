//! A fake Twitch behind HTTP on a real socket, and what is asked of it.

mod chatting;
mod client;
mod logins;
mod sandbox;
mod users;
mod whispering;

use std::sync::Arc;

use chatbus_connector::Credential;
use chatbus_platform_twitch::ApiConfig;
use chatbus_runtime::SystemClock;
use chatbus_testkit::test_runtime;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Answers by a function, and keeps what it was asked.
pub(crate) struct FakeTwitch {
    pub(crate) url: String,
    asked: watch::Receiver<Vec<Asked>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: String,
    pub(crate) client_id: String,
    /// JSON, else the text.
    pub(crate) body: Value,
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    /// With header lines, each with its end.
    With(u16, String, Value),
    /// The connection ends without an answer.
    HangUp,
}

type Answering = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

// === impl FakeTwitch ===

impl FakeTwitch {
    /// Answers with what `answer` makes of a request and of how many there were before to the same path.
    pub(crate) async fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = watch::channel(Vec::new());
        let (answer, sender): (Arc<Answering>, _) = (Arc::new(answer), Arc::new(sender));
        let runtime = test_runtime(1);
        runtime.clone().spawn("test.twitch", async move {
            while let Ok((socket, _)) = listener.accept().await {
                runtime
                    .spawn("test.twitch.connection", serve(socket, Arc::clone(&answer), Arc::clone(&sender)));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// What was asked of one path.
    pub(crate) fn asked_of(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path == path).collect()
    }

    pub(crate) fn config(&self) -> ApiConfig {
        ApiConfig {
            api_url: format!("{}/helix", self.url).parse().unwrap(),
            auth_url: format!("{}/oauth2", self.url).parse().unwrap(),
            ..ApiConfig::twitch("app".to_owned(), Some("app-secret".into()))
        }
    }
}

/// An address where nobody listens.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock)
}

/// The bot with a token, as its keeper knows it.
pub(crate) fn bot(token: &str, scopes: &[&str]) -> Credential {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let ready = Credential::ready(token.into(), Some("bot".to_owned()), Some("99".to_owned()));
    Credential { scopes, ..ready }
}

/// As Twitch says no.
pub(crate) fn no(status: u16, message: &str) -> Reply {
    Reply::Json(status, json!({"error": "No", "status": status, "message": message}))
}

async fn serve(socket: TcpStream, answer: Arc<Answering>, heard: Arc<watch::Sender<Vec<Asked>>>) {
    let mut socket = BufReader::new(socket);
    while let Some(asked) = read(&mut socket).await {
        let before = heard.borrow().iter().filter(|other| other.path == asked.path).count();
        let reply = answer(&asked, before);
        heard.send_modify(|heard| heard.push(asked));
        let (status, headers, body) = match reply {
            Reply::Json(status, body) => (status, String::new(), body),
            Reply::With(status, headers, body) => (status, headers, body),
            Reply::HangUp => return,
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
        if socket.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request; `None` when the client is done.
async fn read(socket: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (mut authorization, mut client_id, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.to_owned(),
            "client-id" => client_id = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    let text = String::from_utf8(body).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(if text.is_empty() { Value::Null } else { text.into() });
    Some(Asked { method, path: path.to_owned(), query: query.to_owned(), authorization, client_id, body })
}
