//! Random histories: whatever happens, every send ends in one verdict and no limit is overstepped.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Line(usize),
    Say(usize, usize),
    Close,
    Connected,
    Written,
    Withheld,
}

const LINES: [&str; 19] = [
    ":tmi.twitch.tv 001 bot :Welcome",
    ":tmi.twitch.tv CAP * ACK :twitch.tv/tags",
    ":tmi.twitch.tv CAP * NAK :twitch.tv/tags",
    ":bot!bot@bot JOIN #a",
    "@slow=0 :tmi.twitch.tv ROOMSTATE #a",
    "@slow=5 :tmi.twitch.tv ROOMSTATE #b",
    "@mod=1 :tmi.twitch.tv USERSTATE #a",
    "@id=x :tmi.twitch.tv USERSTATE #a",
    "@id=y :tmi.twitch.tv USERSTATE #b",
    ":bot!bot@bot PART #a",
    "@msg-id=msg_slowmode :t NOTICE #a :wait 3 seconds",
    "@msg-id=msg_duplicate :t NOTICE #a :same",
    "@msg-id=msg_ratelimit :t NOTICE #b :slow down",
    "@msg-id=msg_channel_suspended :t NOTICE #b :gone",
    "@msg-id=what_is_this :t NOTICE #a :?",
    ":tmi.twitch.tv RECONNECT",
    ":tmi.twitch.tv NOTICE * :Login authentication failed",
    "PING :x",
    ":tmi.twitch.tv PONG tmi.twitch.tv :x",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u64..6000).prop_map(Step::Wait),
        10 => (0..LINES.len()).prop_map(Step::Line),
        6 => (0_usize..2, 1_usize..4).prop_map(|(channel, parts)| Step::Say(channel, parts)),
        1 => Just(Step::Close),
        4 => Just(Step::Connected),
        6 => Just(Step::Written),
        1 => Just(Step::Withheld),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_send_has_one_verdict_and_ticks_end(steps in proptest::collection::vec(step(), 1..150)) {
        let mut bench = Bench::of(true, &["#a", "#b"], true);
        let mut open: BTreeMap<u64, bool> = BTreeMap::new();
        let mut unwritten: Vec<Ticket> = Vec::new();
        let mut connected = false;
        let mut joins: Vec<Instant> = Vec::new();
        let mut ticket = 0;
        for step in steps {
            let out = match step {
                Step::Wait(ms) => bench.wait(Duration::from_millis(ms)),
                Step::Line(at) if connected => bench.line(LINES[at]).to_vec(),
                Step::Connected => bench.on(Input::Connected).to_vec(),
                Step::Close if connected => {
                    let mut all = Vec::new();
                    for ticket in std::mem::take(&mut unwritten) {
                        all.extend_from_slice(bench.on(Input::Withheld(ticket)));
                    }
                    all.extend_from_slice(bench.on(Input::Closed("end")));
                    connected = false;
                    all
                }
                Step::Say(channel, parts) => {
                    ticket += 1;
                    open.insert(ticket, false);
                    let parts = ["one", "two", "three"].get(..parts).unwrap_or_default();
                    let say = bench.request(ticket, ["#a", "#b"][channel], parts);
                    bench.on(Input::Say(say)).to_vec()
                }
                Step::Written if !unwritten.is_empty() => {
                    let ticket = unwritten.remove(0);
                    bench.on(Input::Written(ticket)).to_vec()
                }
                Step::Withheld if !unwritten.is_empty() => {
                    let ticket = unwritten.remove(0);
                    bench.on(Input::Withheld(ticket)).to_vec()
                }
                _ => continue,
            };
            for output in &out {
                match output {
                    Output::Connect => connected = true,
                    Output::Close => {
                        connected = false;
                        unwritten.clear();
                    }
                    Output::Write(frame) => {
                        unwritten.extend(frame.ticket);
                        if frame.bytes.starts_with(b"JOIN") {
                            joins.push(bench.now());
                        }
                    }
                    Output::Verdict(Ticket(n), _) => {
                        let seen = open.insert(*n, true);
                        prop_assert_eq!(seen, Some(false), "a second verdict for {}", n);
                    }
                    _ => {}
                }
            }
            let now = bench.now();
            bench.on(Input::Tick);
            unwritten.extend(bench.out.iter().filter_map(|o| match o { Output::Write(f) => f.ticket, _ => None }));
            connected |= bench.out.contains(&Output::Connect);
            for output in bench.out.clone() {
                if let Output::Verdict(Ticket(n), _) = output {
                    prop_assert_eq!(open.insert(n, true), Some(false));
                }
            }
            prop_assert!(bench.session.next_deadline().is_none_or(|at| at > now), "a deadline that is over");
        }
        if connected {
            bench.on(Input::Closed("end"));
            for output in bench.out.clone() {
                if let Output::Verdict(Ticket(n), _) = output {
                    prop_assert_eq!(open.insert(n, true), Some(false));
                }
            }
        }
        for output in bench.wait(seconds(120)) {
            if let Output::Verdict(Ticket(n), _) = output {
                prop_assert_eq!(open.insert(n, true), Some(false));
            }
        }
        prop_assert!(open.values().all(|done| *done), "no verdict for {:?}", open);
        for start in &joins {
            prop_assert!(joins.iter().filter(|at| *at >= start && **at <= *start + seconds(10)).count() <= 20);
        }
    }
}
