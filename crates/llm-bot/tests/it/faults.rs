//! Faults of the model's endpoint, over a real socket.

use std::time::Duration;

use chatbus_llm_bot::LlmConfig;
use chatbus_sandbox::model::ModelFault;
use chatbus_testkit::ReservedPort;
use serde_json::json;

use crate::rig::{Answered, KEY, Rig, config, record, says};

/// What a user says who must not be quoted.
const WORDS: &str = "my private words";

fn status(status: u16, retry_after: Option<&str>, body: &str) -> ModelFault {
    ModelFault::Status { status, retry_after: retry_after.map(str::to_owned), body: body.to_owned() }
}

fn raw(content_type: &str, body: impl Into<Vec<u8>>, piece: usize) -> ModelFault {
    ModelFault::Raw { content_type: content_type.to_owned(), body: body.into(), piece }
}

/// Meets the faults; gives what came of it and how often the model was asked.
async fn met(config: LlmConfig, faults: impl IntoIterator<Item = ModelFault>) -> (Answered, u64) {
    let rig = Rig::with(config).await;
    rig.faults(faults);
    let answered = rig.answer("m-1", says("ann", WORDS)).await;
    let asked = rig.model().asked();
    (answered, asked)
}

/// That the event failed with this code, said nothing, and neither words nor keys stand in what is told of it.
fn assert_failed(answered: &Answered, code: &str) {
    assert_eq!(answered.topic(), "internal.deadletter.v1");
    let payload = &answered.event["payload"];
    assert_eq!(
        (&payload["reason"], &payload["error"]["code"]),
        (&json!("max_deliveries"), &json!(code)),
        "{payload}"
    );
    let told = payload["error"].to_string();
    assert!(!told.contains(WORDS) && !told.contains(KEY), "{told}");
    let original = &payload["original"];
    assert_eq!(original["routingSlip"][0]["status"], "ERROR");
    assert_eq!(original["routingSlip"][0]["error"]["code"], code);
    assert_eq!(original["errors"][0]["code"], code);
    assert!(!original["errors"].to_string().contains(WORDS));
    assert_eq!(original.get("candidates"), None, "a failure says nothing");
    assert!(!original.to_string().contains(KEY));
}

#[tokio::test]
async fn passing_errors_are_tried_again_until_the_model_answers() {
    for faults in [
        vec![status(500, None, "oh"), status(503, None, "")],
        vec![status(429, Some("0"), "{}"), status(429, None, "slow down")],
        vec![ModelFault::Lost, ModelFault::Lost],
        vec![ModelFault::Cut(200), ModelFault::Cut(0)],
        vec![
            status(408, None, ""),
            raw("text/event-stream", "data: {\"error\":{\"message\":\"overloaded\"}}\n\n", 9),
        ],
    ] {
        let shown = format!("{faults:?}");
        let (answered, asked) = met(config(), faults).await;
        assert_eq!((asked, answered.topic()), (3, "internal.egress.v1.one"), "{shown}");
        assert!(answered.text().starts_with("You asked about"), "{shown}");
    }
}

#[tokio::test]
async fn tries_are_bounded_and_the_step_then_says_why_it_failed_unlike_the_predecessor_which_echoed_the_user()
{
    for (fault, code) in [
        (status(500, None, WORDS), "model_error"),
        (status(429, Some("0"), "{}"), "rate_limited"),
        (ModelFault::Lost, "model_error"),
        (ModelFault::Cut(150), "model_error"),
    ] {
        let (answered, asked) = met(config(), vec![fault.clone(); 5]).await;
        assert_eq!(asked, 3, "{fault:?}");
        assert_failed(&answered, code);
    }
}

#[tokio::test]
async fn lasting_errors_are_not_tried_again() {
    for (fault, code) in [
        (status(400, None, WORDS), "model_error"),
        (status(401, None, &format!("{{\"error\":{{\"message\":\"bad key {KEY}\"}}}}")), "model_error"),
        (status(404, None, ""), "model_error"),
        (status(302, None, ""), "bad_answer"),
        (status(429, Some("0"), r#"{"error":{"code":"insufficient_quota"}}"#), "rate_limited"),
        (raw("text/html", format!("<html>{WORDS}</html>"), 7), "bad_answer"),
        (raw("application/json", "{\"choices\":", 100), "bad_answer"),
        (raw("application/json", "", 1), "bad_answer"),
        (raw("text/event-stream", "data: {\"choices\":[{\"delta\":7}]}\n\n", 3), "bad_answer"),
        (raw("text/event-stream", vec![0xff; 5_000], 100), "bad_answer"),
    ] {
        let shown = format!("{fault:?}");
        let (answered, asked) = met(config(), [fault]).await;
        assert_eq!(asked, 1, "{}", shown.get(..80).unwrap_or(&shown));
        assert_failed(&answered, code);
    }
}

#[tokio::test]
async fn a_wrong_content_type_does_not_hide_an_answer() {
    let object = r#"{"choices":[{"message":{"content":"It is."}}]}"#;
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"It is.\"},\"finish_reason\":\"stop\"}]}\n\n";
    for fault in [
        raw("text/event-stream", object, 100),
        raw("text/plain", object, 1),
        raw("application/json", stream, 100),
        raw("application/octet-stream", stream, 1),
    ] {
        let (answered, _) = met(config(), [fault]).await;
        assert_eq!(answered.text(), "It is.");
    }
}

#[tokio::test]
async fn characters_that_are_split_over_pieces_come_together_again() {
    let said = "grüße 👨‍👩‍👧‍👦 日本";
    let stream = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{said}\"}}}}]}}\r\n\r\ndata: [DONE]\r\n\r\n"
    );
    for piece in 1..=5 {
        let (answered, _) = met(config(), [raw("text/event-stream", stream.as_bytes(), piece)]).await;
        assert_eq!(answered.text(), said);
    }
}

#[tokio::test]
async fn a_huge_answer_is_given_up_while_it_is_read() {
    let line = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(1000));
    for huge in [line.repeat(2_000), format!("{{\"a\":\"{}\"", "x".repeat(2_000_000)), "x".repeat(2_000_000)]
    {
        let (answered, asked) = met(config(), [raw("text/event-stream", huge, 16_384)]).await;
        assert_eq!(asked, 1);
        assert_failed(&answered, "bad_answer");
    }
    // What is long and still within the bound is cut.
    let long = format!("{}data: [DONE]\n\n", line.repeat(500));
    let (answered, _) = met(config(), [raw("text/event-stream", long, 16_384)]).await;
    assert_eq!(answered.text().chars().count(), 480);
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_and_one_that_is_too_slow_is_not() {
    let (answered, _) = met(config(), [ModelFault::Slow(Duration::from_millis(5))]).await;
    assert!(answered.text().starts_with("You asked"));
    let hasty = || LlmConfig { timeout: Duration::from_millis(150), ..config() };
    for fault in [ModelFault::Late(Duration::from_secs(60)), ModelFault::Slow(Duration::from_secs(60))] {
        let (answered, asked) = met(hasty(), [fault]).await;
        assert_eq!(asked, 1);
        assert_failed(&answered, "timeout");
    }
}

#[tokio::test]
async fn the_time_limit_is_of_the_whole_call_with_all_its_tries() {
    let faults = vec![status(500, None, ""); 1_000];
    let config = LlmConfig {
        retries: u32::MAX,
        first_retry: Duration::from_millis(20),
        max_retry: Duration::from_millis(40),
        timeout: Duration::from_millis(200),
        ..config()
    };
    let (answered, asked) = met(config, faults).await;
    assert!((2..=11).contains(&asked), "{asked}");
    let code = answered.event["payload"]["error"]["code"].clone();
    assert!(code == "model_error" || code == "timeout", "{code}");
}

#[tokio::test]
async fn retry_after_is_waited_for_and_one_that_is_too_long_ends_the_call_at_once() {
    let rig = Rig::start().await;
    rig.faults([status(429, Some("1"), "{}")]);
    let begun = rig.runtime.clock.instant();
    rig.answer("m-1", says("ann", "hi")).await;
    let lasted = rig.runtime.clock.instant() - begun;
    assert!(lasted >= Duration::from_secs(1), "{lasted:?}");
    assert_eq!((rig.model().asked(), rig.bot.counts().retries), (2, 1));
    let (answered, asked) = met(config(), [status(429, Some("3600"), "{}")]).await;
    assert_eq!(asked, 1);
    assert_failed(&answered, "rate_limited");
}

#[tokio::test]
async fn an_endpoint_that_never_ends_its_answer_is_not_waited_for() {
    let (answered, asked) = met(config(), [ModelFault::Endless]).await;
    assert!(answered.text().starts_with("You asked"));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn nobody_listening_is_a_model_error() {
    let port = ReservedPort::take();
    let base_url = format!("http://127.0.0.1:{}/v1", port.number());
    let runtime = chatbus_testkit::test_runtime(3);
    let bot = chatbus_llm_bot::LlmBot::new(LlmConfig { base_url, ..config() }, None, runtime).unwrap();
    let record = record("m-1", &says("ann", WORDS));
    let outputs = chatbus_bus::Handler::handle(&bot, &record).await.unwrap();
    assert_failed(&Answered::of(outputs), "model_error");
    assert_eq!(bot.counts().retries, 2);
}
