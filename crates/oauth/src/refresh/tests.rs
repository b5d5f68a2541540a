use chatbus_event::Clock as _;
use chatbus_runtime::SystemClock;

use super::*;

const FACTS: Facts = Facts {
    lasts: Some(Duration::from_secs(4 * 3600)),
    can_renew: true,
    is_confirmed: true,
    is_fresh: true,
    validate_every: Some(Duration::from_secs(3600)),
};

/// A course, and the seconds since it began.
struct Course {
    begun: Instant,
    refresh: Refresh,
}

impl Course {
    fn new(facts: Facts) -> Self {
        let begun = SystemClock.instant();
        Self { begun, refresh: Refresh::new(Pace::DEFAULT, facts, begun, 0.0) }
    }

    fn on(&mut self, at: u64, input: Input) -> &mut Self {
        self.refresh.on(input, self.begun + Duration::from_secs(at), 0.0);
        self
    }

    fn next(&self) -> Option<(u64, Act)> {
        self.refresh.next().map(|(at, act)| (at.duration_since(self.begun).as_secs(), act))
    }

    fn shown(&self) -> (CredentialState, bool) {
        (self.refresh.state(), self.refresh.is_usable())
    }
}

const GOOD: (CredentialState, bool) = (CredentialState::Ok, true);
const DEGRADED: (CredentialState, bool) = (CredentialState::Degraded, true);
const OVER: (CredentialState, bool) = (CredentialState::NeedsReauth, false);

#[test]
fn what_is_due_first() {
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    let day = FACTS.validate_every.map(|every| every * 24);
    for (facts, expected) in [
        // A quarter of an hour to half an hour before its end.
        (Facts { validate_every: None, ..FACTS }, Some((4 * 3600 - 900, Act::Renew))),
        (Facts { validate_every: day, ..FACTS }, Some((4 * 3600 - 900, Act::Renew))),
        // One that lasts for minutes: in the last fifth.
        (Facts { lasts: Some(Duration::from_secs(100)), ..FACTS }, Some((90, Act::Renew))),
        (FACTS, Some((3600, Act::Validate))),
        (Facts { is_fresh: false, ..FACTS }, Some((0, Act::Validate))),
        (Facts { is_fresh: false, validate_every: None, ..FACTS }, Some((4 * 3600 - 900, Act::Renew))),
        (Facts { lasts: Some(Duration::ZERO), is_fresh: false, ..FACTS }, Some((0, Act::Renew))),
        (Facts { lasts: None, validate_every: None, ..FACTS }, None),
        // What nobody knows anything of is asked about even where that is not wanted.
        (
            Facts {
                lasts: None,
                can_renew: false,
                is_confirmed: false,
                is_fresh: false,
                validate_every: None,
            },
            Some((0, Act::Validate)),
        ),
        // One that cannot be renewed is asked about when it should be over.
        (
            Facts { can_renew: false, lasts: hours(1), validate_every: None, ..FACTS },
            Some((3600, Act::Validate)),
        ),
    ] {
        assert_eq!(Course::new(facts).next(), expected, "{facts:?}");
    }
}

#[test]
fn processes_do_not_all_renew_at_once() {
    let now = SystemClock.instant();
    let at = |unit| Refresh::new(Pace::DEFAULT, Facts { validate_every: None, ..FACTS }, now, unit).next();
    let minutes = |unit| (at(unit).unwrap().0.duration_since(now) + Duration::from_secs(1)).as_secs() / 60;
    assert_eq!([0.0, 0.5, 1.0].map(minutes), [225, 217, 210]);
}

#[test]
fn a_failed_renewal_is_tried_again_after_30_s_doubling_to_15_min_while_the_old_token_lasts() {
    let mut course = Course::new(FACTS);
    let mut now = 13_500;
    for wait in [30, 60, 120, 240, 480, 900, 900, 900] {
        course.on(now, Input::RenewalFailed);
        now += wait;
        course.refresh.validate_at = None;
        assert_eq!((course.next(), course.shown()), (Some((now, Act::Renew)), DEGRADED));
    }
    // It is good meanwhile, which makes the renewal no better.
    course.on(now, Input::Validated(None));
    assert_eq!(course.shown(), DEGRADED);
    let longest = Pace::DEFAULT.wait(40, 1.0);
    assert_eq!(longest, Duration::from_secs(900), "nor does chance make a wait longer");
    assert_eq!(Pace::DEFAULT.wait(1, 1.0), Duration::from_millis(37_500));
}

#[test]
fn a_refused_renewal_needs_a_person() {
    let mut course = Course::new(FACTS);
    course.on(13_500, Input::RenewalRefused);
    assert_eq!((course.next(), course.shown()), (None, OVER));
    course.on(13_600, Input::Doubted);
    assert_eq!((course.next(), course.shown()), (None, OVER), "and no asking helps");
}

#[test]
fn a_validation_that_is_refused_leads_to_a_renewal_at_once_or_to_a_person() {
    let mut course = Course::new(FACTS);
    course.on(3600, Input::ValidationRefused);
    assert_eq!(course.next(), Some((3600, Act::Renew)));
    assert!(!course.refresh.is_usable());
    course.on(3600, Input::RenewalFailed);
    assert_eq!(
        (course.next(), course.shown()),
        (Some((3630, Act::Renew)), (CredentialState::Degraded, false))
    );

    let mut by_hand = Course::new(Facts { can_renew: false, ..FACTS });
    by_hand.on(3600, Input::ValidationRefused);
    assert_eq!((by_hand.next(), by_hand.shown()), (None, OVER));
}

#[test]
fn a_validation_without_an_answer_leaves_the_token_as_good_as_it_was() {
    let mut course = Course::new(FACTS);
    course.on(3600, Input::ValidationFailed).on(3630, Input::ValidationFailed);
    assert_eq!((course.next(), course.shown()), (Some((3690, Act::Validate)), GOOD));
    course.on(3690, Input::Validated(None));
    assert_eq!((course.next(), course.shown()), (Some((7290, Act::Validate)), GOOD));

    // One of which nothing is known is used, but not called good.
    let facts =
        Facts { lasts: None, can_renew: false, is_confirmed: false, is_fresh: false, validate_every: None };
    let mut by_hand = Course::new(facts);
    by_hand.on(0, Input::ValidationFailed);
    assert_eq!((by_hand.next(), by_hand.shown()), (Some((30, Act::Validate)), DEGRADED));
    by_hand.on(30, Input::Validated(Some(Duration::from_secs(600))));
    assert_eq!((by_hand.next(), by_hand.shown()), (Some((630, Act::Validate)), GOOD));
}

#[test]
fn what_a_connector_was_refused_is_validated_at_once_but_not_over_and_over() {
    let facts = Facts { validate_every: None, ..FACTS };
    let mut course = Course::new(facts);
    course.on(100, Input::Doubted);
    assert_eq!(course.next(), Some((100, Act::Validate)));
    course.on(100, Input::Validated(None)).on(100, Input::Doubted).on(101, Input::Doubted);
    assert_eq!(course.next(), Some((102, Act::Validate)));
}

#[test]
fn a_platform_that_tells_the_end_only_when_asked_is_believed() {
    let mut course = Course::new(Facts { lasts: None, validate_every: None, is_fresh: false, ..FACTS });
    course.on(5, Input::Validated(Some(Duration::from_secs(100))));
    assert_eq!(course.next(), Some((95, Act::Renew)));
}
