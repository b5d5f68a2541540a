//! How fast chat messages may go out, and what was said a moment ago: Twitch counts what comes by Helix as it
//! counts what comes by IRC. The numbers are those of [`limits`](crate::irc::limits).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use chatbus_connector::Share;

use crate::irc::budget::Budget;
use crate::irc::limits::{
    CHANNEL_GAP, DUPLICATE_MARKS, DUPLICATE_WINDOW, MAX_CHANNELS, SEND_WINDOW, SENDS_PER_WINDOW,
    SENDS_PER_WINDOW_MODERATOR,
};
use crate::irc::text;

/// An account's sending side. Remembers at most as many channels as one instance is in, and of each what may
/// be said there within the duplicate window.
#[derive(Debug)]
pub(super) struct Pace {
    share: Share,
    paced: bool,
    sends: Budget,
    sends_as_moderator: Budget,
    lanes: BTreeMap<Arc<str>, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    said_at: Option<Instant>,
    /// A refusal that passes said so.
    silenced_until: Option<Instant>,
    recent: VecDeque<(Instant, Arc<str>)>,
}

/// Where something is said, and as what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) channel: &'a Arc<str>,
    /// Moderator or broadcaster here.
    pub(crate) is_moderator: bool,
}

/// What is to be told apart from what was said before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due<'a> {
    pub(super) text: &'a str,
    /// At least this many marks.
    pub(super) marks: usize,
    /// An attempt that may have gone out is meant to be recognised.
    pub(super) may_have_been_sent: bool,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(share: Share, paced: bool) -> Self {
        Self {
            share,
            paced,
            sends: Budget::new(SENDS_PER_WINDOW, SEND_WINDOW),
            sends_as_moderator: Budget::new(SENDS_PER_WINDOW_MODERATOR, SEND_WINDOW),
            lanes: BTreeMap::new(),
        }
    }

    /// From when on the limits allow a message here; `None` is now.
    pub(super) fn allowed_from(&self, room: Room<'_>, now: Instant) -> Option<Instant> {
        let lane = self.lanes.get(room.channel);
        let silenced = lane.and_then(|lane| lane.silenced_until).filter(|until| *until > now);
        if !self.paced {
            return silenced;
        }
        let gap =
            lane.and_then(|lane| lane.said_at).filter(|_| !room.is_moderator).map(|at| at + CHANNEL_GAP);
        let account = self.sends_as_moderator.next_of(self.share.of(SENDS_PER_WINDOW_MODERATOR), now);
        let ordinary =
            if room.is_moderator { None } else { self.sends.next_of(self.share.of(SENDS_PER_WINDOW), now) };
        let quiet = self.share.quiet_until(now);
        silenced.max(gap.filter(|at| *at > now)).max(account).max(ordinary).max(quiet)
    }

    /// The text as it can be said here now, told apart from what was said a moment ago if need be; or when it
    /// can be said as it is. Twitch spares moderators.
    pub(super) fn due(&self, room: Room<'_>, due: Due<'_>, now: Instant) -> Result<Arc<str>, Instant> {
        let Due { text, marks, may_have_been_sent } = due;
        let lane = self.lanes.get(room.channel);
        let recent =
            || lane.into_iter().flat_map(|lane| &lane.recent).filter(|(at, _)| *at + DUPLICATE_WINDOW > now);
        let is_repeated = |text: &str| recent().any(|(_, said)| **said == *text);
        let is_spared = may_have_been_sent || room.is_moderator || !self.paced;
        if marks == 0 && (is_spared || !is_repeated(text)) {
            return Ok(text.into());
        }
        (marks..=DUPLICATE_MARKS)
            .filter_map(|marks| text::marked(text, marks))
            .find(|text| !is_repeated(text))
            .map(Arc::from)
            .ok_or_else(|| {
                let is_same = |said: &str| text::shown(said) == text::shown(text);
                let first = recent().find(|(_, said)| is_same(said));
                first.map_or(now, |(at, _)| *at) + DUPLICATE_WINDOW
            })
    }

    /// This is being said.
    pub(super) fn say(&mut self, room: Room<'_>, text: Arc<str>, now: Instant) {
        self.sends_as_moderator.record(now);
        if !room.is_moderator {
            self.sends.record(now);
        }
        let lane = self.lane(room.channel, now);
        lane.said_at = Some(now);
        lane.recent.retain(|(at, _)| *at + DUPLICATE_WINDOW > now);
        if lane.recent.len() >= SENDS_PER_WINDOW_MODERATOR {
            lane.recent.pop_front();
        }
        lane.recent.push_back((now, text));
    }

    /// What was being said last was not said.
    pub(super) fn unsay(&mut self, room: Room<'_>) {
        if let Some(lane) = self.lanes.get_mut(room.channel) {
            lane.recent.pop_back();
        }
    }

    /// Nothing may be said here before then.
    pub(super) fn silence(&mut self, room: Room<'_>, until: Instant, now: Instant) {
        self.lane(room.channel, now).silenced_until = Some(until);
    }

    fn lane(&mut self, channel: &Arc<str>, now: Instant) -> &mut Lane {
        if self.lanes.len() >= MAX_CHANNELS && !self.lanes.contains_key(channel) {
            self.lanes.retain(|_, lane| !lane.is_past(now));
            // All of them spoke within half a minute, which the limits rule out.
            if self.lanes.len() >= MAX_CHANNELS {
                self.lanes.pop_first();
            }
        }
        self.lanes.entry(Arc::clone(channel)).or_default()
    }
}

// === impl Lane ===

impl Lane {
    fn is_past(&self, now: Instant) -> bool {
        self.said_at.is_none_or(|at| at + DUPLICATE_WINDOW <= now)
            && self.silenced_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chatbus_event::{Clock as _, Timestamp};
    use chatbus_testkit::FakeClock;

    use super::*;

    fn at(seconds: u64) -> Instant {
        thread_local!(static CLOCK: FakeClock = FakeClock::at(Timestamp::EPOCH));
        CLOCK.with(|clock| clock.instant()) + Duration::from_secs(seconds)
    }

    fn due(text: &str) -> Due<'_> {
        Due { text, marks: 0, may_have_been_sent: false }
    }

    #[test]
    fn an_account_has_twenty_messages_in_thirty_seconds_and_a_hundred_where_it_moderates() {
        for (is_moderator, limit) in [(false, SENDS_PER_WINDOW), (true, SENDS_PER_WINDOW_MODERATOR)] {
            for (instances, paced) in [(1, true), (2, true), (1, false)] {
                let share = Share::whole();
                share.set_instances(instances);
                let mut pace = Pace::new(share, paced);
                let names: Vec<Arc<str>> = (0..limit).map(|n| format!("#c{n}").into()).collect();
                let mine = if paced { limit / instances } else { limit };
                for channel in names.iter().take(mine) {
                    let room = Room { channel, is_moderator };
                    assert_eq!(pace.allowed_from(room, at(0)), None, "{channel} of {limit}");
                    pace.say(room, "x".into(), at(0));
                }
                let other = "#other".into();
                let next = pace.allowed_from(Room { channel: &other, is_moderator }, at(1));
                assert_eq!(next, paced.then(|| at(0) + SEND_WINDOW), "{limit} of {instances}");
            }
        }
    }

    #[test]
    fn a_channel_hears_one_message_a_second_and_none_while_it_is_silenced() {
        let channel: Arc<str> = "#a".into();
        let room = Room { channel: &channel, is_moderator: false };
        let mut pace = Pace::new(Share::whole(), true);
        pace.say(room, "x".into(), at(0));
        assert_eq!(pace.allowed_from(room, at(0)), Some(at(0) + CHANNEL_GAP));
        assert_eq!(pace.allowed_from(Room { is_moderator: true, ..room }, at(0)), None);
        assert_eq!(pace.allowed_from(Room { channel: &"#b".into(), ..room }, at(0)), None);
        pace.silence(room, at(9), at(1));
        assert_eq!(pace.allowed_from(room, at(2)), Some(at(9)));
        assert_eq!(pace.allowed_from(room, at(9)), None);
    }

    #[test]
    fn what_another_instance_was_told_holds_here_too() {
        let channel: Arc<str> = "#a".into();
        let (share, room) = (Share::whole(), Room { channel: &channel, is_moderator: true });
        let pace = Pace::new(share.clone(), true);
        share.set_quiet_until(at(5));
        assert_eq!(pace.allowed_from(room, at(0)), Some(at(5)));
    }

    #[test]
    fn a_text_that_was_just_said_is_told_apart_or_waits() {
        let channel: Arc<str> = "#a".into();
        let room = Room { channel: &channel, is_moderator: false };
        let mut pace = Pace::new(Share::whole(), true);
        let mut said = Vec::new();
        for _ in 0..=DUPLICATE_MARKS {
            let text = pace.due(room, due("hi"), at(0)).unwrap();
            assert!(!said.contains(&text) && text::shown(&text).0 == "hi");
            pace.say(room, Arc::clone(&text), at(0));
            said.push(text);
        }
        assert_eq!(pace.due(room, due("hi"), at(1)), Err(at(0) + DUPLICATE_WINDOW), "no room for more");
        let again = Due { may_have_been_sent: true, ..due("hi") };
        assert_eq!(pace.due(room, again, at(1)).as_deref(), Ok("hi"), "it is to be recognised");
        let spared = Room { is_moderator: true, ..room };
        assert_eq!(pace.due(spared, due("hi"), at(1)).as_deref(), Ok("hi"));
        assert_eq!(pace.due(room, due("hi"), at(0) + DUPLICATE_WINDOW).as_deref(), Ok("hi"));
        let long = "x".repeat(500);
        pace.say(room, long.as_str().into(), at(2));
        assert_eq!(pace.due(room, due(&long), at(3)), Err(at(2) + DUPLICATE_WINDOW));
        pace.unsay(room);
        assert_eq!(pace.due(room, due(&long), at(3)).as_deref(), Ok(long.as_str()), "it was not said");
    }

    #[test]
    fn channels_are_forgotten_and_never_more_than_there_can_be() {
        let mut pace = Pace::new(Share::whole(), true);
        for n in 0..=MAX_CHANNELS {
            let channel: Arc<str> = format!("#c{n}").into();
            pace.say(Room { channel: &channel, is_moderator: false }, "x".into(), at(0));
        }
        assert_eq!(pace.lanes.len(), MAX_CHANNELS);
        let channel: Arc<str> = "#late".into();
        pace.say(Room { channel: &channel, is_moderator: false }, "x".into(), at(60));
        assert_eq!(pace.lanes.len(), 1);
    }
}
