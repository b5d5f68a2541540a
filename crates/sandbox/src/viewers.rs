//! Scripted viewers: a handful of invented people who chat at a modest rate, the same script for the
//! same seed. They keep an account of every line with its id, so that a demo can prove that nothing
//! was lost.

use std::time::Duration;

use chatbus_event::Timestamp;
use chatbus_runtime::CancellationToken;
use serde::Serialize;

use crate::twitch_irc::{BadRequest, MAX_SAY_COUNT, Say, TwitchIrc};

/// Invented; no account of such a name is meant.
const LOGINS: [&str; 8] = [
    "sandbox_ada",
    "sandbox_bo",
    "sandbox_cleo",
    "sandbox_dov",
    "sandbox_elin",
    "sandbox_fay",
    "sandbox_gus",
    "sandbox_hana",
];

/// One line in eight asks for an answer.
const PING_SHARE: u64 = 8;
const PING: &str = "!ping";

/// Where there is a bot to speak to, so many lines ask it something.
const QUESTION_SHARE: u64 = 12;
const QUESTIONS: [&str; 5] = [
    "what is this channel about?",
    "how does one brew green tea?",
    "is it going to rain?",
    "who wrote the music?",
    "what does the green button do?",
];

const LINES: [&str; 20] = [
    "hello everyone Kappa",
    "good evening from a very small sandbox",
    "what is everybody working on?",
    "that was close",
    "LUL",
    "can we see that again?",
    "/me waves",
    "the tea is ready, back in a minute",
    "PogChamp that worked at the first try",
    "how long until the break?",
    "I like the new colours",
    "ça marche aussi avec des accents, ñandú",
    "今日はいい天気ですね",
    "👋🏽 is one wave and several code points",
    "is the music new?",
    "turn the lamp a little to the left",
    "second time I see this today",
    "what does the green button do?",
    "HeyGuys first time here",
    "see you tomorrow",
];

/// The script.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewersConfig {
    /// Where they chat, in turn at random; 1 to 100 channels.
    pub channels: Vec<String>,
    /// Lines in a second, over all channels.
    pub rate: f64,
    /// Which script.
    pub seed: u64,
    /// They stop after so many lines: 1 to 100,000.
    pub max_lines: u64,
    /// The name of a bot that they ask something now and then.
    pub bot: Option<String>,
}

/// The viewers.
#[derive(Debug)]
pub struct Viewers {
    config: ViewersConfig,
    random: SplitMix,
}

/// One line of a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewerSaid {
    /// The message's id.
    pub id: String,
    /// Where, without `#`.
    pub channel: String,
    /// Who.
    pub login: String,
    /// What.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// How many connections heard it; with none, Twitch loses it as well.
    pub told: usize,
}

/// What was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ViewersReport {
    /// All lines, in order.
    pub said: Vec<ViewerSaid>,
    /// Of these, how many were `!ping`.
    pub pings: u64,
}

/// SplitMix64: small, well spread, and the same on every machine.
#[derive(Debug)]
struct SplitMix(u64);

// === impl ViewersConfig ===

impl Default for ViewersConfig {
    fn default() -> Self {
        Self { channels: vec!["sandbox".to_owned()], rate: 5.0, seed: 1, max_lines: MAX_SAY_COUNT, bot: None }
    }
}

// === impl Viewers ===

impl Viewers {
    /// Viewers at the start of their script.
    ///
    /// # Errors
    /// When a setting is out of its bounds; names the field.
    pub fn new(config: ViewersConfig) -> Result<Self, BadRequest> {
        if !(1..=100).contains(&config.channels.len()) {
            return Err(BadRequest::new("channels", "are not 1 to 100"));
        }
        if config.channels.iter().any(|channel| crate::twitch_irc::login(channel).is_none()) {
            return Err(BadRequest::new("channels", "holds something that is no channel name"));
        }
        if !(config.rate > 0.0 && config.rate <= 1_000_000.0) {
            return Err(BadRequest::new("rate", "is not above 0 and at most 1000000"));
        }
        if !(1..=MAX_SAY_COUNT).contains(&config.max_lines) {
            return Err(BadRequest::new("count", "is not 1 to 100000"));
        }
        let random = SplitMix(config.seed);
        Ok(Self { config, random })
    }

    /// Chats until the last line or until `stop`; pauses vary around the rate. Wait for somebody to
    /// listen first ([`TwitchIrc::wait_for_members`]).
    pub async fn chat(mut self, twitch: &TwitchIrc, stop: &CancellationToken) -> ViewersReport {
        let mut report = ViewersReport::default();
        for n in 0..self.config.max_lines {
            if n > 0 {
                let pause = Duration::from_secs_f64((0.5 + self.random.unit()) / self.config.rate);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => break,
                }
            }
            if stop.is_cancelled() {
                break;
            }
            let line = self.next_line(n);
            // Checked when the script was made: the only requests that are refused are senseless ones.
            let Ok(said) = twitch.say(&line).await else { break };
            let Some(said) = said.into_iter().next() else { break };
            report.pings += u64::from(line.text == PING);
            report.said.push(ViewerSaid {
                id: said.id,
                channel: line.channel,
                login: line.login,
                text: line.text,
                at: said.at,
                told: said.told,
            });
        }
        report
    }

    fn next_line(&mut self, n: u64) -> Say {
        let login = self.random.one_of(&LOGINS).copied().unwrap_or("sandbox_ada");
        let channel = self.random.one_of(&self.config.channels).cloned().unwrap_or_default();
        let channel = crate::twitch_irc::login(&channel).unwrap_or(channel);
        // The second line is one, so that even a short demo shows an answer.
        let ping = n == 1 || self.random.next().is_multiple_of(PING_SHARE);
        let line = self.random.one_of(&LINES).copied().unwrap_or("hello");
        if let Some(bot) = &self.config.bot {
            // The fourth line is one, for the same reason.
            let asks = n == 3 || self.random.next().is_multiple_of(QUESTION_SHARE);
            if let (true, Some(question)) = (asks && !ping, self.random.one_of(&QUESTIONS)) {
                return Say::new(&channel, login, &format!("@{bot} {question}"));
            }
        }
        Say::new(&channel, login, if ping { PING } else { line })
    }
}

// === impl SplitMix ===

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    fn one_of<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
        from.get(usize::try_from(self.next() % count).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(seed: u64) -> Vec<Say> {
        let channels = vec!["#One".to_owned(), "two".to_owned()];
        let mut viewers = Viewers::new(ViewersConfig { channels, seed, ..ViewersConfig::default() }).unwrap();
        (0..200).map(|n| viewers.next_line(n)).collect()
    }

    #[test]
    fn a_seed_repeats_its_script_and_another_has_another() {
        assert_eq!(script(7), script(7));
        assert_ne!(script(7), script(8));
        let lines = script(7);
        assert!(
            lines.iter().any(|line| line.channel == "one") && lines.iter().any(|line| line.channel == "two")
        );
        let pings = lines.iter().filter(|line| line.text == PING).count();
        assert!((10..50).contains(&pings), "{pings}");
        assert_eq!(lines[1].text, PING);
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        let bad = |config| Viewers::new(config).expect_err("out of bounds").field;
        assert_eq!(bad(ViewersConfig { channels: Vec::new(), ..ViewersConfig::default() }), "channels");
        assert_eq!(
            bad(ViewersConfig { channels: vec!["a b".into()], ..ViewersConfig::default() }),
            "channels"
        );
        assert_eq!(bad(ViewersConfig { rate: f64::NAN, ..ViewersConfig::default() }), "rate");
        assert_eq!(bad(ViewersConfig { max_lines: 0, ..ViewersConfig::default() }), "count");
    }
}
