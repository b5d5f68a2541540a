//! Three servers that replicate to each other.

use std::collections::BTreeSet;

use chatbus_bus::{Bus as _, Publish as _, Settlement};
use chatbus_bus_nats::NatsConfig;
use chatbus_event::Topic;
use chatbus_testkit::{NatsConfig as ServerConfig, NatsServer};

use crate::harness::{ACK_WAIT, connected, eventually, join, kept_ids, message, next, open, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_the_death_of_its_leader() {
    // Less room than is asked for, so that streams shrink in a cluster too.
    let settings = ServerConfig { max_file_store: Some(8 << 30), ..ServerConfig::default() };
    let servers = NatsServer::start_cluster(3, &settings).await;
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    let config =
        NatsConfig { replicas: 3, ack_wait: ACK_WAIT, ..NatsConfig::default().with_urls(&urls.join(",")) };
    let bus = open(config).await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 64).await;
    let third_party = async_nats::connect(urls[1].clone()).await.expect("it works");
    let stream =
        async_nats::jetstream::new(third_party).get_stream("chatbus-ingress").await.expect("it works");
    let cluster = stream.cached_info().cluster.clone().expect("a replicated stream");
    assert_eq!(stream.cached_info().config.num_replicas, 3);
    let leader = cluster.leader.expect("a leader");
    let at: usize = leader.strip_prefix('n').and_then(|n| n.parse().ok()).expect("servers are n0 to n2");

    let mut expected = Vec::new();
    for n in 0..300 {
        if n == 100 {
            servers[at].kill();
        }
        let id = format!("m-{n:03}");
        eventually("it is stored", || async {
            connected(&*bus).await;
            bus.publish(&topic, message(&id)).await.ok()
        })
        .await;
        expected.push(id);
    }
    assert!(!servers[at].is_running());
    connected(&*bus).await;
    assert_eq!(kept_ids(&*bus, &topic).await, expected);
    let mut got = BTreeSet::new();
    within("every message comes", async {
        while got.len() < expected.len() {
            let delivery = next(&mut member).await;
            got.insert(delivery.record().message.id.to_string());
            // While the cluster votes it may not be told; the message then comes again.
            let _ = delivery.settle(Settlement::Ack).await;
        }
    })
    .await;
    bus.close().await;
}
