//! Several instances: each event is said once, by one that can, whoever comes and goes.

use std::time::Duration;

use chatbus_connector::Verdict;
use chatbus_delivery::Ended;
use chatbus_event::{InstanceId, Topic};
use chatbus_state::{Space, State as _, Trace};
use serde_json::{Value, json};

use crate::nodes::{Cluster, LEASE};
use crate::world::event;

fn topic_of(name: &str) -> Topic {
    Topic::egress_of(&InstanceId::parse(name).unwrap())
}

fn to(user: &str) -> Value {
    json!({ "egress": { "destination": "socket", "type": "chat" }, "userId": user })
}

#[tokio::test(start_paused = true)]
async fn a_generic_event_is_said_once_by_an_instance_that_is_in_the_channel() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for (name, channels) in [("a", &["#one"][..]), ("b", &["#one", "#two"]), ("c", &["#one", "#three"])] {
        let mut node = cluster.ingress(name, channels).await;
        node.runs().await;
        nodes.push(node);
    }
    let world = &cluster.world;
    for n in 0..40 {
        for channel in ["#one", "#two", "#three"] {
            world.say(channel, &format!("{channel} {n}")).await;
        }
    }
    world.until_finalized(120).await;
    let outcomes = world.one_outcome_each(120).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    for channel in ["#one", "#two", "#three"] {
        let said: Vec<Vec<String>> = nodes.iter().map(|node| node.sink.texts(channel)).collect();
        let expected: Vec<String> = (0..40).map(|n| format!("{channel} {n}")).collect();
        assert_eq!(said.concat(), expected, "each once, in order, by one instance");
    }
    for node in nodes {
        assert_eq!(node.stop().await, Some(Ended::Stopped));
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_instance_cannot_say_another_says() {
    let cluster = Cluster::new();
    let mut a = cluster.ingress("a", &["#one"]).await;
    let mut b = cluster.ingress("b", &["#two"]).await;
    a.runs().await;
    b.runs().await;
    let world = &cluster.world;
    world.publish(&topic_of("a"), &[], event("#two", "elsewhere", json!({}))).await;
    world
        .publish(&topic_of("a"), &[], event("#none", "nowhere", json!({"metadata": {"deadlineMs": 3000}})))
        .await;
    world.until_finalized(2).await;
    let outcomes = world.one_outcome_each(2).await;
    assert_eq!((outcomes["elsewhere"].as_str(), outcomes["nowhere"].as_str()), ("SENT", "no_instance"));
    assert_eq!(b.sink.texts("#two"), ["elsewhere"]);
}

#[tokio::test(start_paused = true)]
async fn a_user_is_reached_at_the_gateway_that_has_the_connection() {
    let cluster = Cluster::new();
    let mut bot = cluster.ingress("bot", &["#one"]).await;
    let mut a = cluster.gateway("a").await;
    let mut b = cluster.gateway("b").await;
    for node in [&mut bot, &mut a, &mut b] {
        node.runs().await;
    }
    b.connect("alice").await;
    let world = &cluster.world;
    world.say_with("", "to alice", to("alice")).await;
    // Addressed to a gateway where she is not.
    let topic = Topic::api_egress_of(&InstanceId::parse("a").unwrap());
    world.publish(&topic, &[], event("", "to alice at a", to("alice"))).await;
    world.until_finalized(2).await;
    let outcomes = world.one_outcome_each(2).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    let mut said = b.sink.texts("@alice");
    said.sort();
    assert_eq!(said, ["to alice", "to alice at a"]);
    assert!(a.sink.said().is_empty() && bot.sink.said().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_offline_user_is_waited_for_and_then_given_up_once() {
    let cluster = Cluster::new();
    let mut a = cluster.gateway("a").await;
    let mut b = cluster.gateway("b").await;
    a.runs().await;
    b.runs().await;
    let world = &cluster.world;
    for n in 0..5 {
        world.say_with("", &format!("alice {n}"), to("alice")).await;
        world.say_with("", &format!("nobody {n}"), to("nobody")).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.finalized().await.is_empty());
    assert_eq!(world.held_and_pending().await, (0, 0), "what waits holds no slot");
    b.connect("alice").await;
    world.until_finalized(5).await;
    assert_eq!(b.sink.texts("@alice"), (0..5).map(|n| format!("alice {n}")).collect::<Vec<_>>());
    world.until_finalized(10).await;
    let outcomes = world.one_outcome_each(10).await;
    let given_up =
        outcomes.iter().filter(|(id, reason)| id.starts_with("nobody") && *reason == "user_offline");
    assert_eq!(given_up.count(), 5, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_addressed_to_an_instance_that_is_gone_or_never_was_is_taken_over() {
    let cluster = Cluster::new();
    let mut a = cluster.ingress("a", &["#one"]).await;
    let mut b = cluster.ingress("b", &["#one"]).await;
    a.runs().await;
    b.runs().await;
    let world = &cluster.world;
    a.sink.set_takes(Duration::from_secs(3600));
    for n in 0..5 {
        world.publish(&topic_of("a"), &[], event("#one", &format!("a {n}"), json!({}))).await;
        world.publish(&topic_of("ghost"), &[], event("#one", &format!("ghost {n}"), json!({}))).await;
    }
    world.until(LEASE * 3, async || !a.sink.said().is_empty()).await;
    a.kill().await;
    world.until_finalized(10).await;
    let outcomes = world.one_outcome_each(10).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    for name in ["a", "ghost"] {
        let said: Vec<String> =
            b.sink.texts("#one").into_iter().filter(|text| text.starts_with(name)).collect();
        assert_eq!(said, (0..5).map(|n| format!("{name} {n}")).collect::<Vec<_>>(), "in order, each once");
    }
}

#[tokio::test(start_paused = true)]
async fn who_lost_its_lease_begins_nothing_and_decides_nothing_that_was_taken_over() {
    let cluster = Cluster::new();
    let mut a = cluster.ingress("a", &["#one"]).await;
    let mut b = cluster.ingress("b", &["#one"]).await;
    a.runs().await;
    b.runs().await;
    let world = &cluster.world;
    // Its verdict comes long after its lease.
    a.sink.set_takes(Duration::from_secs(40));
    for n in 0..3 {
        world.publish(&topic_of("a"), &[], event("#one", &format!("{n}"), json!({}))).await;
    }
    world.until(LEASE, async || !a.sink.said().is_empty()).await;
    a.set_reachable(false);
    world.until_finalized(3).await;
    assert_eq!(a.ended().await, Ended::Lost);
    a.set_reachable(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let outcomes = world.one_outcome_each(3).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    assert_eq!(a.sink.texts("#one"), ["0"], "it began nothing more");
    assert_eq!(b.sink.texts("#one"), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn another_dispatches_when_the_dispatcher_is_gone() {
    let cluster = Cluster::new();
    let mut nodes = std::collections::VecDeque::new();
    for name in ["a", "b", "c"] {
        let mut node = cluster.ingress(name, &["#one"]).await;
        node.runs().await;
        nodes.push_back(node);
    }
    let world = &cluster.world;
    let mut n = 0;
    while let Some(node) = nodes.pop_front() {
        world.say("#one", &format!("{n}")).await;
        n += 1;
        world.until_finalized(n).await;
        if nodes.is_empty() {
            break;
        }
        node.kill().await;
    }
    let outcomes = world.one_outcome_each(3).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_user_of_two_gateways_gets_it_at_both_and_there_is_one_outcome() {
    for dispatcher_is_a_gateway in [true, false] {
        let cluster = Cluster::new();
        let mut bot = None;
        if !dispatcher_is_a_gateway {
            let mut node = cluster.ingress("bot", &["#one"]).await;
            node.runs().await;
            bot = Some(node);
        }
        let mut a = cluster.gateway("a").await;
        let mut b = cluster.gateway("b").await;
        a.runs().await;
        b.runs().await;
        a.connect("alice").await;
        b.connect("alice").await;
        let world = &cluster.world;
        world.until(LEASE, async || a.knows("alice") && b.knows("alice")).await;
        if let Some(bot) = &bot {
            world.until(LEASE, async || bot.knows("alice")).await;
        }
        for n in 0..5 {
            world.say_with("", &format!("{n}"), to("alice")).await;
        }
        world.until_finalized(5).await;
        let outcomes = world.one_outcome_each(5).await;
        assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
        for node in [&a, &b] {
            assert_eq!(node.sink.texts("@alice"), ["0", "1", "2", "3", "4"], "bot: {}", bot.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_fails_decides_nothing_while_another_may_succeed() {
    let cluster = Cluster::new();
    let mut a = cluster.gateway("a").await;
    let mut b = cluster.gateway("b").await;
    a.runs().await;
    b.runs().await;
    a.connect("alice").await;
    b.connect("alice").await;
    let cut = || Verdict::Unverified { code: "cut".into(), message: "gone".into() };
    a.sink.answers("one fails", [cut()]);
    a.sink.answers("both fail", [cut()]);
    b.sink.answers("both fail", [cut()]);
    b.sink.set_takes(Duration::from_secs(2));
    let world = &cluster.world;
    world.until(LEASE, async || a.knows("alice") && b.knows("alice")).await;
    world.say_with("", "one fails", to("alice")).await;
    world.say_with("", "both fail", to("alice")).await;
    world.until_finalized(2).await;
    let outcomes = world.one_outcome_each(2).await;
    assert_eq!((outcomes["one fails"].as_str(), outcomes["both fail"].as_str()), ("SENT", "unverified"));
}

#[tokio::test(start_paused = true)]
async fn a_users_token_may_bear_the_name_that_the_platform_gives_the_user() {
    let cluster = Cluster::new();
    let mut bot = cluster.ingress("bot", &["#one"]).await;
    let mut a = cluster.gateway("a").await;
    bot.runs().await;
    a.runs().await;
    let world = &cluster.world;
    let named = json!({
        "egress": { "destination": "socket" }, "userId": "1337", "auth": { "provider": "brook" }
    });
    world.say_with("", "before", named.clone()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    a.connect("brook:1337").await;
    world.until_finalized(1).await;
    world.say_with("", "after", named).await;
    world.until_finalized(2).await;
    let outcomes = world.one_outcome_each(2).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    assert_eq!(a.sink.texts("@brook:1337"), ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_gateway_said_of_its_users_is_removed_once_it_is_known_to_be_dead() {
    let cluster = Cluster::new();
    let mut a = cluster.gateway("a").await;
    let mut b = cluster.gateway("b").await;
    a.runs().await;
    b.runs().await;
    a.connect("alice").await;
    b.connect("alice").await;
    cluster.world.until(LEASE, async || b.knows("alice")).await;
    a.kill().await;
    assert_eq!(b.tidies().await, 0, "it may live");
    cluster.world.until(LEASE * 2, async || b.tidies().await == 1).await;
    let left = b.state.list(Space::Presence, None).await.unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].0.as_str().ends_with(".b"));
    let traces = Trace::of(&*b.state, "alice").await.unwrap();
    let instances: Vec<&str> = traces.iter().map(|trace| trace.instance.as_str()).collect();
    assert_eq!(instances, ["a"], "that it served her is not forgotten with it");
}
