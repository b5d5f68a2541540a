//! The session as tables: what happens, and what it does about it, with fake time.

mod account;
mod account_soak;
mod connection;
mod gap;
mod joining;
mod sending;
mod soak;
mod wanted;
mod wanted_soak;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::{Availability, ConnectionState, PermanentReason, Share, Verdict};
use chatbus_event::{Clock as _, Timestamp};
use chatbus_testkit::{FakeClock, SeededEntropy};

use super::channels::Need;
use super::*;
use crate::added::AddedChannels;
use crate::irc::grammar::Message;

/// A session with its clock, and what it did last.
struct Bench {
    session: Session,
    clock: FakeClock,
    added: AddedChannels,
    out: Vec<Output>,
}

impl Bench {
    fn of(account: bool, channels: &[&str], paced: bool) -> Self {
        Self::made(account, channels, paced, false)
    }

    fn made(account: bool, channels: &[&str], paced: bool, is_verified: bool) -> Self {
        let credential = if account { token("secret-token") } else { Credential::default() };
        Self::with(credential, false, channels, paced, is_verified)
    }

    /// With an account that somebody keeps.
    fn kept(credential: Credential, channels: &[&str]) -> Self {
        Self::with(credential, true, channels, true, false)
    }

    fn with(
        credential: Credential,
        is_kept: bool,
        channels: &[&str],
        paced: bool,
        is_verified: bool,
    ) -> Self {
        let clock = FakeClock::at(Timestamp::EPOCH);
        let config = SessionConfig {
            credential,
            is_kept,
            awaits_login: is_kept,
            channels: channels.iter().map(|name| Arc::from(*name)).collect(),
            paced,
            is_verified,
            share: Share::whole(),
            reconnect_initial: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(30),
        };
        let session = Session::new(config, Arc::new(SeededEntropy::new(1)), clock.instant());
        Self { session, clock, added: AddedChannels::default(), out: Vec::new() }
    }

    /// An account that is in `#a` and may speak there.
    fn ready() -> Self {
        let mut bench = Self::of(true, &["#a", "#b"], true);
        bench.go_online();
        bench.join("#a");
        bench.join("#b");
        bench.wait(Duration::from_millis(10));
        bench
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }

    fn on(&mut self, input: Input<'_>) -> &[Output] {
        self.out.clear();
        let now = self.now();
        self.session.on(input, now, &mut self.out);
        self.agenda_is_exact();
        &self.out
    }

    /// What the session remembers of its channels is what a walk over all of them finds.
    fn agenda_is_exact(&self) {
        let channels = &self.session.channels;
        let deadlines = channels.all().flat_map(|channel| [channel.lane.deadline(), channel.join.deadline()]);
        assert_eq!(channels.deadline(), deadlines.flatten().min());
        assert_eq!(channels.any_to_join(), channels.all().any(|channel| channel.needs() == Need::Join));
        assert_eq!(channels.to_part().is_some(), channels.all().any(|channel| channel.needs() == Need::Part));
        let is_loose = |channel: &channels::Channel| matches!(channel.needs(), Need::Verdict | Need::Nobody);
        assert!(channels.to_clear().is_none() && !channels.all().any(is_loose));
    }

    /// These, beside the configured ones, are wanted from now on.
    fn add(&mut self, names: &[&str]) -> &[Output] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.added = self.added.renew(&names, &self.session.config.channels);
        let channels = Arc::clone(&self.added.channels);
        self.on(Input::Added(&channels))
    }

    fn line(&mut self, line: &str) -> &[Output] {
        let message = Message::parse(line).unwrap();
        self.on(Input::Line(&message))
    }

    /// A line that the former connection reads.
    fn former_line(&mut self, line: &str) -> &[Output] {
        let message = Message::parse(line).unwrap();
        self.on(Input::FormerLine(&message))
    }

    fn tell(&mut self, credential: Credential) -> &[Output] {
        self.on(Input::Credential(credential))
    }

    /// Lets time pass, ticking whenever the session asks for it. Gives all that it did.
    fn wait(&mut self, by: Duration) -> Vec<Output> {
        let end = self.now() + by;
        let mut all = Vec::new();
        for _ in 0..10_000 {
            let next = self.session.next_deadline().filter(|at| *at <= end).unwrap_or(end);
            self.clock.advance(next.saturating_duration_since(self.now()));
            let now = self.now();
            self.session.on(Input::Tick, now, &mut all);
            self.agenda_is_exact();
            if now >= end {
                return all;
            }
        }
        panic!("the session asks for ticks without end");
    }

    fn go_online(&mut self) {
        self.on(Input::Tick);
        assert!(self.out.contains(&Output::Connect));
        self.log_in();
    }

    /// Once a connection is being made. Gives what the login said.
    fn log_in(&mut self) -> String {
        self.on(Input::Connected);
        let login = written(&self.out).join("");
        self.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
        let nick = self.session.nick().to_owned();
        self.line(&format!(":tmi.twitch.tv 001 {nick} :Welcome, GLHF!"));
        assert!(self.session.is_online());
        login
    }

    fn join(&mut self, channel: &str) {
        let nick = self.session.nick().to_owned();
        self.line(&format!(":{nick}!{nick}@{nick}.tmi.twitch.tv JOIN {channel}"));
        self.line(&format!("@mod=0 :tmi.twitch.tv USERSTATE {channel}"));
        self.line(&format!("@room-id=1;slow=0 :tmi.twitch.tv ROOMSTATE {channel}"));
    }

    fn request(&self, ticket: u64, channel: &str, parts: &[&str]) -> Say {
        Say {
            ticket: Ticket(ticket),
            delivery: "d-1".into(),
            channel: channel.into(),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            reply_to: None,
            deadline: self.now() + Duration::from_secs(60),
            may_have_been_sent: false,
            fence: chatbus_runtime::Fence::always(),
        }
    }

    fn say(&mut self, ticket: u64, text: &str) -> &[Output] {
        let say = self.request(ticket, "#a", &[text]);
        self.on(Input::Say(say))
    }

    /// Says it and hands the bytes to the kernel; gives the line.
    fn say_written(&mut self, ticket: u64, text: &str) -> String {
        self.say(ticket, text);
        let line = written(&self.out).join("");
        assert!(line.contains("PRIVMSG"), "{:?}", self.out);
        self.on(Input::Written(Ticket(ticket)));
        line
    }

    fn pong(&mut self, out: &[Output]) -> &[Output] {
        let ping = written(out).into_iter().rfind(|line| line.starts_with("PING")).unwrap();
        let token = ping.trim_end().trim_start_matches("PING :").to_owned();
        self.line(&format!(":tmi.twitch.tv PONG tmi.twitch.tv :{token}"))
    }
}

/// A token of the account.
fn token(token: &str) -> Credential {
    Credential::ready(token.into(), Some("bot".to_owned()), None)
}

/// The lines that are to be written to the former connection.
fn written_to_former(out: &[Output]) -> Vec<String> {
    let frames = out.iter().filter_map(|output| match output {
        Output::WriteFormer(frame) => Some(String::from_utf8_lossy(&frame.bytes).into_owned()),
        _ => None,
    });
    frames.collect()
}

fn gaps(out: &[Output]) -> Vec<&Gap> {
    out.iter().filter_map(|output| if let Output::Gap(gap) = output { Some(gap) } else { None }).collect()
}

/// The lines that are to be written.
fn written(out: &[Output]) -> Vec<String> {
    let frames = out.iter().filter_map(|output| match output {
        Output::Write(frame) => Some(String::from_utf8_lossy(&frame.bytes).into_owned()),
        _ => None,
    });
    frames.collect()
}

fn verdicts(out: &[Output]) -> Vec<&Verdict> {
    out.iter()
        .filter_map(|o| if let Output::Verdict(_, verdict) = o { Some(verdict) } else { None })
        .collect()
}

fn states(out: &[Output]) -> Vec<ConnectionState> {
    let states = out.iter().filter_map(|output| match output {
        Output::News(News::State(state)) => Some(*state),
        _ => None,
    });
    states.collect()
}

fn troubles(out: &[Output]) -> Vec<&'static str> {
    let codes = out.iter().filter_map(|output| match output {
        Output::News(News::Trouble { code, .. }) => Some(*code),
        _ => None,
    });
    codes.collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
