//! The fast path for benchmarks: chat lines made from one template, written in large blocks.
//!
//! Each line has its own id and the time it was queued; nothing else differs, nothing is remembered,
//! no rule is asked. The clients' reading sets the pace: blocks wait for room.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use chatbus_event::Timestamp;

use super::message::ChatLine;
use super::outbox::Outbox;
use super::pace::Pace;
use super::room::Standing;
use super::{BadRequest, TwitchIrc, names};

/// Lines of one block when no rate is asked for: about 128 KiB.
const BATCH: u64 = 256;
const LOW_WATER: usize = 512 * 1024;
/// Send times that are kept.
const MAX_TIMES: u64 = 10_000_000;
/// Hexadecimal digits of a line's number, in its id and at the start of its text.
const NUMBER_DIGITS: usize = 12;

/// Chat to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Flood {
    /// The channel, with or without `#`.
    pub channel: String,
    /// How many lines.
    pub count: u64,
    /// Lines in a second; `None` is as fast as the clients read.
    pub rate: Option<f64>,
    /// Bytes of each text, 12 to 500: its number in hexadecimal, then padding.
    pub text_bytes: usize,
    /// Keep when each line was queued (the first 10 million).
    pub record_times: bool,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct FloodReport {
    /// Lines made; fewer than asked for when nobody was left in the channel.
    pub sent: u64,
    /// When the first was queued.
    pub started: Instant,
    /// When the last was with the kernel.
    pub finished: Instant,
    /// When line n was queued, if that was asked for.
    pub times: Vec<Instant>,
    run: String,
}

/// A line with the places of what changes.
struct Template {
    line: Vec<u8>,
    id: usize,
    text: usize,
    sent_at: Option<usize>,
}

// === impl FloodReport ===

impl FloodReport {
    /// The id of line n, from 0.
    pub fn id(&self, n: u64) -> String {
        format!("{}{n:012x}", self.run)
    }

    /// Which line an id is of; `None` for one that is not of this flood.
    pub fn number_of(&self, id: &str) -> Option<u64> {
        let number = u64::from_str_radix(id.strip_prefix(&self.run)?, 16).ok()?;
        (number < self.sent).then_some(number)
    }
}

// === impl TwitchIrc ===

impl TwitchIrc {
    /// Floods a channel. Returns when all of it is with the kernel, but for frozen connections.
    ///
    /// # Errors
    /// When the request makes no sense, or nobody is in the channel; names the field.
    pub async fn flood(&self, flood: &Flood) -> Result<FloodReport, BadRequest> {
        let channel = names::login(&flood.channel).ok_or(BadRequest::new("channel", "is no channel name"))?;
        if !(NUMBER_DIGITS..=500).contains(&flood.text_bytes) {
            return Err(BadRequest::new("text_bytes", "is not 12 to 500"));
        }
        if self.flood_targets(&channel).is_empty() {
            return Err(BadRequest::new("channel", "has nobody in it"));
        }
        let clock = &*self.shared.runtime.clock;
        let run = {
            let id = self.shared.runtime.entropy.uuid().to_string();
            id.get(..24).unwrap_or_default().to_owned()
        };
        let templates = [false, true].map(|tags| Template::new(&channel, flood.text_bytes, &run, tags));
        let pace = Pace::new(flood.rate, clock);
        let started = clock.instant();
        let mut times = Vec::new();
        let mut sent = 0;
        while sent < flood.count && !self.shared.stop.is_cancelled() {
            let now_many = pace.next(sent, BATCH.min(flood.count - sent), clock).await;
            let targets = self.flood_targets(&channel);
            if targets.is_empty() {
                break;
            }
            for (outbox, _) in &targets {
                outbox.down_to(LOW_WATER).await;
            }
            let at = clock.now();
            if flood.record_times && sent < MAX_TIMES {
                let instant = clock.instant();
                times.extend((0..now_many).map(|_| instant));
            }
            let mut blocks: [Option<Bytes>; 2] = [None, None];
            for (outbox, tags) in &targets {
                let form = usize::from(*tags);
                if let (Some(block), Some(template)) = (blocks.get_mut(form), templates.get(form)) {
                    let block = block.get_or_insert_with(|| template.block(sent, now_many, at));
                    outbox.put_shared(block);
                }
            }
            sent += now_many;
        }
        for (outbox, _) in self.flood_targets(&channel) {
            outbox.down_to(0).await;
        }
        self.shared.lock().counters.said += sent;
        Ok(FloodReport { sent, started, finished: clock.instant(), times, run })
    }

    fn flood_targets(&self, channel: &str) -> Vec<(Arc<Outbox>, bool)> {
        let world = self.shared.lock();
        let members = world.rooms.get(channel).map(|room| &room.members);
        let clients = members.into_iter().flatten().filter_map(|id| world.clients.get(id));
        clients.map(|client| (Arc::clone(&client.line.outbox), client.capabilities.tags)).collect()
    }
}

// === impl Template ===

impl Template {
    fn new(channel: &str, text_bytes: usize, run: &str, tags: bool) -> Self {
        let id = format!("{run}{}", "0".repeat(NUMBER_DIGITS));
        // Words, so that the text is cut and counted as chat is.
        let padding: String = " flood of words".chars().cycle().take(text_bytes - NUMBER_DIGITS).collect();
        let text = "0".repeat(NUMBER_DIGITS) + &padding;
        let zero = Timestamp::from_millis(1_000_000_000_000);
        let chat = ChatLine::new("flood_viewer", channel, text.into(), &id, Standing::default(), zero);
        let line = chat.render(tags).to_vec();
        let find = |needle: &[u8]| {
            line.windows(needle.len()).position(|w| w == needle).map_or(0, |at| at + needle.len())
        };
        let id_tag = format!(";id={run}");
        let (id, sent_at) =
            if tags { (find(id_tag.as_bytes()), Some(find(b";tmi-sent-ts="))) } else { (0, None) };
        let text = line.len() - 2 - text_bytes;
        // Without tags the id is nowhere; the number in the text is written twice instead.
        Self { id: if tags { id } else { text }, text, sent_at, line }
    }

    /// Lines `first..first + count`, queued at this moment.
    fn block(&self, first: u64, count: u64, at: Timestamp) -> Bytes {
        let lines = usize::try_from(count).unwrap_or_default();
        let mut out = BytesMut::with_capacity(lines * self.line.len());
        // 13 digits until the year 2286.
        let millis = format!("{:013}", at.as_millis());
        for n in first..first + count {
            let start = out.len();
            out.extend_from_slice(&self.line);
            let number = hex(n);
            for place in [self.id, self.text] {
                overwrite(&mut out, start + place, &number);
            }
            if let Some(place) = self.sent_at {
                overwrite(&mut out, start + place, millis.as_bytes());
            }
        }
        out.freeze()
    }
}

fn overwrite(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn hex(number: u64) -> [u8; NUMBER_DIGITS] {
    let mut digits = [b'0'; NUMBER_DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(rest & 0xf).unwrap_or_default();
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        rest >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_block_differ_in_number_and_time_alone() {
        let run = "00112233-4455-4677-8899-";
        let template = Template::new("hall", 20, run, true);
        let block = template.block(255, 2, Timestamp::from_millis(1_700_000_000_123));
        let text = std::str::from_utf8(&block).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.len(), 3);
        for (line, number) in lines.iter().zip(["0000000000ff", "000000000100"]) {
            assert!(line.contains(&format!(";id={run}{number};")), "{line}");
            assert!(line.contains(";tmi-sent-ts=1700000000123;"), "{line}");
            assert!(line.ends_with(&format!("PRIVMSG #hall :{number} flood o")), "{line}");
        }
    }

    #[test]
    fn lines_without_tags_have_their_number_in_the_text() {
        let template = Template::new("hall", 12, "00112233-4455-4677-8899-", false);
        let block = template.block(10, 1, Timestamp::EPOCH);
        assert_eq!(
            block,
            ":flood_viewer!flood_viewer@flood_viewer.tmi.twitch.tv PRIVMSG #hall :00000000000a\r\n"
        );
    }
}
