//! The fast paths: right at any speed. How fast they are, `examples/speed.rs` measures.

use std::collections::HashSet;

use chatbus_sandbox::twitch_irc::{Flood, Rules, SentFilter};
use chatbus_sandbox::{Sandbox, SandboxConfig};
use chatbus_testkit::test_runtime;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::client::{Client, sandbox, tags};

fn flood(count: u64, rate: Option<f64>) -> Flood {
    Flood { channel: "hall".into(), count, rate, text_bytes: 80, record_times: true }
}

#[tokio::test]
async fn a_flood_reaches_everybody_whole_and_each_line_has_its_own_id() {
    let sandbox = sandbox().await;
    let mut one = Client::joined(&sandbox, "justinfan1", "#hall").await;
    let mut plain = Client::connect(sandbox.twitch().irc_addr()).await;
    plain.send("NICK justinfan2\r\nJOIN #hall").await;
    plain.until(" 366 ").await;
    let asked = flood(20_000, None);
    let (report, ids, plain_lines) = tokio::join!(
        sandbox.twitch().flood(&asked),
        async {
            let mut ids = HashSet::new();
            while ids.len() < 20_000 {
                let line = one.until("PRIVMSG").await;
                assert!(ids.insert(tags(&line)["id"].to_owned()), "{line}");
            }
            ids
        },
        async {
            let mut lines = 0;
            while lines < 20_000 {
                assert!(plain.line().await.starts_with(":flood_viewer!"));
                lines += 1;
            }
            lines
        }
    );
    let report = report.unwrap();
    assert_eq!((report.sent, report.times.len(), plain_lines), (20_000, 20_000, 20_000));
    assert!((0..20_000).all(|n| ids.contains(&report.id(n))));
    assert_eq!(report.number_of(&report.id(19_999)), Some(19_999));
    assert_eq!(report.number_of(&report.id(20_000)), None);
    assert_eq!(report.number_of("x"), None);
}

#[tokio::test]
async fn a_flood_at_a_rate_keeps_it_and_one_into_an_empty_channel_is_refused() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.twitch().flood(&flood(1, None)).await.expect_err("nobody there").field, "channel");
    let mut one = Client::joined(&sandbox, "justinfan1", "#hall").await;
    let report = sandbox.twitch().flood(&flood(200, Some(1000.0))).await.unwrap();
    let took = report.finished.duration_since(report.started).as_millis();
    assert!(took >= 195, "{took} ms");
    for _ in 0..200 {
        one.until("PRIVMSG").await;
    }
}

#[tokio::test]
async fn a_client_that_sends_faster_than_it_reads_is_slowed_down_and_not_cut_off() {
    let config = SandboxConfig { outbox_bytes: 2 * 1024 * 1024, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config, test_runtime(1)).await.unwrap();
    let twitch = sandbox.twitch();
    twitch.set_rules(|rules| *rules = Rules { sink: true, ..Rules::unlimited() });
    let bot = Client::joined(&sandbox, "bot", "#hall").await;
    let lines = "PRIVMSG #hall :one of very many\r\n".repeat(100_000);
    let (mut read, mut write) = bot.split();
    let mut verdicts = 0;
    tokio::join!(async { write.write_all(lines.as_bytes()).await.expect("not cut off") }, async {
        while verdicts < 100_000 {
            let mut line = String::new();
            assert!(read.read_line(&mut line).await.expect("not cut off") > 0);
            verdicts += u32::from(line.contains("USERSTATE"));
        }
    });
    assert_eq!(twitch.counters().too_slow, 0);
}

#[tokio::test]
async fn a_sink_counts_with_times_and_keeps_no_text() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    twitch.set_rules(|rules| *rules = Rules { sink: true, ..Rules::unlimited() });
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    for n in 0..500 {
        bot.send(&format!("PRIVMSG #hall :{n} and more")).await;
    }
    twitch.wait_for_sent(500).await;
    let report = twitch.sink();
    assert_eq!((report.received, report.accepted), (500, 500));
    assert!(report.first <= report.last);
    let arrivals = twitch.take_arrivals();
    let numbers: Vec<u64> = arrivals.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    assert!(twitch.take_arrivals().is_empty());
    assert!(twitch.sent(&SentFilter::default()).is_empty());
    let verdicts = bot.pending().await;
    assert_eq!(verdicts.iter().filter(|line| line.contains("USERSTATE")).count(), 500);
}
