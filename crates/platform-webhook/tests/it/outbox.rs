//! What is said is posted, signed, and once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{
    Availability, Connector as _, Emit, Emitted, Inbound, Outbound, PermanentReason, Target, Verdict,
};
use chatbus_platform_webhook::Destination;
use chatbus_runtime::{CancellationToken, Fence};
use chatbus_testkit::test_runtime;
use serde_json::json;

use crate::fake::{Answer, Fake};
use crate::rig::WebhookRig;

struct Nobody;

#[async_trait]
impl Emit for Nobody {
    async fn emit(&self, _: Vec<Inbound>) -> Emitted {
        panic!("what is posted to us is not emitted but accepted")
    }
}

impl WebhookRig {
    /// Runs, and waits until it does.
    pub(crate) async fn run(&self) {
        let running =
            Arc::clone(&self.connector).run(self.runtime.clone(), Arc::new(Nobody), CancellationToken::new());
        self.runtime.spawn("connector", running);
        let mut changes = self.connector.status().changes();
        while self.connector.status().snapshot().joined_channels.is_empty() {
            changes.changed().await.unwrap();
        }
    }

    async fn say(&self, id: &str, target: Target) -> Verdict {
        let outbound = Outbound {
            delivery_id: id.into(),
            target,
            text: "hello".to_owned(),
            reply_to: Some("m-0".into()),
            deadline: self.runtime.clock.instant() + Duration::from_secs(60),
            may_have_been_sent: false,
            fence: Fence::always(),
            event: None,
        };
        self.connector.sink().send(outbound).await
    }
}

fn hall() -> Target {
    Target::Channel("#hall".into())
}

fn delivered(id: &str) -> Verdict {
    Verdict::Delivered { provider_message_id: Some(id.to_owned()) }
}

#[tokio::test]
async fn a_text_is_posted_with_its_audience_and_what_it_answers() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    assert_eq!(rig.say("d-1", hall()).await, delivered("m-1"));
    assert_eq!(rig.say("d.2", Target::User("7".into())).await, delivered("m-2"));
    let heard = rig.fake.heard();
    assert_eq!(heard[0]["type"], "chat.say");
    let first = json!({
        "id": "d-1", "audience": "channel", "channel": "hall", "text": "hello", "replyTo": "m-0",
    });
    assert_eq!(heard[0]["data"], first);
    let second = json!({
        "id": "d.2", "audience": "user", "user": { "id": "7" }, "text": "hello", "replyTo": "m-0",
    });
    assert_eq!(heard[1]["data"], second, "nothing of a channel stands in what one user is to hear");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_open_and_the_same_key_tells() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    rig.fake.answer(Answer::Lost);
    let verdict = rig.say("d-1", hall()).await;
    assert!(matches!(&verdict, Verdict::Unverified { code, .. } if code == "connection_lost"), "{verdict:?}");
    assert_eq!(rig.say("d-1", hall()).await, delivered("m-1"));
    assert_eq!((rig.fake.heard().len(), rig.fake.posts()), (1, 2));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_wait_is_heeded() {
    let rig = WebhookRig::start().await;
    rig.run().await;
    rig.fake.answer(Answer::Refused(307, None));
    let verdict = rig.say("d-1", hall()).await;
    assert!(matches!(&verdict, Verdict::Permanent { code, .. } if code == "http_307"), "{verdict:?}");
    assert_eq!((rig.fake.heard().len(), rig.fake.posts()), (0, 1));
    rig.fake.answer(Answer::Refused(429, Some("7")));
    let verdict = rig.say("d-2", hall()).await;
    assert!(
        matches!(verdict, Verdict::Retry { after, .. } if after == Duration::from_secs(7)),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_no_doubt_and_an_address_of_ones_own_is_no_destination() {
    let runtime = test_runtime(1);
    let fake = Fake::start(&runtime).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nowhere = Destination::parse(&format!("http://{closed}/"), true).unwrap();
    let rig = WebhookRig::with(fake.clone(), Some(nowhere), runtime.clone());
    rig.run().await;
    let verdict = rig.say("d-1", hall()).await;
    assert!(matches!(&verdict, Verdict::Retry { code, .. } if code == "unreachable"), "{verdict:?}");
    // A name passes the settings, and is judged by what it leads to.
    let port = fake.url.split([':', '/']).nth(4).unwrap();
    let inward = Destination::parse(&format!("https://localhost:{port}/hook"), false).unwrap();
    let rig = WebhookRig::with(fake, Some(inward), runtime);
    rig.run().await;
    let verdict = rig.say("d-1", hall()).await;
    let Verdict::Permanent { reason, code, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!((reason, &*code), (PermanentReason::Rejected, "not_public"));
    assert_eq!(rig.fake.posts(), 0);
    assert_eq!(rig.connector.status().snapshot().last_error.unwrap().code, "not_public");
}

#[tokio::test]
async fn without_a_destination_nothing_is_said_and_what_is_not_served_is_known() {
    let runtime = test_runtime(1);
    let fake = Fake::start(&runtime).await;
    let rig = WebhookRig::with(fake, None, runtime);
    rig.run().await;
    assert_eq!(rig.connector.sink().availability(&hall()), Availability::Unserved);
    let verdict = rig.say("d-1", hall()).await;
    assert!(
        matches!(verdict, Verdict::Permanent { reason: PermanentReason::Unsupported, .. }),
        "{verdict:?}"
    );
    let rig = WebhookRig::start().await;
    let other = Target::Channel("#other".into());
    assert_eq!(rig.connector.sink().availability(&other), Availability::Unserved);
    assert!(matches!(rig.connector.sink().availability(&hall()), Availability::Disconnected { .. }));
    rig.run().await;
    rig.connector.set_channels(vec!["other".to_owned()]);
    assert_eq!(rig.connector.sink().availability(&other), Availability::Ready);
    assert_eq!(rig.connector.status().snapshot().added_channels, ["#other".to_owned()].into());
}
