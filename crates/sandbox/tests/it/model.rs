//! The language model over HTTP, and its part of the control API.

use chatbus_sandbox::SandboxHandle;
use chatbus_sandbox::model::ModelFault;
use serde_json::{Value, json};

use crate::client::sandbox;

async fn ask(sandbox: &SandboxHandle, stream: bool) -> reqwest::Response {
    let url = format!("{}/chat/completions", sandbox.model().base_url());
    let body = json!({ "messages": [{ "role": "user", "content": "why?" }], "stream": stream });
    reqwest::Client::new().post(url).json(&body).send().await.expect("the model listens")
}

async fn steer(sandbox: &SandboxHandle, path: &str, body: Value) -> u16 {
    let url = format!("{}{path}", sandbox.control_url());
    reqwest::Client::new().post(url).json(&body).send().await.expect("the API answers").status().as_u16()
}

#[tokio::test]
async fn a_question_is_answered_whole_or_as_a_stream() {
    let sandbox = sandbox().await;
    let whole: Value = ask(&sandbox, false).await.json().await.unwrap();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(text.starts_with("You asked about \"why\"."), "{text}");
    let stream = ask(&sandbox, true).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let stream = stream.text().await.unwrap();
    assert!(stream.ends_with("data: [DONE]\n\n"));
    let pieces = stream
        .split("\n\n")
        .filter_map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ")?).ok());
    let joined: String = pieces
        .filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(joined, text);
    assert_eq!((sandbox.model().asked(), sandbox.model().questions().len()), (2, 2));
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_not_counted() {
    let sandbox = sandbox().await;
    let url = format!("{}/chat/completions", sandbox.model().base_url());
    for body in ["", "no json", "{}", r#"{"messages":7}"#] {
        let answer = reqwest::Client::new().post(&url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        assert!(answer.json::<Value>().await.unwrap()["error"]["message"].is_string());
    }
    assert_eq!(sandbox.model().asked(), 0);
    let models = reqwest::get(format!("{}/models", sandbox.model().base_url())).await.unwrap();
    assert_eq!(models.json::<Value>().await.unwrap()["data"][0]["id"], "sandbox");
}

#[tokio::test]
async fn faults_come_in_the_order_in_which_they_were_asked_for_and_then_it_is_itself_again() {
    let sandbox = sandbox().await;
    assert_eq!(steer(&sandbox, "/model/refuse", json!({ "status": 429, "retry_after": 2 })).await, 200);
    assert_eq!(steer(&sandbox, "/model/say", json!({ "text": "So it is." })).await, 200);
    sandbox.model().fault(ModelFault::Lost).unwrap();
    let refused = ask(&sandbox, true).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    let said: Value = ask(&sandbox, false).await.json().await.unwrap();
    assert_eq!(said["choices"][0]["message"]["content"], "So it is.");
    let url = format!("{}/chat/completions", sandbox.model().base_url());
    let lost = reqwest::Client::new().post(url).json(&json!({ "messages": [] })).send().await;
    assert!(lost.is_err());
    assert_eq!(ask(&sandbox, false).await.status(), 200);
    assert_eq!(steer(&sandbox, "/model/refuse", json!({ "status": 200 })).await, 400);
    assert_eq!(steer(&sandbox, "/model/reset", json!({})).await, 200);
    assert_eq!(sandbox.model().asked(), 0);
}
