//! Capabilities, logins and joins.

use std::time::Duration;

use chatbus_sandbox::twitch_irc::{Said, Say, Since};
use chatbus_sandbox::{Sandbox, SandboxConfig};
use chatbus_testkit::test_runtime;

use crate::client::{ALL_CAPS, Client, sandbox};

#[tokio::test]
async fn a_client_with_a_token_is_greeted_as_by_twitch() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
    client.send("CAP LS 302").await;
    assert_eq!(
        client.line().await,
        ":tmi.twitch.tv CAP * LS :twitch.tv/commands twitch.tv/membership twitch.tv/tags"
    );
    client.send("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nCAP END").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
    client.send("PASS oauth:abc\r\nNICK MyBot").await;
    for start in ["001 mybot :Welcome, GLHF!", "002", "003", "004", "375", "372", "376"] {
        let line = client.line().await;
        assert!(line.starts_with(&format!(":tmi.twitch.tv {start}")), "{line}");
    }
    let state = client.line().await;
    assert!(state.ends_with(" :tmi.twitch.tv GLOBALUSERSTATE"), "{state}");
    assert!(state.starts_with("@badge-info=;badges=;color=#") && state.contains(";user-id="), "{state}");
    let logins = sandbox.twitch().logins(Since::Start);
    assert_eq!((logins.len(), logins[0].login.as_str(), logins[0].accepted), (1, "mybot", true));
}

#[tokio::test]
async fn capabilities_are_given_all_or_none_and_without_them_lines_are_plain() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
    client.send("CAP REQ :twitch.tv/tags example.com/none").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * NAK :twitch.tv/tags example.com/none");
    client.send("CAP LIST").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * LIST :");
    client.send("PASS oauth:abc\r\nNICK bot\r\nJOIN #hall").await;
    client.until(" 376 ").await;
    assert_eq!(client.line().await, ":bot!bot@bot.tmi.twitch.tv JOIN #hall");
    assert_eq!(client.line().await, ":bot.tmi.twitch.tv 353 bot = #hall :bot");
    assert_eq!(client.line().await, ":bot.tmi.twitch.tv 366 bot #hall :End of /NAMES list");
    client.send("PRIVMSG #hall :hello\r\nPRIVMSG #hall :hello").await;
    assert_eq!(client.pending().await, [""; 0]);
    let said =
        sandbox.twitch().say(&chatbus_sandbox::twitch_irc::Say::new("hall", "ann", "hi")).await.unwrap();
    assert_eq!(said[0].told, 1);
    assert_eq!(client.line().await, ":ann!ann@ann.tmi.twitch.tv PRIVMSG #hall :hi");
}

#[tokio::test]
async fn an_anonymous_client_reads_with_any_password_and_cannot_speak() {
    let sandbox = sandbox().await;
    for first in ["", "PASS SCHMOOPIIE\r\n", "PASS oauth:\r\n"] {
        let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
        client.send(&format!("{ALL_CAPS}\r\n{first}NICK justinfan123\r\nJOIN #hall")).await;
        client.until(":tmi.twitch.tv 001 justinfan123 ").await;
        let lines = client.pending().await;
        assert!(!lines.iter().any(|line| line.contains("USERSTATE")), "{lines:?}");
        assert!(lines.last().is_some_and(|line| line.contains("ROOMSTATE #hall")), "{lines:?}");
        client.send("PRIVMSG #hall :let me speak").await;
        assert_eq!(client.pending().await, [""; 0]);
        client.send("QUIT").await;
        client.ends().await;
    }
    let sent = sandbox.twitch().sent(&Default::default());
    assert!(sent.iter().all(|m| !m.accepted && m.code.as_deref() == Some("anonymous")), "{sent:?}");
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn a_login_that_fails_says_why_and_may_be_tried_again() {
    let sandbox = sandbox().await;
    sandbox.twitch().mark_token("oauth:worn_out", true).unwrap();
    sandbox.twitch().mark_login("gone", true).unwrap();
    let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
    for (lines, why) in [
        ("PASS oauth:worn_out\r\nNICK bot", "Login authentication failed"),
        ("PASS oauth:fine\r\nNICK gone", "Login authentication failed"),
        ("PASS fine\r\nNICK bot", "Improperly formatted auth"),
        ("PASS oauth:\r\nNICK bot", "Improperly formatted auth"),
        ("PASS oauth:fine\r\nNICK not/a/name", "Login unsuccessful"),
    ] {
        client.send(lines).await;
        assert_eq!(client.line().await, format!(":tmi.twitch.tv NOTICE * :{why}"), "{lines}");
    }
    client.send("JOIN #hall\r\nPRIVMSG #hall :not yet").await;
    assert_eq!(client.pending().await, [""; 0]);
    sandbox.twitch().mark_token("worn_out", false).unwrap();
    client.send("PASS oauth:worn_out\r\nNICK bot").await;
    assert!(client.line().await.contains(" 001 bot "));
}

#[tokio::test]
async fn a_client_without_password_that_is_not_anonymous_is_refused_and_later_disconnected() {
    let config = SandboxConfig { login_grace: Duration::from_millis(100), ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config, test_runtime(1)).await.unwrap();
    let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
    client.send("NICK bot").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv NOTICE * :Login unsuccessful");
    assert!(!client.ends().await, "closed in order");
}

#[tokio::test]
async fn the_twenty_first_login_in_ten_seconds_is_refused() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
    for _ in 0..20 {
        client.send("PASS wrong\r\nNICK bot").await;
        assert!(client.line().await.ends_with("Improperly formatted auth"));
    }
    client.send("PASS oauth:fine\r\nNICK bot").await;
    assert!(client.line().await.ends_with("Login unsuccessful"));
}

#[tokio::test]
async fn a_list_of_channels_is_joined_with_the_state_of_each() {
    let sandbox = sandbox().await;
    let mut client = Client::logged_in(&sandbox, "bot").await;
    client.send("JOIN #One,#two").await;
    for channel in ["one", "two"] {
        assert_eq!(client.line().await, format!(":bot!bot@bot.tmi.twitch.tv JOIN #{channel}"));
        assert_eq!(client.line().await, format!(":bot.tmi.twitch.tv 353 bot = #{channel} :bot"));
        assert!(client.line().await.contains(" 366 bot "));
        let state = client.line().await;
        assert!(state.contains(";mod=0;") && state.ends_with(&format!("USERSTATE #{channel}")), "{state}");
        let room = client.line().await;
        assert!(room.starts_with("@emote-only=0;followers-only=-1;r9k=0;room-id="), "{room}");
        assert!(
            room.ends_with(&format!(";slow=0;subs-only=0 :tmi.twitch.tv ROOMSTATE #{channel}")),
            "{room}"
        );
    }
    client.send("JOIN #one\r\nJOIN nothing\r\nPART #one\r\nPART #one").await;
    assert_eq!(client.pending().await, [":bot!bot@bot.tmi.twitch.tv PART #one"]);
    let joins = sandbox.twitch().joins(Since::Start);
    let seen: Vec<_> = joins.iter().map(|join| (join.channel.as_str(), join.code)).collect();
    assert_eq!(
        seen,
        [("one", None), ("two", None), ("one", Some("already_joined")), ("nothing", Some("not_a_channel"))]
    );
}

#[tokio::test]
async fn who_has_left_a_channel_hears_nothing_of_it_and_may_come_again() {
    let sandbox = sandbox().await;
    let mut other = Client::joined(&sandbox, "other", "#one").await;
    let mut client = Client::joined(&sandbox, "bot", "#one,#two,#three").await;
    other.until("JOIN #one").await;
    client.send("PART #ONE,#two\r\nPART #never").await;
    let parted = |channel: &str| format!(":bot!bot@bot.tmi.twitch.tv PART {channel}");
    assert_eq!(client.pending().await, [parted("#one"), parted("#two")]);
    assert_eq!(other.line().await, parted("#one"));
    let told = |said: Vec<Said>| said.iter().map(|said| said.told).sum::<usize>();
    assert_eq!(told(sandbox.twitch().say(&Say::new("two", "ada", "anybody?")).await.expect("said")), 0);
    assert_eq!(told(sandbox.twitch().say(&Say::new("three", "ada", "hello")).await.expect("said")), 1);
    assert!(client.line().await.ends_with("PRIVMSG #three :hello"));
    client.send("JOIN #one").await;
    assert_eq!(client.line().await, ":bot!bot@bot.tmi.twitch.tv JOIN #one");
    client.until(" ROOMSTATE #one").await;
}

#[tokio::test]
async fn members_hear_of_each_others_coming_and_going() {
    let sandbox = sandbox().await;
    let mut first = Client::joined(&sandbox, "first", "#hall").await;
    let mut second = Client::logged_in(&sandbox, "second").await;
    second.send("JOIN #hall").await;
    assert_eq!(second.until(" 353 ").await, ":second.tmi.twitch.tv 353 second = #hall :first second");
    assert_eq!(first.line().await, ":second!second@second.tmi.twitch.tv JOIN #hall");
    second.send("QUIT").await;
    assert!(!second.ends().await);
    assert_eq!(first.line().await, ":second!second@second.tmi.twitch.tv PART #hall");
}

#[tokio::test]
async fn joins_over_twenty_in_ten_seconds_are_not_answered_and_are_on_record() {
    let sandbox = sandbox().await;
    let mut client = Client::logged_in(&sandbox, "bot").await;
    let channels: Vec<String> = (0..25).map(|n| format!("#c{n}")).collect();
    client.send(&format!("JOIN {}", channels.join(","))).await;
    let lines = client.pending().await;
    assert_eq!(lines.iter().filter(|line| line.contains("JOIN #")).count(), 20);
    let joins = sandbox.twitch().joins(Since::Start);
    assert_eq!(joins.iter().filter(|join| join.code == Some("rate_limit")).count(), 5);
    sandbox.twitch().set_rules(|rules| rules.joins = false);
    client.send("JOIN #c24").await;
    client.until("JOIN #c24").await;
}

#[tokio::test]
async fn a_channel_can_be_suspended_banned_from_or_silent_to_joins() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    twitch.set_modes("#gone", |modes| modes.suspended = true).unwrap();
    twitch.set_modes("void", |modes| modes.never_joins = true).unwrap();
    twitch.set_role("strict", "bot", |role| role.banned = true).unwrap();
    let mut client = Client::logged_in(&sandbox, "bot").await;
    client.send("JOIN #gone,#void,#strict,#hall").await;
    assert_eq!(
        client.line().await,
        "@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #gone :This channel does not exist or has been suspended."
    );
    assert_eq!(
        client.line().await,
        "@msg-id=msg_banned :tmi.twitch.tv NOTICE #strict :You are permanently banned from talking in strict."
    );
    assert_eq!(client.line().await, ":bot!bot@bot.tmi.twitch.tv JOIN #hall");
}

#[tokio::test]
async fn unknown_commands_are_named_and_known_ones_out_of_place_are_not_answered() {
    let sandbox = sandbox().await;
    let mut client = Client::logged_in(&sandbox, "bot").await;
    client.send("FROB a b\r\nNICK other\r\nUSER a b c :d\r\nPONG :x\r\n\r\n   \r\n@only=tags").await;
    assert_eq!(client.pending().await, [":tmi.twitch.tv 421 bot FROB :Unknown command"]);
    client.send("PING").await;
    assert_eq!(client.line().await, "PONG :tmi.twitch.tv");
    assert!(client.is_silent_for(Duration::from_millis(50)).await);
}
