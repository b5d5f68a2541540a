//! Two bots that answer each other are broken off. Pure; times are those of the messages.
//!
//! Each instance of auth sees the messages that it handles: with several, a loop goes on until one of them has
//! seen enough of it. What the gateway delivers is not seen here, since it is said in no channel.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chatbus_event::Timestamp;

use crate::config::LoopPolicy;

/// Channels, and users who answer us, that are remembered at once. When that many are in use others are not
/// remembered, and so not taken for bots.
const MAX_PLACES: usize = 4096;
const MAX_SPEAKERS: usize = 4096;

/// How often what is over may be looked for while all is in use.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Who answers our messages, and how soon.
#[derive(Debug)]
pub(crate) struct Loops {
    policy: LoopPolicy,
    /// What we said in a channel.
    ours: HashMap<String, Ours>,
    /// Users in channels whose last message was an answer to ours.
    speakers: HashMap<(String, String), Speaker>,
    swept_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Ours {
    /// The last time.
    at: Timestamp,
    /// How often, since it is remembered.
    count: u64,
    /// Who spoke last before that: whom it was most likely said to.
    to: Option<String>,
    /// Who spoke last.
    last: Option<String>,
}

#[derive(Debug)]
struct Speaker {
    /// The last message: the same one again changes nothing.
    key: String,
    at: Timestamp,
    /// When it last answered us, as often and as far back as counts, and how often we had spoken by then.
    answers: VecDeque<(Timestamp, u64)>,
    /// Until when it is taken for a bot.
    until: Option<Timestamp>,
}

// === impl Loops ===

impl Loops {
    pub(crate) fn new(policy: LoopPolicy) -> Self {
        Self { policy, ours: HashMap::new(), speakers: HashMap::new(), swept_at: Timestamp::EPOCH }
    }

    /// We said something in a channel.
    pub(crate) fn said_by_us(&mut self, place: &str, at: Timestamp) {
        if self.policy.answers == 0 {
            return;
        }
        if let Some(ours) = self.ours.get_mut(place) {
            // The same one again, or an older one that comes late, says nothing new.
            if at > ours.at {
                (ours.at, ours.count) = (at, ours.count + 1);
                ours.to.clone_from(&ours.last);
            }
        } else if self.ours.len() < MAX_PLACES || self.sweep(at) && self.ours.len() < MAX_PLACES {
            self.ours.insert(place.to_owned(), Ours { at, count: 1, to: None, last: None });
        }
    }

    /// A user said something in a channel; gives whether it is taken for a bot. `key` names the message.
    pub(crate) fn said_by(&mut self, place: &str, user: &str, key: &str, at: Timestamp) -> bool {
        let Some(ours) = self.ours.get_mut(place) else { return false };
        let policy = self.policy;
        // Where many speak, most of what follows ours was meant for somebody else. Before the first of ours
        // that is remembered nobody knows who spoke.
        let is_to_them = ours.to.as_deref().is_none_or(|to| to == user);
        let is_in_time = at >= ours.at && at.since(ours.at) <= policy.follows;
        ours.last = Some(user.to_owned());
        let ours = ours.clone();
        let id = (place.to_owned(), user.to_owned());
        let Some(speaker) = self.speakers.get_mut(&id) else {
            if is_in_time && is_to_them && (self.speakers.len() < MAX_SPEAKERS || self.sweep(at)) {
                self.remember(id, key, at, ours.count);
            }
            return false;
        };
        if speaker.key == key {
            return speaker.until.is_some_and(|until| at < until);
        }
        let is_new = ours.at > speaker.at;
        speaker.at = at;
        key.clone_into(&mut speaker.key);
        if speaker.until.is_some_and(|until| at < until) {
            return true;
        }
        if is_in_time && !is_to_them && speaker.until.is_none() {
            return false;
        }
        if !is_in_time || speaker.until.is_some() {
            self.speakers.remove(&id);
            return false;
        }
        if is_new {
            speaker.answers.push_back((at, ours.count));
        }
        let is_over = |answers: &VecDeque<(Timestamp, u64)>| {
            let first = answers.front();
            first.is_some_and(|(first, _)| at.since(*first) > policy.within)
                || answers.len() > policy.answers.saturating_add(1)
        };
        while is_over(&speaker.answers) {
            speaker.answers.pop_front();
        }
        // Where we speak all the time, to many, everybody seems to follow us: a bot in a loop with us is what
        // we speak to most.
        let answers = speaker.answers.len();
        let spoken = speaker.answers.front().map_or(0, |(_, first)| ours.count.saturating_sub(*first) + 1);
        if answers <= policy.answers || (answers as u64).saturating_mul(2) < spoken {
            return false;
        }
        speaker.answers.clear();
        speaker.until = Some(at.plus(policy.rest));
        true
    }

    fn remember(&mut self, id: (String, String), key: &str, at: Timestamp, spoken: u64) {
        if self.speakers.len() < MAX_SPEAKERS {
            let speaker =
                Speaker { key: key.to_owned(), at, answers: VecDeque::from([(at, spoken)]), until: None };
            self.speakers.insert(id, speaker);
        }
    }

    /// Forgets what is over, unless that was just done; gives whether it was done now.
    fn sweep(&mut self, now: Timestamp) -> bool {
        if now.since(self.swept_at) < SWEEP_EVERY {
            return false;
        }
        self.swept_at = now;
        let LoopPolicy { within, follows, .. } = self.policy;
        self.ours.retain(|_, ours| now.since(ours.at) <= follows);
        self.speakers.retain(|_, speaker| match speaker.until {
            Some(until) => now < until,
            None => now.since(speaker.at) <= within,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: i64 = 1_000_000;

    /// Ours at a time, theirs so long after it.
    struct Talk {
        loops: Loops,
        n: u32,
    }

    impl Talk {
        fn new() -> Self {
            Self { loops: Loops::new(LoopPolicy::default()), n: 0 }
        }

        fn ours(&mut self, at: i64) {
            self.loops.said_by_us("#a", Timestamp::from_millis(BASE + at));
        }

        fn theirs(&mut self, at: i64) -> bool {
            self.n += 1;
            self.loops.said_by("#a", "u", &format!("m{}", self.n), Timestamp::from_millis(BASE + at))
        }

        /// We speak every `every` ms from `from` on, they answer `after` it; gives which answer was the first
        /// of a bot.
        fn round(&mut self, from: i64, every: i64, after: i64, times: i64) -> Option<i64> {
            (0..times).find(|n| {
                self.ours(from + n * every);
                self.theirs(from + n * every + after)
            })
        }
    }

    #[test]
    fn who_answers_us_at_once_each_time_is_taken_for_a_bot_at_the_sixth_answer() {
        assert_eq!(Talk::new().round(0, 3_000, 300, 10), Some(5));
        assert_eq!(Talk::new().round(0, 9_000, 1_900, 10), Some(5));
    }

    #[test]
    fn who_needs_time_to_read_or_rests_in_between_is_not() {
        assert_eq!(Talk::new().round(0, 5_000, 2_100, 100), None, "too slow for a bot");
        assert_eq!(Talk::new().round(0, 13_000, 300, 100), None, "not more than five in a minute");
    }

    #[test]
    fn one_message_that_answers_nothing_begins_the_count_anew() {
        let mut talk = Talk::new();
        assert_eq!(talk.round(0, 3_000, 300, 5), None);
        assert!(!talk.theirs(15_500), "three seconds after ours");
        assert_eq!(talk.round(18_000, 3_000, 300, 5), None);
        assert!(talk.round(33_000, 3_000, 300, 1).is_some());
    }

    #[test]
    fn who_talks_a_lot_where_we_speak_to_many_is_not_taken_for_a_bot() {
        let mut talk = Talk::new();
        for n in 0..100 {
            talk.ours(n * 1_000);
            assert!(n % 3 != 0 || !talk.theirs(n * 1_000 + 500), "message {n}");
        }
    }

    #[test]
    fn who_follows_what_we_said_to_others_is_not_taken_for_a_bot() {
        let mut talk = Talk::new();
        talk.ours(0);
        for n in 1..100 {
            let at = |ms: i64| Timestamp::from_millis(BASE + n * 1_000 + ms);
            assert!(!talk.loops.said_by("#a", &format!("other{n}"), &format!("o{n}"), at(0)));
            talk.loops.said_by_us("#a", at(10));
            assert!(!talk.loops.said_by("#a", "u", &format!("u{n}"), at(200)), "message {n}");
        }
    }

    #[test]
    fn two_messages_to_one_of_ours_are_one_answer() {
        let mut talk = Talk::new();
        for n in 0..5 {
            talk.ours(n * 3_000);
            assert!(!talk.theirs(n * 3_000 + 300) && !talk.theirs(n * 3_000 + 600));
        }
        assert_eq!(talk.round(15_000, 3_000, 300, 1), Some(0));
    }

    #[test]
    fn the_rest_ends_although_the_user_goes_on() {
        let mut talk = Talk::new();
        assert_eq!(talk.round(0, 1_000, 100, 10), Some(5));
        let minutes = |n: i64| 5_100 + n * 60_000;
        assert!(talk.theirs(minutes(3)) && talk.theirs(minutes(9)));
        assert!(!talk.theirs(minutes(10)));
        assert_eq!(talk.round(minutes(11), 1_000, 100, 10), Some(5), "a bot all the same");
    }

    #[test]
    fn the_same_message_again_is_answered_as_the_first_time() {
        let mut talk = Talk::new();
        assert_eq!(talk.round(0, 1_000, 100, 5), None);
        let at = |ms| Timestamp::from_millis(BASE + ms);
        for _ in 0..5 {
            assert!(!talk.loops.said_by("#a", "u", "m5", at(4_100)));
        }
        talk.ours(5_000);
        for _ in 0..2 {
            assert!(talk.loops.said_by("#a", "u", "m6", at(5_100)));
        }
    }

    #[test]
    fn others_and_other_channels_are_nobodys_fault() {
        let mut talk = Talk::new();
        assert_eq!(talk.round(0, 1_000, 100, 6), Some(5));
        let at = Timestamp::from_millis(BASE + 5_200);
        assert!(!talk.loops.said_by("#a", "other", "x1", at));
        assert!(!talk.loops.said_by("#b", "u", "x2", at));
        let off = LoopPolicy { answers: 0, ..LoopPolicy::default() };
        assert_eq!(Talk { loops: Loops::new(off), n: 0 }.round(0, 1_000, 100, 20), None);
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_makes_room_for_what_is_new() {
        let mut talk = Talk::new();
        talk.ours(0);
        let at = |ms| Timestamp::from_millis(BASE + ms);
        for n in 0..MAX_SPEAKERS + 100 {
            talk.loops.said_by("#a", &format!("u{n}"), "k", at(1));
        }
        for n in 0..MAX_PLACES + 100 {
            talk.loops.said_by_us(&format!("#{n}"), at(2));
        }
        assert_eq!((talk.loops.speakers.len(), talk.loops.ours.len()), (MAX_SPEAKERS, MAX_PLACES));
        talk.loops.said_by_us("#new", at(90_000));
        assert!(talk.loops.ours.contains_key("#new") && talk.loops.speakers.is_empty());
    }

    #[test]
    fn a_channel_that_was_forgotten_in_between_begins_anew() {
        let mut talk = Talk::new();
        assert_eq!(talk.round(0, 1_000, 100, 5), None);
        talk.loops.ours.clear();
        assert_eq!(talk.round(5_000, 1_000, 100, 1), Some(0), "who answers us is still remembered");
    }
}
