//! Clients that come back to another instance than the one they left.

use std::time::Duration;

use chatbus_connector::Verdict;
use chatbus_gateway::PresenceValue;
use chatbus_state::{Expected, Key, MemoryStateStore, Space, State as _, Trace};
use serde_json::{Value, json};

use crate::fixture::{Client, Fixture, PATIENCE, store};

/// Several gateways on one shared state.
struct World {
    store: MemoryStateStore,
    at: Vec<Fixture>,
    secret: String,
}

/// A place to resume from.
type Place = (Value, u64);

// === impl World ===

impl World {
    async fn new(gateways: &[&str]) -> Self {
        let store = store();
        let mut at = Vec::new();
        for name in gateways {
            at.push(Fixture::on(&store, name, 1 << 20).await);
        }
        let (secret, _) = at[0].token("alice").await;
        Self { store, at, secret }
    }

    /// Alice connects here; what she is told is her place.
    async fn connect(&self, here: usize) -> (Client, Place) {
        let (client, ready) = self.at[here].connect(&self.secret).await;
        (client, place(&ready["payload"]))
    }

    /// Sends to Alice where she is, and sees that it is sent.
    async fn send(&self, to: &[usize], delivery: &str) {
        for here in to {
            let outbound = self.at[*here].outbound("alice", delivery, delivery);
            let sent = self.at[*here].sink.send(outbound).await;
            assert_eq!(sent, Verdict::Delivered { provider_message_id: None });
        }
    }

    /// Alice leaves here, and everybody can know it.
    async fn leave(&self, here: usize, client: Client) {
        drop(client);
        self.at[here].until("she is gone", |f| f.gateway.connections() == 0).await;
        self.until_present(here, false).await;
    }

    async fn until_present(&self, here: usize, is_present: bool) {
        let fixture = &self.at[here];
        let instance = fixture.gateway.debug()["instance"].as_str().unwrap().to_owned();
        let key = Key::parse(&format!("{}.{instance}", Key::hex("alice"))).unwrap();
        let waiting = async {
            while fixture.state.get(Space::Presence, &key).await.unwrap().is_some() != is_present {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("presence");
    }

    /// Whoever is still connected here leaves without a word: nobody writes to the state any more.
    fn die(&self, here: usize) {
        self.at[here].state.set_connected(false);
    }
}

/// Lets three seconds pass, more than a question may take.
async fn pass() {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3)).await;
    tokio::time::resume();
}

fn place(payload: &Value) -> Place {
    (payload["epoch"].clone(), payload["seq"].as_u64().unwrap())
}

/// Resumes; gives the deliveries that come, or none when it is not recovered.
async fn resume(client: &mut Client, (epoch, seq): &Place) -> Option<Vec<String>> {
    client.send(json!({"type": "connection.resume", "payload": {"epoch": epoch, "seq": seq}})).await;
    let resumed = client.next().await;
    assert_eq!(resumed["type"], "connection.resumed", "{resumed}");
    let messages = resumed["payload"]["messages"].as_u64().unwrap();
    let is_recovered = resumed["payload"]["recovered"].as_bool().unwrap();
    let mut ids = Vec::new();
    for _ in 0..messages {
        let frame = client.next().await;
        assert_eq!(frame["type"], "chat.message.received", "{frame}");
        ids.push(frame["metadata"]["id"].as_str().unwrap().to_owned());
    }
    // And no more than was said.
    client.works().await;
    assert!(is_recovered || ids.is_empty());
    is_recovered.then_some(ids)
}

fn ids(ids: &[&str]) -> Option<Vec<String>> {
    Some(ids.iter().map(|&id| id.to_owned()).collect())
}

/// The next delivery's id, and its place in an epoch.
async fn hears(client: &mut Client, place: &mut Place) -> String {
    let frame = client.next().await;
    place.1 = frame["metadata"]["seq"].as_u64().unwrap();
    frame["metadata"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_was_missed_on_the_instance_that_was_left_comes_from_another() {
    let world = World::new(&["gw-1", "gw-2"]).await;
    let (mut client, mut left) = world.connect(0).await;
    let (other, _) = world.connect(0).await;
    world.send(&[0], "a").await;
    assert_eq!(hears(&mut client, &mut left).await, "a");
    drop(client);
    world.at[0].until("one is gone", |f| f.gateway.connections() == 1).await;
    world.send(&[0], "b").await;
    world.send(&[0], "c").await;
    let (mut back, here) = world.connect(1).await;
    assert_eq!(resume(&mut back, &left).await, ids(&["b", "c"]));
    // With the other one gone as well it is the same.
    world.leave(0, other).await;
    assert_eq!(resume(&mut back, &left).await, ids(&["b", "c"]));
    // Long enough for nobody to take what was before for what came after.
    pass().await;
    assert_eq!(resume(&mut back, &here).await, ids(&[]));
    assert_eq!(resume(&mut back, &(left.0.clone(), 77)).await, None, "a place that never was");
    assert_eq!(resume(&mut back, &(json!("nobody's"), 0)).await, None, "an epoch nobody knows");
    for space in [Space::Questions, Space::Answers] {
        let waiting = async {
            while !world.at[1].state.list(space, None).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("nothing is left in the state");
    }
}

#[tokio::test]
async fn what_several_sent_comes_once_in_the_order_of_time_without_what_the_client_has() {
    let world = World::new(&["gw-1", "gw-2", "gw-3"]).await;
    let (mut client, mut left) = world.connect(0).await;
    let (phone, _) = world.connect(1).await;
    world.send(&[0, 1], "had").await;
    assert_eq!(hears(&mut client, &mut left).await, "had");
    // Only to where it no longer is, to both, and only to the other.
    let (second, _) = world.connect(0).await;
    drop(client);
    world.at[0].until("one is gone", |f| f.gateway.connections() == 1).await;
    world.send(&[0], "a").await;
    world.send(&[1, 0], "b").await;
    world.leave(0, second).await;
    world.send(&[1], "c").await;
    world.send(&[1], "d").await;
    let (mut back, _) = world.connect(2).await;
    world.send(&[1, 2], "live").await;
    assert_eq!(back.next().await["metadata"]["id"], "live");
    assert_eq!(resume(&mut back, &left).await, ids(&["a", "b", "c", "d"]), "not again what came itself");
    drop(phone);
}

#[tokio::test]
async fn who_moves_on_and_on_is_sent_what_came_after_the_last_place_and_not_what_was_before_it() {
    let world = World::new(&["gw-1", "gw-2", "gw-3"]).await;
    let (mut client, mut at_first) = world.connect(0).await;
    world.send(&[0], "a").await;
    assert_eq!(hears(&mut client, &mut at_first).await, "a");
    let (stays, _) = world.connect(0).await;
    drop(client);
    world.at[0].until("one is gone", |f| f.gateway.connections() == 1).await;
    world.send(&[0], "b").await;
    let (mut client, mut at_second) = world.connect(1).await;
    assert_eq!(resume(&mut client, &at_first).await, ids(&["b"]));
    world.send(&[0, 1], "c").await;
    assert_eq!(hears(&mut client, &mut at_second).await, "c");
    pass().await;
    world.leave(1, client).await;
    pass().await;
    world.send(&[0], "d").await;
    world.leave(0, stays).await;
    let (mut client, _) = world.connect(2).await;
    assert_eq!(resume(&mut client, &at_second).await, ids(&["d"]));
    assert_eq!(resume(&mut client, &at_first).await, ids(&["b", "c", "d"]));
}

#[tokio::test]
async fn one_that_served_the_user_and_is_gone_makes_it_unknown() {
    let world = World::new(&["gw-1", "gw-2", "gw-3"]).await;
    let (client, left) = world.connect(0).await;
    let (phone, _) = world.connect(1).await;
    world.until_present(1, true).await;
    world.send(&[0, 1], "a").await;
    world.leave(0, client).await;
    world.send(&[1], "b").await;
    let (mut back, _) = world.connect(2).await;
    assert_eq!(resume(&mut back, &left).await, ids(&["a", "b"]));
    // Out of reach: it neither answers nor is known to be dead.
    world.die(1);
    let began = world.at[2].runtime.clock.instant();
    assert_eq!(resume(&mut back, &left).await, None);
    let took = world.at[2].runtime.clock.instant() - began;
    assert!((Duration::from_millis(900)..Duration::from_millis(1500)).contains(&took), "{took:?}");
    world.at[1].state.set_connected(true);
    let answered = async { while resume(&mut back, &left).await != ids(&["a", "b"]) {} };
    tokio::time::timeout(PATIENCE, answered).await.expect("it answers again");
    drop(phone);
    // Dead, as a trace tells: that is known at once.
    let dead = Trace { instance: "gw-4".to_owned(), epoch: "dead".to_owned() };
    dead.leave(&*world.at[2].state, "alice").await.unwrap();
    let began = world.at[2].runtime.clock.instant();
    assert_eq!(resume(&mut back, &left).await, None);
    assert!(world.at[2].runtime.clock.instant() - began < Duration::from_millis(500));
}

#[tokio::test]
async fn what_an_earlier_life_of_an_instance_sent_is_not_passed_over() {
    let world = World::new(&["gw-1", "gw-2"]).await;
    // A life that died while Alice was with it: its presence is still there when the next begins.
    let key = Key::parse(&format!("{}.gw-3", Key::hex("alice"))).unwrap();
    let value = PresenceValue { epoch: "an earlier life".to_owned(), connections: 1 };
    let value = serde_json::to_vec(&value).unwrap();
    world.at[0].state.put(Space::Presence, &key, value.into(), Expected::Anything).await.unwrap();
    let (client, left) = world.connect(0).await;
    let next = Fixture::on(&world.store, "gw-3", 1 << 20).await;
    let (second, _) = next.connect(&world.secret).await;
    let traces = async {
        loop {
            let traces = Trace::of(&*next.state, "alice").await.unwrap();
            if let [Trace { instance, epoch }] = &traces[..] {
                assert_eq!((instance.as_str(), epoch.as_str()), ("gw-3", "an earlier life"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, traces).await.expect("a trace");
    world.leave(0, client).await;
    let (mut back, _) = world.connect(1).await;
    assert_eq!(resume(&mut back, &left).await, None);
    drop(second);
}

#[tokio::test]
async fn what_another_has_given_up_makes_it_unknown_only_where_it_may_have_been_missed() {
    let world = World::new(&["gw-1", "gw-2", "gw-3"]).await;
    let (mut client, mut left) = world.connect(0).await;
    let (phone, _) = world.connect(1).await;
    for n in 0..120 {
        world.send(&[1], &format!("phone {n}")).await;
    }
    world.send(&[0, 1], "a").await;
    assert_eq!(hears(&mut client, &mut left).await, "a");
    pass().await;
    world.leave(0, client).await;
    world.send(&[1], "b").await;
    let (mut back, _) = world.connect(2).await;
    assert_eq!(resume(&mut back, &left).await, ids(&["b"]), "what it gave up was before");
    for n in 0..120 {
        world.send(&[1], &format!("more {n}")).await;
    }
    assert_eq!(resume(&mut back, &left).await, None);
    drop(phone);
}

#[tokio::test]
async fn more_than_a_bus_message_holds_comes_whole_and_more_than_a_history_holds_does_not() {
    let world = World::new(&["gw-1", "gw-2"]).await;
    let (client, left) = world.connect(0).await;
    let (other, _) = world.connect(0).await;
    drop(client);
    world.at[0].until("one is gone", |f| f.gateway.connections() == 1).await;
    let reading = async |mut other: Client, n: usize| {
        for _ in 0..n {
            other.next().await;
        }
        other
    };
    let large = "\u{1F600}\"".repeat(24 * 1024);
    let send = async |n: usize| {
        let outbound = world.at[0].outbound("alice", &format!("large {n}"), &large);
        let _ = world.at[0].sink.send(outbound).await;
    };
    let sending = async {
        for n in 0..3 {
            send(n).await;
        }
    };
    let (other, ()) = tokio::join!(reading(other, 3), sending);
    let (mut back, _) = world.connect(1).await;
    assert_eq!(resume(&mut back, &left).await, ids(&["large 0", "large 1", "large 2"]));
    let (other, ()) = tokio::join!(reading(other, 1), send(3));
    assert_eq!(resume(&mut back, &left).await, None, "the first is given up");
    drop(other);
}

#[tokio::test]
async fn who_only_comes_and_goes_loses_nothing() {
    let world = World::new(&["gw-1", "gw-2"]).await;
    let (mut client, first) = world.connect(0).await;
    // The first time is longer ago than anybody is asked for, at last; it never was away for long.
    for _ in 0..20 {
        world.leave(0, client).await;
        client = world.connect(0).await.0;
        world.until_present(0, true).await;
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(20)).await;
        tokio::time::resume();
        client.works().await;
    }
    assert_eq!(resume(&mut client, &first).await, ids(&[]));
    world.leave(0, client).await;
    let (mut client, _) = world.connect(1).await;
    assert_eq!(resume(&mut client, &first).await, ids(&[]));
}

#[tokio::test]
async fn values_of_third_parties_are_no_answers_and_do_no_harm() {
    let world = World::new(&["gw-1", "gw-2"]).await;
    let state = &world.at[0].state;
    let junk: [&[u8]; 4] = [b"", b"{", b"{\"epoch\":\"gw-1-epoch\"}", &[0xff; 60_000]];
    for (n, value) in junk.into_iter().enumerate() {
        for key in [format!("gw-1.{n}"), format!("gw-1.{n}.x"), "gw-1".to_owned()] {
            let key = Key::parse(&key).unwrap();
            state.put(Space::Questions, &key, value.into(), Expected::Anything).await.unwrap();
            let key = Key::parse(&format!("{}.{n}", Key::hex("alice"))).unwrap();
            state.put(Space::Served, &key, value.into(), Expected::Anything).await.unwrap();
        }
    }
    let (client, left) = world.connect(0).await;
    world.send(&[0], "a").await;
    world.leave(0, client).await;
    let (mut back, _) = world.connect(1).await;
    assert_eq!(resume(&mut back, &left).await, ids(&["a"]));
}
