//! Asks the process that runs, or does what is asked in the store where none does.

use std::io::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use chatbus_event::Clock as _;
use chatbus_runtime::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};

use super::direct::Direct;
use super::{Failure, load};
use crate::cli::RemoteArgs;
use crate::client::Client;
use crate::process::admin::{ChannelOrder, EventOrder, LetterOrder, Order, UserOrder};
use crate::settings::Environment;

/// How long a process that has the data may take to answer, or to let go.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is asked, as a request.
struct Request {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// Has an order carried out.
///
/// # Errors
/// When it is refused, or nobody can carry it out.
pub(super) async fn ask(
    order: Order,
    remote: RemoteArgs,
    environment: &Environment,
) -> Result<Value, Failure> {
    let (values, core) = load(remote.settings, environment)?;
    let url = remote.url.as_deref();
    if url.is_some() {
        return over_api(&Client::find(url, &core, &values).await?, order).await;
    }
    let late = SystemClock.instant() + PATIENCE;
    loop {
        if let Some(client) = Client::look(None, &core, &values).await? {
            return over_api(&client, order).await;
        }
        match Direct::open(&values, &core).await {
            Ok(direct) => return in_store(direct, &core, order).await,
            // A process that starts or stops has the data and does not answer.
            Err(Failure::Configuration(problems)) if problems.iter().any(|p| p.setting == "DATA_DIR") => {
                if SystemClock.instant() >= late {
                    let why = problems.first().map(ToString::to_string).unwrap_or_default();
                    return Err(Failure::Runtime(anyhow!("no chatbus answers here, but {why}")));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn in_store(direct: Direct, core: &crate::settings::Core, order: Order) -> Result<Value, Failure> {
    writeln!(std::io::stderr().lock(), "No chatbus runs here; this is done in the store.")?;
    let admin = direct.admin(core).await;
    let done = match admin {
        Ok(admin) => admin.carry_out(order).await.map_err(|refused| Failure::Runtime(anyhow!("{refused}"))),
        Err(failure) => Err(failure),
    };
    direct.close().await;
    done
}

async fn over_api(client: &Client, order: Order) -> Result<Value, Failure> {
    let Request { method, path, query, body } = request(order);
    let path = with_query(&path, &query);
    let (status, answer) = client.ask(method, &path, body.as_ref()).await?;
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    Err(Failure::Runtime(anyhow!("{}", answer["error"]["message"].as_str().unwrap_or("the process refused"))))
}

fn with_query(path: &str, query: &[(&'static str, String)]) -> String {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in query {
        encoded.append_pair(name, value);
    }
    let encoded = encoded.finish();
    if encoded.is_empty() { path.to_owned() } else { format!("{path}?{encoded}") }
}

/// A part of a path that comes from outside.
fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn request(order: Order) -> Request {
    let get = |path: String, query: Vec<(&'static str, String)>| Request {
        method: Method::GET,
        path,
        query,
        body: None,
    };
    match order {
        Order::Events(EventOrder::List(asked)) => {
            let mut query = Vec::new();
            for (name, value) in [
                ("user", asked.user),
                ("channel", asked.channel),
                ("platform", asked.platform),
                ("text", asked.text),
                ("status", asked.status),
                ("since", asked.since),
                ("until", asked.until),
                ("limit", asked.part.limit),
                ("offset", asked.part.offset),
            ] {
                query.extend(value.map(|value| (name, value)));
            }
            get("/api/v1/events".to_owned(), query)
        }
        Order::Events(EventOrder::Show(id)) => get(format!("/api/v1/events/{}", segment(&id)), Vec::new()),
        Order::Letters(LetterOrder::List(asked)) => {
            let mut query = Vec::new();
            for (name, value) in [
                ("id", asked.id),
                ("reason", asked.reason),
                ("platform", asked.platform),
                ("correlationId", asked.correlation_id),
                ("since", asked.since),
                ("until", asked.until),
                ("state", asked.state),
                ("limit", asked.part.limit),
                ("offset", asked.part.offset),
            ] {
                query.extend(value.map(|value| (name, value)));
            }
            get("/api/v1/dlq".to_owned(), query)
        }
        Order::Letters(LetterOrder::Show(id)) => get(format!("/api/v1/dlq/{}", segment(&id)), Vec::new()),
        Order::Letters(LetterOrder::Replay(asked)) => post("/api/v1/dlq/replay", json!(asked)),
        Order::Letters(LetterOrder::Discard(asked)) => post("/api/v1/dlq/discard", json!(asked)),
        Order::Channels(ChannelOrder::List) => get("/api/v1/channels".to_owned(), Vec::new()),
        Order::Channels(ChannelOrder::Add { platform, name }) => Request {
            method: Method::PUT,
            path: format!("/api/v1/channels/{}/{}", segment(&platform), segment(&name)),
            query: Vec::new(),
            body: None,
        },
        Order::Channels(ChannelOrder::Remove { platform, name }) => Request {
            method: Method::DELETE,
            path: format!("/api/v1/channels/{}/{}", segment(&platform), segment(&name)),
            query: Vec::new(),
            body: None,
        },
        Order::Users(UserOrder::List(asked)) => {
            let mut query = Vec::new();
            for (name, value) in
                [("name", asked.name), ("platform", asked.platform), ("status", asked.status)]
            {
                query.extend(value.map(|value| (name, value)));
            }
            get("/api/v1/users".to_owned(), query)
        }
        Order::Users(UserOrder::Show(id)) => get(format!("/api/v1/users/{}", segment(&id)), Vec::new()),
        Order::Users(UserOrder::Change(id, asked)) => Request {
            method: Method::PATCH,
            path: format!("/api/v1/users/{}", segment(&id)),
            query: Vec::new(),
            body: Some(json!(asked)),
        },
    }
}

fn post(path: &str, body: Value) -> Request {
    Request { method: Method::POST, path: path.to_owned(), query: Vec::new(), body: Some(body) }
}
