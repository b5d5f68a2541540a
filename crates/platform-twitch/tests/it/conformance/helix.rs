//! It speaks by Helix, and is connected by IRC beside it.

use chatbus_connector::conformance::Class;

use super::stage::{Row, Trouble, TwitchRig};

const ANSWERS: [Row; 14] = [
    ("said", Trouble::None, Class::Delivered),
    ("just said", Trouble::Dropped("msg_duplicate", "just said"), Class::Delivered),
    ("too many requests", Trouble::Status(429, "slow down"), Class::Retry),
    ("too fast", Trouble::Dropped("msg_ratelimit", "too fast"), Class::Retry),
    ("slow mode", Trouble::Dropped("msg_slowmode", "again in 1 seconds"), Class::Retry),
    ("malformed", Trouble::Status(400, "malformed"), Class::Permanent),
    ("forbidden", Trouble::Status(403, "may not"), Class::Permanent),
    ("too long", Trouble::Status(422, "too long"), Class::Permanent),
    ("banned", Trouble::Dropped("msg_banned", "banned"), Class::Permanent),
    ("never seen before", Trouble::Dropped("msg_of_tomorrow", "no"), Class::Permanent),
    ("broken", Trouble::Status(500, "oops"), Class::Unverified),
    ("unavailable", Trouble::Status(503, "oops"), Class::Unverified),
    ("lost", Trouble::Lost, Class::Unverified),
    ("no scope and no IRC", Trouble::OnlyHelix(401, "Missing scope: user:write:chat"), Class::Reauth),
];

async fn rig() -> TwitchRig {
    TwitchRig::with_helix(&ANSWERS, |config| config).await
}

chatbus_connector::conformance_tests!(rig().await);
