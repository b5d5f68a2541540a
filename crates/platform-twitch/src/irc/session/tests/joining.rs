use super::*;

fn many(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("#channel_{i:03}")).collect()
}

/// The moments of all JOINs while time passes, and while each is answered.
fn joins_over(bench: &mut Bench, steps: u32, answer: bool) -> Vec<Instant> {
    let mut moments = Vec::new();
    for _ in 0..steps {
        let out = bench.wait(Duration::from_millis(500));
        for line in written(&out) {
            if let Some(channel) = line.strip_prefix("JOIN ") {
                moments.push(bench.now());
                if answer {
                    bench.join(channel.trim_end());
                }
            } else if line.starts_with("PING") {
                bench.pong(&out);
            }
        }
    }
    moments
}

fn most_in_ten_seconds(moments: &[Instant]) -> usize {
    let within =
        |start: &Instant| moments.iter().filter(|at| *at >= start && **at <= *start + seconds(10)).count();
    moments.iter().map(within).max().unwrap_or(0)
}

#[test]
fn joins_are_paced_by_account_also_over_reconnects() {
    let channels = many(70);
    let names: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut bench = Bench::of(true, &names, true);
    bench.go_online();
    let mut moments: Vec<Instant> = written(&bench.out).iter().map(|_| bench.now()).collect();
    assert_eq!(moments.len(), 20, "as many as are allowed at once");
    for line in written(&bench.out.clone()) {
        bench.join(line.trim_start_matches("JOIN ").trim_end());
    }
    bench.on(Input::Closed("lost"));
    let wait = bench.session.next_deadline().unwrap() - bench.now();
    bench.wait(wait);
    bench.on(Input::Connected);
    bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    let out = bench.line(":tmi.twitch.tv 001 bot :Welcome");
    assert_eq!(written(out), Vec::<String>::new(), "the limit is the account's, not the connection's");
    moments.extend(joins_over(&mut bench, 120, true));
    assert_eq!(moments.len(), 20 + 70);
    assert!(most_in_ten_seconds(&moments) <= 20);
}

#[test]
fn a_verified_bot_joins_two_thousand_channels_at_once_and_no_more() {
    let channels = many(2_010);
    let names: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut bench = Bench::made(true, &names, true, true);
    bench.go_online();
    let joins = written(&bench.out);
    assert_eq!(joins.len(), 2_000);
    for line in joins {
        bench.join(line.trim_start_matches("JOIN ").trim_end());
    }
    assert_eq!(joins_over(&mut bench, 19, true).len(), 0);
    assert_eq!(joins_over(&mut bench, 4, true).len(), 10);
}

#[test]
fn a_join_is_confirmed_by_any_of_its_answers() {
    for answer in [
        ":bot!bot@bot.tmi.twitch.tv JOIN #a",
        "@room-id=1 :tmi.twitch.tv ROOMSTATE #a",
        ":bot.tmi.twitch.tv 366 bot #a :End of /NAMES list",
        "@mod=1 :tmi.twitch.tv USERSTATE #a",
        ":BOT!bot@bot JOIN #A",
    ] {
        let mut bench = Bench::of(true, &["#a"], true);
        bench.go_online();
        let now = bench.now();
        assert!(matches!(bench.session.availability("#a", now), Availability::Disconnected { .. }));
        let out = bench.line(answer);
        assert!(out.contains(&Output::News(News::Joined("#a".into()))), "{answer}");
        bench.wait(seconds(1));
        assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready, "{answer}");
    }
}

#[test]
fn nothing_is_said_before_the_answers_to_a_join_are_complete() {
    let mut bench = Bench::of(true, &["#a"], true);
    bench.go_online();
    bench.line(":bot!bot@bot.tmi.twitch.tv JOIN #a");
    let settled = bench.now() + seconds(1);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::NotBefore(settled));
    bench.line("@room-id=1 :tmi.twitch.tv ROOMSTATE #a");
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
}

#[test]
fn a_channel_that_never_answers_is_asked_three_times_then_now_and_then() {
    let mut bench = Bench::of(true, &["#a"], true);
    bench.go_online();
    let first = written(&bench.out).len();
    let mut asked = first;
    let mut refused = Vec::new();
    for _ in 0..20 {
        let out = bench.wait(seconds(1));
        asked += written(&out).iter().filter(|line| line.starts_with("JOIN")).count();
        refused.extend(out.into_iter().filter(|o| matches!(o, Output::News(News::Refused { .. }))));
    }
    assert_eq!(asked, 3);
    let news = News::Refused { channel: "#a".into(), code: "no_answer".to_owned() };
    assert_eq!(refused, [Output::News(news)]);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Unserved);
    let later = joins_over(&mut bench, 1300, false).len();
    assert!((2..=3).contains(&later), "{later} tries in eleven minutes");
    let join_is_open = joins_over(&mut bench, 700, true).len();
    assert_eq!(join_is_open, 1, "and it is joined when it answers at last");
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
}

#[test]
fn a_refused_channel_is_named_with_its_code_and_survives_reconnects_as_refused() {
    for code in ["msg_channel_suspended", "msg_banned", "tos_ban", "msg_room_not_found"] {
        let mut bench = Bench::of(true, &["#a", "#b"], true);
        bench.go_online();
        let out = bench.line(&format!("@msg-id={code} :tmi.twitch.tv NOTICE #a :no"));
        let news = News::Refused { channel: "#a".into(), code: code.to_owned() };
        assert_eq!(out, [Output::Publish, Output::News(news)]);
        bench.join("#b");
        bench.on(Input::Closed("lost"));
        bench.wait(seconds(1));
        bench.on(Input::Connected);
        bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
        let out = bench.line(":tmi.twitch.tv 001 bot :Welcome");
        assert_eq!(written(out), ["JOIN #b\r\n"], "{code}");
        assert_eq!(bench.session.availability("#a", bench.now()), Availability::Unserved);
    }
}

#[test]
fn a_joined_channel_that_is_suspended_is_left_and_one_that_parts_us_is_joined_again() {
    let mut bench = Bench::ready();
    let out = bench.line("@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #a :suspended");
    assert!(out.contains(&Output::News(News::Left("#a".into()))));
    let out = bench.line(":bot!bot@bot.tmi.twitch.tv PART #b");
    assert_eq!(out[0], Output::News(News::Left("#b".into())));
    assert_eq!(written(out), ["JOIN #b\r\n"]);
}
