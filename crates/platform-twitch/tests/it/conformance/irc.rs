//! It speaks by IRC.

use chatbus_connector::Account;
use chatbus_connector::conformance::Class;
use chatbus_platform_twitch::TwitchConfig;

use super::stage::{Row, Trouble, TwitchRig};
use crate::rig::bot;

const TOKEN: &str = "a-token-of-irc";

const ANSWERS: [Row; 9] = [
    ("said", Trouble::None, Class::Delivered),
    ("just said", Trouble::Notice("msg_duplicate"), Class::Delivered),
    ("not a word", Trouble::Silence, Class::Accepted),
    ("too fast", Trouble::Notice("msg_ratelimit"), Class::Retry),
    ("slow mode", Trouble::Notice("msg_slowmode"), Class::Retry),
    ("banned", Trouble::Notice("msg_banned"), Class::Permanent),
    ("moderated", Trouble::Notice("msg_rejected_mandatory"), Class::Permanent),
    ("never seen before", Trouble::Notice("msg_of_tomorrow"), Class::Permanent),
    ("lost", Trouble::Cut, Class::Unverified),
];

async fn rig() -> TwitchRig {
    TwitchRig::start(&ANSWERS, TOKEN.to_owned(), |base, _| TwitchConfig {
        bot: Account::fixed(bot(TOKEN)),
        ..base
    })
    .await
}

chatbus_connector::conformance_tests!(rig().await);
