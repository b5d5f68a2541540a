//! What instances know of each other.

use chatbus_gateway::PresenceValue;
use chatbus_state::{Expected, Key, Space, State as _};

use crate::fixture::{Fixture, PATIENCE, store};

async fn presence(fixture: &Fixture, user: &str) -> Vec<(String, PresenceValue)> {
    let prefix = Key::parse(&Key::hex(user)).unwrap();
    let entries = fixture.state.list(Space::Presence, Some(&prefix)).await.unwrap();
    let read = |(key, entry): (Key, chatbus_state::Entry)| {
        let instance = key.parts().nth(1).unwrap().to_owned();
        (instance, serde_json::from_slice(&entry.value).unwrap())
    };
    entries.into_iter().map(read).collect()
}

async fn until_present(fixture: &Fixture, user: &str, expected: &[(&str, usize)]) {
    let waiting = async {
        loop {
            let there = presence(fixture, user).await;
            let there: Vec<_> = there.iter().map(|(i, value)| (i.as_str(), value.connections)).collect();
            if there == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("presence");
}

#[tokio::test]
async fn who_is_connected_is_written_and_removed_also_over_an_outage() {
    let store = store();
    let fixture = Fixture::on(&store, "gw-1", 1 << 20).await;
    let (secret, _) = fixture.token("twitch:1337").await;
    let (first, _) = fixture.connect(&secret).await;
    until_present(&fixture, "twitch:1337", &[("gw-1", 1)]).await;
    let (second, _) = fixture.connect(&secret).await;
    until_present(&fixture, "twitch:1337", &[("gw-1", 2)]).await;
    assert_eq!(presence(&fixture, "twitch:1337").await[0].1.epoch, "gw-1-epoch");
    drop(first);
    until_present(&fixture, "twitch:1337", &[("gw-1", 1)]).await;
    // While the state is away one leaves; somebody else's server forgets and remembers too much.
    fixture.state.set_connected(false);
    drop(second);
    fixture.until("gone", |f| f.gateway.connections() == 0).await;
    let other = store.open();
    let stale = Key::parse(&format!("{}.gw-1", Key::hex("ghost"))).unwrap();
    other.put(Space::Presence, &stale, "{}".into(), Expected::Anything).await.unwrap();
    fixture.state.set_connected(true);
    until_present(&fixture, "twitch:1337", &[]).await;
    until_present(&fixture, "ghost", &[]).await;
}

#[tokio::test]
async fn connections_on_living_instances_count_together() {
    let store = store();
    let here = Fixture::on(&store, "gw-1", 1 << 20).await;
    let there = Fixture::on(&store, "gw-2", 1 << 20).await;
    let (secret, _) = here.token("alice").await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(there.connect(&secret).await.0);
    }
    until_present(&here, "alice", &[("gw-2", 6)]).await;
    let key = Key::parse(&format!("{}.gw-3", Key::hex("alice"))).unwrap();
    let dead = serde_json::to_vec(&PresenceValue { epoch: "dead".to_owned(), connections: 10 }).unwrap();
    here.state.put(Space::Presence, &key, dead.into(), Expected::Anything).await.unwrap();
    for _ in 0..4 {
        clients.push(here.connect(&secret).await.0);
    }
    assert_eq!(here.try_connect(here.request(&secret)).await.err(), Some(429));
}

#[tokio::test]
async fn revoking_on_one_instance_closes_on_every() {
    let store = store();
    let here = Fixture::on(&store, "gw-1", 1 << 20).await;
    let there = Fixture::on(&store, "gw-2", 1 << 20).await;
    let (secret, token) = here.token("alice").await;
    let (mut a, _) = here.connect(&secret).await;
    let (mut b, _) = there.connect(&secret).await;
    chatbus_gateway::tokens::revoke(&*here.state, &token.id).await.unwrap();
    assert_eq!((a.closed().await.0, b.closed().await.0), (4401, 4401));
}
