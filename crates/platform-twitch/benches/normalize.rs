//! From a line to an event's bytes, on one core, beside what cannot be beaten: looking at the same bytes
//! once.
//!
//! Run with `cargo bench -p chatbus-platform-twitch`, and a part of a name to measure only that. Reads the
//! corpus where there is one, else the lines of `fixtures/twitch`. `--rounds=N` does a fixed amount of work
//! instead of a fixed time's, so that a profiler's counts can be compared.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it prints its measurements, or fails")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::Credential;
use chatbus_event::{Clock as _, InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_twitch::irc::grammar::Message;
use chatbus_platform_twitch::irc::lines::{Line, LineBuffer};
use chatbus_platform_twitch::irc::outgoing::Ticket;
use chatbus_platform_twitch::irc::session::{Input, Output, Say, Session, SessionConfig};
use chatbus_platform_twitch::irc::text;
use chatbus_platform_twitch::normalize::{Normalizer, NormalizerConfig};
use chatbus_runtime::SystemEntropy;
use chatbus_testkit::FakeClock;

const FOR_SECONDS: f64 = 3.0;
/// What one read of a busy connection brings.
const CHUNK_BYTES: usize = 16 * 1024;
/// Channels of the session that speaks.
const CHANNELS: usize = 20;

fn main() {
    let lines = chat_lines();
    let bytes: usize = lines.iter().map(|line| line.len() + 2).sum();
    println!("{} lines of {} bytes on average", lines.len(), bytes / lines.len());
    let chunks = chunks(&lines);

    let ceiling = rate(
        "scan for line ends and copy",
        |chunk| {
            let mut count = 0;
            let copy = black_box(chunk.to_vec());
            for at in memchr::memchr_iter(b'\n', &copy) {
                black_box(at);
                count += 1;
            }
            count
        },
        &chunks,
    );
    let mut buffer = LineBuffer::new();
    rate(
        "parse",
        |chunk| {
            let mut count = 0;
            buffer.space().extend_from_slice(chunk);
            while let Some(line) = buffer.next_line() {
                count += u64::from(black_box(Message::parse(&line.text())).is_ok());
            }
            count
        },
        &chunks,
    );
    for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
        let mut normalizer = normalizer(shape);
        let mut buffer = LineBuffer::new();
        let ours = rate(
            &format!("line to event, {shape:?}"),
            |chunk| {
                let mut count = 0;
                buffer.space().extend_from_slice(chunk);
                while let Some(line) = buffer.next_line() {
                    if let Ok(message) = Message::parse(&line.text()) {
                        black_box(normalizer.line(&message, line, Timestamp::EPOCH));
                        count += 1;
                    }
                }
                count
            },
            &chunks,
        );
        println!("{:>38} {:.4} of the ceiling", "", ours / ceiling);
    }
    let mut speaker = Speaker::new();
    let texts = vec![b"a message of the length that most answers of a bot have, @somebody".to_vec()];
    rate("say, written, delivered", |text| speaker.say(std::str::from_utf8(text).unwrap()), &texts);
}

/// A session in its channels, and what follows from it.
struct Speaker {
    session: Session,
    normalizer: Normalizer,
    clock: FakeClock,
    channels: Vec<Arc<str>>,
    out: Vec<Output>,
    said: u64,
}

// === impl Speaker ===

impl Speaker {
    fn new() -> Self {
        let clock = FakeClock::at(Timestamp::EPOCH);
        let channels: Vec<Arc<str>> = (0..CHANNELS).map(|n| format!("#channel_{n}").into()).collect();
        let config = SessionConfig {
            credential: Credential::ready("token".into(), Some("bot".to_owned()), None),
            is_kept: false,
            awaits_login: false,
            channels: channels.clone(),
            paced: false,
            is_verified: false,
            share: chatbus_connector::Share::whole(),
            reconnect_initial: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(30),
        };
        let session = Session::new(config, Arc::new(SystemEntropy::new()), clock.instant());
        let normalizer = normalizer(Shape::Flat);
        let mut speaker = Self { session, normalizer, clock, channels, out: Vec::new(), said: 0 };
        speaker.feed(Input::Tick);
        speaker.feed(Input::Connected);
        speaker.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
        speaker.line(":tmi.twitch.tv 001 bot :Welcome, GLHF!");
        for channel in speaker.channels.clone() {
            speaker.line(&format!(":bot!bot@bot.tmi.twitch.tv JOIN {channel}"));
            speaker.line(&format!("@mod=1 :tmi.twitch.tv USERSTATE {channel}"));
            speaker.line(&format!("@room-id=1;slow=0 :tmi.twitch.tv ROOMSTATE {channel}"));
        }
        speaker.out.clear();
        speaker
    }

    fn feed(&mut self, input: Input<'_>) {
        let now = self.clock.instant();
        self.session.on(input, now, &mut self.out);
    }

    fn line(&mut self, line: &str) {
        self.feed(Input::Line(&Message::parse(line).unwrap()));
    }

    /// One message from its text to its event, as the loop around the session feeds it.
    fn say(&mut self, text: &str) -> u64 {
        let channel = Arc::clone(&self.channels[usize::try_from(self.said).unwrap() % CHANNELS]);
        self.said += 1;
        self.clock.advance(Duration::from_millis(1));
        let ticket = Ticket(self.said);
        let line = format!(
            "@badge-info=;badges=moderator/1;color=#1E90FF;display-name=Bot;emote-sets=0,300374282;\
             id=0d5b2b3c-6e0c-4d56-9b8e-{:012};mod=1;subscriber=0;user-type=mod \
             :tmi.twitch.tv USERSTATE {channel}",
            self.said
        );
        let say = Say {
            ticket,
            delivery: "d-1".into(),
            channel,
            parts: text::messages(text),
            reply_to: None,
            deadline: self.clock.instant() + Duration::from_secs(60),
            may_have_been_sent: false,
            fence: chatbus_runtime::Fence::always(),
        };
        self.feed(Input::Say(say));
        black_box(self.session.next_deadline());
        self.feed(Input::Written(ticket));
        black_box(self.session.next_deadline());
        let message = Message::parse(&line).unwrap();
        self.feed(Input::Line(&message));
        black_box(self.session.next_deadline());
        let mut events = 0;
        for output in self.out.drain(..) {
            match output {
                Output::PublishOwn(own) => {
                    black_box(self.normalizer.own(&message, &own, Timestamp::EPOCH));
                    events += 1;
                }
                Output::Publish => {
                    black_box(self.normalizer.line(&message, Line::new(line.as_bytes()), Timestamp::EPOCH));
                }
                other => drop(black_box(other)),
            }
        }
        events
    }
}

fn normalizer(shape: Shape) -> Normalizer {
    let config = NormalizerConfig {
        egress: Topic::egress_of(&InstanceId::parse("bench-1").unwrap()),
        shape,
        own_login: Some("bot".to_owned()),
    };
    Normalizer::new(config, Arc::new(SystemEntropy::new()))
}

/// Lines a second of processor time over [`FOR_SECONDS`]: what other programs do at the same time does not count.
fn rate(name: &str, mut work: impl FnMut(&[u8]) -> u64, chunks: &[Vec<u8>]) -> f64 {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return f64::NAN;
    }
    if let Some(rounds) =
        std::env::args().find_map(|argument| argument.strip_prefix("--rounds=")?.parse().ok())
    {
        let lines: u64 = (0..rounds).flat_map(|_: u64| chunks).map(|chunk| work(chunk)).sum();
        println!("{name:>38} {lines:>12} lines");
        return f64::NAN;
    }
    let start = processor_seconds();
    let mut lines = 0;
    while processor_seconds() - start < FOR_SECONDS {
        // Asking for the time costs as much as several lines.
        for _ in 0..100 {
            for chunk in chunks {
                lines += work(chunk);
            }
        }
    }
    let seconds = processor_seconds() - start;
    #[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
    let rate = lines as f64 / seconds;
    println!("{name:>38} {rate:>12.0} lines/s");
    rate
}

/// What this thread has had of a processor, as Linux counts it.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: f64 = stat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}

/// Chat messages, as they are most of what a channel says.
fn chat_lines() -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = std::fs::read(root.join("../shared/corpus/twitch-irc.txt"));
    let text = corpus.unwrap_or_else(|_| fixtures(&root));
    let lines = text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_chat = |line: &&[u8]| line.starts_with(b"@") && line.windows(9).any(|part| part == b" PRIVMSG ");
    lines.filter(is_chat).map(<[u8]>::to_vec).collect()
}

fn fixtures(root: &Path) -> Vec<u8> {
    let folder = std::fs::read_dir(root.join("fixtures/twitch")).unwrap();
    let names =
        folder.map(|file| file.unwrap().path()).filter(|name| name.extension().is_some_and(|e| e == "irc"));
    names.flat_map(|name| std::fs::read(name).unwrap()).collect()
}

fn chunks(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut chunks = vec![Vec::new()];
    for line in lines {
        if chunks.last().is_some_and(|chunk: &Vec<u8>| chunk.len() + line.len() > CHUNK_BYTES) {
            chunks.push(Vec::new());
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.extend_from_slice(line);
            chunk.extend_from_slice(b"\r\n");
        }
    }
    chunks
}
