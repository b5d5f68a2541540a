//! The Conversations API: conversations, who takes part, and what is said.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;
use super::server::{Authorised, done, error, not_found, refused};
use super::world::{Scope, Sent};

const MAX_TEXT: usize = 1_600;

type Fields = Form<HashMap<String, String>>;
/// The parameters of a path, the service's among them where it has one.
type Names = Path<HashMap<String, String>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    let of = |prefix: &str| {
        let all = format!("{prefix}/Conversations");
        Router::new()
            .route(&all, post(create))
            .route(&format!("{all}/{{conversation}}"), get(fetch))
            .route(&format!("{all}/{{conversation}}/Participants"), get(participants).post(join))
            .route(&format!("{all}/{{conversation}}/Messages"), post(say))
    };
    of("/v1").merge(of("/v1/Services/{service}"))
}

async fn create(State(shared): State<Arc<Shared>>, _: Authorised, Form(fields): Fields) -> Response {
    let sid = shared.sid("CH");
    let account = {
        let mut world = shared.lock();
        world.conversation(&sid);
        world.account.sid.clone()
    };
    let name = fields.get("FriendlyName").map(String::as_str);
    done(&shared, conversation(&shared, &account, &sid, name)).await
}

async fn fetch(State(shared): State<Arc<Shared>>, _: Authorised, Path(names): Names) -> Response {
    let sid = named(&names);
    let (account, is_known) = {
        let world = shared.lock();
        (world.account.sid.clone(), world.conversations.contains_key(sid))
    };
    if !is_known {
        return not_found("the conversation");
    }
    Json(conversation(&shared, &account, sid, None)).into_response()
}

async fn participants(State(shared): State<Arc<Shared>>, _: Authorised, Path(names): Names) -> Response {
    let world = shared.lock();
    let Some(found) = world.conversations.get(named(&names)) else { return not_found("the conversation") };
    let list: Vec<Value> =
        found.participants.iter().map(|(sid, who)| json!({ "sid": sid, "identity": who })).collect();
    let meta = json!({ "page": 0, "page_size": 50, "key": "participants", "next_page_url": null });
    Json(json!({ "participants": list, "meta": meta })).into_response()
}

async fn join(
    State(shared): State<Arc<Shared>>,
    _: Authorised,
    Path(names): Names,
    Form(fields): Fields,
) -> Response {
    let who = fields.get("Identity").or(fields.get("MessagingBinding.Address"));
    let Some(who) = who.filter(|who| !who.is_empty()) else {
        return error(StatusCode::BAD_REQUEST, 50407, "A participant needs an identity or an address");
    };
    let sid = shared.sid("MB");
    let conversation = named(&names);
    let account = {
        let mut world = shared.lock();
        if let Some(refusal) = world.refused(Scope::Participants) {
            return refused(&refusal);
        }
        let account = world.account.sid.clone();
        let Some(found) = world.conversations.get_mut(conversation) else {
            return not_found("the conversation");
        };
        if found.participants.iter().any(|(_, known)| known == who) {
            return error(StatusCode::CONFLICT, 50433, "Participant already exists");
        }
        found.participants.push((sid.clone(), who.clone()));
        account
    };
    let body = json!({
        "sid": sid, "account_sid": account, "conversation_sid": conversation,
        "identity": fields.get("Identity"), "attributes": "{}",
    });
    done(&shared, body).await
}

async fn say(
    State(shared): State<Arc<Shared>>,
    _: Authorised,
    Path(names): Names,
    Form(fields): Fields,
) -> Response {
    let conversation = named(&names);
    let body = fields.get("Body").cloned().unwrap_or_default();
    let author = fields.get("Author").cloned().unwrap_or_else(|| "system".to_owned());
    let sid = shared.sid("IM");
    let mut sent = Sent {
        seq: 0,
        at: shared.runtime.clock.now(),
        sid: None,
        from: author.clone(),
        to: conversation.to_owned(),
        body: body.clone(),
        status_callback: None,
        status: "refused".to_owned(),
        code: None,
    };
    let result = {
        let mut world = shared.lock();
        sent.seq = world.next_seq();
        let refusal = world.refused(Scope::Conversations);
        let account = world.account.sid.clone();
        let found = world.conversations.get_mut(conversation);
        let result = match (refusal, found) {
            (Some(refusal), _) => Err((refusal.code, refused(&refusal))),
            (None, None) => Err((20404, not_found("the conversation"))),
            (None, Some(_)) if body.is_empty() => {
                Err((50501, error(StatusCode::BAD_REQUEST, 50501, "The body is missing")))
            }
            (None, Some(_)) if body.chars().count() > MAX_TEXT => Err((
                21617,
                error(StatusCode::BAD_REQUEST, 21617, "The body exceeds the 1600 character limit"),
            )),
            (None, Some(found)) => {
                found.messages += 1;
                Ok((account, found.messages - 1))
            }
        };
        match &result {
            Ok(_) => {
                sent.sid = Some(sid.clone());
                sent.status = "delivered".to_owned();
            }
            Err((code, _)) => sent.code = Some(*code),
        }
        world.record(sent);
        result
    };
    let (account, index) = match result {
        Ok(taken) => taken,
        Err((_, answer)) => return answer,
    };
    let now = now(&shared);
    let body = json!({
        "sid": sid, "account_sid": account, "conversation_sid": conversation, "author": author, "body": body,
        "index": index, "attributes": "{}", "media": null, "participant_sid": null, "delivery": null,
        "date_created": now, "date_updated": now,
    });
    done(&shared, body).await
}

fn named(names: &HashMap<String, String>) -> &str {
    names.get("conversation").map(String::as_str).unwrap_or_default()
}

fn conversation(shared: &Shared, account: &str, sid: &str, name: Option<&str>) -> Value {
    let now = now(shared);
    json!({
        "sid": sid, "account_sid": account, "friendly_name": name, "state": "active", "attributes": "{}",
        "date_created": now, "date_updated": now,
    })
}

fn now(shared: &Shared) -> String {
    String::from_utf8_lossy(&shared.runtime.clock.now().ascii()).into_owned()
}
