use super::*;

#[test]
fn a_login_asks_for_capabilities_and_goes_on_when_both_are_answered() {
    let mut bench = Bench::of(true, &["#a"], true);
    bench.on(Input::Tick);
    assert_eq!(states(&bench.out), [ConnectionState::Connecting]);
    let out = bench.on(Input::Connected);
    assert_eq!(
        written(out),
        ["CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:secret-token\r\nNICK bot\r\n"]
    );
    assert_eq!(bench.line(":tmi.twitch.tv 001 bot :Welcome, GLHF!"), []);
    let out = bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
    assert_eq!(states(out), [ConnectionState::Connected]);
    assert_eq!(written(out), ["JOIN #a\r\n"]);
    for welcome in [
        ":tmi.twitch.tv 002 bot :Your host is tmi.twitch.tv",
        ":tmi.twitch.tv 375 bot :-",
        ":tmi.twitch.tv 376 bot :>",
        ":bot.tmi.twitch.tv 353 bot = #a :bot",
    ] {
        assert_eq!(bench.line(welcome), [], "{welcome} answers our login");
    }
}

#[test]
fn without_an_account_the_session_reads_under_a_guest_name() {
    let mut bench = Bench::of(false, &["#a"], true);
    bench.on(Input::Tick);
    let login = written(bench.on(Input::Connected)).join("");
    assert!(login.contains("NICK justinfan") && !login.contains("PASS"), "{login}");
    let say = bench.request(1, "#a", &["hi"]);
    let out = bench.on(Input::Say(say));
    assert!(matches!(verdicts(out)[..], [Verdict::Permanent { reason: PermanentReason::Unsupported, .. }]));
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Unserved);
}

#[test]
fn a_server_that_refuses_or_ignores_capabilities_is_used_without() {
    for (answer, code) in [
        (Some(":tmi.twitch.tv CAP * NAK :twitch.tv/tags"), "capabilities_refused"),
        (None, "capabilities_unanswered"),
    ] {
        let mut bench = Bench::of(false, &["#a"], true);
        bench.on(Input::Tick);
        bench.on(Input::Connected);
        let mut all = answer.map(|line| bench.line(line).to_vec()).unwrap_or_default();
        let welcome = format!(":x 001 {} :hi", bench.session.nick());
        all.extend_from_slice(bench.line(&welcome));
        all.extend(bench.wait(seconds(2)));
        assert_eq!(troubles(&all), [code]);
        assert_eq!(states(&all), [ConnectionState::Connected]);
    }
}

#[test]
fn a_refused_login_waits_long_and_longer() {
    for text in ["Login authentication failed", "Improperly formatted auth", "Login unsuccessful"] {
        let mut bench = Bench::of(true, &["#a"], true);
        bench.on(Input::Tick);
        let mut last = Duration::ZERO;
        for round in 0..8 {
            bench.on(Input::Connected);
            let out = bench.line(&format!(":tmi.twitch.tv NOTICE * :{text}"));
            assert!(out.contains(&Output::Close) && out.contains(&Output::TokenRefused(1)));
            assert!(out.contains(&Output::Publish), "the line is an event all the same");
            assert_eq!(states(out), [ConnectionState::Error]);
            let wait = bench.session.next_deadline().unwrap() - bench.now();
            assert!(wait >= seconds(15) && wait <= seconds(900), "{text}, round {round}: {wait:?}");
            last = last.max(wait);
            assert!(bench.wait(wait).contains(&Output::Connect));
        }
        assert!(last >= seconds(450), "{last:?}");
    }
}

#[test]
fn a_frozen_socket_is_noticed_within_forty_seconds_whenever_it_freezes() {
    for frozen_after in [0, 1, 12, 24, 25, 26, 49, 74, 99] {
        let mut bench = Bench::ready();
        let mut passed = Duration::ZERO;
        while passed < seconds(frozen_after) {
            let out = bench.wait(seconds(1));
            if !written(&out).is_empty() {
                let answer = bench.pong(&out).to_vec();
                assert!(matches!(answer[..], [Output::News(News::Pong(_))]), "{answer:?}");
            }
            passed += seconds(1);
        }
        let out = bench.wait(seconds(40));
        assert_eq!(troubles(&out).first(), Some(&"connection_dead"), "frozen after {frozen_after} s");
        let close = out.iter().position(|output| *output == Output::Close).unwrap();
        let connect = out.iter().position(|output| *output == Output::Connect).unwrap();
        assert!(close < connect);
        assert!(out.contains(&Output::News(News::Left("#a".into()))));
    }
}

#[test]
fn a_server_that_talks_and_never_answers_a_ping_is_left_after_the_third() {
    let mut bench = Bench::ready();
    let mut all = Vec::new();
    for _ in 0..90 {
        all.extend(bench.wait(seconds(1)));
        bench.line(":x!x@x PRIVMSG #a :still here");
    }
    assert_eq!(troubles(&all), ["connection_dead"]);
}

#[test]
fn a_ping_is_answered_and_is_an_event_and_so_is_a_pong_that_answers_nothing() {
    let mut bench = Bench::ready();
    let out = bench.line("PING :tmi.twitch.tv");
    assert_eq!(written(out), ["PONG :tmi.twitch.tv\r\n"]);
    assert!(out.contains(&Output::Publish));
    assert_eq!(bench.line(":tmi.twitch.tv PONG tmi.twitch.tv :go-twitch-irc"), [Output::Publish]);
}

#[test]
fn the_latency_is_how_long_a_pong_took() {
    let mut bench = Bench::ready();
    let ping_at = bench.session.next_deadline().unwrap();
    let out = bench.wait(ping_at - bench.now());
    bench.clock.advance(Duration::from_millis(123));
    assert_eq!(bench.pong(&out), [Output::News(News::Pong(Duration::from_millis(123)))]);
}

#[test]
fn a_lost_connection_is_made_again_with_growing_waits_until_one_lasts() {
    let mut bench = Bench::ready();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let out = bench.on(Input::Closed("reset by peer"));
        assert_eq!(troubles(out), ["connection_lost"]);
        assert_eq!(states(out), [ConnectionState::Reconnecting]);
        let wait = bench.session.next_deadline().unwrap() - bench.now();
        waits.push(wait);
        bench.clock.advance(wait);
        bench.on(Input::Tick);
        assert!(bench.out.contains(&Output::Connect));
    }
    assert!(waits[0] <= seconds(1) && waits[7] >= seconds(15) && waits[7] <= seconds(30), "{waits:?}");

    bench.on(Input::Connected);
    bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    let out = bench.line(":tmi.twitch.tv 001 bot :Welcome");
    assert!(out.contains(&Output::News(News::Reconnected)));
    for _ in 0..2 {
        let out = bench.wait(seconds(25));
        bench.pong(&out);
    }
    bench.on(Input::Closed("again"));
    assert!(bench.session.next_deadline().unwrap() - bench.now() <= seconds(1), "a lasting one counts");
}

#[test]
fn what_cannot_be_reached_or_never_welcomes_us_is_given_up_in_time() {
    let mut bench = Bench::of(false, &["#a"], true);
    bench.on(Input::Tick);
    let out = bench.wait(seconds(10));
    assert!(out.contains(&Output::Close));
    assert_eq!(troubles(&out), ["connect_timeout"]);
    let out = bench.wait(seconds(1));
    assert!(out.contains(&Output::Connect));
    bench.on(Input::Connected);
    let out = bench.wait(seconds(10));
    assert!(out.contains(&Output::Close));
    assert_eq!(troubles(&out), ["login_timeout"]);
    let out = bench.on(Input::Closed("too late"));
    assert_eq!(out, [], "the loss was known already");
}

#[test]
fn reconnect_lets_what_is_in_flight_have_its_verdict_first() {
    let mut bench = Bench::ready();
    let out = bench.wait(seconds(25));
    bench.pong(&out);
    bench.wait(seconds(6));
    bench.say_written(1, "hi");
    let out = bench.line(":tmi.twitch.tv RECONNECT");
    assert_eq!(out, [Output::Publish]);
    let say = bench.request(2, "#b", &["not now"]);
    assert_eq!(verdicts(bench.on(Input::Say(say))), [&Verdict::NotNow], "nothing new is begun");
    let out = bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #a");
    let verdict = Verdict::Delivered { provider_message_id: Some("m-1".to_owned()) };
    assert_eq!(verdicts(out), [&verdict]);
    assert!(out.contains(&Output::StepDown) && out.contains(&Output::Connect), "at once: {out:?}");

    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    bench.line(":tmi.twitch.tv RECONNECT");
    let out = bench.wait(seconds(2));
    assert!(out.contains(&Output::StepDown));
    assert!(matches!(verdicts(&out)[..], [Verdict::Unverified { .. }]));
}

#[test]
fn a_server_that_always_says_reconnect_is_not_hammered() {
    let mut bench = Bench::ready();
    let mut connects = 0;
    for _ in 0..60 {
        bench.line(":tmi.twitch.tv RECONNECT");
        connects += usize::from(bench.wait(seconds(1)).contains(&Output::Connect));
        if !bench.session.is_online() {
            bench.on(Input::Connected);
            bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
            bench.line(":tmi.twitch.tv 001 bot :Welcome");
        }
    }
    assert!((3..=8).contains(&connects), "{connects} in a minute");
}

#[test]
fn lines_that_nobody_asked_for_are_events_and_change_nothing() {
    let mut bench = Bench::ready();
    for line in [
        ":tmi.twitch.tv 001 justinfan1 :Welcome",
        ":tmi.twitch.tv 004",
        ":tmi.twitch.tv CAP * NAK :twitch.tv/invalid",
        ":tmi.twitch.tv NOTICE * :Login authentication failed",
        ":tmi.twitch.tv HOSTTARGET #a :- 3",
        ":x!x@x JOIN #a",
        ":tmi.twitch.tv FOO bar",
        ":tmi.twitch.tv WHISPER bot :psst",
        "@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #other :gone",
        "@msg-id=msg_banned :tmi.twitch.tv NOTICE #a :You are banned",
        "@msg-id=slow_on :tmi.twitch.tv NOTICE #a :slow",
        ":bot2!bot2@x PART #a",
    ] {
        assert_eq!(bench.line(line), [Output::Publish], "{line}");
    }
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
}

#[test]
fn a_stop_is_no_trouble_and_what_is_in_flight_has_no_verdict() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.on(Input::Stopped).to_vec();
    assert_eq!(troubles(&out), Vec::<&str>::new());
    assert_eq!(states(&out), []);
    assert!(matches!(verdicts(&out)[..], [Verdict::Unverified { .. }]), "{out:?}");
    assert!(out.contains(&Output::News(News::Left("#a".into()))));
    assert!(matches!(bench.session.availability("#a", bench.now()), Availability::Disconnected { .. }));
}
