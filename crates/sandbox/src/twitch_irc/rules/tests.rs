use chatbus_event::Clock as _;
use chatbus_runtime::SystemClock;

use super::*;
use crate::twitch_irc::room::{Modes, Role};

struct Hall {
    rules: Rules,
    account: Account,
    room: Room,
    start: Instant,
}

impl Hall {
    fn new() -> Self {
        Self {
            rules: Rules::default(),
            account: Account::default(),
            room: Room::default(),
            start: SystemClock.instant(),
        }
    }

    fn say(&mut self, text: &str, at_seconds: u64) -> Option<String> {
        let spoken = Spoken { login: "bot", channel: "hall", text };
        let at = self.start + Duration::from_secs(at_seconds);
        match self.rules.judge(&mut self.account, &mut self.room, spoken, at) {
            Verdict::Accept => None,
            Verdict::Refuse { code, .. } => Some(code),
        }
    }
}

#[test]
fn the_twenty_first_message_in_thirty_seconds_is_refused_and_the_window_slides() {
    let mut hall = Hall::new();
    for n in 0..20 {
        assert_eq!(hall.say(&format!("line {n}"), 0), None);
    }
    assert_eq!(hall.say("one more", 29).as_deref(), Some("msg_ratelimit"));
    assert_eq!(hall.say("one more", 30), None);
}

#[test]
fn a_moderator_and_the_broadcaster_may_send_a_hundred() {
    let mut hall = Hall::new();
    hall.room.set_role("bot", Role { moderator: true, ..Role::default() });
    for n in 0..100 {
        assert_eq!(hall.say(&format!("line {n}"), 0), None, "line {n}");
    }
    assert_eq!(hall.say("one more", 1).as_deref(), Some("msg_ratelimit"));
    let mut own = Hall::new();
    for n in 0..100 {
        let spoken = Spoken { login: "hall", channel: "hall", text: &format!("{n}") };
        assert_eq!(own.rules.judge(&mut own.account, &mut own.room, spoken, own.start), Verdict::Accept);
    }
}

#[test]
fn the_same_text_within_thirty_seconds_is_a_duplicate_and_later_is_not() {
    let mut hall = Hall::new();
    assert_eq!(hall.say("hello", 0), None);
    assert_eq!(hall.say("hello", 29).as_deref(), Some("msg_duplicate"));
    assert_eq!(hall.say("hello", 31), None);
    hall.room.set_role("bot", Role { vip: true, ..Role::default() });
    assert_eq!(hall.say("hello", 32), None);
}

#[test]
fn each_mode_of_a_room_refuses_with_its_own_code() {
    let table = [
        (Modes { suspended: true, ..Modes::default() }, "hi", Some("msg_channel_suspended")),
        (Modes { subs_only: true, ..Modes::default() }, "hi", Some("msg_subsonly")),
        (Modes { followers_only_minutes: 10, ..Modes::default() }, "hi", Some("msg_followersonly")),
        (Modes { followers_only_minutes: 0, ..Modes::default() }, "hi", Some("msg_followersonly_zero")),
        (Modes { emote_only: true, ..Modes::default() }, "hi", Some("msg_emoteonly")),
        (Modes { emote_only: true, ..Modes::default() }, "Kappa Kappa", None),
        (Modes::default(), "/ban someone", Some("unrecognized_cmd")),
        (Modes::default(), ".ban someone", Some("unrecognized_cmd")),
        (Modes::default(), "/me waves", None),
        (Modes::default(), "...", None),
    ];
    for (modes, text, code) in table {
        let mut hall = Hall::new();
        hall.room.modes = modes;
        assert_eq!(hall.say(text, 0).as_deref(), code, "{modes:?} {text}");
    }
}

#[test]
fn slow_mode_counts_from_the_last_message_that_was_said() {
    let mut hall = Hall::new();
    hall.room.modes.slow_seconds = 10;
    assert_eq!(hall.say("one", 0), None);
    assert_eq!(hall.say("two", 9).as_deref(), Some("msg_slowmode"));
    assert_eq!(hall.say("two", 10), None);
}

#[test]
fn bans_and_timeouts_are_told_apart_and_a_timeout_ends() {
    let mut hall = Hall::new();
    hall.room.set_role(
        "bot",
        Role { timeout_until: Some(hall.start + Duration::from_secs(5)), ..Role::default() },
    );
    assert_eq!(hall.say("one", 4).as_deref(), Some("msg_timedout"));
    assert_eq!(hall.say("one", 5), None);
    hall.room.set_role("bot", Role { banned: true, ..Role::default() });
    assert_eq!(hall.say("two", 6).as_deref(), Some("msg_banned"));
}

#[test]
fn subscribers_and_followers_pass_the_modes_that_are_for_them() {
    let mut hall = Hall::new();
    hall.room.modes = Modes { subs_only: true, followers_only_minutes: 10, ..Modes::default() };
    hall.room.set_role("bot", Role { follower: true, ..Role::default() });
    assert_eq!(hall.say("one", 0).as_deref(), Some("msg_subsonly"));
    hall.room.set_role("bot", Role { subscriber: true, ..Role::default() });
    assert_eq!(hall.say("one", 0), None);
}

#[test]
fn without_limits_anything_goes_as_often_as_wanted() {
    let mut hall = Hall::new();
    hall.rules = Rules::unlimited();
    for _ in 0..1000 {
        assert_eq!(hall.say("again", 0), None);
    }
}

#[test]
fn joins_and_logins_are_counted_for_ten_seconds() {
    let mut hall = Hall::new();
    for _ in 0..20 {
        assert!(hall.rules.may_join(&mut hall.account, hall.start));
        assert!(hall.rules.may_log_in(&mut hall.account, hall.start));
    }
    let later = hall.start + Duration::from_secs(9);
    assert!(!hall.rules.may_join(&mut hall.account, later));
    assert!(!hall.rules.may_log_in(&mut hall.account, later));
    let later = hall.start + Duration::from_secs(10);
    assert!(hall.rules.may_join(&mut hall.account, later));
    assert!(hall.rules.may_log_in(&mut hall.account, later));
    assert!(hall.account.is_idle(later + Duration::from_secs(60)));
}
