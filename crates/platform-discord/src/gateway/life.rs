//! What becomes of a shard's session from one connection to the next. Pure.
//!
//! A connection that ends takes nothing with it: the session goes on where it was left, at the address that
//! Discord gave for it, unless Discord has forgotten it. Then there is a gap, which is kept until it was told.

use std::time::{Duration, Instant};

use chatbus_event::{Entropy, Timestamp};
use chatbus_runtime::Backoff;

use super::note::Note;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It could not be made.
    Unreachable,
    /// It was lost, or was dead without ending.
    Lost,
    /// Discord closed it with this code.
    Closed(u16),
    /// Discord asked for another one.
    Reconnect,
    /// Discord does not know the session; whether trying once more may help.
    Invalid {
        /// See above.
        resumable: bool,
    },
    /// We are stopping.
    Stopped,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another connection after this long.
    Again(Duration),
    /// None until somebody helps.
    Halt(Halt),
}

/// What only a person can mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The token is refused.
    Unauthorized,
    /// An intent is not switched on for the application, or there is none of these.
    MissingIntent,
    /// How the gateway is used is refused, with this code.
    Refused(u16),
}

/// A session of the gateway, as far as what it told was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) seq: u64,
    /// Where it is resumed; `None` where the gateway is.
    pub(crate) url: Option<String>,
}

/// A time that is not covered by any session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) from: Timestamp,
    pub(crate) reason: &'static str,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Life {
    session: Option<Session>,
    heard_at: Option<Timestamp>,
    missed: Option<Missed>,
    backoff: Backoff,
    live_since: Option<Instant>,
}

/// The waits between connections.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

impl Halt {
    /// When it is tried again whether or not somebody helped; `None` for never.
    pub(crate) fn again(self) -> Option<Duration> {
        match self {
            // Another token needs another start of the process.
            Self::Unauthorized => None,
            // Each try costs a start of a session, of which there are 1,000 a day.
            Self::MissingIntent | Self::Refused(_) => Some(Duration::from_secs(300)),
        }
    }
}

// === impl Life ===

impl Life {
    /// With what an earlier process left.
    pub(crate) fn new(note: Option<&Note>, total: u32) -> Self {
        let mut life = Self {
            session: None,
            heard_at: note.map(|note| note.at),
            missed: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            live_since: None,
        };
        match note {
            Some(note) if note.total == total => life.session = Some(note.session()),
            Some(_) => life.lose_session("resharded"),
            None => {}
        }
        life
    }

    /// The session that the next connection goes on with.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// When all that was told was last known to be heard.
    pub(crate) fn heard_at(&self) -> Option<Timestamp> {
        self.heard_at
    }

    /// What was missed and not told yet.
    pub(crate) fn missed(&self) -> Option<Missed> {
        self.missed
    }

    /// What was missed has been told.
    pub(crate) fn told(&mut self) {
        self.missed = None;
    }

    /// A new session begins, or the old one goes on.
    pub(crate) fn is_live(&mut self, session: Option<Session>, now: Instant) {
        self.live_since = Some(now);
        if session.is_some() {
            self.session = session;
        }
    }

    /// Everything up to this number was handed over.
    pub(crate) fn covered(&mut self, seq: u64) {
        if let Some(session) = &mut self.session {
            session.seq = seq.max(session.seq);
        }
    }

    /// The connection is alive, and all that was told is heard.
    pub(crate) fn heard(&mut self, at: Timestamp) {
        self.heard_at = self.heard_at.max(Some(at));
    }

    /// A connection ended.
    pub(crate) fn ended(&mut self, end: End, now: Instant, entropy: &dyn Entropy) -> Next {
        if self.live_since.take().is_some_and(|since| now.duration_since(since) >= GOOD) {
            self.backoff.reset();
        }
        match end {
            End::Closed(4004) => return Next::Halt(Halt::Unauthorized),
            End::Closed(4013 | 4014) => {
                // Another session would be needed for other intents.
                self.lose_session("missing_intent");
                return Next::Halt(Halt::MissingIntent);
            }
            End::Closed(code @ 4010..=4012) => {
                self.lose_session("refused");
                return Next::Halt(Halt::Refused(code));
            }
            End::Closed(4007) => self.lose_session("invalid_seq"),
            End::Closed(4009) => self.lose_session("session_timed_out"),
            End::Invalid { resumable: false } => self.lose_session("invalid_session"),
            End::Unreachable => {
                // The gateway itself knows a better place.
                if let Some(session) = &mut self.session {
                    session.url = None;
                }
            }
            End::Lost | End::Closed(_) | End::Reconnect | End::Invalid { resumable: true } | End::Stopped => {
            }
        }
        let wait = self.backoff.next(entropy);
        Next::Again(match end {
            End::Reconnect => Duration::ZERO,
            // Discord's rule: between one second and five.
            End::Invalid { .. } => Duration::from_secs(1) + Duration::from_secs(4).mul_f64(entropy.unit()),
            _ => wait,
        })
    }

    fn lose_session(&mut self, reason: &'static str) {
        self.session = None;
        if let (Some(from), None) = (self.heard_at, self.missed) {
            self.missed = Some(Missed { from, reason });
        }
    }
}

#[cfg(test)]
mod tests {
    use chatbus_testkit::SeededEntropy;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn note(total: u32) -> Note {
        let (session, url) = ("s".to_owned(), Some("wss://a.discord.gg".to_owned()));
        Note { session, seq: 7, url, total, at: at(100), ..Note::default() }
    }

    fn life() -> Life {
        Life::new(Some(&note(1)), 1)
    }

    fn end(life: &mut Life, end: End) -> Next {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        life.ended(end, now, &SeededEntropy::new(1))
    }

    #[test]
    fn what_becomes_of_a_session_is_said_by_how_its_connection_ended() {
        for (how, keeps, reason) in [
            (End::Lost, true, None),
            (End::Closed(1000), true, None),
            (End::Closed(1001), true, None),
            (End::Closed(4000), true, None),
            (End::Closed(4001), true, None),
            (End::Closed(4002), true, None),
            (End::Closed(4003), true, None),
            (End::Closed(4005), true, None),
            (End::Closed(4007), false, Some("invalid_seq")),
            (End::Closed(4008), true, None),
            (End::Closed(4009), false, Some("session_timed_out")),
            (End::Reconnect, true, None),
            (End::Invalid { resumable: true }, true, None),
            (End::Invalid { resumable: false }, false, Some("invalid_session")),
            (End::Unreachable, true, None),
        ] {
            let mut life = life();
            assert!(
                matches!(end(&mut life, how), Next::Again(wait) if wait <= Duration::from_secs(5)),
                "{how:?}"
            );
            assert_eq!(life.session().is_some(), keeps, "{how:?}");
            assert_eq!(life.missed().map(|missed| missed.reason), reason, "{how:?}");
        }
    }

    #[test]
    fn codes_that_only_a_person_can_mend_end_it() {
        for (code, halt) in [
            (4004, Halt::Unauthorized),
            (4010, Halt::Refused(4010)),
            (4011, Halt::Refused(4011)),
            (4012, Halt::Refused(4012)),
            (4013, Halt::MissingIntent),
            (4014, Halt::MissingIntent),
        ] {
            assert_eq!(end(&mut life(), End::Closed(code)), Next::Halt(halt));
        }
        assert!(life().session().is_some() && Halt::Unauthorized.again().is_none());
    }

    #[test]
    fn a_gap_begins_where_all_was_last_heard_and_stays_until_it_is_told() {
        let mut life = life();
        life.heard(at(200));
        life.heard(at(150));
        end(&mut life, End::Invalid { resumable: false });
        end(&mut life, End::Closed(4009));
        let missed = Missed { from: at(200), reason: "invalid_session" };
        assert_eq!(life.missed(), Some(missed));
        life.told();
        assert_eq!(life.missed(), None);
    }

    #[test]
    fn what_was_covered_is_where_the_next_connection_goes_on() {
        let mut life = life();
        life.covered(9);
        life.covered(8);
        assert_eq!(life.session().map(|session| session.seq), Some(9));
        assert!(life.session().is_some_and(|session| session.url.is_some()));
        end(&mut life, End::Unreachable);
        assert!(life.session().is_some_and(|session| session.url.is_none()), "elsewhere then");
    }

    #[test]
    fn another_number_of_shards_needs_other_sessions() {
        let life = Life::new(Some(&note(2)), 1);
        assert_eq!(life.session(), None);
        assert_eq!(life.missed(), Some(Missed { from: at(100), reason: "resharded" }));
        assert_eq!(Life::new(None, 1).missed(), None, "before the first session nothing was missed");
    }

    #[test]
    fn connections_that_end_at_once_are_made_ever_more_rarely() {
        let mut life = life();
        let waits: Vec<u64> = (0..8)
            .map(|_| match end(&mut life, End::Lost) {
                Next::Again(wait) => wait.as_secs(),
                Next::Halt(halt) => panic!("{halt:?}"),
            })
            .collect();
        assert!(waits.last() > waits.first() && waits.iter().all(|wait| *wait <= 30), "{waits:?}");
    }
}
