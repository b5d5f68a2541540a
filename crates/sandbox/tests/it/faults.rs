//! What goes wrong because a test asked for it, and what hostile clients try.

use std::time::Duration;

use bytes::Bytes;
use chatbus_sandbox::twitch_irc::{Raw, Say, SentFilter, Who};
use chatbus_sandbox::{Sandbox, SandboxConfig, StartError};
use chatbus_testkit::test_runtime;

use crate::client::{Client, sandbox};

fn of(login: &str) -> Who {
    Who { login: Some(login.to_owned()), ..Who::default() }
}

#[tokio::test]
async fn connections_are_dropped_by_account_channel_number_or_all() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    let a = Client::joined(&sandbox, "a", "#one").await;
    let b = Client::joined(&sandbox, "b", "#one").await;
    let c = Client::joined(&sandbox, "c", "#two").await;
    let d = Client::joined(&sandbox, "d", "#two").await;
    assert_eq!(twitch.drop_connections(&of("nobody"), false), 0);
    assert_eq!(twitch.drop_connections(&of("a"), false), 1);
    assert!(!a.ends().await, "an end, not a reset");
    let number = twitch.connections().iter().find(|view| view.login.as_deref() == Some("b")).unwrap().id;
    assert_eq!(twitch.drop_connections(&Who { connection: Some(number), ..Who::default() }, true), 1);
    assert!(b.ends().await, "a reset");
    assert_eq!(twitch.drop_connections(&Who { channel: Some("two".into()), ..Who::default() }, false), 2);
    c.ends().await;
    d.ends().await;
    let after = Client::joined(&sandbox, "e", "#one").await;
    assert_eq!(twitch.drop_connections(&Who::default(), false), 1);
    after.ends().await;
}

#[tokio::test]
async fn a_frozen_connection_neither_reads_nor_writes_and_goes_on_where_it_was() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    assert_eq!(twitch.freeze(&of("bot"), true), 1);
    assert!(twitch.connections()[0].frozen);
    bot.send("PING :anyone\r\nPRIVMSG #hall :while frozen").await;
    twitch.say(&Say::new("hall", "ann", "unheard")).await.unwrap();
    assert!(bot.is_silent_for(Duration::from_millis(300)).await);
    assert!(twitch.sent(&SentFilter::default()).is_empty());
    twitch.freeze(&of("bot"), false);
    assert!(bot.line().await.ends_with(":unheard"));
    assert!(bot.line().await.contains("PONG"));
    assert!(bot.line().await.contains("USERSTATE"));
}

#[tokio::test]
async fn a_frozen_connection_can_be_dropped() {
    let sandbox = sandbox().await;
    let bot = Client::joined(&sandbox, "bot", "#hall").await;
    sandbox.twitch().freeze(&Who::default(), true);
    sandbox.twitch().drop_connections(&Who::default(), false);
    bot.ends().await;
}

#[tokio::test]
async fn reconnect_is_told_to_those_with_commands_and_closes_later_if_asked() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    let mut plain = Client::connect(sandbox.twitch().irc_addr()).await;
    plain.send("NICK justinfan1").await;
    plain.until(" 376 ").await;
    assert_eq!(sandbox.twitch().reconnect(&Who::default(), None), 1);
    assert_eq!(bot.line().await, ":tmi.twitch.tv RECONNECT");
    assert!(bot.pending().await.is_empty() && plain.pending().await.is_empty());
    sandbox.twitch().reconnect(&Who::default(), Some(Duration::from_millis(50)));
    assert_eq!(bot.line().await, ":tmi.twitch.tv RECONNECT");
    assert!(!bot.ends().await);
}

#[tokio::test]
async fn verdicts_can_be_withheld_and_slowed_down() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    twitch.set_modes("hall", |modes| modes.silent = true).unwrap();
    bot.send("PRIVMSG #hall :unanswered").await;
    assert!(bot.pending().await.is_empty());
    assert!(twitch.sent(&SentFilter::default())[0].accepted);
    twitch
        .set_modes("hall", |modes| {
            modes.silent = false;
            modes.verdict_delay_ms = 300;
        })
        .unwrap();
    bot.send("PRIVMSG #hall :answered late").await;
    assert!(bot.pending().await.is_empty());
    assert!(bot.line().await.contains("USERSTATE"));
}

#[tokio::test]
async fn a_server_that_does_not_accept_closes_at_once_and_later_accepts_again() {
    let sandbox = sandbox().await;
    sandbox.twitch().accept(false);
    Client::connect(sandbox.twitch().irc_addr()).await.ends().await;
    sandbox.twitch().accept(true);
    Client::logged_in(&sandbox, "bot").await;
    assert_eq!(sandbox.twitch().counters().connections_refused, 1);
}

#[tokio::test]
async fn raw_lines_arrive_as_exactly_these_bytes() {
    let sandbox = sandbox().await;
    let mut inside = Client::joined(&sandbox, "inside", "#hall").await;
    let mut outside = Client::logged_in(&sandbox, "outside").await;
    let lines: Vec<Bytes> = [
        &b"@id=1 :a!a@a.tmi.twitch.tv PRIVMSG #elsewhere :hi"[..],
        b"\xff\xfe not utf-8 \x80",
        b"nul \0 and cr \r inside",
        b"",
        b"   ",
        b"@;;=;a= :x",
    ]
    .map(Bytes::from_static)
    .to_vec();
    let raw = Raw { lines: lines.clone(), ..Raw::default() };
    let report = sandbox.twitch().raw(&raw).await.unwrap();
    assert_eq!((report.lines, report.connections), (6, 2));
    for line in &lines {
        assert_eq!(inside.bytes().await.as_deref(), Some(&line[..]));
        assert_eq!(outside.bytes().await.as_deref(), Some(&line[..]));
    }
    let only = Raw { channel: Some("#hall".into()), ..raw };
    assert_eq!(sandbox.twitch().raw(&only).await.unwrap().connections, 1);
    assert_eq!(inside.bytes().await.as_deref(), Some(&lines[0][..]));
    assert!(outside.pending().await.is_empty());
}

#[tokio::test]
async fn hostile_bytes_do_not_end_the_connection_or_the_server() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    bot.send_bytes(&vec![b'x'; 100_000]).await;
    bot.send_bytes(
        b"\r\n\0\0\xff\xfe\r\n@@@@ ::: \r\n: \r\nJOIN\r\nJOIN ,,,#\xff,\r\nPART\r\nCAP\r\nPRIVMSG #\r\n",
    )
    .await;
    let mut flood = Vec::new();
    for n in 0..20_000 {
        flood.extend_from_slice(format!("JOIN #h{n}\r\n").as_bytes());
    }
    bot.send_bytes(&flood).await;
    bot.send("PRIVMSG #hall :still here").await;
    bot.until("USERSTATE #hall").await;
    let view = &sandbox.twitch().connections()[0];
    assert_eq!(view.overlong, 1);
    assert!(view.channels.len() <= 20, "{}", view.channels.len());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_the_others_are_not() {
    let config = SandboxConfig { outbox_bytes: 64 * 1024, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config, test_runtime(1)).await.unwrap();
    sandbox.twitch().set_rules(|rules| *rules = chatbus_sandbox::twitch_irc::Rules::unlimited());
    let deaf = Client::joined(&sandbox, "deaf", "#hall").await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    let mut sent = 0;
    while sandbox.twitch().counters().too_slow == 0 {
        for _ in 0..100 {
            bot.send(&format!("PRIVMSG #hall :{}", "x".repeat(480))).await;
        }
        sent += 100;
        bot.pending().await;
        assert!(sent < 1_000_000, "kernel buffers are smaller than this");
    }
    deaf.ends().await;
    assert!(bot.say("#hall", "and on").await.contains("USERSTATE"));
}

#[tokio::test]
async fn connections_over_the_bound_are_closed() {
    let config = SandboxConfig { max_connections: 2, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config, test_runtime(1)).await.unwrap();
    let one = Client::logged_in(&sandbox, "one").await;
    let _two = Client::logged_in(&sandbox, "two").await;
    Client::connect(sandbox.twitch().irc_addr()).await.ends().await;
    sandbox.twitch().drop_connections(&of("one"), false);
    one.ends().await;
    while sandbox.twitch().connections().len() > 1 {
        tokio::task::yield_now().await;
    }
    Client::logged_in(&sandbox, "three").await;
}

#[tokio::test]
async fn a_client_that_never_answers_a_ping_is_disconnected() {
    let config = SandboxConfig { ping_interval: Duration::from_millis(100), ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config, test_runtime(1)).await.unwrap();
    let mut good = Client::joined(&sandbox, "good", "#hall").await;
    let bad = Client::joined(&sandbox, "bad", "#hall").await;
    tokio::join!(bad.ends(), async {
        for _ in 0..5 {
            good.until("PING :tmi.twitch.tv").await;
            good.send("PONG :tmi.twitch.tv").await;
        }
    });
    assert_eq!(sandbox.twitch().connections().len(), 1);
}

#[tokio::test]
async fn sandboxes_know_nothing_of_each_other_and_stop_whole() {
    let (one, two) = (sandbox().await, sandbox().await);
    let a = Client::joined(&one, "a", "#hall").await;
    let mut b = Client::joined(&two, "b", "#hall").await;
    assert_eq!(one.twitch().say(&Say::new("hall", "ann", "in one")).await.unwrap()[0].told, 1);
    let irc = one.twitch().irc_addr();
    let control = one.control_addr();
    one.stop().await;
    a.ends().await;
    assert!(tokio::net::TcpStream::connect(irc).await.is_err());
    assert!(tokio::net::TcpStream::connect(control).await.is_err());
    assert!(b.pending().await.is_empty());
}

#[tokio::test]
async fn an_address_that_is_not_loopback_is_refused() {
    let irc_addr = "0.0.0.0:0".parse().unwrap();
    let config = SandboxConfig { irc_addr, ..SandboxConfig::default() };
    let error = Sandbox::start(config, test_runtime(1)).await.expect_err("not loopback");
    assert!(matches!(error, StartError::NotLoopback(addr) if addr == irc_addr));
}

#[tokio::test]
async fn a_reset_forgets_orders_and_records_but_no_connection() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    twitch.set_modes("hall", |modes| modes.subs_only = true).unwrap();
    twitch.mark_token("oauth:token_of_bot", true).unwrap();
    assert!(bot.say("#hall", "one").await.contains("msg_subsonly"));
    twitch.reset(false);
    assert!(twitch.sent(&SentFilter::default()).is_empty());
    assert!(bot.say("#hall", "two").await.contains("USERSTATE"));
    assert_eq!(twitch.sent(&SentFilter::default())[0].seq, 2);
    Client::logged_in(&sandbox, "bot").await;
    twitch.reset(true);
    bot.ends().await;
}
