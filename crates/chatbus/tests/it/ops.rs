//! What operators look at.

use serde_json::{Value, json};

use crate::harness::{Chatbus, SHORT, SandboxProcess, TOKEN, eventually};

#[tokio::test]
async fn health_and_readiness_answer_as_the_contract_says() {
    let sandbox = SandboxProcess::start().await;
    sandbox.post("accept", json!({ "on": false })).await;
    let running = Chatbus::new().reading(&sandbox.irc, "hall").listening().await;
    for path in ["/healthz", "/livez", "/health"] {
        let (status, body) = running.get(path).await.unwrap();
        assert_eq!((status, &body["status"]), (200, &json!("ok")), "{path}");
        assert!(
            body["uptimeSec"].is_u64() && body["timestamp"].is_string() && body["service"].is_string(),
            "{body}"
        );
    }
    for path in ["/readyz", "/ready", "/readyz?role=ingress-egress"] {
        let (status, body) = running.get(path).await.unwrap();
        assert_eq!((status, &body["ready"]), (503, &json!(false)), "{path} {body}");
        assert!(body["waitingFor"].to_string().contains("twitch"), "{body}");
    }
    sandbox.post("channel", json!({ "channel": "gone", "suspended": true })).await;
    sandbox.post("accept", json!({ "on": true })).await;
    running.until_ready().await;
}

#[tokio::test]
async fn a_refused_channel_is_degraded_and_holds_nothing_back_unless_all_are() {
    let sandbox = SandboxProcess::start().await;
    sandbox.post("channel", json!({ "channel": "gone", "suspended": true })).await;
    let running = Chatbus::new().reading(&sandbox.irc, "hall,gone").ready().await;
    let body = eventually("the refused channel shows", SHORT, async || match running.get("/readyz").await {
        Some((200, body)) if body["degraded"].to_string().contains("#gone") => Ok(body),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(body["ready"], true);
    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    assert_eq!(debug["snapshot"]["refusedChannels"][0]["channel"], "#gone", "{debug}");
    assert!(
        running.log_lines().iter().any(|line| line["severity"] == "WARNING" && line["channel"] == "#gone")
    );

    let all = Chatbus::new().reading(&sandbox.irc, "gone").listening().await;
    eventually("with all refused it is not ready", SHORT, async || match all.get("/_debug/twitch").await {
        Some((_, debug))
            if debug["snapshot"]["refusedChannels"].as_array().is_some_and(|all| !all.is_empty()) =>
        {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(all.get("/readyz").await.unwrap().0, 503);
}

#[tokio::test]
async fn metrics_and_the_debug_snapshot_have_the_names_of_the_contract() {
    let sandbox = SandboxProcess::start().await;
    let chatbus =
        Chatbus::new().reading(&sandbox.irc, "hall").speaking().with("EGRESS_INSTANCE_ID", "inst-1");
    let running = chatbus.ready().await;
    sandbox.say("hall", "hello").await;
    let done = chatbus.run(&["send", "--url", &running.url, "--to", "twitch:#hall", "hi"]).await;
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    sandbox.post("refuse", json!({ "code": "msg_banned", "count": 1 })).await;
    let done = chatbus.run(&["send", "--url", &running.url, "--to", "twitch:#hall", "no"]).await;
    assert_eq!(done.code, Some(3), "{}{}", done.out, done.err);

    let metrics = running.text("/metrics").await;
    for name in [
        "chatbus_ingress_received_total{",
        "chatbus_ingress_published_total{",
        "chatbus_ingress_failed_total{",
        "chatbus_ingress_spooled_total{",
        "chatbus_ingress_dropped_total{",
        "chatbus_platform_reconnects_total{",
        "chatbus_platform_connected{platform=\"twitch\"} 1",
        "chatbus_platform_channels_joined{platform=\"twitch\"} 1",
        "chatbus_egress_received_total{topic=\"internal.egress.v1\"} 2",
        "chatbus_egress_sent_total{platform=\"twitch\",status=\"SENT\"} 1",
        "chatbus_egress_failed_total{platform=\"twitch\",reason=\"rejected\"} 1",
        "chatbus_deadletters_total{reason=\"rejected\"} 1",
        "chatbus_deadletters_total{reason=\"no_platform\"} 0",
        "chatbus_bus_lag{",
        "chatbus_stage_seconds",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert!(!metrics.contains("inst-1"), "a topic label is the family, never an instance id");

    let (_, debug) = running.get("/_debug/twitch").await.unwrap();
    let snapshot = debug["snapshot"].as_object().unwrap();
    for key in [
        "state",
        "joinedChannels",
        "lastMessageAt",
        "lastReconnectAt",
        "lastError",
        "refusedChannels",
        "lastPongAt",
        "latencyMs",
        "auth",
        "counters",
    ] {
        assert!(snapshot.contains_key(key), "{key} in {debug}");
    }
    assert_eq!(snapshot["state"], "CONNECTED");
    assert_eq!(snapshot["joinedChannels"], json!(["#hall"]));
    for key in ["state", "login", "userId", "expiresAt", "missingScopes"] {
        assert!(snapshot["auth"].as_object().unwrap().contains_key(key), "{key} in {debug}");
    }
    assert_eq!(
        (&snapshot["auth"]["state"], &snapshot["auth"]["login"]),
        (&json!("ok"), &json!("chatbus_bot"))
    );
    for key in ["received", "published", "failed", "sent", "reconnects"] {
        assert!(snapshot["counters"][key].is_u64(), "{key} in {debug}");
    }
    assert_eq!(debug["egressTopic"], "internal.egress.v1.inst-1");
    for path in ["/_debug/bus", "/_debug/config"] {
        assert_eq!(running.get(path).await.unwrap().0, 200, "{path}");
    }
}

/// What a log line may not hold above DEBUG.
const SAID: &str = "xyzzy-what-the-viewer-said";

async fn logs(level: &str) -> Vec<Value> {
    let sandbox = SandboxProcess::start().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").speaking().with("LOG_LEVEL", level);
    let mut running = chatbus.with("CHATBUS_ADMIN_TOKEN", "adm1n-t0ken").ready().await;
    sandbox.say("hall", SAID).await;
    sandbox.post("refuse", json!({ "code": "msg_banned", "count": 1 })).await;
    let request = running.http.post(format!("{}/api/v1/send", running.url)).bearer_auth("adm1n-t0ken");
    let body = json!({ "to": "twitch:#hall", "text": SAID, "waitMs": 10_000 });
    let answer = request.header("x-chatbus", "1").json(&body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    sandbox.post("drop", json!({})).await;
    eventually("it reconnects", SHORT, async || {
        let states = running.log_lines().iter().filter(|line| line["to"] == "Connected").count();
        if states >= 2 { Ok(()) } else { Err(running.log()) }
    })
    .await;
    running.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(running.ended().await.code(), Some(0));
    let log = running.log();
    assert!(!log.contains(TOKEN.trim_start_matches("oauth:")), "the token is in the log at {level}");
    assert!(!log.contains("adm1n-t0ken"), "the admin token is in the log at {level}");
    running.log_lines()
}

#[tokio::test]
async fn logs_are_json_lines_with_the_fields_of_the_contract_and_hold_no_text_at_info() {
    let lines = logs("info").await;
    for line in &lines {
        for field in ["timestamp", "severity", "message", "event", "service", "component", "instanceId"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert!(["INFO", "WARNING", "ERROR"].contains(&line["severity"].as_str().unwrap()), "{line}");
        assert!(!line.to_string().contains(SAID), "{line}");
    }
    let has = |what: &str, test: &dyn Fn(&Value) -> bool| {
        assert!(lines.iter().any(test), "{what} is logged: {lines:#?}");
    };
    has("the version", &|line| line["version"].is_string());
    has("the instance id's origin", &|line| line["origin"].is_string());
    has("a subscription", &|line| line["event"] == "bus.subscribed" && line["topic"] == "internal.egress.v1");
    has("a platform state change", &|line| line["to"] == "Connected" && line["platform"] == "twitch");
    has("a dead letter", &|line| line["severity"] == "WARNING" && line["reason"] == "rejected");
    has("the stop", &|line| line["event"] == "process.stopped");
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let lines = logs("trace").await;
    assert!(lines.iter().any(|line| line["severity"] == "DEBUG"), "the level was set");
}
