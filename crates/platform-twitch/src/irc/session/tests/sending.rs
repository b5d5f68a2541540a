use super::*;
use crate::irc::limits::{CHANNEL_GAP, RATE_LIMIT_RETRY};

fn delivered(id: &str) -> Verdict {
    Verdict::Delivered { provider_message_id: Some(id.to_owned()) }
}

#[test]
fn a_userstate_after_a_message_is_its_delivery_and_makes_it_an_event_of_our_own() {
    let mut bench = Bench::ready();
    assert_eq!(bench.say_written(1, "hi"), "PRIVMSG #a :hi\r\n");
    let out = bench.line("@id=m-1;mod=0 :tmi.twitch.tv USERSTATE #a");
    assert_eq!(verdicts(out), [&delivered("m-1")]);
    let own = Own {
        delivery: "d-1".into(),
        part: 0,
        channel: "#a".into(),
        text: "hi".to_owned(),
        is_action: false,
        id: Some("m-1".to_owned()),
    };
    assert_eq!(out[0], Output::PublishOwn(own));
    assert!(!out.contains(&Output::Publish), "the line itself is an answer");
    assert_eq!(bench.line("@mod=0 :tmi.twitch.tv USERSTATE #a"), [Output::Publish]);
}

#[test]
fn a_userstate_before_the_bytes_are_out_or_of_another_channel_is_no_verdict() {
    let mut bench = Bench::ready();
    bench.say(1, "hi");
    assert_eq!(bench.line("@mod=0 :tmi.twitch.tv USERSTATE #a"), [Output::Publish]);
    bench.on(Input::Written(Ticket(1)));
    assert_eq!(bench.line("@mod=0 :tmi.twitch.tv USERSTATE #b"), [Output::Publish]);
    assert_eq!(verdicts(bench.line("@id=1 :tmi.twitch.tv USERSTATE #a")).len(), 1);
}

#[test]
fn a_notice_is_the_verdict_when_the_table_says_so() {
    let rejected = |code: &str| Verdict::Permanent {
        reason: PermanentReason::Rejected,
        code: code.to_owned(),
        message: "why".to_owned(),
    };
    let retry = |code: &str, after| Verdict::Retry {
        after: seconds(after),
        code: code.to_owned(),
        message: "why".to_owned(),
    };
    for (code, expected) in [
        ("msg_ratelimit", Some(retry("msg_ratelimit", 5))),
        ("msg_slowmode", Some(retry("msg_slowmode", 30))),
        ("msg_timedout", Some(retry("msg_timedout", 30))),
        ("msg_banned", Some(rejected("msg_banned"))),
        ("msg_followersonly_zero", Some(rejected("msg_followersonly_zero"))),
        ("msg_subsonly", Some(rejected("msg_subsonly"))),
        ("msg_emoteonly", Some(rejected("msg_emoteonly"))),
        ("msg_r9k", Some(rejected("msg_r9k"))),
        ("msg_rejected", Some(rejected("msg_rejected"))),
        ("msg_rejected_mandatory", Some(rejected("msg_rejected_mandatory"))),
        ("msg_requires_verified_phone_number", Some(rejected("msg_requires_verified_phone_number"))),
        ("msg_suspended", Some(rejected("msg_suspended"))),
        ("no_permission", Some(rejected("no_permission"))),
        ("unrecognized_cmd", Some(rejected("unrecognized_cmd"))),
        ("msg_of_tomorrow", Some(rejected("msg_of_tomorrow"))),
        ("slow_on", None),
        ("room_mods", None),
        ("bad_ban_self", None),
    ] {
        let mut bench = Bench::ready();
        bench.say_written(1, "hi");
        let line = format!("@msg-id={code} :tmi.twitch.tv NOTICE #a :why");
        let out = bench.line(&line).to_vec();
        assert_eq!(verdicts(&out), expected.iter().collect::<Vec<_>>(), "{code}");
        assert!(out.contains(&Output::Publish), "a NOTICE is always an event");
        let unknown = Output::News(News::UnknownRefusal(code.to_owned()));
        assert_eq!(out.contains(&unknown), code == "msg_of_tomorrow");
        let other = bench.line(&line.replace("#a", "#b"));
        assert_eq!(other, [Output::Publish], "nothing is in flight there");
    }
}

#[test]
fn a_passing_refusal_closes_the_channel_until_it_has_passed() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    bench.line("@msg-id=msg_slowmode :tmi.twitch.tv NOTICE #a :talk again in 7 seconds.");
    let until = bench.now() + seconds(7);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::NotBefore(until));
    assert_eq!(bench.session.availability("#b", bench.now()), Availability::Ready);
    assert_eq!(verdicts(bench.say(2, "early")), [&Verdict::NotNow]);
    bench.wait(seconds(7));
    bench.say_written(3, "late enough");
}

#[test]
fn a_duplicate_is_told_apart_unless_it_may_be_our_own_earlier_attempt() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.line("@msg-id=msg_duplicate :tmi.twitch.tv NOTICE #a :identical").to_vec();
    assert_eq!(verdicts(&out), Vec::<&Verdict>::new());
    let out = bench.wait(seconds(2));
    assert_eq!(written(&out), ["PRIVMSG #a :hi \u{34F}\r\n"]);
    bench.on(Input::Written(Ticket(1)));
    assert_eq!(verdicts(bench.line("@id=m :tmi.twitch.tv USERSTATE #a")), [&delivered("m")]);

    let mut bench = Bench::ready();
    let say = Say { may_have_been_sent: true, ..bench.request(1, "#a", &["hi"]) };
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    let out = bench.line("@msg-id=msg_duplicate :tmi.twitch.tv NOTICE #a :identical");
    assert_eq!(verdicts(out), [&Verdict::Delivered { provider_message_id: None }]);
}

#[test]
fn a_platform_that_calls_everything_a_duplicate_is_believed_in_the_end() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let mut all = Vec::new();
    for _ in 0..10 {
        all.extend_from_slice(bench.line("@msg-id=msg_duplicate :tmi.twitch.tv NOTICE #a :identical"));
        let out = bench.wait(seconds(2));
        if !written(&out).is_empty() {
            bench.on(Input::Written(Ticket(1)));
        }
        all.extend(out);
    }
    assert_eq!(written(&all).len(), 2, "told apart twice");
    assert!(matches!(verdicts(&all)[..], [Verdict::Retry { .. }]));
}

#[test]
fn the_same_text_again_gets_a_mark_within_the_window_and_none_after_it() {
    let mut bench = Bench::ready();
    for (ticket, expected) in [(1, "hi"), (2, "hi \u{34F}"), (3, "hi \u{34F}\u{34F}")] {
        assert_eq!(bench.say_written(ticket, "hi"), format!("PRIVMSG #a :{expected}\r\n"));
        bench.line("@id=m :tmi.twitch.tv USERSTATE #a");
        bench.wait(Duration::from_millis(1100));
    }
    let say = Say { may_have_been_sent: true, ..bench.request(4, "#a", &["hi"]) };
    assert_eq!(written(bench.on(Input::Say(say))), ["PRIVMSG #a :hi\r\n"], "to be recognised");
    bench.on(Input::Written(Ticket(4)));
    bench.line("@id=m :tmi.twitch.tv USERSTATE #a");
    for _ in 0..7 {
        let out = bench.wait(seconds(5));
        if !written(&out).is_empty() {
            bench.pong(&out);
        }
    }
    assert_eq!(bench.say_written(5, "hi"), "PRIVMSG #a :hi\r\n");

    let mut bench = Bench::ready();
    let full = "x".repeat(500);
    bench.say_written(1, &full);
    bench.line("@id=m :tmi.twitch.tv USERSTATE #a");
    bench.wait(seconds(2));
    assert!(matches!(
        verdicts(bench.say(2, &full))[..],
        [Verdict::Retry { after, .. }] if *after > seconds(25) && *after <= seconds(31)
    ));
}

#[test]
fn silence_on_a_connection_that_lives_is_acceptance_after_five_seconds() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.wait(seconds(2));
    assert_eq!(written(&out).len(), 1, "a PING asks whether it lives");
    bench.pong(&out);
    assert_eq!(verdicts(&bench.wait(Duration::from_millis(2900))), Vec::<&Verdict>::new());
    assert_eq!(verdicts(&bench.wait(Duration::from_millis(100))), [&Verdict::Accepted]);
}

#[test]
fn silence_on_a_connection_that_is_dead_is_no_acceptance() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.wait(seconds(15));
    assert_eq!(troubles(&out), ["connection_dead"]);
    assert!(matches!(verdicts(&out)[..], [Verdict::Unverified { .. }]));

    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.wait(seconds(6));
    assert_eq!(verdicts(&out), Vec::<&Verdict>::new());
    assert_eq!(verdicts(bench.pong(&out)), [&Verdict::Accepted], "it lived after all");
}

#[test]
fn a_connection_that_ends_leaves_what_was_written_unverified_and_the_rest_untouched() {
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.on(Input::Closed("reset"));
    assert!(matches!(verdicts(out)[..], [Verdict::Unverified { code, .. }] if code == "connection_lost"));

    let mut bench = Bench::ready();
    bench.say(1, "hi");
    assert_eq!(verdicts(bench.on(Input::Withheld(Ticket(1)))), [&Verdict::NotNow]);
    assert_eq!(verdicts(bench.on(Input::Closed("reset"))), Vec::<&Verdict>::new());
    assert_eq!(
        bench.session.availability("#a", bench.now()),
        Availability::Disconnected { since: bench.now() }
    );
    assert_eq!(verdicts(bench.say(2, "hi")), [&Verdict::NotNow]);
}

#[test]
fn only_one_message_is_in_flight_in_a_channel() {
    let mut bench = Bench::ready();
    bench.say_written(1, "one");
    assert_eq!(verdicts(bench.say(2, "two")), [&Verdict::NotNow]);
    let say = bench.request(3, "#b", &["elsewhere"]);
    assert_eq!(written(bench.on(Input::Say(say))), ["PRIVMSG #b :elsewhere\r\n"]);
    let say = bench.request(4, "#unknown", &["nowhere"]);
    assert_eq!(verdicts(bench.on(Input::Say(say))), [&Verdict::NotNow]);
    assert_eq!(bench.session.availability("#unknown", bench.now()), Availability::Unserved);
}

#[test]
fn an_answer_names_the_message_it_answers() {
    let mut bench = Bench::ready();
    let say = Say { reply_to: Some("a;b c".into()), ..bench.request(1, "#a", &["hi"]) };
    assert_eq!(written(bench.on(Input::Say(say))), ["@reply-parent-msg-id=a\\:b\\sc PRIVMSG #a :hi\r\n"]);
}

/// Answers every message at once and gives the moments at which they were written.
fn flood(bench: &mut Bench, channels: &[&str], steps: u64) -> Vec<(Instant, String)> {
    let mut moments = Vec::new();
    for step in 0..steps {
        for channel in channels {
            if bench.session.availability(channel, bench.now()) == Availability::Ready {
                let say = bench.request(step, channel, &[&format!("text {step}")]);
                bench.on(Input::Say(say));
                assert_eq!(written(&bench.out).len(), 1, "ready means ready");
                moments.push((bench.now(), (*channel).to_owned()));
                bench.on(Input::Written(Ticket(step)));
                bench.line(&format!("@id=m;mod=0 :tmi.twitch.tv USERSTATE {channel}"));
            }
        }
        let out = bench.wait(Duration::from_millis(100));
        if !written(&out).is_empty() {
            bench.pong(&out);
        }
    }
    moments
}

#[test]
fn an_ordinary_account_says_twenty_in_thirty_seconds_and_one_a_second_in_a_channel() {
    let mut bench = Bench::ready();
    let moments = flood(&mut bench, &["#a", "#b"], 1000);
    let most = moments.iter().map(|(start, _)| {
        moments.iter().filter(|(at, _)| at >= start && *at <= *start + seconds(30)).count()
    });
    assert_eq!(most.max(), Some(20));
    assert!(moments.len() >= 60, "{} in 100 s", moments.len());
    for channel in ["#a", "#b"] {
        let there: Vec<_> = moments.iter().filter(|(_, name)| name == channel).collect();
        assert!(there.windows(2).all(|pair| pair[1].0 - pair[0].0 > seconds(1)));
    }
    assert!(matches!(bench.session.availability("#a", bench.now()), Availability::NotBefore(_)));
}

#[test]
fn a_moderator_says_a_hundred_in_thirty_seconds_and_may_repeat_itself() {
    let mut bench = Bench::ready();
    bench.line("@mod=1 :tmi.twitch.tv USERSTATE #a");
    let mut sent = 0;
    while bench.session.availability("#a", bench.now()) == Availability::Ready {
        assert_eq!(bench.say_written(sent, "same"), "PRIVMSG #a :same\r\n");
        bench.line("@id=m;mod=1 :tmi.twitch.tv USERSTATE #a");
        sent += 1;
    }
    assert_eq!(sent, 100);
    let later = bench.now() + seconds(31);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::NotBefore(later));
}

#[test]
fn slow_mode_and_a_timeout_close_the_channel_for_as_long_as_they_say() {
    let mut bench = Bench::ready();
    bench.line("@room-id=1;slow=20 :tmi.twitch.tv ROOMSTATE #a");
    bench.say_written(1, "hi");
    bench.line("@id=m;mod=0 :tmi.twitch.tv USERSTATE #a");
    let next = bench.now() + seconds(20);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::NotBefore(next));
    bench.line("@badges=vip/1 :tmi.twitch.tv USERSTATE #a");
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready, "VIPs are spared");
    bench.line("@ban-duration=9 :tmi.twitch.tv CLEARCHAT #a :bot");
    let next = bench.now() + seconds(9);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::NotBefore(next));
}

#[test]
fn without_pacing_nothing_waits_and_nothing_is_marked() {
    let mut bench = Bench::of(true, &["#a"], false);
    bench.go_online();
    bench.join("#a");
    for ticket in 0..500 {
        assert_eq!(bench.say_written(ticket, "same"), "PRIVMSG #a :same\r\n");
        bench.line("@id=m;mod=0 :tmi.twitch.tv USERSTATE #a");
    }
}

#[test]
fn parts_are_one_delivery_with_the_first_id() {
    let mut bench = Bench::ready();
    let say = bench.request(1, "#a", &["one", "two", "three"]);
    let mut all = bench.on(Input::Say(say)).to_vec();
    for id in ["m-1", "m-2", "m-3"] {
        bench.on(Input::Written(Ticket(1)));
        all.extend_from_slice(bench.line(&format!("@id={id};mod=0 :tmi.twitch.tv USERSTATE #a")));
        all.extend(bench.wait(seconds(2)));
    }
    assert_eq!(written(&all), ["PRIVMSG #a :one\r\n", "PRIVMSG #a :two\r\n", "PRIVMSG #a :three\r\n"]);
    assert_eq!(verdicts(&all), [&delivered("m-1")]);
}

#[test]
fn a_failure_in_the_middle_says_what_went_out() {
    let begin = |bench: &mut Bench| {
        let say = bench.request(1, "#a", &["one", "two", "three"]);
        bench.on(Input::Say(say));
        bench.on(Input::Written(Ticket(1)));
        bench.line("@id=m-1;mod=0 :tmi.twitch.tv USERSTATE #a");
        bench.wait(seconds(2));
        bench.on(Input::Written(Ticket(1)));
    };
    let mut bench = Bench::ready();
    begin(&mut bench);
    let out = bench.line("@msg-id=msg_banned :tmi.twitch.tv NOTICE #a :no");
    assert!(matches!(verdicts(out)[..],
        [Verdict::Permanent { message, .. }] if message == "no (the first 1 of 3 parts were said)"));

    let mut bench = Bench::ready();
    begin(&mut bench);
    let out = bench.on(Input::Closed("reset"));
    assert!(matches!(verdicts(out)[..],
        [Verdict::Unverified { message, .. }] if message.ends_with("(the first 1 of 3 parts were said)")));
}

#[test]
fn a_refusal_that_passes_in_the_middle_is_waited_for_here_until_the_deadline() {
    let mut bench = Bench::ready();
    let say = bench.request(1, "#a", &["one", "two"]);
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    bench.line("@id=m-1;mod=0 :tmi.twitch.tv USERSTATE #a");
    bench.wait(seconds(2));
    bench.on(Input::Written(Ticket(1)));
    let out = bench.line("@msg-id=msg_slowmode :tmi.twitch.tv NOTICE #a :wait 8 seconds").to_vec();
    assert_eq!(verdicts(&out), Vec::<&Verdict>::new(), "said again it would be said twice");
    let out = bench.wait(seconds(8));
    assert_eq!(written(&out), ["PRIVMSG #a :two \u{34F}\r\n"]);
    bench.on(Input::Written(Ticket(1)));
    let out = bench.line("@msg-id=msg_slowmode :tmi.twitch.tv NOTICE #a :wait 100 seconds").to_vec();
    assert_eq!(verdicts(&out), Vec::<&Verdict>::new());
    let mut all = Vec::new();
    for _ in 0..12 {
        let out = bench.wait(seconds(5));
        if !written(&out).is_empty() {
            bench.pong(&out);
        }
        all.extend(out);
    }
    assert!(matches!(verdicts(&all)[..], [Verdict::Permanent { code, message, .. }]
        if code == "msg_slowmode" && message.contains("the first 1 of 2 parts")));
}

#[test]
fn parts_that_are_left_when_the_connection_is_lost_follow_on_the_next_one() {
    let mut bench = Bench::ready();
    let say = bench.request(1, "#a", &["one", "two"]);
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    bench.line("@id=m-1;mod=0 :tmi.twitch.tv USERSTATE #a");
    assert_eq!(verdicts(bench.on(Input::Closed("reset"))), Vec::<&Verdict>::new());
    bench.wait(seconds(1));
    bench.on(Input::Connected);
    bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    bench.line(":tmi.twitch.tv 001 bot :Welcome");
    bench.join("#a");
    let out = bench.wait(seconds(1));
    assert_eq!(written(&out), ["PRIVMSG #a :two\r\n"]);
}

#[test]
fn our_own_message_sent_back_is_published_once() {
    let echo = "@id=m-1 :bot!bot@bot PRIVMSG #a :hi";
    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    assert_eq!(bench.line(echo), [Output::Publish], "before the verdict: the echo is the event");
    let out = bench.line("@mod=0 :tmi.twitch.tv USERSTATE #a");
    assert_eq!(out, [Output::Verdict(Ticket(1), delivered("m-1"))]);

    let mut bench = Bench::ready();
    bench.say_written(1, "hi");
    let out = bench.line("@mod=0 :tmi.twitch.tv USERSTATE #a");
    assert!(matches!(out[0], Output::PublishOwn(Own { id: None, .. })));
    assert_eq!(bench.line(echo), [], "after it: it was published already");
    assert_eq!(bench.line(echo), [Output::Publish]);
}

#[test]
fn nothing_shows_a_token_or_a_text() {
    let mut bench = Bench::ready();
    let out = format!("{:?}", bench.say(1, "our secret plan"));
    assert!(!out.contains("secret plan"));
    bench.on(Input::Closed("lost"));
    bench.wait(seconds(2));
    let out = format!("{:?} {:?}", bench.on(Input::Connected), ());
    assert!(!out.contains("secret-token"));
    assert!(!format!("{:?}", bench.session).contains("secret-token"));
}

/// The most messages within any 30 seconds.
fn most(moments: &[(Instant, String)]) -> usize {
    let from =
        |start: Instant| moments.iter().filter(move |(at, _)| *at >= start && *at <= start + seconds(30));
    moments.iter().map(|(start, _)| from(*start).count()).max().unwrap_or(0)
}

#[test]
fn what_several_instances_say_with_one_account_is_together_no_more_than_one_may() {
    for (instances, each) in [(2, 10), (3, 6), (40, 1)] {
        let mut bench = Bench::ready();
        bench.session.config.share.set_instances(instances);
        let moments = flood(&mut bench, &["#a", "#b"], 1000);
        assert_eq!(most(&moments), each, "{instances} instances");
        // The others are gone: the rest is ours again.
        bench.session.config.share.set_instances(1);
        bench.wait(seconds(31));
        assert_eq!(most(&flood(&mut bench, &["#a", "#b"], 400)), 20);
    }
}

#[test]
fn what_the_platform_told_another_instance_is_heeded_and_what_it_tells_this_one_is_news() {
    let mut bench = Bench::ready();
    let until = bench.now() + seconds(5);
    bench.session.config.share.set_quiet_until(until);
    for channel in ["#a", "#b"] {
        assert_eq!(bench.session.availability(channel, bench.now()), Availability::NotBefore(until));
    }
    assert_eq!(verdicts(bench.say(1, "early")), [&Verdict::NotNow]);
    bench.wait(seconds(5));
    bench.say_written(2, "late enough");
    let refused_at = bench.now();
    let out =
        bench.line("@msg-id=msg_ratelimit :tmi.twitch.tv NOTICE #a :You are sending messages too quickly.");
    let told: Vec<Instant> = out
        .iter()
        .filter_map(|o| if let Output::News(News::TooFast(at)) = o { Some(*at) } else { None })
        .collect();
    assert_eq!(told, [refused_at + RATE_LIMIT_RETRY]);
    bench.wait(RATE_LIMIT_RETRY);
    bench.say_written(3, "again");
    let out = bench.line("@msg-id=msg_slowmode :tmi.twitch.tv NOTICE #a :talk again in 7 seconds.");
    assert!(!out.iter().any(|o| matches!(o, Output::News(News::TooFast(_)))), "that is about one channel");
}

#[test]
fn what_our_account_says_by_another_connection_counts_for_the_pace_of_the_channel() {
    let mut bench = Bench::ready();
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
    assert_eq!(bench.line("@id=m-9 :bot!bot@bot PRIVMSG #a :said elsewhere"), [Output::Publish]);
    let next = bench.now() + CHANNEL_GAP;
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::NotBefore(next));
    assert_eq!(bench.session.availability("#b", bench.now()), Availability::Ready);
    bench.line("@id=m-10 :viewer!viewer@viewer PRIVMSG #b :hi");
    assert_eq!(bench.session.availability("#b", bench.now()), Availability::Ready, "others do not count");
}
