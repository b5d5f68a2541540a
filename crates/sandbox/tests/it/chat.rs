//! Speaking: what the others hear, what the sender is told.

use std::collections::BTreeMap;

use chatbus_sandbox::twitch_irc::{Refusal, Role, Say, SentFilter, Since};

use crate::client::{Client, sandbox, tags};

#[tokio::test]
async fn two_clients_chat_and_nobody_hears_itself() {
    let sandbox = sandbox().await;
    let mut ann = Client::joined(&sandbox, "ann", "#hall").await;
    let mut bob = Client::joined(&sandbox, "bob", "#hall").await;
    assert_eq!(ann.line().await, ":bob!bob@bob.tmi.twitch.tv JOIN #hall");
    ann.send("@client-nonce=n1 PRIVMSG #hall :hello Kappa 👋").await;
    let state = ann.line().await;
    assert!(state.ends_with(" :tmi.twitch.tv USERSTATE #hall"), "{state}");
    let heard = bob.line().await;
    assert!(heard.ends_with(" :ann!ann@ann.tmi.twitch.tv PRIVMSG #hall :hello Kappa 👋"), "{heard}");
    let (told, told_sender) = (tags(&heard), tags(&state));
    assert_eq!(told["id"], told_sender["id"]);
    assert_eq!((told["client-nonce"], told_sender["client-nonce"]), ("n1", "n1"));
    assert_eq!((told["display-name"], told["emotes"], told["mod"]), ("Ann", "25:6-10", "0"));
    for tag in [
        "badge-info",
        "badges",
        "color",
        "first-msg",
        "flags",
        "returning-chatter",
        "room-id",
        "subscriber",
        "tmi-sent-ts",
        "turbo",
        "user-id",
        "user-type",
    ] {
        assert!(told.contains_key(tag), "{tag} in {heard}");
    }
    bob.send("PRIVMSG #hall :hello yourself").await;
    assert!(bob.line().await.contains(" USERSTATE "));
    assert!(ann.line().await.ends_with("PRIVMSG #hall :hello yourself"));
    assert!(ann.pending().await.is_empty() && bob.pending().await.is_empty());

    let sent = sandbox.twitch().sent(&SentFilter::default());
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].text, "hello Kappa 👋");
    assert_eq!(sent[0].id.as_deref(), Some(told["id"]));
    assert_eq!(sent[0].tags["client-nonce"], "n1");
    let later = SentFilter { since: Since::Seq(sent[0].seq), channel: Some("#HALL".into()) };
    assert_eq!(sandbox.twitch().sent(&later).len(), 1);
}

#[tokio::test]
async fn another_connection_of_the_same_account_hears_it() {
    let sandbox = sandbox().await;
    let mut here = Client::joined(&sandbox, "bot", "#hall").await;
    let mut there = Client::joined(&sandbox, "bot", "#hall").await;
    assert!(here.say("#hall", "hello").await.contains("USERSTATE"));
    assert!(there.until("PRIVMSG").await.ends_with(":hello"));
}

#[tokio::test]
async fn a_reply_names_what_it_answers_and_an_unknown_parent_is_left_out() {
    let sandbox = sandbox().await;
    let mut ann = Client::joined(&sandbox, "ann", "#hall").await;
    let mut bob = Client::joined(&sandbox, "bob", "#hall").await;
    let first = sandbox.twitch().say(&Say::new("hall", "carla", "who is there?")).await.unwrap();
    let id = &first[0].id;
    ann.until("who is there").await;
    ann.send(&format!("@reply-parent-msg-id={id} PRIVMSG #hall :me")).await;
    let heard = bob.until(":ann!").await;
    assert!(heard.ends_with("PRIVMSG #hall :@Carla me"), "{heard}");
    let told = tags(&heard);
    assert_eq!(told["reply-parent-msg-id"], id);
    assert_eq!(told["reply-parent-user-login"], "carla");
    assert_eq!(told["reply-parent-msg-body"], "who\\sis\\sthere?");
    assert_eq!(told["reply-thread-parent-msg-id"], id);
    ann.send("@reply-parent-msg-id=nothing PRIVMSG #hall :anyone?").await;
    let heard = bob.until("anyone").await;
    assert!(heard.ends_with(":anyone?") && !heard.contains("reply-"), "{heard}");
}

#[tokio::test]
async fn a_me_becomes_an_action_and_a_long_text_is_cut() {
    let sandbox = sandbox().await;
    let mut ann = Client::joined(&sandbox, "ann", "#hall").await;
    let mut bob = Client::joined(&sandbox, "bob", "#hall").await;
    ann.say("#hall", "/me waves").await;
    assert!(bob.until("PRIVMSG").await.ends_with(":\u{1}ACTION waves\u{1}"));
    ann.say("#hall", &"é".repeat(600)).await;
    let heard = bob.until("PRIVMSG").await;
    assert_eq!(heard.matches('é').count(), 500);
    sandbox.twitch().set_rules(|rules| rules.cut_long = false);
    assert!(ann.say("#hall", &"x".repeat(501)).await.starts_with("@msg-id=msg_rejected "));
}

#[tokio::test]
async fn each_refusal_is_a_notice_and_is_on_record() {
    let sandbox = sandbox().await;
    let twitch = sandbox.twitch();
    let mut bot = Client::joined(&sandbox, "bot", "#hall,#two,#own").await;
    let mut ear = Client::joined(&sandbox, "ear", "#hall").await;
    bot.pending().await;
    let mut codes = Vec::new();
    let mut expect = async |bot: &mut Client, text: &str, code: &str| {
        let verdict = bot.say("#hall", text).await;
        assert!(verdict.starts_with(&format!("@msg-id={code} :tmi.twitch.tv NOTICE #hall :")), "{verdict}");
        codes.push(code.to_owned());
    };
    bot.say("#hall", "once").await;
    expect(&mut bot, "once", "msg_duplicate").await;
    expect(&mut bot, "/ban somebody", "unrecognized_cmd").await;
    twitch.set_modes("hall", |modes| modes.slow_seconds = 60).unwrap();
    assert!(bot.line().await.ends_with("ROOMSTATE #hall"));
    expect(&mut bot, "slow", "msg_slowmode").await;
    twitch
        .set_modes("hall", |modes| {
            modes.slow_seconds = 0;
            modes.subs_only = true;
        })
        .unwrap();
    expect(&mut bot, "subs", "msg_subsonly").await;
    twitch
        .set_modes("hall", |modes| {
            modes.subs_only = false;
            modes.followers_only_minutes = 5;
        })
        .unwrap();
    expect(&mut bot, "followers", "msg_followersonly").await;
    twitch
        .set_modes("hall", |modes| {
            modes.followers_only_minutes = -1;
            modes.emote_only = true;
        })
        .unwrap();
    expect(&mut bot, "emotes", "msg_emoteonly").await;
    twitch.set_modes("hall", |modes| modes.emote_only = false).unwrap();
    twitch.time_out("hall", "bot", std::time::Duration::from_secs(60)).unwrap();
    let cleared = bot.until("CLEARCHAT").await;
    assert!(cleared.contains("ban-duration=") && cleared.ends_with("CLEARCHAT #hall :bot"), "{cleared}");
    expect(&mut bot, "timed out", "msg_timedout").await;
    twitch.set_role("hall", "bot", |role| *role = Role { banned: true, ..Role::default() }).unwrap();
    expect(&mut bot, "banned", "msg_banned").await;
    twitch.set_role("hall", "bot", |role| *role = Role::default()).unwrap();
    twitch.set_modes("hall", |modes| modes.suspended = true).unwrap();
    expect(&mut bot, "suspended", "msg_channel_suspended").await;
    twitch.set_modes("hall", |modes| modes.suspended = false).unwrap();
    let order = Refusal { channel: Some("hall".into()), code: "msg_verified_email".into(), count: Some(2) };
    twitch.refuse(order).unwrap();
    expect(&mut bot, "by order", "msg_verified_email").await;
    assert!(bot.say("#two", "elsewhere").await.contains("USERSTATE #two"));
    expect(&mut bot, "by order", "msg_verified_email").await;
    assert!(bot.say("#hall", "at last").await.contains("USERSTATE"));
    for n in 0..17 {
        assert!(bot.say("#two", &format!("line {n}")).await.contains("USERSTATE"), "line {n}");
    }
    expect(&mut bot, "too fast", "msg_ratelimit").await;

    let heard: Vec<String> =
        ear.pending().await.into_iter().filter(|line| line.contains("PRIVMSG")).collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    let hall = SentFilter { channel: Some("hall".into()), ..SentFilter::default() };
    let refused: Vec<String> = twitch.sent(&hall).into_iter().filter_map(|message| message.code).collect();
    assert_eq!(refused, codes);
    twitch.set_rules(|rules| rules.messages = false);
    assert!(bot.say("#two", "no limits").await.contains("USERSTATE"));
}

#[tokio::test]
async fn a_moderator_may_send_a_hundred() {
    let sandbox = sandbox().await;
    sandbox.twitch().set_role("hall", "bot", |role| role.moderator = true).unwrap();
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    for n in 0..100 {
        let verdict = bot.say("#hall", "again").await;
        assert!(verdict.contains(";badges=moderator/1;") && verdict.contains(";mod=1;"), "{n}: {verdict}");
    }
    assert!(bot.say("#hall", "again").await.contains("msg_ratelimit"));
}

#[tokio::test]
async fn blank_texts_and_targets_that_are_no_channel_are_ignored() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    bot.send("PRIVMSG #hall :   \r\nPRIVMSG #hall\r\nPRIVMSG jtv :/w ann hi\r\nPRIVMSG").await;
    assert_eq!(bot.pending().await, [""; 0]);
    let codes: Vec<_> = sandbox.twitch().sent(&SentFilter::default()).into_iter().map(|m| m.code).collect();
    let expected = ["blank", "blank", "not_a_channel", "not_a_channel"];
    assert_eq!(codes, expected.map(|code| Some(code.to_owned())));
}

#[tokio::test]
async fn viewers_say_with_numbers_and_tags_of_the_testers_choice() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#hall").await;
    let own = BTreeMap::from([
        ("id".to_owned(), Some("my-own-id".to_owned())),
        ("bits".to_owned(), Some("100".to_owned())),
        ("source-room-id".to_owned(), Some("a b;c".to_owned())),
        ("color".to_owned(), None),
    ]);
    let say = Say { tags: own, ..Say::new("#Hall", "Ann", "cheer") };
    assert_eq!(sandbox.twitch().say(&say).await.unwrap()[0].id, "my-own-id");
    let heard = bot.until("PRIVMSG").await;
    let told = tags(&heard);
    assert_eq!((told["id"], told["bits"], told["source-room-id"]), ("my-own-id", "100", "a\\sb\\:c"));
    assert!(!told.contains_key("color"));
    let many = Say { count: 1000, ..Say::new("hall", "ann", "line {n}") };
    let said = sandbox.twitch().say(&many).await.unwrap();
    for (n, said) in said.iter().enumerate() {
        let heard = bot.until("PRIVMSG").await;
        assert_eq!(tags(&heard)["id"], said.id);
        assert!(heard.ends_with(&format!(":line {}", n + 1)), "{heard}");
    }
    let slow = Say { count: 5, rate: Some(50.0), ..Say::new("hall", "ann", "slow {n}") };
    let said = sandbox.twitch().say(&slow).await.unwrap();
    assert!(said[4].at.since(said[0].at).as_millis() >= 75, "{said:?}");
    for (text, count, field) in [("a\nb", 1, "text"), ("a", 0, "count")] {
        let bad = Say { count, ..Say::new("hall", "ann", text) };
        assert_eq!(sandbox.twitch().say(&bad).await.expect_err("senseless").field, field);
    }
}
