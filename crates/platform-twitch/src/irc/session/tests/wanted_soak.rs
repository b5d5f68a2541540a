//! Random histories against a server that answers in order and late: whatever was added, taken out,
//! refused, said and lost, in the end we are in the channels that are wanted, and in no others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

const BASE: [&str; 2] = ["#a", "#b"];
/// Who may be added; the last two cannot be joined.
const NAMES: [&str; 7] = ["#a", "#c", "#d", "#e", "#f", "#banned", "#nowhere"];

#[derive(Debug, Clone)]
enum Step {
    /// A list, and whether the session sees it before the next one.
    Add(Vec<usize>, bool),
    Answer(usize),
    Wait(u64),
    Say(usize),
    /// The server takes us out of a channel.
    Part(usize),
    Reconnect,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    let list = proptest::collection::vec(0..NAMES.len(), 0..NAMES.len());
    prop_oneof![
        6 => (list, proptest::bool::weighted(0.8)).prop_map(|(list, seen)| Step::Add(list, seen)),
        8 => (1_usize..8).prop_map(Step::Answer),
        4 => (0_u64..7000).prop_map(Step::Wait),
        4 => (0..NAMES.len()).prop_map(Step::Say),
        1 => (0..NAMES.len()).prop_map(Step::Part),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Drop),
    ]
}

/// The server, and all that is seen of the session.
#[derive(Default)]
struct World {
    newest: Served,
    /// While the session has two connections.
    former: Option<Served>,
    /// What the status would show.
    shown: BTreeSet<String>,
    joins: Vec<Instant>,
    said: u64,
    open: BTreeMap<u64, bool>,
}

/// One connection as the server has it.
#[derive(Default)]
struct Served {
    is_in: BTreeSet<String>,
    /// Left by the session and not asked for since.
    given_up: BTreeSet<String>,
    answers: VecDeque<String>,
}

// === impl World ===

impl World {
    /// Takes in what the session did, until it does nothing more.
    fn take(&mut self, bench: &mut Bench, outputs: Vec<Output>) {
        let mut todo: VecDeque<Output> = outputs.into();
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Connect => todo.extend(bench.on(Input::Connected).to_vec()),
                Output::Close => self.lose(),
                Output::StepDown => {
                    assert!(self.former.is_none(), "a third connection");
                    self.former = Some(std::mem::take(&mut self.newest));
                }
                Output::WriteFormer(frame) => {
                    let text = String::from_utf8(frame.bytes.clone()).unwrap();
                    self.former.as_mut().unwrap().heard(text.trim_end());
                }
                Output::CloseFormer => self.former = None,
                Output::Write(frame) => {
                    let text = String::from_utf8(frame.bytes.clone()).unwrap();
                    text.lines().for_each(|line| self.newest.heard(line));
                    self.joins.extend(text.starts_with("JOIN").then(|| bench.now()));
                    if let Some(ticket) = frame.ticket {
                        todo.extend(bench.on(Input::Written(ticket)).to_vec());
                    }
                }
                Output::Verdict(Ticket(n), _) => {
                    assert_eq!(self.open.insert(n, true), Some(false), "a second verdict for {n}");
                }
                Output::News(News::Joined(name)) => {
                    assert!(self.shown.insert(name.to_string()), "{name} was joined already");
                }
                Output::News(News::Left(name)) => {
                    assert!(self.shown.remove(&*name), "{name} was not joined");
                }
                _ => {}
            }
        }
    }

    fn lose(&mut self) {
        self.newest = Served::default();
    }

    fn answer_some(&mut self, bench: &mut Bench, count: usize) {
        for _ in 0..count {
            if let Some(line) = self.former.as_mut().and_then(|former| former.answers.pop_front()) {
                let out = bench.former_line(&line).to_vec();
                self.take(bench, out);
            }
            if let Some(line) = self.newest.answers.pop_front() {
                let out = bench.line(&line).to_vec();
                self.take(bench, out);
            }
            if self.newest.answers.is_empty() && self.former.as_ref().is_none_or(|f| f.answers.is_empty()) {
                return;
            }
        }
    }

    /// Lets time pass, and takes in what is done at each moment at that moment.
    fn pass(&mut self, bench: &mut Bench, by: Duration) {
        let end = bench.now() + by;
        loop {
            let next = bench.session.next_deadline().filter(|at| *at <= end).unwrap_or(end);
            let out = bench.wait(next.saturating_duration_since(bench.now()));
            self.take(bench, out);
            if bench.now() >= end {
                return;
            }
        }
    }

    fn step(&mut self, bench: &mut Bench, step: Step) {
        let out = match step {
            Step::Add(list, is_seen) => {
                let names: Vec<&str> = list.iter().filter_map(|at| NAMES.get(*at).copied()).collect();
                if is_seen {
                    bench.add(&names).to_vec()
                } else {
                    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
                    bench.added = bench.added.renew(&names, &bench.session.config.channels);
                    return;
                }
            }
            Step::Answer(count) => return self.answer_some(bench, count),
            Step::Wait(ms) => return self.pass(bench, Duration::from_millis(ms)),
            Step::Say(at) => {
                self.said += 1;
                self.open.insert(self.said, false);
                let say =
                    bench.request(self.said, NAMES.get(at).copied().unwrap_or_default(), &["one", "two"]);
                bench.on(Input::Say(say)).to_vec()
            }
            Step::Part(at) => {
                let name = NAMES.get(at).copied().unwrap_or_default();
                if self.newest.is_in.remove(name) {
                    self.newest.answer(&format!(":bot!bot@bot PART {name}"));
                }
                return;
            }
            Step::Reconnect if bench.session.is_online() => {
                self.newest.answer(":tmi.twitch.tv RECONNECT");
                return;
            }
            Step::Drop if !matches!(bench.session.phase, Phase::Waiting { .. }) => {
                self.lose();
                bench.on(Input::Closed("lost")).to_vec()
            }
            Step::Reconnect | Step::Drop => return,
        };
        self.take(bench, out);
    }
}

// === impl Served ===

impl Served {
    fn heard(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (command, name) = (words.next().unwrap(), words.next().unwrap_or_default());
        match command {
            "NICK" => {
                self.answer(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
                self.answer(":tmi.twitch.tv 001 bot :Welcome");
            }
            "PING" => self.answer(&format!(":tmi.twitch.tv PONG tmi.twitch.tv {name}")),
            "JOIN" => {
                self.given_up.remove(name);
                match name {
                    "#nowhere" => {}
                    "#banned" => self.answer("@msg-id=msg_banned :tmi.twitch.tv NOTICE #banned :no"),
                    // A second JOIN of a channel is not answered.
                    _ if !self.is_in.insert(name.to_owned()) => {}
                    _ => {
                        self.answer(&format!(":bot!bot@bot JOIN {name}"));
                        self.answer(&format!("@mod=0 :tmi.twitch.tv USERSTATE {name}"));
                        self.answer(&format!("@slow=0 :tmi.twitch.tv ROOMSTATE {name}"));
                    }
                }
            }
            "PART" => {
                self.given_up.insert(name.to_owned());
                if self.is_in.remove(name) {
                    self.answer(&format!(":bot!bot@bot PART {name}"));
                }
            }
            "PRIVMSG" => {
                assert!(!self.given_up.contains(name), "said in {name} after it was left");
                if self.is_in.contains(name) {
                    self.answer(&format!("@id=m :tmi.twitch.tv USERSTATE {name}"));
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, line: &str) {
        self.answers.push_back(line.to_owned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_we_are_in_the_wanted_channels_and_in_no_others(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut bench = Bench::of(true, &BASE, true);
        let mut world = World::default();
        for step in steps {
            world.step(&mut bench, step);
        }
        // The newest list is seen at the latest now.
        let newest = Arc::clone(&bench.added.channels);
        let out = bench.on(Input::Added(&newest)).to_vec();
        world.take(&mut bench, out);
        // Long enough for what was refused, for want of answers, to be tried again.
        for _ in 0..400 {
            world.answer_some(&mut bench, usize::MAX);
            world.pass(&mut bench, seconds(2));
        }
        let added = newest.iter().map(|added| &*added.name);
        let wanted: BTreeSet<String> = BASE.into_iter().chain(added).map(str::to_owned).collect();
        let known: BTreeSet<String> = bench.session.channels.all().map(|c| c.name.to_string()).collect();
        prop_assert_eq!(&known, &wanted, "nothing is kept of what is not wanted");
        let can_be_joined: BTreeSet<String> =
            wanted.into_iter().filter(|name| name != "#banned" && name != "#nowhere").collect();
        prop_assert!(world.former.is_none());
        prop_assert_eq!(&world.newest.is_in, &can_be_joined, "for the server");
        prop_assert_eq!(&world.shown, &can_be_joined, "for operators");
        for name in &can_be_joined {
            prop_assert_eq!(bench.session.availability(name, bench.now()), Availability::Ready);
        }
        prop_assert!(world.open.values().all(|done| *done), "no verdict for {:?}", world.open);
        prop_assert!(bench.session.tickets.is_empty());
        for start in &world.joins {
            let within = world.joins.iter().filter(|at| *at >= start && **at <= *start + seconds(10));
            prop_assert!(within.count() <= 20);
        }
    }
}
