//! Order, memory and redelivery.

use std::time::Duration;

use chatbus_bus::Record;
use chatbus_llm_bot::{LlmConfig, MemoryBounds};
use chatbus_sandbox::model::ModelFault;

use crate::rig::{Answered, Rig, config, record, says};

#[tokio::test]
async fn the_memory_holds_what_was_said_before_and_not_the_current_message() {
    let rig = Rig::start().await;
    rig.faults([ModelFault::Say("first answer".into())]);
    rig.answer("m-1", says("ann", "first")).await;
    rig.answer("m-2", says("ann", "second")).await;
    let sent = rig.sent(1);
    let texts: Vec<&str> = sent.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Be a bot.", "first", "first answer", "second"]);
    rig.answer("m-3", says("bob", "third")).await;
    assert_eq!(rig.sent(2).len(), 2, "others do not see it");
}

#[tokio::test]
async fn what_failed_or_said_nothing_is_not_remembered() {
    let rig = Rig::with(LlmConfig { retries: 0, ..config() }).await;
    rig.faults([ModelFault::Lost, ModelFault::Say(" ".into())]);
    for id in ["m-1", "m-2", "m-3"] {
        rig.answer(id, says("ann", "hi")).await;
    }
    assert_eq!(rig.sent(2).len(), 2);
}

#[tokio::test]
async fn the_memory_is_bounded_by_messages() {
    let memory = MemoryBounds { messages: 2, ..MemoryBounds::default() };
    let rig = Rig::with(LlmConfig { memory, ..config() }).await;
    for n in 1..=4 {
        rig.answer(&format!("m-{n}"), says("ann", &format!("question {n}"))).await;
    }
    let sent = rig.sent(3);
    assert_eq!((sent.len(), sent[1].1.as_str()), (4, "question 3"));
}

#[tokio::test]
async fn a_message_that_comes_again_gets_the_same_answer_and_the_model_is_not_asked_again() {
    let rig = Rig::with(LlmConfig { retries: 0, ..config() }).await;
    rig.faults([ModelFault::Say("one".into()), ModelFault::Lost, ModelFault::Say("another".into())]);
    let (answered, failed) = (record("m-1", &says("ann", "hi")), record("m-2", &says("ann", "hi")));
    let first = (rig.handle(&answered).await.unwrap(), rig.handle(&failed).await.unwrap());
    let again = (rig.handle(&answered).await.unwrap(), rig.handle(&failed).await.unwrap());
    assert_eq!(first, again);
    assert_eq!((rig.model().asked(), rig.bot.counts().repeated), (2, 2));
    // It stands once in the memory as well.
    rig.answer("m-3", says("ann", "what?")).await;
    assert_eq!(rig.sent(2).len(), 4);
}

#[tokio::test]
async fn a_batch_keeps_the_order_within_a_conversation_and_of_its_results() {
    let rig = Rig::start().await;
    let records: Vec<Record> = (0..12)
        .map(|n| record(&format!("m-{n}"), &says(&format!("user-{}", n % 3), &format!("question {n}"))))
        .collect();
    let results = rig.batch(&records.iter().collect::<Vec<_>>()).await;
    for (n, result) in results.into_iter().enumerate() {
        let text = Answered::of(result.unwrap()).text().to_owned();
        assert!(text.contains(&format!("\"question {n}\"")), "{n}: {text}");
    }
    for user in 0..3 {
        let asked: Vec<String> = rig
            .model()
            .questions()
            .iter()
            .filter_map(|question| {
                question.body["messages"].as_array()?.last()?["content"].as_str().map(str::to_owned)
            })
            .filter(|text| text.trim_start_matches("question ").parse::<u32>().is_ok_and(|n| n % 3 == user))
            .collect();
        let expected: Vec<String> = (0..4).map(|n| format!("question {}", n * 3 + user)).collect();
        assert_eq!(asked, expected);
    }
}

#[tokio::test]
async fn the_order_holds_for_calls_at_the_same_time_too() {
    let rig = Rig::start().await;
    rig.faults([ModelFault::Late(Duration::from_millis(200)), ModelFault::Say("second answer".into())]);
    let (first, second) = (record("m-1", &says("ann", "first")), record("m-2", &says("ann", "second")));
    let (one, two) = tokio::join!(rig.handle(&first), rig.handle(&second));
    assert!(one.is_ok() && two.is_ok());
    let sent = rig.sent(1);
    assert_eq!(sent.last().unwrap().1, "second");
    assert_eq!(sent[1].1, "first", "the second knows of the first");
}

#[tokio::test]
async fn conversations_are_answered_at_the_same_time_up_to_the_bound() {
    let rig = Rig::with(LlmConfig { parallel: 2, ..config() }).await;
    rig.faults(vec![ModelFault::Late(Duration::from_millis(50)); 6]);
    let records: Vec<Record> =
        (0..6).map(|n| record(&format!("m-{n}"), &says(&format!("u{n}"), "hi"))).collect();
    let results = rig.batch(&records.iter().collect::<Vec<_>>()).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(rig.model().most_at_once(), 2);
}
