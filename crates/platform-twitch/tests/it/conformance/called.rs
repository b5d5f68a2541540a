//! It speaks by IRC, and EventSub calls it.

use bytes::Bytes;
use chatbus_connector::WebhookRequest;
use chatbus_connector::conformance::{Caller, Class, Rig as _};
use chatbus_platform_twitch::{EventSubTransport, Read, SendBy, TwitchConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::stage::{CHANNEL, Row, Trouble, TwitchRig};

/// Signs the calls.
const SECRET: &str = "a-secret-of-eventsub";

const ANSWERS: [Row; 3] = [
    ("said", Trouble::None, Class::Delivered),
    ("banned", Trouble::Notice("msg_banned"), Class::Permanent),
    ("lost", Trouble::Cut, Class::Unverified),
];

async fn rig() -> TwitchRig {
    let change = |config| TwitchConfig {
        read: Read::EventSub,
        send: SendBy::Irc,
        eventsub_transport: EventSubTransport::Webhook,
        eventsub_secret: Some(SECRET.into()),
        public_url: Some("https://bot.example".into()),
        ..config
    };
    let mut rig = TwitchRig::with_helix(&ANSWERS, change).await;
    rig.secrets.push(SECRET.to_owned());
    rig
}

impl Caller for TwitchRig {
    fn call(&self, id: &str) -> WebhookRequest {
        let now = self.runtime().clock.now();
        let (at, channel) = (now.to_string(), CHANNEL);
        let event = json!({ "user_id": "5", "user_login": "ada", "user_name": "Ada", "broadcaster_user_id": "1",
            "broadcaster_user_login": channel, "broadcaster_user_name": channel });
        let subscription = json!({ "id": "s", "type": "channel.follow", "version": "2" });
        let body = json!({ "subscription": subscription, "event": event }).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update([id, &at, &body].concat().as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [
            ("twitch-eventsub-message-id", id.to_owned()),
            ("twitch-eventsub-message-timestamp", at),
            ("twitch-eventsub-message-signature", format!("sha256={hex}")),
            ("twitch-eventsub-message-type", "notification".to_owned()),
            ("twitch-eventsub-subscription-type", "channel.follow".to_owned()),
            ("twitch-eventsub-subscription-version", "2".to_owned()),
        ];
        WebhookRequest {
            method: "POST".to_owned(),
            origin: "https://bot.example".to_owned(),
            path_and_query: "/webhooks/eventsub".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), Bytes::from(value))).into(),
            body: body.into(),
            received_at: now,
        }
    }
}

chatbus_connector::conformance_tests!(rig().await, webhook);
