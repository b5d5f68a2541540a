//! Saying something, and what the platform makes of it.

use chatbus_runtime::Fence;

use super::check::odd_texts;
use super::rig::{Class, Rig};
use super::running::Running;
use crate::{Availability, Outbound, PermanentReason, Target, Verdict};

/// What the platform took is what was said, and is counted.
pub async fn what_is_said_is_heard_and_counted(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    let before = rig.heard().await.len();
    let verdict = running.say("said-1", "hello there").await;
    assert!(is_success(&verdict), "{verdict:?}");
    let heard = rig.heard().await;
    assert!(
        heard.len() == before + 1 && heard.last().is_some_and(|text| text.contains("hello there")),
        "{heard:?}"
    );
    assert_eq!(running.connector.status().snapshot().counters.sent, 1, "texts said");
}

/// Where the platform remembers deliveries, one that is sent again is not said again, and its answer is the same.
pub async fn a_remembered_delivery_is_said_once(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    if running.sink.capabilities().remembers.is_none() {
        return;
    }
    let first = running.say("once-1", "only once").await;
    running.ready("it says it again").await;
    let again =
        running.send(Outbound { may_have_been_sent: true, ..running.outbound("once-1", "only once") });
    assert_eq!(again.await, first, "the answer to the repeat");
    running.ready("it says something else").await;
    running.say("once-2", "only once").await;
    let heard = rig.heard().await.iter().filter(|text| text.contains("only once")).count();
    assert_eq!(heard, 2, "two deliveries, one of them sent twice");
}

/// Once the lease is lost nothing goes out, and nothing else changes.
pub async fn without_the_lease_nothing_is_said(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    let before = rig.heard().await;
    let lost = Fence::always();
    lost.lose();
    for fence in [running.over(), lost] {
        let verdict = running.send(Outbound { fence, ..running.outbound("fenced-1", "not said") }).await;
        assert_eq!(verdict, Verdict::NotNow);
    }
    running.a_moment().await;
    assert_eq!(rig.heard().await, before, "what the platform heard");
    running.ready("the lease is held again").await;
    let verdict = running.say("fenced-2", "said").await;
    assert!(is_success(&verdict), "{verdict:?}");
}

/// An audience that it cannot reach is refused as such, and nobody else hears it.
pub async fn what_it_cannot_do_is_unsupported(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    let (sink, can) = (&running.sink, running.sink.capabilities());
    assert!(can.chat || can.direct, "it can say nothing to anybody");
    let before = rig.heard().await;
    let mut beyond = Vec::new();
    if !can.chat {
        beyond.push(Target::Channel(rig.channel(1).into()));
        assert_eq!(sink.default_channel(), None, "a channel where there is none");
    }
    if !can.direct {
        beyond.push(Target::User("1337".into()));
        assert_eq!(sink.recipient("1337"), None, "a user where there is none");
    }
    for target in beyond {
        assert_eq!(sink.availability(&target), Availability::Unserved, "{target:?}");
        let outbound = Outbound { target: target.clone(), ..running.outbound("beyond-1", "to nobody") };
        let verdict = running.send(outbound).await;
        let reason = PermanentReason::Unsupported;
        assert!(
            matches!(&verdict, Verdict::Permanent { reason: given, .. } if *given == reason),
            "{target:?}: {verdict:?}"
        );
    }
    running.a_moment().await;
    assert_eq!(rig.heard().await, before, "what the platform heard");
}

/// Each answer is the kind of verdict that the platform's table says; and afterwards the next text can be said,
/// unless somebody has to log in first.
pub async fn each_answer_has_its_verdict_and_leaves_a_way_on(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    let mut answers = rig.answers();
    assert!(answers.iter().any(|answer| !answer.class.is_success()), "the rig's platform refuses nothing");
    // After which nothing may be said any more.
    answers.sort_by_key(|answer| answer.class);
    for (number, answer) in answers.iter().enumerate() {
        let before = rig.heard().await.len();
        rig.answer(answer.name).await;
        let verdict = running.say(&format!("answer-{number}"), &format!("text {number}")).await;
        assert_eq!(Class::of(&verdict), Some(answer.class), "{}: {verdict:?}", answer.name);
        if matches!(answer.class, Class::Retry | Class::Permanent | Class::Reauth) {
            assert_eq!(rig.heard().await.len(), before, "{} and yet it was heard", answer.name);
        }
        if answer.class != Class::Reauth {
            running.ready(&format!("the answer was {}", answer.name)).await;
            let verdict = running.say(&format!("after-{number}"), &format!("after {number}")).await;
            assert!(is_success(&verdict), "after {}: {verdict:?}", answer.name);
            running.ready("the next answer is asked for").await;
        }
        running.check_secrets(&format!("{:?}", running.connector.status().snapshot()));
    }
}

/// Whatever a text or an id holds, there is a verdict, it is not doubtful, and the next text can be said.
pub async fn odd_texts_and_ids_are_said_or_refused(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    let mut outbounds = Vec::new();
    for (number, odd) in odd_texts().into_iter().enumerate() {
        outbounds.push(running.outbound(&format!("text-{number}"), &odd));
        let plain = running.outbound(&format!("id-{number}-{odd}"), &format!("plain {number}"));
        outbounds.push(Outbound { reply_to: Some(odd.into()), ..plain });
    }
    outbounds.push(running.outbound("", "without an id"));
    outbounds.push(running.outbound("long", &"word ".repeat(rig.long() / 5)));
    outbounds.push(running.outbound("wide", &"\u{1f469}\u{200d}\u{1f467} ".repeat(rig.long() / 8)));
    for outbound in outbounds {
        running.ready("odd texts are said").await;
        let shown = format!("{:?} under {:?}", outbound.text, outbound.delivery_id);
        let verdict = running.send(outbound).await;
        assert!(
            is_success(&verdict) || matches!(verdict, Verdict::Permanent { .. }),
            "{shown:.200}: {verdict:?}"
        );
    }
    running.ready("it is over").await;
    let verdict = running.say("plain-1", "something plain").await;
    assert!(is_success(&verdict), "{verdict:?}");
}

/// What operators see holds no secret: before, while and after it runs.
pub async fn its_state_shows_no_secret(rig: &dyn Rig) {
    let running = Running::begin(rig);
    let show = || {
        let snapshot = running.connector.status().snapshot();
        let json = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
        running.check_secrets(&format!("{json} {snapshot:?} {:?}", running.sink.capabilities()));
    };
    show();
    running.ready("it connects").await;
    show();
    running.say("secret-1", "a text that is not to be shown").await;
    let text = format!("{:?}", running.connector.status().snapshot());
    assert!(!text.contains("not to be shown"), "a text is shown: {text}");
    show();
}

fn is_success(verdict: &Verdict) -> bool {
    Class::of(verdict).is_some_and(Class::is_success)
}
