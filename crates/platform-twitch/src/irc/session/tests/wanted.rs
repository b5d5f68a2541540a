use super::*;
use crate::irc::limits::{MAX_CHANNELS, PARTS_PER_WINDOW};

const PART_X: &str = ":bot!bot@bot.tmi.twitch.tv PART #x";

/// Online in the configured `#a` and `#b`, and in the added `#x`.
fn with_x() -> Bench {
    let mut bench = Bench::ready();
    bench.add(&["#x"]);
    bench.join("#x");
    bench.wait(seconds(2));
    assert_eq!(availability(&bench, "#x"), Availability::Ready);
    bench
}

fn availability(bench: &Bench, channel: &str) -> Availability {
    bench.session.availability(channel, bench.now())
}

fn news(out: &[Output]) -> Vec<&News> {
    out.iter().filter_map(|o| if let Output::News(news) = o { Some(news) } else { None }).collect()
}

fn joined(channel: &str) -> News {
    News::Joined(channel.into())
}

fn left(channel: &str) -> News {
    News::Left(channel.into())
}

fn reconnect(bench: &mut Bench) -> Vec<String> {
    bench.on(Input::Closed("lost"));
    while !bench.out.contains(&Output::Connect) {
        bench.out = bench.wait(seconds(1));
    }
    bench.on(Input::Connected);
    bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    written(bench.line(":tmi.twitch.tv 001 bot :Welcome"))
}

#[test]
fn a_channel_that_is_added_is_joined_and_served() {
    let mut bench = Bench::ready();
    assert_eq!(availability(&bench, "#x"), Availability::Unserved);
    assert_eq!(written(bench.add(&["X"])), ["JOIN #x\r\n"]);
    assert!(matches!(availability(&bench, "#x"), Availability::Disconnected { .. }));
    assert_eq!(news(bench.line(":bot!bot@bot.tmi.twitch.tv JOIN #x")), [&joined("#x")]);
    bench.join("#x");
    bench.wait(seconds(2));
    assert_eq!(availability(&bench, "#x"), Availability::Ready);
    let say = bench.request(1, "#x", &["hello"]);
    assert_eq!(written(bench.on(Input::Say(say))), ["PRIVMSG #x :hello\r\n"]);
    assert_eq!(bench.add(&["#x"]), [], "the same list again is nothing");
}

#[test]
fn a_channel_that_is_taken_out_is_left_at_once_and_forgotten_when_the_server_has_let_go() {
    let mut bench = with_x();
    let out = bench.add(&[]).to_vec();
    assert_eq!(news(&out), [&left("#x")]);
    assert_eq!(written(&out), ["PART #x\r\n"]);
    assert_eq!(availability(&bench, "#x"), Availability::Unserved);
    let say = bench.request(1, "#x", &["too late"]);
    assert_eq!(verdicts(bench.on(Input::Say(say))), [&Verdict::NotNow]);
    assert_eq!(bench.session.channels.all().count(), 3);
    assert_eq!(bench.line(PART_X), [], "the answer to our PART is ours, and no news");
    assert_eq!(bench.session.channels.all().count(), 2);
    assert!(bench.session.channels.find("#x").is_none());
}

#[test]
fn the_configured_channels_stay_whatever_is_added_or_taken_out() {
    let mut bench = Bench::ready();
    for list in [&["#a"][..], &[], &["#b", "#a"], &[]] {
        assert_eq!(bench.add(list), [], "{list:?}");
    }
    assert_eq!(availability(&bench, "#a"), Availability::Ready);
}

#[test]
fn what_is_added_and_taken_out_while_disconnected_counts_with_the_next_connection() {
    let mut bench = with_x();
    bench.on(Input::Closed("lost"));
    assert_eq!(written(bench.add(&["#y", "#z"])), Vec::<String>::new());
    assert!(matches!(availability(&bench, "#y"), Availability::Disconnected { .. }));
    assert_eq!(availability(&bench, "#x"), Availability::Unserved);
    assert_eq!(written(bench.add(&["#z"])), Vec::<String>::new());
    assert_eq!(reconnect(&mut bench), ["JOIN #a\r\n", "JOIN #b\r\n", "JOIN #z\r\n"]);
    assert_eq!(bench.session.channels.all().count(), 3);
}

#[test]
fn added_channels_are_joined_again_after_a_reconnect_and_the_configured_ones_come_first() {
    let mut bench = Bench::of(true, &["#m"], true);
    bench.add(&["#a", "#z"]);
    bench.go_online();
    assert_eq!(written(&bench.out), ["JOIN #m\r\n", "JOIN #a\r\n", "JOIN #z\r\n"]);
    assert_eq!(reconnect(&mut bench), ["JOIN #m\r\n", "JOIN #a\r\n", "JOIN #z\r\n"]);
}

#[test]
fn a_channel_that_is_taken_out_while_its_join_is_pending_is_left_whatever_the_server_answers() {
    for (answers, then) in [
        // Let in, and out again.
        (&[":bot!bot@bot JOIN #x", "@mod=0 :t USERSTATE #x", "@slow=0 :t ROOMSTATE #x", PART_X][..], false),
        // Never let in: there is no PART to be answered.
        (&["@msg-id=msg_channel_suspended :t NOTICE #x :no"], false),
        (&["@msg-id=msg_banned :t NOTICE #x :no"], false),
        // No answer at all: after a while there is none to come.
        (&[], true),
    ] {
        let mut bench = Bench::ready();
        bench.add(&["#x"]);
        assert_eq!(written(bench.add(&[])), ["PART #x\r\n"]);
        for line in answers {
            assert_eq!(news(bench.line(line)), Vec::<&News>::new(), "{line}");
        }
        assert_eq!(bench.session.channels.find("#x").is_some(), then, "{answers:?}");
        let out = bench.wait(seconds(6));
        assert_eq!((news(&out), written(&out)), (vec![], vec![]), "{answers:?}");
        assert!(bench.session.channels.find("#x").is_none());
    }
}

#[test]
fn a_channel_that_waits_for_the_join_budget_is_taken_out_without_a_word() {
    let names: Vec<String> = (0..20).map(|n| format!("#c{n:02}")).collect();
    let mut bench = Bench::of(true, &names.iter().map(String::as_str).collect::<Vec<_>>(), true);
    bench.go_online();
    assert_eq!(bench.add(&["#x"]), []);
    assert_eq!(bench.add(&[]), []);
    assert_eq!(bench.session.channels.all().count(), 20);
}

#[test]
fn what_is_in_flight_when_its_channel_is_taken_out_has_its_verdict_first() {
    let mut bench = with_x();
    let say = bench.request(1, "#x", &["one", "two"]);
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    let out = bench.add(&[]).to_vec();
    assert_eq!((news(&out), written(&out)), (vec![&left("#x")], vec![]), "not left while it is said");
    assert_eq!(availability(&bench, "#x"), Availability::Unserved);
    bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #x");
    let out = bench.wait(seconds(2));
    assert_eq!(written(&out), ["PRIVMSG #x :two\r\n"], "all of it");
    bench.on(Input::Written(Ticket(1)));
    let out = bench.line("@id=m-2 :tmi.twitch.tv USERSTATE #x").to_vec();
    assert!(matches!(verdicts(&out)[..], [Verdict::Delivered { .. }]), "{out:?}");
    assert_eq!(written(&out), ["PART #x\r\n"]);
    bench.line(PART_X);
    assert!(bench.session.channels.find("#x").is_none());
}

#[test]
fn what_cannot_be_finished_in_a_channel_that_is_taken_out_says_what_was_said() {
    for (end, said, expected) in [
        // In flight when the connection ends: nobody knows.
        (None, false, "connection_lost"),
        // Between two parts, the second waiting for its turn.
        (None, true, "channel_left"),
        (Some("@msg-id=msg_channel_suspended :t NOTICE #x :gone"), true, "channel_left"),
        (Some(PART_X), true, "channel_left"),
    ] {
        let mut bench = with_x();
        let say = bench.request(1, "#x", &["one", "two"]);
        bench.on(Input::Say(say));
        bench.on(Input::Written(Ticket(1)));
        if said {
            bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #x");
        }
        bench.add(&[]);
        let out = match end {
            Some(line) => bench.line(line),
            None => bench.on(Input::Closed("end")),
        };
        match verdicts(out)[..] {
            [Verdict::Unverified { code, .. }] if !said => assert_eq!(code, expected),
            [Verdict::Permanent { code, message, .. }] if said => {
                assert_eq!(code, expected);
                assert!(message.contains("first 1 of 2"), "{message}");
            }
            ref other => panic!("{other:?}"),
        }
        assert!(bench.session.channels.find("#x").is_none(), "{end:?}");
        assert!(bench.session.tickets.is_empty());
    }
}

#[test]
fn a_channel_that_is_added_again_before_it_is_left_stays_joined() {
    let mut bench = with_x();
    let say = bench.request(1, "#x", &["one"]);
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    bench.add(&[]);
    let out = bench.add(&["#x"]).to_vec();
    assert_eq!((news(&out), written(&out)), (vec![&joined("#x")], vec![]));
    let out = bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #x").to_vec();
    assert!(matches!(verdicts(&out)[..], [Verdict::Delivered { .. }]));
    assert_eq!(written(&out), Vec::<String>::new());
}

#[test]
fn a_channel_that_is_added_again_while_it_is_left_is_joined_when_that_is_over() {
    let mut bench = with_x();
    bench.add(&[]);
    let out = bench.add(&["#x"]).to_vec();
    assert_eq!((news(&out), written(&out)), (vec![], vec![]), "answers to both could not be told apart");
    assert!(matches!(availability(&bench, "#x"), Availability::Disconnected { .. }));
    assert_eq!(written(bench.line(PART_X)), ["JOIN #x\r\n"]);
    bench.join("#x");
    bench.wait(seconds(2));
    assert_eq!(availability(&bench, "#x"), Availability::Ready);
}

#[test]
fn nothing_is_said_at_once_in_a_channel_that_may_have_been_left_a_moment_ago() {
    let mut bench = with_x();
    let say = bench.request(1, "#x", &["one"]);
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    let said_at = bench.now();
    bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #x");
    bench.add(&[]);
    bench.line(PART_X);
    bench.add(&["#x"]);
    bench.line("@slow=0 :tmi.twitch.tv ROOMSTATE #x");
    let next = said_at + Duration::from_millis(1100);
    assert_eq!(availability(&bench, "#x"), Availability::NotBefore(next), "one a second, as anywhere");
}

#[test]
fn a_part_that_is_not_answered_is_sent_again_and_in_the_end_given_up() {
    let mut bench = with_x();
    bench.add(&[]);
    let out = bench.wait(seconds(14));
    assert_eq!(written(&out), ["PART #x\r\n", "PART #x\r\n"]);
    assert_eq!(troubles(&out), Vec::<&str>::new());
    let out = bench.wait(seconds(2));
    assert_eq!((written(&out), troubles(&out)), (vec![], vec!["part_unanswered"]));
    assert!(bench.session.channels.find("#x").is_none());
}

#[test]
fn a_channel_that_is_wanted_again_while_its_part_has_no_answer_is_first_left_for_certain() {
    let mut bench = with_x();
    bench.add(&[]);
    bench.add(&["#x"]);
    let out = bench.wait(seconds(6));
    assert_eq!((news(&out), written(&out)), (vec![], vec!["PART #x\r\n".to_owned()]));
    assert!(matches!(availability(&bench, "#x"), Availability::Disconnected { .. }));
    let out = bench.line(PART_X).to_vec();
    assert_eq!((news(&out), written(&out)), (vec![], vec!["JOIN #x\r\n".to_owned()]));
}

#[test]
fn a_server_that_lets_us_in_after_the_channel_was_forgotten_is_told_to_let_us_out() {
    let mut bench = Bench::ready();
    let out = bench.line(":bot!bot@bot.tmi.twitch.tv JOIN #late").to_vec();
    assert_eq!((news(&out), written(&out)), (vec![], vec!["PART #late\r\n".to_owned()]));
    for other in [":ada!ada@ada JOIN #late", ":bot!bot@bot JOIN late", ":bot!bot@bot JOIN #a,#b"] {
        assert_eq!(written(bench.line(other)), Vec::<String>::new(), "{other}");
    }
}

#[test]
fn a_refused_channel_that_is_added_again_is_tried_again_at_once() {
    for is_seen_between in [true, false] {
        let mut bench = Bench::ready();
        bench.add(&["#x"]);
        let refused = News::Refused { channel: "#x".into(), code: "msg_banned".to_owned() };
        assert_eq!(news(bench.line("@msg-id=msg_banned :t NOTICE #x :no")), [&refused]);
        assert_eq!(availability(&bench, "#x"), Availability::Unserved);
        assert_eq!(written(bench.add(&["#x"])), Vec::<String>::new(), "it is the same list");
        if is_seen_between {
            bench.add(&[]);
        } else {
            // Only the newest list is looked at.
            bench.added = bench.added.renew(&[], &[]);
        }
        assert_eq!(written(bench.add(&["#x"])), ["JOIN #x\r\n"], "{is_seen_between}");
        bench.join("#x");
        bench.wait(seconds(2));
        assert_eq!(availability(&bench, "#x"), Availability::Ready);
    }
}

#[test]
fn a_refused_configured_channel_is_tried_again_when_somebody_adds_it() {
    let mut bench = Bench::ready();
    bench.line("@msg-id=msg_channel_suspended :t NOTICE #a :no");
    assert_eq!(written(bench.add(&["#a"])), ["JOIN #a\r\n"]);
}

#[test]
fn many_channels_at_once_are_joined_within_the_budget_and_left_within_theirs() {
    let mut bench = Bench::ready();
    let names: Vec<String> = (0..MAX_CHANNELS - 2).map(|n| format!("#n{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let asked = written(bench.add(&names[..60])).len();
    assert_eq!(asked, 20 - 2, "two were joined already");
    let mut all = asked;
    for step in 0..60 {
        let out = bench.wait(seconds(1));
        for line in written(&out) {
            match line.strip_prefix("JOIN ") {
                Some(channel) => {
                    all += 1;
                    bench.join(channel.trim_end());
                }
                None => drop(bench.pong(&out).len()),
            }
        }
        if step == 2 {
            for name in &names[..asked] {
                bench.join(name);
            }
        }
    }
    assert_eq!(all, 60);
    // All that there may be, and none of it again.
    bench.add(&names);
    let parts = written(bench.add(&[])).len();
    let pending = bench.session.channels.all().count() - 2;
    assert_eq!(parts, pending, "those that were joined or asked for");
    assert!((60..=80).contains(&parts) && parts <= PARTS_PER_WINDOW);
    for name in &names[..80] {
        bench.line(&format!(":bot!bot@bot.tmi.twitch.tv PART {name}"));
    }
    bench.wait(seconds(6));
    assert_eq!(bench.session.channels.all().count(), 2);
}

#[test]
fn more_parts_than_fit_into_a_second_wait_for_the_next() {
    let names: Vec<String> = (0..250).map(|n| format!("#n{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::made(true, &["#a"], true, true);
    bench.go_online();
    bench.add(&names);
    for name in &names {
        bench.join(name);
    }
    bench.wait(seconds(2));
    assert_eq!(availability(&bench, names[249]), Availability::Ready);
    let parts = |out: &[Output]| written(out).iter().filter(|line| line.starts_with("PART")).count();
    let mut per_second = vec![parts(bench.add(&[]))];
    let last = names[249];
    assert_eq!(availability(&bench, last), Availability::Unserved);
    let say = bench.request(1, last, &["too late"]);
    assert_eq!(bench.on(Input::Say(say)), [Output::Verdict(Ticket(1), Verdict::NotNow)], "in it or not");
    for _ in 0..3 {
        per_second.push(parts(&bench.wait(seconds(1))));
    }
    assert_eq!(per_second, [100, 100, 50, 0]);
}

#[test]
fn a_connection_that_the_server_wants_ended_is_asked_for_nothing_and_does_not_keep_the_loop_busy() {
    let mut bench = with_x();
    // So many that the JOINs of the account are used up, some of them long ago.
    for n in 0..20 {
        let name = format!("#n{n}");
        bench.add(&["#x", &name]);
        let out = bench.wait(seconds(1));
        bench.line(&format!(":bot!bot@bot.tmi.twitch.tv PART {name}"));
        if written(&out).iter().any(|line| line.starts_with("PING")) {
            bench.pong(&out);
        }
    }
    bench.add(&["#x"]);
    bench.wait(seconds(4));
    bench.say_written(1, "hello");
    assert_eq!(bench.session.joins.next(bench.now()), None, "one is free again");
    bench.line(":tmi.twitch.tv RECONNECT");
    let out = bench.add(&["#y"]).to_vec();
    assert_eq!(written(&out), Vec::<String>::new());
    assert!(bench.session.next_deadline().is_some_and(|at| at > bench.now()), "nothing is due now");
    let out = bench.wait(seconds(3));
    assert!(out.contains(&Output::StepDown) && out.contains(&Output::Connect));
    bench.on(Input::Connected);
    bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    let asked = written(bench.line(":tmi.twitch.tv 001 bot :Welcome"));
    assert_eq!(asked.first().map(String::as_str), Some("JOIN #a\r\n"));
    assert!(bench.session.next_deadline().is_some_and(|at| at > bench.now()));
}

#[test]
fn a_place_that_is_given_to_another_channel_keeps_nothing_of_the_first() {
    let mut bench = with_x();
    let place = bench.session.channels.find("#x");
    bench.line("@slow=30 :tmi.twitch.tv ROOMSTATE #x");
    bench.add(&[]);
    bench.line(PART_X);
    bench.add(&["#y"]);
    assert_eq!(bench.session.channels.find("#y"), place);
    bench.join("#y");
    bench.wait(seconds(2));
    let say = bench.request(1, "#y", &["hello"]);
    assert_eq!(written(bench.on(Input::Say(say))), ["PRIVMSG #y :hello\r\n"]);
    let now = bench.now();
    assert_eq!(bench.session.availability("#x", now), Availability::Unserved);
}
