//! From a line to an event's bytes, on one core, beside what cannot be beaten: looking at the same bytes
//! once.
//!
//! Run with `cargo bench -p chatbus-platform-twitch`, and a part of a name to measure only that. Reads the corpus where there is one, else the
//! lines of `fixtures/twitch`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it prints its measurements, or fails")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_platform_twitch::irc::grammar::Message;
use chatbus_platform_twitch::irc::lines::LineBuffer;
use chatbus_platform_twitch::normalize::{Normalizer, NormalizerConfig};
use chatbus_runtime::SystemEntropy;

const FOR_SECONDS: f64 = 3.0;
/// What one read of a busy connection brings.
const CHUNK_BYTES: usize = 16 * 1024;

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
        let config = NormalizerConfig {
            egress: Topic::egress_of(&InstanceId::parse("bench-1").unwrap()),
            shape,
            own_login: Some("bot".to_owned()),
        };
        let mut normalizer = Normalizer::new(config, Arc::new(SystemEntropy::new()));
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
}

/// Lines a second of processor time over [`FOR_SECONDS`]: what other programs do at the same time does not count.
fn rate(name: &str, mut work: impl FnMut(&[u8]) -> u64, chunks: &[Vec<u8>]) -> f64 {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
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
