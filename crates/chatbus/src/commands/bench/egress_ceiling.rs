//! The least that speaks in chat: a socket, and in each channel the next line once the server has
//! answered the last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::BytesMut;
use chatbus_event::Clock;
use memchr::memmem;
use tokio::io::AsyncWriteExt as _;

use super::reader::Reader;
use super::report::{Row, Times};
use super::usage::Stopwatch;

/// Speaks for some time with one line in flight in each channel; each line's time is until its answer.
///
/// # Errors
/// When the server hangs up.
pub(super) async fn run(
    irc: String,
    channels: Vec<String>,
    time: Duration,
    clock: Arc<dyn Clock>,
    text: fn(u64) -> String,
) -> anyhow::Result<Row> {
    let mut reader = Reader::join(&irc, "bench_bare", &channels).await?;
    let watch = Stopwatch::start(&clock);
    let (mut times, mut n, mut done) = (Times::new()?, 0_u64, 0_u64);
    let mut out = BytesMut::new();
    let mut begun: HashMap<Vec<u8>, _> = HashMap::new();
    for channel in &channels {
        out.extend_from_slice(format!("PRIVMSG #{channel} :{}\r\n", text(n)).as_bytes());
        begun.insert(channel.as_bytes().to_vec(), clock.instant());
        n += 1;
    }
    while done < n {
        if !out.is_empty() {
            reader.stream.write_all_buf(&mut out).await?;
        }
        reader.read().await?;
        while let Some(line) = reader.line() {
            let Some(at) = memmem::find(&line, b" USERSTATE #") else { continue };
            let channel = line.get(at + 12..).context("a channel")?.trim_ascii_end();
            let Some(at) = begun.get_mut(channel) else { continue };
            let now = clock.instant();
            times.record(now.saturating_duration_since(*at));
            done += 1;
            if watch.passed() < time {
                out.extend_from_slice(b"PRIVMSG #");
                out.extend_from_slice(channel);
                out.extend_from_slice(format!(" :{}\r\n", text(n)).as_bytes());
                *at = now;
                n += 1;
            }
        }
    }
    Ok(Row::new("bare socket, one in flight a channel", done).spent(&watch.spent()).times(&times))
}
