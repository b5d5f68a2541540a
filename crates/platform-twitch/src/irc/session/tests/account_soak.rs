//! Random histories of an account against a server that answers in order and late: whatever becomes of the
//! token and of the connections, all that is said in our channels is read or inside a gap that is told, and
//! in the end we are who we are to be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chatbus_connector::CredentialState;
use proptest::prelude::*;

use super::*;

const CHANNELS: [&str; 3] = ["#a", "#b", "#c"];
const LOGINS: [&str; 2] = ["bot", "other"];

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A new token of this login, and whether the server takes it.
    Token(usize, bool),
    Revoke,
    /// Somebody says something in this channel.
    Chat(usize),
    Say(usize),
    /// How many lines of the newest connection are read, and of the former one.
    Read(usize, usize),
    Wait(u64),
    Reconnect,
    Drop,
    DropFormer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..LOGINS.len(), proptest::bool::weighted(0.7)).prop_map(|(at, good)| Step::Token(at, good)),
        1 => Just(Step::Revoke),
        6 => (0..CHANNELS.len()).prop_map(Step::Chat),
        3 => (0..CHANNELS.len()).prop_map(Step::Say),
        12 => (0_usize..12, 0_usize..8).prop_map(|(newest, former)| Step::Read(newest, former)),
        4 => (0_u64..9000).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Drop),
        1 => Just(Step::DropFormer),
    ]
}

/// One connection as the server has it.
#[derive(Default)]
struct Served {
    token: String,
    nick: String,
    is_in: BTreeSet<String>,
    answers: VecDeque<String>,
}

/// The server, and all that is seen of the session.
#[derive(Default)]
struct World {
    newest: Option<Served>,
    former: Option<Served>,
    bad_tokens: BTreeSet<String>,
    refused: BTreeSet<u64>,
    told: Credential,
    /// Channels that are read, or should be.
    was_read: BTreeSet<String>,
    chats: usize,
    /// What was said and is to be read by one of these connections still.
    unread: BTreeMap<usize, (&'static str, Instant)>,
    /// What can be read by nobody any more: when it was said, and since when.
    missed: Vec<(&'static str, [Instant; 2])>,
    gaps: Vec<Gap>,
    shown: BTreeSet<String>,
    joins: Vec<Instant>,
    said: u64,
    open: BTreeMap<u64, bool>,
}

// === impl Served ===

impl Served {
    fn answer(&mut self, line: &str) {
        self.answers.push_back(line.to_owned());
    }

    fn has(&self, chat: usize) -> bool {
        let tag = format!("@id={chat} ");
        self.answers.iter().any(|line| line.starts_with(&tag))
    }

    fn heard(&mut self, line: &str, bad_tokens: &BTreeSet<String>) {
        let (command, rest) = line.split_once(' ').unwrap();
        let nick = self.nick.clone();
        match command {
            "PASS" => self.token = rest.trim_start_matches("oauth:").to_owned(),
            "NICK" if bad_tokens.contains(&self.token) => {
                self.answer(":tmi.twitch.tv NOTICE * :Login authentication failed");
            }
            "NICK" => {
                assert_eq!(self.token.is_empty(), rest.starts_with("justinfan"), "{rest}");
                self.nick = rest.to_owned();
                self.answer(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
                self.answer(&format!(":tmi.twitch.tv 001 {rest} :Welcome"));
            }
            "PING" => self.answer(&format!(":tmi.twitch.tv PONG tmi.twitch.tv {rest}")),
            "JOIN" if self.is_in.insert(rest.to_owned()) => {
                self.answer(&format!(":{nick}!x@x JOIN {rest}"));
                self.answer(&format!("@slow=0 :tmi.twitch.tv ROOMSTATE {rest}"));
            }
            "PART" if self.is_in.remove(rest) => self.answer(&format!(":{nick}!x@x PART {rest}")),
            "PRIVMSG" => {
                assert!(!self.token.is_empty(), "a guest says nothing");
                let channel = rest.split(' ').next().unwrap();
                self.answer(&format!("@id=m :tmi.twitch.tv USERSTATE {channel}"));
            }
            _ => {}
        }
    }
}

// === impl World ===

impl World {
    /// Takes in what the session did, until it does nothing more. `chat` is the one whose line it was fed.
    fn take(&mut self, bench: &mut Bench, outputs: Vec<Output>, chat: Option<usize>) {
        let mut todo: VecDeque<Output> = outputs.into();
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Connect => {
                    assert!(self.newest.is_none(), "two connections at a time are made");
                    self.newest = Some(Served::default());
                    todo.extend(bench.on(Input::Connected).to_vec());
                }
                Output::Close => self.lose_newest(bench),
                Output::StepDown => {
                    assert!(self.former.is_none(), "a third connection");
                    self.former = self.newest.take();
                }
                Output::CloseFormer => self.lose_former(bench),
                Output::Write(frame) => {
                    let text = String::from_utf8(frame.bytes.clone()).unwrap();
                    let newest = self.newest.as_mut().unwrap();
                    text.lines().for_each(|line| newest.heard(line, &self.bad_tokens));
                    self.joins.extend(text.starts_with("JOIN").then(|| bench.now()));
                    if let Some(ticket) = frame.ticket {
                        todo.extend(bench.on(Input::Written(ticket)).to_vec());
                    }
                }
                Output::WriteFormer(frame) => {
                    let text = String::from_utf8(frame.bytes.clone()).unwrap();
                    self.former.as_mut().unwrap().heard(text.trim_end(), &self.bad_tokens);
                }
                Output::Publish => drop(chat.and_then(|chat| self.unread.remove(&chat))),
                Output::TokenRefused(generation) => {
                    assert!(self.refused.insert(generation), "{generation} was refused before");
                }
                Output::Gap(gap) => self.gaps.push(gap),
                Output::Verdict(Ticket(n), _) => {
                    assert_eq!(self.open.insert(n, true), Some(false), "a second verdict for {n}");
                }
                Output::News(News::Joined(name)) => {
                    assert!(self.shown.insert(name.to_string()), "{name} was joined already");
                    self.was_read.insert(name.to_string());
                }
                Output::News(News::Left(name)) => {
                    assert!(self.shown.remove(&*name), "{name} was not joined");
                }
                // Operators see that it is not read.
                Output::News(News::Refused { channel, .. }) => drop(self.was_read.remove(&*channel)),
                Output::PublishOwn(_) | Output::News(_) => {}
            }
        }
    }

    fn lose_newest(&mut self, bench: &Bench) {
        self.newest = None;
        self.note_missed(bench);
    }

    fn lose_former(&mut self, bench: &Bench) {
        self.former = None;
        self.note_missed(bench);
    }

    /// What no connection holds any more and nobody has read is missed from now on.
    fn note_missed(&mut self, bench: &Bench) {
        let (newest, former) = (&self.newest, &self.former);
        let is_held = |chat: usize| newest.iter().chain(former).any(|served| served.has(chat));
        let missed: Vec<usize> = self.unread.keys().copied().filter(|chat| !is_held(*chat)).collect();
        for chat in missed {
            let Some((channel, said_at)) = self.unread.remove(&chat) else { continue };
            self.missed.push((channel, [said_at, bench.now()]));
        }
    }

    fn read(&mut self, bench: &mut Bench, newest: usize, former: usize) {
        let chat_of = |line: &str| line.strip_prefix("@id=")?.split(' ').next()?.parse().ok();
        for _ in 0..former {
            let Some(line) = self.former.as_mut().and_then(|served| served.answers.pop_front()) else {
                break;
            };
            let out = bench.former_line(&line).to_vec();
            self.take(bench, out, chat_of(&line));
        }
        for _ in 0..newest {
            let Some(line) = self.newest.as_mut().and_then(|served| served.answers.pop_front()) else {
                break;
            };
            let out = bench.line(&line).to_vec();
            self.take(bench, out, chat_of(&line));
        }
    }

    /// Lets time pass, and takes in what is done at each moment at that moment.
    fn pass(&mut self, bench: &mut Bench, by: Duration) {
        let end = bench.now() + by;
        loop {
            let next = bench.session.next_deadline().filter(|at| *at <= end).unwrap_or(end);
            let out = bench.wait(next.saturating_duration_since(bench.now()));
            self.take(bench, out, None);
            if bench.now() >= end {
                return;
            }
        }
    }

    fn tell(&mut self, bench: &mut Bench, credential: Credential) {
        self.told = credential.clone();
        let out = bench.tell(credential).to_vec();
        self.take(bench, out, None);
    }

    fn chat(&mut self, bench: &Bench, channel: &'static str) {
        let chat = self.chats;
        self.chats += 1;
        // Where nobody was sure yet to be in, nobody can tell what is missed.
        if !self.was_read.contains(channel) {
            return;
        }
        let mut is_read = false;
        for served in self.newest.iter_mut().chain(&mut self.former) {
            if served.is_in.contains(channel) {
                served.answer(&format!("@id={chat} :ada!ada@ada PRIVMSG {channel} :hi"));
                is_read = true;
            }
        }
        if is_read {
            self.unread.insert(chat, (channel, bench.now()));
        } else {
            self.missed.push((channel, [bench.now(); 2]));
        }
    }

    fn step(&mut self, bench: &mut Bench, step: Step) {
        match step {
            Step::Token(at, is_good) => {
                let generation = self.told.generation + 1;
                let name = format!("token-{generation}");
                let login = LOGINS.get(at).map(|login| (*login).to_owned());
                let credential = Credential { generation, login, ..token(&name) };
                if !is_good {
                    self.bad_tokens.insert(name);
                }
                self.tell(bench, credential);
            }
            Step::Revoke => {
                let state = CredentialState::NeedsReauth;
                self.tell(bench, Credential { state, ..self.told.clone() });
            }
            Step::Chat(at) => self.chat(bench, CHANNELS[at]),
            Step::Say(at) => {
                self.said += 1;
                self.open.insert(self.said, false);
                let say = bench.request(self.said, CHANNELS[at], &["one", "two"]);
                let out = bench.on(Input::Say(say)).to_vec();
                self.take(bench, out, None);
            }
            Step::Read(newest, former) => self.read(bench, newest, former),
            Step::Wait(ms) => self.pass(bench, Duration::from_millis(ms)),
            Step::Reconnect => {
                if let Some(newest) = self.newest.as_mut().filter(|served| !served.nick.is_empty()) {
                    newest.answer(":tmi.twitch.tv RECONNECT");
                }
            }
            Step::Drop if self.newest.is_some() => {
                self.lose_newest(bench);
                let out = bench.on(Input::Closed("lost")).to_vec();
                self.take(bench, out, None);
            }
            Step::DropFormer if self.former.is_some() => {
                self.lose_former(bench);
                let out = bench.on(Input::FormerClosed).to_vec();
                self.take(bench, out, None);
            }
            Step::Drop | Step::DropFormer => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_missed_that_no_gap_tells_of(steps in proptest::collection::vec(step(), 1..120)) {
        let mut bench = Bench::kept(Credential::default(), &CHANNELS);
        let mut world = World::default();
        for step in steps {
            world.step(&mut bench, step);
        }
        // What its connection holds is read in the end, and longer than any token is waited with.
        for _ in 0..550 {
            world.read(&mut bench, usize::MAX, usize::MAX);
            world.pass(&mut bench, seconds(2));
        }
        prop_assert!(world.unread.is_empty(), "read and no event: {:?}", world.unread);
        for (channel, moments) in &world.missed {
            let tells = |gap: &Gap| {
                moments.iter().any(|at| (gap.from..=gap.to).contains(at))
                    && gap.channels.iter().any(|name| **name == **channel)
            };
            prop_assert!(world.gaps.iter().any(tells), "{} at {:?}: {:?}", channel, moments, world.gaps);
        }
        prop_assert!(world.former.is_none() && bench.session.gap.is_none());
        let Credential { generation, state, login, .. } = world.told.clone();
        let is_bad = world.bad_tokens.contains(&format!("token-{generation}"));
        let newest = world.newest.unwrap_or_default();
        let (is_guest, is_account) = (newest.nick.starts_with("justinfan"), Some(&newest.nick) == login.as_ref());
        prop_assert!(match state {
            CredentialState::Ok if is_bad => is_guest || is_account, // by a token before it
            CredentialState::Ok => is_account,
            _ => is_guest,
        }, "{} for {:?}", newest.nick, world.told);
        let all: BTreeSet<String> = CHANNELS.into_iter().map(str::to_owned).collect();
        prop_assert_eq!(&newest.is_in, &all, "for the server");
        prop_assert_eq!(&world.shown, &all, "for operators");
        prop_assert!(world.open.values().all(|done| *done), "no verdict for {:?}", world.open);
        for start in &world.joins {
            let within = world.joins.iter().filter(|at| *at >= start && **at <= *start + seconds(10));
            prop_assert!(within.count() <= 20);
        }
    }
}
