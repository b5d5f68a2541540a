//! The stop: what is in hand finishes, the rest is given back.

use std::time::Duration;

use chatbus_bus::{HandlerError, Record};
use chatbus_llm_bot::LlmConfig;
use chatbus_sandbox::model::ModelFault;

use crate::rig::{Rig, config, record, says, until};

fn records(users: &[&str]) -> Vec<Record> {
    let each = users.iter().enumerate();
    each.map(|(n, user)| record(&format!("m-{n}"), &says(user, "hi"))).collect()
}

#[tokio::test]
async fn what_is_in_hand_finishes_and_what_was_not_begun_is_given_back() {
    let rig = Rig::with(LlmConfig { parallel: 1, ..config() }).await;
    rig.faults([ModelFault::Late(Duration::from_millis(200))]);
    let records = records(&["ann", "bob", "ann"]);
    let all: Vec<&Record> = records.iter().collect();
    let stopping = async {
        until("one is asked", || rig.model().asked() == 1).await;
        rig.runtime.stop.cancel();
    };
    let (results, ()) = tokio::join!(rig.batch(&all), stopping);
    assert!(results[0].is_ok(), "{:?}", results[0]);
    for result in &results[1..] {
        assert!(matches!(result, Err(HandlerError::Retry(_))), "{result:?}");
    }
    assert_eq!((rig.model().asked(), rig.bot.counts().given_back), (1, 2));
}

#[tokio::test]
async fn what_is_not_finished_within_the_grace_is_given_back() {
    let rig = Rig::with(LlmConfig { stop_grace: Duration::from_millis(50), ..config() }).await;
    rig.faults([ModelFault::Late(Duration::from_secs(60))]);
    let records = records(&["ann"]);
    let stopping = async {
        until("one is asked", || rig.model().asked() == 1).await;
        rig.runtime.stop.cancel();
    };
    let (result, ()) = tokio::join!(rig.handle(&records[0]), stopping);
    assert!(matches!(result, Err(HandlerError::Retry(_))));
}
