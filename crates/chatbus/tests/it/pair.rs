//! Two instances that read one channel.

use std::collections::BTreeMap;
use std::time::Duration;

use chatbus_testkit::NatsServer;
use futures::join;

use crate::harness::{Chatbus, Ids, Moments, SandboxProcess, scale, settled_records};

const RATE: u64 = 200;

#[tokio::test]
async fn two_instances_on_one_channel_give_each_message_once_whichever_is_killed() {
    let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
    let instances = ["left", "right"].map(|id| {
        Chatbus::new().reading(&sandbox.irc, "hall").on_nats(&nats.url()).with("EGRESS_INSTANCE_ID", id)
    });
    let mut running = [instances[0].ready().await, instances[1].ready().await];
    sandbox.joined("hall", 2).await;
    let moments = Moments::new();
    let kills = scale(6_u32, 40);
    let time = Duration::from_secs(scale(12, 80));
    let faults = async {
        let mut killed = BTreeMap::<_, u32>::new();
        for _ in 0..kills {
            tokio::time::sleep(moments.between(200, 800)).await;
            let at = usize::from(moments.between(0, 1).as_millis() == 1);
            let pid = running[at].pid;
            running[at].kill().await;
            assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} is gone");
            *killed.entry(at).or_default() += 1;
            sandbox.joined("hall", 1).await;
            // The other one may go only when this one is in the channel again.
            running[at] = instances[at].ready().await;
            sandbox.joined("hall", 2).await;
        }
        killed
    };
    let (ids, killed) = join!(sandbox.flood("hall", time.as_secs() * RATE, RATE), faults);
    assert_eq!(killed.values().sum::<u32>(), kills);
    let records = settled_records(&nats.url(), "chatbus-ingress", |records| {
        let found = Ids::of_chat(records);
        let missing = ids.iter().filter(|id| !found.counts.contains_key(*id)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", ids.len())) }
    })
    .await;
    let repeated = Ids::of_chat(&records).counts.into_iter().filter(|(_, n)| *n > 1).collect::<Vec<_>>();
    assert!(repeated.is_empty(), "{repeated:?}");
    println!(
        "{kills} kills of one of two instances ({killed:?}): {} messages, each in the stream once",
        ids.len()
    );
}
