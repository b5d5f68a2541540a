//! Helix.

use std::time::Duration;

use chatbus_sandbox::twitch_api::{Fault, NewToken, Order};
use chatbus_sandbox::twitch_irc::{Refusal, Say, SentFilter, Since, Way};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, READ, id_of};
use crate::client::{Client, sandbox, tags};

fn fault(path: &str, fault: Fault) -> Order {
    Order { path: Some(path.into()), fault, count: Some(1), lasts: None }
}

#[tokio::test]
async fn accounts_are_found_by_login_by_id_and_as_the_tokens_own() {
    let sandbox = sandbox().await;
    let ann = Caller::user(&sandbox, "ann", &["user:read:email"]);
    let own = ann.get("/helix/users").await;
    assert_eq!((&own["data"][0]["login"], &own["data"][0]["id"]), (&json!("ann"), &json!(id_of("ann"))));
    assert_eq!(own["data"][0]["email"], "ann@example.com");
    let found = ann.get(&format!("/mock/users?login=Bob&id={}&id=1", id_of("ann"))).await;
    let logins: Vec<_> =
        found["data"].as_array().unwrap().iter().map(|row| row["login"].as_str().unwrap()).collect();
    assert_eq!(logins, ["ann", "bob"]);
    assert_eq!((&found["data"][1]["display_name"], found["data"][1].get("email")), (&json!("Bob"), None));
    assert_eq!(ann.get(&format!("/helix/users?id={}", id_of("bob"))).await["data"][0]["login"], "bob");
    sandbox.twitch_api().set_user("bob", |bob| bob.missing = true).unwrap();
    assert_eq!(ann.get("/helix/users?login=bob").await["data"], json!([]));
    // Somebody who only spoke is known by the id that IRC told.
    sandbox.twitch().say(&Say::new("hall", "a_viewer", "hi")).await.unwrap();
    assert_eq!(
        ann.get(&format!("/helix/users?id={}", id_of("a_viewer"))).await["data"][0]["login"],
        "a_viewer"
    );
    let app = Caller::app(&sandbox);
    for path in ["/helix/users", "/helix/users?login=a%20b"] {
        let refused = app.ask(Method::GET, path, Value::Null).await;
        assert_eq!((refused.status, &refused.body["error"]), (400, &json!("Bad Request")), "{path}");
    }
}

#[tokio::test]
async fn who_has_no_good_token_is_told_what_is_wrong_with_it() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let good = Caller::user(&sandbox, "ann", &[]);
    let dead = api.make_token(&NewToken::of("ann", &[])).unwrap().access_token;
    api.expire_token(&dead).unwrap();
    for (token, client_id, message) in [
        ("", "client", "OAuth token is missing"),
        ("nonsense", "client", "Invalid OAuth token"),
        (dead.as_str(), "client", "Invalid OAuth token"),
        (good.token.as_str(), "", "Client ID is missing"),
        (good.token.as_str(), "other", "Client ID and OAuth token do not match"),
    ] {
        let caller = Caller { sandbox: &sandbox, token: token.into(), client_id: client_id.into() };
        let refused = caller.ask(Method::GET, "/helix/users", Value::Null).await;
        assert_eq!(refused.body, json!({ "error": "Unauthorized", "status": 401, "message": message }));
        assert!(refused.headers.contains_key("www-authenticate"), "{message}");
    }
    let refused = good.say("hall", "ann", "hi").await;
    assert_eq!((refused.status, &refused.body["message"]), (401, &json!("Missing scope: user:write:chat")));
}

#[tokio::test]
async fn a_message_is_said_in_the_room_to_everybody_and_kept_with_its_way() {
    let sandbox = sandbox().await;
    let mut own = Client::joined(&sandbox, "ann", "#hall").await;
    let mut other = Client::joined(&sandbox, "bob", "#hall").await;
    let ann = Caller::user(&sandbox, "ann", READ);
    let said = ann.say("hall", "ann", "hi Kappa\r\nQUIT").await;
    let row = &said.body["data"][0];
    assert_eq!((said.status, &row["is_sent"], &row["drop_reason"]), (200, &json!(true), &Value::Null));
    let id = row["message_id"].as_str().unwrap();
    for client in [&mut own, &mut other] {
        let line = client.until("PRIVMSG").await;
        assert!(line.ends_with("PRIVMSG #hall :hi Kappa  QUIT"), "{line}");
        assert_eq!((tags(&line)["id"], tags(&line)["user-id"]), (id, id_of("ann").as_str()));
    }
    let body = json!({
        "broadcaster_id": id_of("hall"), "sender_id": id_of("ann"), "message": "an answer", "reply_parent_message_id": id,
    });
    assert_eq!(ann.post("/mock/chat/messages", body).await.status, 200);
    let line = other.until("an answer").await;
    let ids = format!("/mock/chat/messages?broadcaster_id={}&sender_id={}", id_of("hall"), id_of("ann"));
    assert_eq!(
        ann.post(&ids, json!({ "message": "ids in the query" })).await.body["data"][0]["is_sent"],
        true
    );
    assert_eq!(tags(&line)["reply-parent-msg-id"], id);
    other.say("#hall", "by IRC").await;
    let ways: Vec<_> =
        sandbox.twitch_api().sent(&SentFilter::default()).iter().map(|m| (m.way, m.text.clone())).collect();
    assert_eq!(
        ways,
        [
            (Way::Helix, "hi Kappa  QUIT".to_owned()),
            (Way::Helix, "an answer".to_owned()),
            (Way::Helix, "ids in the query".to_owned()),
            (Way::Irc, "by IRC".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_message_that_the_room_refuses_is_answered_with_its_drop_reason() {
    let sandbox = sandbox().await;
    let ann = Caller::user(&sandbox, "ann", READ);
    Caller::user(&sandbox, "hall", &[]);
    let code = async |text: &str| {
        let answer = ann.say("hall", "ann", text).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let row = answer.body["data"][0].clone();
        assert_eq!(row["is_sent"].as_bool(), Some(row["drop_reason"].is_null()));
        row["drop_reason"]["code"].as_str().unwrap_or("sent").to_owned()
    };
    assert_eq!(code("same").await, "sent");
    assert_eq!(code("same").await, "msg_duplicate");
    sandbox.twitch().refuse(Refusal { channel: None, code: "msg_rejected".into(), count: Some(1) }).unwrap();
    assert_eq!(code("a").await, "msg_rejected");
    let dropped = Fault::DropMessage { code: "channel_settings".into(), message: "no".into() };
    sandbox.twitch_api().order(Order { path: None, fault: dropped, count: Some(1), lasts: None }).unwrap();
    assert_eq!(code("b").await, "channel_settings");
    sandbox.twitch().set_modes("hall", |modes| modes.slow_seconds = 30).unwrap();
    assert_eq!(code("c").await, "msg_slowmode");
    sandbox.twitch().set_role("hall", "ann", |role| role.banned = true).unwrap();
    assert_eq!(code("d").await, "msg_banned");
    let codes: Vec<_> =
        sandbox.twitch().sent(&SentFilter::default()).into_iter().filter_map(|m| m.code).collect();
    assert_eq!(codes, ["msg_duplicate", "msg_rejected", "channel_settings", "msg_slowmode", "msg_banned"]);
}

#[tokio::test]
async fn a_senseless_message_is_refused() {
    let sandbox = sandbox().await;
    let ann = Caller::user(&sandbox, "ann", READ);
    Caller::user(&sandbox, "hall", &[]);
    let (hall, own) = (id_of("hall"), id_of("ann"));
    for (body, status) in [
        (json!({ "sender_id": own, "message": "a" }), 400),
        (json!({ "broadcaster_id": hall, "message": "a" }), 400),
        (json!({ "broadcaster_id": hall, "sender_id": own, "message": "" }), 400),
        (json!({ "broadcaster_id": "1", "sender_id": own, "message": "a" }), 400),
        (json!({ "broadcaster_id": hall, "sender_id": hall, "message": "a" }), 401),
        (json!({ "broadcaster_id": hall, "sender_id": own, "message": "é".repeat(501) }), 422),
        (json!([]), 400),
    ] {
        let refused = ann.post("/helix/chat/messages", body.clone()).await;
        assert_eq!(
            (refused.status, refused.body["status"].as_u64()),
            (status, Some(u64::from(status))),
            "{body}"
        );
    }
    assert!(sandbox.twitch().sent(&SentFilter::default()).is_empty());
    assert_eq!(ann.say("hall", "ann", &"é".repeat(500)).await.status, 200);
}

#[tokio::test]
async fn an_application_speaks_for_who_has_granted_it() {
    let sandbox = sandbox().await;
    let app = Caller::app(&sandbox);
    let api = sandbox.twitch_api();
    let grant = |login, scopes: &[&str]| api.make_token(&NewToken::of(login, scopes)).unwrap();
    grant("bot", &["user:write:chat"]);
    grant("hall", &["chat:read"]);
    let refused = app.say("hall", "bot", "a").await;
    assert_eq!((refused.status, &refused.body["message"]), (401, &json!("Missing scope: user:bot")));
    grant("bot", &["user:bot", "user:write:chat"]);
    assert_eq!(app.say("hall", "bot", "a").await.status, 403);
    grant("hall", &["channel:bot"]);
    assert_eq!(app.say("hall", "bot", "a").await.body["data"][0]["is_sent"], true);
    grant("other", &[]);
    sandbox.twitch().set_role("other", "bot", |role| role.moderator = true).unwrap();
    assert_eq!(app.say("other", "bot", "a").await.body["data"][0]["is_sent"], true);
}

#[tokio::test]
async fn an_answer_is_lost_after_it_was_done_or_late_or_refused_before() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let ann = Caller::user(&sandbox, "ann", READ);
    Caller::user(&sandbox, "hall", &[]);
    let body = json!({ "broadcaster_id": id_of("hall"), "sender_id": id_of("ann"), "message": "lost" });
    api.order(fault("chat/messages", Fault::Lose)).unwrap();
    let lost =
        ann.try_ask(Method::POST, "/helix/chat/messages", body.clone()).await.map(|answer| answer.status);
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(sandbox.twitch().sent(&SentFilter::default())[0].text, "lost");
    let limited = Fault::Status {
        status: 429,
        message: "slow down".into(),
        retry_after: Some(Duration::from_secs(60)),
    };
    api.order(fault("chat/messages", limited)).unwrap();
    let refused = ann.post("/helix/chat/messages", body.clone()).await;
    assert_eq!(refused.body, json!({ "error": "Too Many Requests", "status": 429, "message": "slow down" }));
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
    assert_eq!(sandbox.twitch().sent(&SentFilter::default()).len(), 1);
    let late = Duration::from_millis(300);
    api.order(fault("chat/messages", Fault::Delay(late))).unwrap();
    let body = json!({ "broadcaster_id": id_of("hall"), "sender_id": id_of("ann"), "message": "late" });
    let asked = ann.post("/helix/chat/messages", body);
    assert!(tokio::time::timeout(late / 2, asked).await.is_err(), "too early");
    assert_eq!(sandbox.twitch().sent(&SentFilter::default())[1].text, "late", "done all the same");
}

#[tokio::test]
async fn every_answer_tells_of_the_points_and_without_one_is_429() {
    let sandbox = sandbox().await;
    sandbox.twitch_api().set_points(2);
    let ann = Caller::user(&sandbox, "ann", &[]);
    for left in ["1", "0"] {
        let answer = ann.ask(Method::GET, "/helix/users", Value::Null).await;
        assert_eq!((answer.status, &answer.headers["ratelimit-limit"]), (200, &"2".parse().unwrap()));
        assert_eq!(answer.headers["ratelimit-remaining"], left);
    }
    let refused = ann.ask(Method::GET, "/helix/users", Value::Null).await;
    assert_eq!((refused.status, &refused.body["error"]), (429, &json!("Too Many Requests")));
    assert!(refused.headers["ratelimit-reset"].to_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(
        Caller::user(&sandbox, "bob", &[]).ask(Method::GET, "/helix/users", Value::Null).await.status,
        200
    );
}

#[tokio::test]
async fn a_whisper_is_answered_204_whether_it_arrives_or_not() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let ann = Caller::user(&sandbox, "ann", &["user:manage:whispers"]);
    Caller::user(&sandbox, "bob", &[]);
    let path = |from: &str, to: &str| {
        format!("/helix/whispers?from_user_id={}&to_user_id={}", id_of(from), id_of(to))
    };
    let send = async |text: &str| ann.post(&path("ann", "bob"), json!({ "message": text })).await.status;
    assert_eq!(send(&"x".repeat(501)).await, 204);
    assert_eq!(send(&"x".repeat(501)).await, 204);
    api.drop_whispers(true);
    assert_eq!(send("nobody reads this").await, 204);
    assert_eq!(send("one too many in a second").await, 429);
    let kept = api.whispers(Since::Start);
    let rows: Vec<_> =
        kept.iter().map(|w| (w.from.as_str(), w.to.as_str(), w.text.len(), w.cut, w.delivered)).collect();
    assert_eq!(
        rows,
        [("ann", "bob", 500, true, true), ("ann", "bob", 501, false, true), ("ann", "bob", 17, false, false)]
    );
    api.limit_whispers(false);
    for (path, body, status) in [
        (path("ann", "ann"), json!({ "message": "a" }), 400),
        (path("bob", "ann"), json!({ "message": "a" }), 400),
        (path("ann", "nobody"), json!({ "message": "a" }), 404),
        (path("ann", "bob"), json!({}), 400),
        ("/helix/whispers".to_owned(), json!({ "message": "a" }), 400),
    ] {
        assert_eq!(ann.post(&path, body).await.status, status, "{path}");
    }
    let refused =
        Caller::user(&sandbox, "bob", &[]).post(&path("bob", "ann"), json!({ "message": "a" })).await;
    assert_eq!(refused.body["message"], "Missing scope: user:manage:whispers");
}

#[tokio::test]
async fn streams_and_channels_are_as_they_were_set() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let ann = Caller::user(&sandbox, "ann", &[]);
    api.set_user("ann", |person| person.title = "Sewing".into()).unwrap();
    for login in ["ann", "bob", "cid"] {
        api.set_live(login, true, 7).unwrap();
    }
    let one = ann.get("/helix/streams?user_login=ann").await;
    let stream = &one["data"][0];
    assert_eq!(
        (&stream["user_id"], &stream["title"], &stream["viewer_count"]),
        (&json!(id_of("ann")), &json!("Sewing"), &json!(7))
    );
    let first = ann.get("/helix/streams?first=2").await;
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    let rest = ann
        .get(&format!("/helix/streams?first=2&after={}", first["pagination"]["cursor"].as_str().unwrap()))
        .await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["pagination"]), (1, &json!({})));
    api.set_live("ann", false, 0).unwrap();
    assert_eq!(ann.get(&format!("/helix/streams?user_id={}", id_of("ann"))).await["data"], json!([]));
    let channels = ann.get(&format!("/helix/channels?broadcaster_id={}", id_of("ann"))).await;
    assert_eq!(
        (&channels["data"][0]["title"], &channels["data"][0]["broadcaster_login"]),
        (&json!("Sewing"), &json!("ann"))
    );
    for path in ["/helix/channels", "/helix/streams?first=0", "/helix/streams?after=x"] {
        assert_eq!(ann.ask(Method::GET, path, Value::Null).await.status, 400, "{path}");
    }
    assert_eq!(ann.ask(Method::GET, "/helix/nowhere", Value::Null).await.status, 404);
    assert_eq!(ann.ask(Method::DELETE, "/helix/users", Value::Null).await.status, 405);
}
