use super::*;
use crate::config::{EventSubTransport, Read, SendBy};
use chatbus_connector::{AccountSource, Credential};
use chatbus_event::{InstanceId, Shape, Timestamp, Topic};
use chatbus_runtime::settings::{Origin, resolve};

fn read_from(pairs: &[(&str, &str)]) -> Result<Option<TwitchConfig>, Vec<String>> {
    read_with(pairs, |_| {})
}

fn read_with(
    pairs: &[(&str, &str)],
    change: impl FnOnce(&mut BuildContext),
) -> Result<Option<TwitchConfig>, Vec<String>> {
    let layer =
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), Origin::Environment((*k).to_owned())));
    let (values, problems) = resolve(SETTINGS, &[layer.collect()]);
    assert_eq!(problems, []);
    let instance = InstanceId::parse("i-1").unwrap();
    let egress = Topic::egress_of(&instance);
    let clock = Arc::new(chatbus_testkit::FakeClock::at(Timestamp::EPOCH));
    let mut cx = BuildContext::alone(instance, egress, Shape::Flat, clock);
    change(&mut cx);
    let read = read(&values, &cx);
    assert_eq!(Factory.build(&values, &cx).is_err(), read.is_err());
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_channel_alone_is_enough_to_read_anonymously() {
    let config = read_from(&[("TWITCH_CHANNELS", "#Some_Channel, other some_channel")]).unwrap().unwrap();
    assert_eq!(config.channels, ["#some_channel".into(), "#other".into()]);
    assert!(config.bot.now().token.is_none() && config.message_limit);
    assert!(config.endpoint.is_twitch());
}

#[test]
fn nothing_set_or_switched_off_is_no_platform() {
    assert!(read_from(&[]).unwrap().is_none());
    assert!(read_from(&[("TWITCH_ENABLED", "false"), ("TWITCH_CHANNELS", "a")]).unwrap().is_none());
    assert!(read_from(&[("TWITCH_IRC_URL", "irc://127.0.0.1:1")]).unwrap().is_none());
}

#[test]
fn an_account_has_a_login_and_a_token_that_is_never_shown() {
    let config = read_from(&[
        ("TWITCH_CHANNELS", "a"),
        ("TWITCH_BOT_USERNAME", "MyBot"),
        ("TWITCH_BOT_ACCESS_TOKEN", "oauth:hush"),
        ("TWITCH_IRC_URL", "irc://127.0.0.1:1"),
        ("TWITCH_MESSAGE_LIMIT", "off"),
    ]);
    let config = config.unwrap().unwrap();
    assert_eq!(config.bot.now().login.as_deref(), Some("mybot"));
    assert!(!config.is_paced());
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn an_application_whose_account_has_no_token_yet_reads_and_asks_for_a_login() {
    let application =
        [("TWITCH_CHANNELS", "a"), ("TWITCH_CLIENT_ID", "id"), ("TWITCH_CLIENT_SECRET", "hush")];
    let config = read_from(&application).unwrap().unwrap();
    assert!(config.awaits_login && config.bot.now().token.is_none());
    let with_name = [&application[..], &[("TWITCH_BOT_USERNAME", "bot")]].concat();
    assert!(read_from(&with_name).unwrap().unwrap().awaits_login);
    let with_token = [&with_name[..], &[("TWITCH_BOT_ACCESS_TOKEN", "t")]].concat();
    assert!(!read_from(&with_token).unwrap().unwrap().awaits_login);
    assert_eq!(
        read_from(&application[..2]).unwrap_err(),
        ["TWITCH_CLIENT_SECRET: is needed because TWITCH_CLIENT_ID is set"]
    );
}

#[test]
fn every_problem_is_named_at_once() {
    for (pairs, expected) in [
        (
            &[("TWITCH_ENABLED", "true")][..],
            &["TWITCH_CHANNELS: is needed because Twitch is on: name a channel"][..],
        ),
        (
            &[("TWITCH_CHANNELS", "a"), ("TWITCH_BOT_USERNAME", "bot")],
            &["TWITCH_BOT_ACCESS_TOKEN: is needed because TWITCH_BOT_USERNAME is set"],
        ),
        (
            &[
                ("TWITCH_CHANNELS", "a,b.c"),
                ("TWITCH_BOT_ACCESS_TOKEN", "t"),
                ("TWITCH_MESSAGE_LIMIT", "off"),
                ("IRC_RECONNECT_INITIAL_MS", "500"),
                ("IRC_RECONNECT_MAX_MS", "100"),
            ],
            &[
                "TWITCH_CHANNELS: \"b.c\" is no channel: use 1 to 25 of a-z 0-9 _, with or without #",
                "TWITCH_BOT_USERNAME: is needed because TWITCH_BOT_ACCESS_TOKEN is set",
                "TWITCH_MESSAGE_LIMIT: off is only for another server: set TWITCH_IRC_URL, or leave the limits on",
                "IRC_RECONNECT_MAX_MS: use at least IRC_RECONNECT_INITIAL_MS, which is 500",
            ],
        ),
    ] {
        assert_eq!(read_from(pairs).unwrap_err(), expected, "{pairs:?}");
    }
}

const APPLICATION: [(&str, &str); 3] =
    [("TWITCH_CHANNELS", "a"), ("TWITCH_CLIENT_ID", "id"), ("TWITCH_CLIENT_SECRET", "hush-hush-hush")];

/// Accounts that are kept, all of them this one.
#[derive(Debug)]
struct Kept(Credential);

impl AccountSource for Kept {
    fn account(&self, _: &'static str, _: &'static str) -> Account {
        Account::fixed(self.0.clone())
    }
}

#[test]
fn helix_is_there_with_an_application_and_without_one_it_is_not() {
    let config = read_from(&[("TWITCH_CHANNELS", "a")]).unwrap().unwrap();
    assert_eq!((config.read, config.send), (Read::Irc, SendBy::Auto));
    assert!(config.api.is_none() && !config.may_chat_by_helix());
    let config = read_from(&APPLICATION).unwrap().unwrap();
    assert!(config.may_chat_by_helix());
    assert!(!format!("{config:?}").contains("hush"));
    let urls = [("TWITCH_API_URL", "http://127.0.0.1:1/helix/"), ("TWITCH_AUTH_URL", "http://127.0.0.1:1")];
    let config = read_from(&[&APPLICATION[..], &urls].concat()).unwrap().unwrap();
    assert!(!config.may_chat_by_helix(), "IRC is the real one");
    assert_eq!(config.api.unwrap().api_url.as_str(), "http://127.0.0.1:1/helix");
    let beside_token = [
        ("TWITCH_CHANNELS", "a"),
        ("TWITCH_BOT_USERNAME", "bot"),
        ("TWITCH_BOT_ACCESS_TOKEN", "oauth:hush"),
        ("TWITCH_CLIENT_ID", "id"),
    ];
    let config = read_from(&beside_token).unwrap().unwrap();
    assert!(config.may_chat_by_helix() && !config.awaits_login);
    assert_eq!(config.bot.now().login.as_deref(), Some("bot"));
}

#[test]
fn the_token_that_is_kept_wins_over_the_one_that_is_set() {
    let kept = Credential::ready("kept".into(), Some("keptbot".to_owned()), Some("7".to_owned()));
    let set = [("TWITCH_CHANNELS", "a"), ("TWITCH_BOT_USERNAME", "bot"), ("TWITCH_BOT_ACCESS_TOKEN", "t")];
    for pairs in [&set[..], &set[..2], &APPLICATION[..], &APPLICATION[..2]] {
        let config = read_with(pairs, |cx| cx.accounts = Arc::new(Kept(kept.clone()))).unwrap().unwrap();
        assert_eq!(config.bot.now().login.as_deref(), Some("keptbot"), "{pairs:?}");
        assert_eq!(config.bot.now().user_id.as_deref(), Some("7"), "{pairs:?}");
        assert!(!config.awaits_login, "{pairs:?}");
    }
}

#[test]
fn eventsub_is_read_over_the_transport_that_is_named_when_all_of_it_is_there() {
    for (word, read) in [("eventsub", Read::EventSub), ("both", Read::Both)] {
        let pairs = [&APPLICATION[..], &[("TWITCH_READ", word)]].concat();
        let config = read_from(&pairs).unwrap().unwrap();
        assert_eq!((config.read, config.eventsub_transport), (read, EventSubTransport::WebSocket));
    }
    let webhook = [
        ("TWITCH_READ", "eventsub"),
        ("TWITCH_EVENTSUB_TRANSPORT", "webhook"),
        ("TWITCH_EVENTSUB_SECRET", "0123456789"),
    ];
    let pairs = [&APPLICATION[..], &webhook].concat();
    let config = read_with(&pairs, |cx| cx.public_url = Some("https://bot.example".into())).unwrap().unwrap();
    assert_eq!(config.eventsub_transport, EventSubTransport::Webhook);
    assert!(config.eventsub_secret.is_some() && config.public_url.as_deref() == Some("https://bot.example"));
}

#[test]
fn what_is_half_configured_names_what_is_missing() {
    let channel = ("TWITCH_CHANNELS", "a");
    for (pairs, expected) in [
        (
            &[channel, ("TWITCH_SEND", "helix")][..],
            &["TWITCH_CLIENT_ID: is needed because TWITCH_SEND is helix"][..],
        ),
        (
            &[channel, ("TWITCH_READ", "both"), ("TWITCH_SEND", "helix"), ("TWITCH_CLIENT_SECRET", "s")],
            &["TWITCH_CLIENT_ID: is needed because TWITCH_CLIENT_SECRET is set"],
        ),
        (
            &[channel, ("TWITCH_READ", "eventsub"), ("TWITCH_EVENTSUB_TRANSPORT", "webhook")],
            &[
                "TWITCH_CLIENT_ID: is needed because TWITCH_READ is eventsub",
                "TWITCH_CLIENT_SECRET: is needed because TWITCH_EVENTSUB_TRANSPORT is webhook",
                "TWITCH_EVENTSUB_SECRET: is needed because TWITCH_EVENTSUB_TRANSPORT is webhook",
                "PUBLIC_URL: is needed because TWITCH_EVENTSUB_TRANSPORT is webhook",
            ],
        ),
        (
            &[
                channel,
                ("TWITCH_CLIENT_ID", "a b"),
                ("TWITCH_CLIENT_SECRET", "s"),
                ("TWITCH_API_URL", "https://me:pw@api"),
                ("TWITCH_EVENTSUB_URL", "ws://a,ws://b"),
                ("TWITCH_EVENTSUB_SECRET", "short"),
            ],
            &[
                "TWITCH_EVENTSUB_SECRET: use 10 to 100 ASCII characters",
                "TWITCH_EVENTSUB_URL: use one URL with a host, and no user, query or fragment",
                "TWITCH_CLIENT_ID: is no application's id: use ASCII without spaces",
                "TWITCH_API_URL: use one URL with a host, and no user, query or fragment",
            ],
        ),
    ] {
        assert_eq!(read_from(pairs).unwrap_err(), expected, "{pairs:?}");
    }
}
