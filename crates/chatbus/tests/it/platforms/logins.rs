//! Accounts that log in while chatbus runs, end, and log in again.

use serde_json::{Value, json};

use super::rig::{World, platforms, twitch};
use crate::harness::{Chatbus, Running, SHORT, SandboxProcess, eventually};

/// Logs the bot in by the device flow, as `chatbus oauth login` does.
async fn log_in(running: &Running, sandbox: &SandboxProcess, login: &str) {
    let post = async |path: &str| -> (u16, Value) {
        let request = running.http.post(format!("{}{path}", running.url)).header("x-chatbus", "1");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    };
    let (status, begun) = post("/api/v1/oauth/twitch/bot/device").await;
    assert_eq!(status, 200, "{begun}");
    sandbox.post_to("twitch-api/device", json!({ "code": begun["user_code"], "login": login })).await;
    let poll = format!("/api/v1/oauth/device/{}", begun["handle"].as_str().unwrap());
    eventually("the login is done", SHORT, async || {
        let (status, told) = post(&poll).await;
        match told["state"].as_str() {
            Some("done") => Ok(()),
            _ => Err(format!("{status} {told}")),
        }
    })
    .await;
}

async fn auth_state(running: &Running, wanted: &str) {
    eventually("the account is so", SHORT, async || {
        let shown = running.get("/_debug/twitch").await.ok_or("no answer")?.1;
        let auth = &shown["snapshot"]["auth"];
        if auth["state"] == wanted { Ok(()) } else { Err(auth.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_account_that_logs_in_later_speaks_and_one_that_is_revoked_speaks_again_after_a_login() {
    let sandbox = SandboxProcess::start().await;
    let chatbus = platforms(Chatbus::new().whole(), &sandbox);
    let world = World::of(sandbox, chatbus).await;
    auth_state(&world.running, "needs_reauth").await;
    log_in(&world.running, &world.sandbox, "chatbus_bot").await;
    auth_state(&world.running, "ok").await;
    let outcome = world.outcome("twitch:#hall", "first").await;
    assert_eq!(outcome["status"], "SENT", "{outcome}");

    world.sandbox.post_to("twitch-api/revoke", json!({ "login": "chatbus_bot" })).await;
    let waiting = world.running.send("twitch:#hall", "second").await.unwrap();
    auth_state(&world.running, "needs_reauth").await;
    let ready = world.running.get("/readyz").await.unwrap().1;
    assert!(ready["degraded"].to_string().contains("twitch:needs_reauth"), "{ready}");
    // What is said meanwhile is read all the same.
    let heard = world.sandbox.say("hall", "is anybody there").await;
    log_in(&world.running, &world.sandbox, "chatbus_bot").await;
    auth_state(&world.running, "ok").await;
    eventually("what waited is said", SHORT, async || {
        let outcomes = world.running.records("internal.finalizer.v1").await;
        let of = outcomes.iter().find(|record| record["event"]["deliveryId"] == *waiting);
        match of.map(|record| record["event"]["status"].clone()) {
            Some(status) if status == "SENT" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let read = world.running.records("internal.ingress.v1").await;
    let times = read.iter().filter(|record| record["event"]["message"]["id"] == *heard).count();
    assert_eq!(times, 1, "what was said while nobody was logged in");
    assert_eq!(world.sandbox.get_from("twitch-api/sent").await.as_array().unwrap().len(), 2);
    let listed = world.chatbus.run(&["oauth", "status", "--json"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((&listed[0]["identity"], &listed[0]["state"]), (&json!("bot"), &json!("ok")), "{listed}");
    for secret in ["accessToken", "refreshToken", "access_token"] {
        assert!(!listed.to_string().contains(secret), "{listed}");
    }
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_by_one_of_three_processes_and_nothing_is_lost() {
    let sandbox = SandboxProcess::start().await;
    let nats = chatbus_testkit::NatsServer::start().await;
    let store = tempfile::tempdir().unwrap();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let mut running = Vec::new();
    let mut kept = Vec::new();
    for id in ["one", "two", "three"] {
        let chatbus = twitch(Chatbus::new().role("ingress-egress").role("oauth-flow"), &sandbox)
            .on_nats(&nats.url())
            .with("EGRESS_INSTANCE_ID", id)
            .with("STORE_URL", format!("sqlite:{}", store.path().join("store.sqlite").display()))
            .with("CHATBUS_SECRET_KEY", key);
        running.push(chatbus.ready().await);
        kept.push(chatbus);
    }
    log_in(&running[0], &sandbox, "chatbus_bot").await;
    for one in &running {
        auth_state(one, "ok").await;
    }
    let before =
        sandbox.get_from("twitch-api/refreshes").await["refreshes"]["chatbus_bot"].as_u64().unwrap_or(0);
    sandbox.post_to("twitch-api/expire", json!({ "login": "chatbus_bot" })).await;
    let mut sent = Vec::new();
    for (n, one) in running.iter().enumerate() {
        sent.push(one.send("twitch:#hall", &format!("text {n}")).await.unwrap());
    }
    eventually("all is said", SHORT, async || {
        let outcomes = running[0].records("internal.finalizer.v1").await;
        let said = |id: &String| {
            outcomes
                .iter()
                .any(|record| record["event"]["deliveryId"] == **id && record["event"]["status"] == "SENT")
        };
        if sent.iter().all(said) { Ok(()) } else { Err(format!("{outcomes:?}")) }
    })
    .await;
    let after =
        sandbox.get_from("twitch-api/refreshes").await["refreshes"]["chatbus_bot"].as_u64().unwrap_or(0);
    assert_eq!(after - before, 1, "one process renews for all");
    for one in &running {
        auth_state(one, "ok").await;
    }
}
