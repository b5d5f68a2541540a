use super::*;

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// The one gap in this.
fn gap_in(out: &[Output]) -> Gap {
    match gaps(out)[..] {
        [gap] => gap.clone(),
        _ => panic!("{out:?}"),
    }
}

fn is_silent(out: &[Output]) -> bool {
    gaps(out).is_empty()
}

#[test]
fn a_gap_is_from_what_was_last_heard_to_the_last_channel_that_is_joined_again() {
    let mut bench = Bench::ready();
    bench.line("@id=m-1 :ada!ada@ada PRIVMSG #a :hello");
    let from = bench.now();
    bench.wait(seconds(5));
    assert!(is_silent(bench.on(Input::Closed("reset by peer"))));
    assert!(is_silent(&bench.wait(seconds(1))));
    bench.log_in();
    assert!(is_silent(&bench.out));
    assert!(is_silent(bench.line(":bot!bot@bot JOIN #a")));
    bench.wait(seconds(3));
    let out = bench.line(":bot!bot@bot JOIN #b").to_vec();
    let to = bench.now();
    assert_eq!(gap_in(&out), Gap { from, to, reason: "connection_lost", channels: names(&["#a", "#b"]) });
    assert!(is_silent(&bench.wait(seconds(20))), "told once");
}

#[test]
fn each_way_to_lose_a_connection_is_named() {
    for (lose, reason) in [
        (
            (|bench| bench.on(Input::Closed("gone")).to_vec()) as fn(&mut Bench) -> Vec<Output>,
            "connection_lost",
        ),
        (|bench| bench.wait(seconds(35)), "connection_dead"),
        // The one that asks is to be left while the one before it still is.
        (
            |bench| {
                bench.line(":tmi.twitch.tv RECONNECT");
                bench.wait(seconds(1));
                bench.log_in();
                bench.join("#a");
                let mut out = bench.line(":tmi.twitch.tv RECONNECT").to_vec();
                out.extend(bench.wait(seconds(2)));
                out.extend_from_slice(bench.on(Input::FormerClosed));
                out
            },
            "reconnect_requested",
        ),
    ] {
        let mut bench = Bench::ready();
        let from = bench.now();
        let mut out = lose(&mut bench);
        if !out.contains(&Output::Connect) {
            out.extend(bench.wait(seconds(2)));
        }
        assert!(is_silent(&out) && out.contains(&Output::Connect), "{reason}: {out:?}");
        bench.log_in();
        bench.join("#a");
        let nick = bench.session.nick().to_owned();
        let gap = gap_in(bench.line(&format!(":{nick}!x@x JOIN #b")));
        assert_eq!(gap.reason, reason);
        assert!(gap.from + Duration::from_millis(20) > from, "{reason}");
    }
}

#[test]
fn there_is_no_gap_where_nothing_was_read_before() {
    let mut bench = Bench::of(true, &["#a", "#b"], true);
    bench.on(Input::Tick);
    let mut all = bench.on(Input::Closed("refused")).to_vec();
    all.extend(bench.wait(seconds(1)));
    bench.log_in();
    all.extend_from_slice(bench.line(":bot!bot@bot JOIN #a"));
    // Only what had been read can be missed.
    all.extend_from_slice(bench.on(Input::Closed("gone")));
    assert!(is_silent(&all), "{all:?}");
    bench.wait(seconds(2));
    bench.log_in();
    assert!(is_silent(bench.line(":bot!bot@bot JOIN #b")));
    assert_eq!(gap_in(bench.line(":bot!bot@bot JOIN #a")).channels, names(&["#a"]));
}

#[test]
fn a_connection_that_is_lost_again_before_all_is_joined_makes_one_gap() {
    let mut bench = Bench::ready();
    let from = bench.now();
    bench.on(Input::Closed("gone"));
    bench.wait(seconds(1));
    bench.log_in();
    bench.join("#a");
    bench.wait(seconds(1));
    bench.on(Input::Closed("gone again"));
    bench.wait(seconds(2));
    bench.log_in();
    assert!(is_silent(bench.line(":bot!bot@bot JOIN #b")));
    let gap = gap_in(bench.line(":bot!bot@bot JOIN #a"));
    assert_eq!(gap.channels, names(&["#a", "#b"]));
    assert!(gap.from <= from && gap.to == bench.now());
}

#[test]
fn a_channel_that_is_refused_or_taken_out_is_not_waited_for() {
    let mut bench = Bench::ready();
    bench.add(&["#c"]);
    bench.join("#c");
    bench.on(Input::Closed("gone"));
    bench.wait(seconds(1));
    bench.log_in();
    bench.join("#a");
    assert!(is_silent(bench.add(&[])));
    let out = bench.line("@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #b :gone").to_vec();
    assert_eq!(gap_in(&out).channels, names(&["#a", "#b", "#c"]));
}

#[test]
fn a_server_that_asks_for_it_is_left_without_a_gap() {
    for pings in [0, 2] {
        let mut bench = Bench::ready();
        for _ in 0..pings {
            let out = bench.wait(seconds(25));
            bench.pong(&out);
        }
        let mut all = bench.line(":tmi.twitch.tv RECONNECT").to_vec();
        assert!(all.contains(&Output::StepDown), "{all:?}");
        assert_eq!(troubles(&all), ["reconnect_requested"]);
        assert_eq!(all.contains(&Output::Connect), pings > 0, "at once only where it is rare");
        all.extend(bench.wait(seconds(1)));
        assert!(all.contains(&Output::Connect));
        all.extend_from_slice(bench.former_line("@id=m-1 :ada!ada@ada PRIVMSG #a :hello"));
        bench.log_in();
        all.extend_from_slice(&bench.out);
        for line in [":bot!bot@bot JOIN #a", ":bot!bot@bot JOIN #b"] {
            all.extend_from_slice(bench.line(line));
        }
        for line in [":bot!bot@bot PART #a", ":bot!bot@bot PART #b"] {
            all.extend_from_slice(bench.former_line(line));
        }
        all.extend(bench.wait(seconds(20)));
        assert!(all.contains(&Output::CloseFormer) && is_silent(&all));
        assert!(!all.iter().any(|output| matches!(output, Output::News(News::Left(_)))));
    }
}

#[test]
fn what_was_on_its_way_to_a_former_connection_that_ends_may_be_missed() {
    for (end, reason) in [
        (
            (|bench| bench.on(Input::FormerClosed).to_vec()) as fn(&mut Bench) -> Vec<Output>,
            "connection_lost",
        ),
        (|bench| bench.wait(seconds(5)), "connection_dead"),
    ] {
        let mut bench = Bench::kept(Credential::default(), &["#a", "#b"]);
        bench.go_online();
        bench.join("#a");
        bench.join("#b");
        let guest = bench.session.nick().to_owned();
        let from = bench.now();
        bench.tell(token("later"));
        bench.log_in();
        bench.join("#a");
        bench.former_line(&format!(":{guest}!x@x PART #a"));
        bench.join("#b");
        let gap = gap_in(&end(&mut bench));
        assert_eq!((gap.reason, gap.from, gap.to), (reason, from, bench.now()));
        assert_eq!(gap.channels, names(&["#b"]));
    }
}

#[test]
fn what_only_the_former_connection_read_is_missed_when_it_ends() {
    for (end, reason) in [
        (
            (|bench| bench.on(Input::FormerClosed).to_vec()) as fn(&mut Bench) -> Vec<Output>,
            "connection_lost",
        ),
        // The server that the newest one is to go to is out of reach.
        (|bench| bench.wait(seconds(35)), "connection_dead"),
    ] {
        let mut bench = Bench::kept(Credential::default(), &["#a", "#b"]);
        bench.go_online();
        bench.join("#a");
        bench.join("#b");
        let from = bench.now();
        bench.tell(token("later"));
        let mut out = end(&mut bench);
        assert!(out.contains(&Output::News(News::Left("#b".into()))), "{reason}: {out:?}");
        assert!(states(&out).contains(&ConnectionState::Reconnecting), "{reason}: {out:?}");
        while !matches!(bench.session.phase, Phase::Connecting { .. }) {
            out.extend(bench.wait(seconds(1)));
        }
        assert!(is_silent(&out));
        bench.log_in();
        bench.join("#a");
        let gap = gap_in(bench.line(":bot!bot@bot JOIN #b"));
        assert_eq!((gap.reason, gap.from, gap.channels), (reason, from, names(&["#a", "#b"])));
    }
}
