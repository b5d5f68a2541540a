use chatbus_connector::CredentialState;

use super::*;

const HELLO: &str = "@id=m-1 :ada!ada@ada PRIVMSG #a :hello";

fn generation(generation: u64, login: &str) -> Credential {
    Credential { generation, login: Some(login.to_owned()), ..token(&format!("token-{generation}")) }
}

fn needs_reauth(credential: Credential) -> Credential {
    Credential { state: CredentialState::NeedsReauth, ..credential }
}

/// In `#a` and `#b` with this account, which somebody keeps.
fn online(credential: Credential) -> Bench {
    let mut bench = Bench::kept(credential, &["#a", "#b"]);
    bench.go_online();
    bench.join("#a");
    bench.join("#b");
    bench.wait(Duration::from_millis(10));
    bench
}

/// Takes over both channels from the former connection, whose name there is `former`.
fn take_over(bench: &mut Bench, former: &str) {
    for channel in ["#a", "#b"] {
        bench.join(channel);
    }
    for channel in ["#a", "#b"] {
        bench.former_line(&format!(":{former}!{former}@x PART {channel}"));
    }
    assert_eq!(bench.out, [Output::CloseFormer]);
    bench.wait(Duration::from_millis(10));
}

#[test]
fn a_token_that_comes_later_is_logged_in_with_while_the_guest_reads_on() {
    let mut bench = online(Credential::default());
    let guest = bench.session.nick().to_owned();
    let waits = |bench: &Bench| {
        let availability = bench.session.availability("#a", bench.now());
        assert!(matches!(availability, Availability::Disconnected { .. }), "{availability:?}");
    };
    waits(&bench);

    let out = bench.tell(generation(1, "Bot"));
    assert_eq!(out, [Output::News(News::Allowance), Output::StepDown, Output::Connect], "nothing is left");
    assert_eq!(bench.former_line(HELLO), [Output::Publish]);
    assert!(bench.log_in().ends_with("PASS oauth:token-1\r\nNICK bot\r\n"));
    assert_eq!(written(&bench.out), ["JOIN #a\r\n", "JOIN #b\r\n"]);
    assert!(bench.out.contains(&Output::News(News::LoggedIn { user_id: None })));
    assert_eq!(bench.former_line(HELLO), [Output::Publish]);
    waits(&bench);

    // Each channel is left as soon as it is joined, and was never seen to be left.
    let out = bench.line(":bot!bot@bot JOIN #a");
    assert_eq!(written_to_former(out), ["PART #a\r\n"]);
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(bench.former_line(HELLO), [Output::Publish], "what was under way there is read");
    assert_eq!(bench.former_line(&format!(":{guest}!x@x PART #a")), []);
    let out = bench.line("@slow=0 :tmi.twitch.tv ROOMSTATE #b");
    assert_eq!(written_to_former(out), ["PART #b\r\n"]);
    assert_eq!(bench.former_line(&format!(":{guest}!x@x PART #b")), [Output::CloseFormer]);
    bench.wait(seconds(1));
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
    bench.say_written(1, "back");
}

#[test]
fn a_connection_steps_down_when_it_knows_where_it_is() {
    let mut bench = Bench::kept(Credential::default(), &["#a"]);
    bench.go_online();
    assert_eq!(bench.tell(generation(1, "bot")), [Output::News(News::Allowance)]);
    let guest = bench.session.nick().to_owned();
    let out = bench.line(&format!(":{guest}!x@x JOIN #a"));
    assert_eq!(out, [Output::News(News::Joined("#a".into())), Output::StepDown, Output::Connect]);

    let mut bench = Bench::kept(Credential::default(), &["#nowhere"]);
    bench.go_online();
    bench.tell(generation(1, "bot"));
    let out = bench.wait(seconds(2));
    assert!(out.contains(&Output::Close) && out.contains(&Output::Connect), "or soon: {out:?}");
}

#[test]
fn a_token_that_comes_while_a_guest_logs_in_is_used_before_anything_is_joined() {
    let mut bench = Bench::kept(Credential::default(), &["#a"]);
    bench.on(Input::Tick);
    bench.on(Input::Connected);
    assert_eq!(bench.tell(generation(1, "bot")), [Output::News(News::Allowance)]);
    let guest = bench.session.nick().to_owned();
    bench.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
    let out = bench.line(&format!(":tmi.twitch.tv 001 {guest} :Welcome, GLHF!"));
    assert!(out.contains(&Output::Close) && out.contains(&Output::Connect), "{out:?}");
    assert!(written(out).is_empty(), "{out:?}");
    assert!(bench.log_in().contains("PASS oauth:token-1"));
}

#[test]
fn joins_of_both_connections_are_paced_as_one() {
    let names: Vec<String> = (0..25).map(|n| format!("#channel_{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::kept(Credential::default(), &names);
    bench.go_online();
    let mut all = bench.out.clone();
    names[..20].iter().for_each(|name| bench.join(name));
    bench.tell(generation(1, "bot"));
    bench.log_in();
    all.extend_from_slice(&bench.out);
    assert_eq!(written(&all).len(), 20, "none is left for the new one");
    assert_eq!(bench.former_line(HELLO), [Output::Publish]);
    let out = bench.wait(seconds(11));
    assert_eq!(written(&out).iter().filter(|line| line.starts_with("JOIN")).count(), 20);
}

#[test]
fn a_former_connection_that_answers_nothing_is_closed_all_the_same() {
    let mut bench = online(Credential::default());
    bench.tell(generation(1, "bot"));
    bench.log_in();
    bench.join("#a");
    bench.join("#b");
    let out = bench.wait(seconds(5));
    assert_eq!(out.iter().filter(|output| **output == Output::CloseFormer).count(), 1);
}

#[test]
fn a_renewed_token_is_for_the_next_login_only() {
    let mut bench = online(generation(1, "bot"));
    assert_eq!(bench.tell(generation(2, "BOT")), [Output::News(News::Allowance)]);
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
    bench.on(Input::Closed("reset by peer"));
    bench.wait(seconds(1));
    assert!(bench.log_in().contains("PASS oauth:token-2\r\n"));
}

#[test]
fn another_account_is_another_connection() {
    let mut bench = online(generation(1, "bot"));
    let out = bench.tell(generation(2, "other"));
    assert!(out.contains(&Output::StepDown) && out.contains(&Output::Connect));
    assert!(bench.log_in().ends_with("PASS oauth:token-2\r\nNICK other\r\n"));
    take_over(&mut bench, "bot");
    assert_eq!(bench.session.nick(), "other");
    assert_eq!(bench.session.availability("#b", bench.now()), Availability::Ready);
}

#[test]
fn a_change_in_the_middle_of_a_change_waits_until_that_is_done() {
    let mut bench = online(generation(1, "bot"));
    bench.tell(generation(2, "other"));
    bench.log_in();
    assert_eq!(bench.tell(generation(3, "third")), [Output::News(News::Allowance)]);
    bench.join("#a");
    bench.join("#b");
    bench.former_line(":bot!x@x PART #a");
    let out = bench.former_line(":bot!x@x PART #b");
    assert_eq!(out, [Output::CloseFormer, Output::StepDown, Output::Connect]);
    assert!(bench.log_in().contains("NICK third"));
}

#[test]
fn a_refused_token_is_told_and_never_tried_again_and_the_guest_reads_meanwhile() {
    for text in ["Login authentication failed", "Improperly formatted auth", "Login unsuccessful"] {
        let mut bench = Bench::kept(generation(7, "bot"), &["#a"]);
        bench.on(Input::Tick);
        bench.on(Input::Connected);
        let out = bench.line(&format!(":tmi.twitch.tv NOTICE * :{text}"));
        assert!(out.contains(&Output::TokenRefused(7)) && out.contains(&Output::Publish), "{out:?}");
        assert_eq!(troubles(out), ["login_refused"]);
        assert_eq!(states(out), [ConnectionState::Connecting], "and not an error");
        let close = out.iter().position(|output| *output == Output::Close).unwrap();
        assert!(out.iter().skip(close).any(|output| *output == Output::Connect), "at once");
        let login = bench.log_in();
        assert!(login.contains("NICK justinfan") && !login.contains("PASS"), "{login}");
        bench.join("#a");
        let Availability::Disconnected { .. } = bench.session.availability("#a", bench.now()) else {
            panic!("nothing can be said")
        };
        for _ in 0..240 {
            let out = bench.wait(seconds(25));
            bench.pong(&out);
            assert!(!out.contains(&Output::StepDown) && !out.contains(&Output::Connect), "{text}");
        }
        // The next one is tried at once.
        assert!(bench.tell(generation(8, "bot")).contains(&Output::StepDown));
        assert!(bench.log_in().contains("PASS oauth:token-8"));
    }
}

#[test]
fn tokens_that_are_refused_one_after_the_other_are_tried_later_and_later_until_a_person_brings_one() {
    let mut bench = Bench::kept(generation(1, "bot"), &["#a"]);
    bench.on(Input::Tick);
    let mut waits = Vec::new();
    for n in 1..8 {
        bench.on(Input::Connected);
        let out = bench.line(":tmi.twitch.tv NOTICE * :Login authentication failed");
        assert!(out.contains(&Output::TokenRefused(n)), "{out:?}");
        bench.log_in();
        bench.join("#a");
        let asked = bench.now();
        let mut out = bench.tell(generation(n + 1, "bot")).to_vec();
        while !out.contains(&Output::StepDown) {
            out = bench.wait(seconds(1));
            if written(&out).iter().any(|line| line.starts_with("PING")) {
                bench.pong(&out);
            }
        }
        waits.push(bench.now() - asked);
    }
    assert_eq!(waits[0], Duration::ZERO);
    assert!(waits[1] >= seconds(30) && waits[6] >= seconds(450) && waits[6] <= seconds(901), "{waits:?}");
    bench.on(Input::Connected);
    bench.line(":tmi.twitch.tv NOTICE * :Login authentication failed");
    bench.log_in();
    bench.join("#a");
    bench.on(Input::FormerClosed);
    bench.tell(needs_reauth(generation(8, "bot")));
    assert!(bench.tell(generation(9, "bot")).contains(&Output::StepDown), "a person does not wait");
}

#[test]
fn a_token_that_is_revoked_lets_what_is_in_flight_have_its_verdict_and_then_only_reads() {
    let mut bench = online(generation(1, "bot"));
    bench.say_written(1, "last words");
    assert_eq!(bench.tell(needs_reauth(generation(1, "bot"))), [Output::News(News::Allowance)]);
    let revoked = bench.now();
    let say = bench.request(2, "#b", &["too late"]);
    let out = bench.on(Input::Say(say));
    assert!(matches!(verdicts(out)[..], [Verdict::Reauth { code, .. }] if code == "needs_reauth"), "{out:?}");
    let out = bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #a");
    assert!(matches!(verdicts(out)[..], [Verdict::Delivered { .. }]));
    assert!(out.contains(&Output::StepDown), "{out:?}");
    assert!(bench.log_in().contains("NICK justinfan"));
    take_over(&mut bench, "bot");
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Disconnected { since: revoked });
    assert_eq!(bench.line(HELLO), [Output::Publish]);

    let guest = bench.session.nick().to_owned();
    bench.tell(generation(2, "bot"));
    bench.log_in();
    take_over(&mut bench, &guest);
    bench.wait(seconds(2));
    assert_eq!(bench.session.availability("#a", bench.now()), Availability::Ready);
    bench.say_written(3, "here again");
}

#[test]
fn what_is_under_way_for_too_long_when_the_token_is_revoked_stays_without_a_verdict() {
    let mut bench = online(generation(1, "bot"));
    bench.say_written(1, "last words");
    bench.tell(needs_reauth(generation(1, "bot")));
    let out = bench.wait(seconds(2));
    assert!(matches!(verdicts(&out)[..], [Verdict::Unverified { .. }]), "{out:?}");
    assert!(out.contains(&Output::StepDown));
}

#[test]
fn the_rest_of_a_text_waits_for_the_next_token_and_its_end_names_the_account() {
    let mut bench = online(generation(1, "bot"));
    let say = bench.request(1, "#a", &["one", "two"]);
    bench.on(Input::Say(say));
    bench.on(Input::Written(Ticket(1)));
    bench.line("@id=m-1 :tmi.twitch.tv USERSTATE #a");
    bench.tell(needs_reauth(generation(1, "bot")));
    bench.log_in();
    take_over(&mut bench, "bot");
    let out = bench.wait(seconds(61));
    assert!(
        matches!(verdicts(&out)[..], [Verdict::Permanent { code, message, .. }]
        if code == "needs_reauth" && message.contains("first 1 of 2")),
        "{out:?}"
    );
}

#[test]
fn what_is_to_be_said_is_answered_by_what_is_known_of_the_account() {
    let scopes = |scopes: &[&str]| Credential {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..generation(1, "bot")
    };
    for (credential, is_kept, expected) in [
        (Credential::default(), false, "read_only"),
        (Credential::default(), true, "needs_reauth"),
        (needs_reauth(generation(1, "bot")), true, "needs_reauth"),
        (scopes(&["chat:read"]), true, "missing_scope"),
        (scopes(&["chat:read", "chat:edit"]), true, "said"),
        (scopes(&[]), true, "said"),
        (Credential { state: CredentialState::Degraded, ..generation(1, "bot") }, true, "said"),
    ] {
        let shown = format!("{credential:?}, kept: {is_kept}");
        let mut bench = Bench::with(credential, is_kept, &["#a"], true, false);
        bench.go_online();
        bench.join("#a");
        bench.wait(Duration::from_millis(10));
        let is_unserved = bench.session.availability("#a", bench.now()) == Availability::Unserved;
        assert_eq!(is_unserved, expected == "read_only", "{shown}");
        let out = bench.say(1, "hi").to_vec();
        let answer = match verdicts(&out)[..] {
            [Verdict::Reauth { code, .. }] => code,
            [Verdict::Permanent { reason: PermanentReason::Unsupported, code, .. }] => code,
            [] if written(&out) == ["PRIVMSG #a :hi\r\n"] => "said",
            _ => panic!("{out:?}"),
        };
        assert_eq!(answer, expected, "{shown}");
    }
}

#[test]
fn our_own_words_are_one_event_though_the_former_connection_hears_them_too() {
    let mut bench = online(Credential::default());
    bench.tell(generation(1, "bot"));
    bench.log_in();
    bench.join("#a");
    bench.wait(seconds(2));
    bench.say_written(1, "hello");
    let own = ":bot!bot@bot PRIVMSG #a :hello";
    assert_eq!(bench.former_line(own), [Output::Publish], "it is published as this line");
    let out = bench.line(":tmi.twitch.tv USERSTATE #a").to_vec();
    assert!(!out.iter().any(|output| matches!(output, Output::PublishOwn(_))), "{out:?}");
    bench.wait(seconds(2));
    bench.say_written(2, "hello you");
    let out = bench.line(":tmi.twitch.tv USERSTATE #a").to_vec();
    assert!(out.iter().any(|output| matches!(output, Output::PublishOwn(_))), "{out:?}");
    assert_eq!(bench.former_line(":bot!bot@bot PRIVMSG #a :hello you"), [], "published already");
}

#[test]
fn the_former_connection_is_kept_alive_and_its_own_plumbing_is_no_event() {
    let mut bench = online(Credential::default());
    let guest = bench.session.nick().to_owned();
    bench.tell(generation(1, "bot"));
    let out = bench.former_line("PING :tmi.twitch.tv");
    assert_eq!(written_to_former(out), ["PONG :tmi.twitch.tv\r\n"]);
    assert!(out.contains(&Output::Publish));
    for (line, is_event) in [
        (format!(":{guest}!{guest}@x JOIN #late"), false),
        (format!(":tmi.twitch.tv 366 {guest} #late :End of /NAMES list"), false),
        (":tmi.twitch.tv RECONNECT".to_owned(), true),
        (":tmi.twitch.tv NOTICE * :Login authentication failed".to_owned(), true),
        ("@msg-id=slow_on :tmi.twitch.tv NOTICE #a :slow".to_owned(), true),
        ("@room-id=1 :tmi.twitch.tv ROOMSTATE #a".to_owned(), true),
        (":ada!x@x PART #a".to_owned(), true),
    ] {
        let expected = if is_event { &[Output::Publish][..] } else { &[] };
        assert_eq!(bench.former_line(&line), expected, "{line}");
    }
}

#[test]
fn a_channel_that_is_no_longer_wanted_or_refuses_the_account_is_not_read_by_the_former_one() {
    let mut bench = online(Credential::default());
    bench.add(&["#c"]);
    bench.join("#c");
    let guest = bench.session.nick().to_owned();
    bench.tell(generation(1, "bot"));
    let out = bench.add(&[]).to_vec();
    assert_eq!(written_to_former(&out), ["PART #c\r\n"]);
    assert!(out.contains(&Output::News(News::Left("#c".into()))));
    bench.log_in();
    let out = bench.line("@msg-id=msg_banned :tmi.twitch.tv NOTICE #b :You are banned").to_vec();
    assert_eq!(written_to_former(&out), ["PART #b\r\n"]);
    assert!(out.contains(&Output::News(News::Left("#b".into()))));
    bench.join("#a");
    for channel in ["#a", "#b", "#c"] {
        bench.former_line(&format!(":{guest}!x@x PART {channel}"));
    }
    assert_eq!(bench.out, [Output::CloseFormer]);
}

#[test]
fn a_stop_ends_both_connections() {
    let mut bench = online(Credential::default());
    bench.tell(generation(1, "bot"));
    bench.log_in();
    bench.join("#a");
    let out = bench.on(Input::Stopped).to_vec();
    for channel in ["#a", "#b"] {
        assert!(out.contains(&Output::News(News::Left(channel.into()))), "{channel}: {out:?}");
    }
    assert!(gaps(&out).is_empty() && troubles(&out).is_empty());
}
