//! It speaks to one user.

use std::sync::Arc;

use chatbus_connector::conformance::{Class, Rig as _};
use chatbus_connector::{Account, Credential, Target};
use chatbus_platform_twitch::helix::Helix;
use chatbus_platform_twitch::helix::users::Users;

use super::stage::{Row, Trouble, TwitchRig, api_of};

const ANSWERS: [Row; 8] = [
    ("taken", Trouble::None, Class::Accepted),
    ("too many requests", Trouble::Status(429, "slow down"), Class::Retry),
    ("malformed", Trouble::Status(400, "malformed"), Class::Permanent),
    ("forbidden", Trouble::Status(403, "may not"), Class::Permanent),
    ("nobody", Trouble::Status(404, "unknown"), Class::Permanent),
    ("broken", Trouble::Status(500, "oops"), Class::Unverified),
    ("lost", Trouble::Lost, Class::Unverified),
    ("no scope", Trouble::Status(401, "Missing scope: user:manage:whispers"), Class::Reauth),
];

async fn rig() -> TwitchRig {
    let mut rig = TwitchRig::with_helix(&ANSWERS, |config| config).await;
    let (clock, token) = (rig.runtime().clock, rig.secrets[0].clone());
    let asking = Account::fixed(Credential::ready(token.into(), Some("bot".to_owned()), None));
    let users = Users::new(Helix::new(api_of(&rig.sandbox), asking, Arc::clone(&clock)), clock);
    let ada = users.id_of("ada").await.unwrap().unwrap();
    rig.user = Some(ada.to_string());
    rig.target = Target::User(ada);
    rig.path = "whispers";
    rig
}

chatbus_connector::conformance_tests!(rig().await);
