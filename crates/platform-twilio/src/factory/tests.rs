use super::*;
use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::{Origin, resolve};

const SID: (&str, &str) = ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef");
const TOKEN: (&str, &str) = ("TWILIO_AUTH_TOKEN", "s3cr3t");
const FROM: (&str, &str) = ("TWILIO_FROM", "+15005550006");

fn read_from(pairs: &[(&str, &str)], public_url: Option<&str>) -> Result<Option<TwilioConfig>, Vec<Problem>> {
    let origin = |name: &str| Origin::Environment(name.to_owned());
    let layer = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), origin(k)));
    let (values, problems) = resolve(SETTINGS, &[layer.collect()]);
    assert_eq!(problems, []);
    let instance = InstanceId::parse("i-1").unwrap();
    let egress = Topic::egress_of(&instance);
    let cx = BuildContext::alone(instance, egress, Shape::Flat, Arc::new(SystemClock));
    read(&values, &BuildContext { public_url: public_url.map(Into::into), ..cx })
}

#[test]
fn an_account_and_a_sender_or_an_identity_are_enough() {
    let config = read_from(&[SID, TOKEN, FROM], None).unwrap().unwrap();
    assert_eq!(config.from, Some(Sender::Number("+15005550006".into())));
    assert_eq!(config.api_url, "https://api.twilio.com");
    assert_eq!(config.conversations_url, "https://conversations.twilio.com");
    assert!(config.public_urls.is_empty() && config.trusts_origin);
    let config = read_from(&[SID, TOKEN, ("TWILIO_IDENTITY", "bot")], None).unwrap().unwrap();
    assert_eq!((config.from, config.identity.as_deref()), (None, Some("bot")));
    assert!(!format!("{:?}", config.auth_token).contains("s3cr3t"));
}

#[test]
fn it_is_off_when_nothing_of_it_is_set_or_it_is_switched_off() {
    for pairs in [
        &[][..],
        &[("TWILIO_API_URL", "http://127.0.0.1:1")],
        &[("TWILIO_ENABLED", "false"), SID, TOKEN, FROM],
        &[("TWILIO_ENABLED", "no"), SID],
    ] {
        assert!(read_from(pairs, None).unwrap().is_none(), "{pairs:?}");
    }
}

#[test]
fn the_address_that_is_named_for_twilio_is_the_only_one_that_is_signed_for() {
    for (own, all, urls, trusts) in [
        (Some("https://bot.example/"), None, &["https://bot.example"][..], false),
        (Some("https://bot.example/webhooks/twilio"), Some("https://x"), &["https://bot.example"], false),
        (Some("https://bot.example/base"), None, &["https://bot.example/base"], false),
        (None, Some("https://all.example"), &["https://all.example"], true),
        (None, None, &[], true),
    ] {
        let mut pairs = vec![SID, TOKEN, FROM];
        pairs.extend(own.map(|url| ("TWILIO_PUBLIC_URL", url)));
        let config = read_from(&pairs, all).unwrap().unwrap();
        assert_eq!(
            (&*config.public_urls, config.trusts_origin),
            (&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>()[..], trusts)
        );
    }
}

#[test]
fn what_is_missing_or_wrong_is_named_all_at_once() {
    for (pairs, settings) in [
        (&[("TWILIO_ENABLED", "true")][..], &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM"][..]),
        (&[SID], &["TWILIO_AUTH_TOKEN", "TWILIO_FROM"]),
        (&[FROM], &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]),
        (&[SID, TOKEN], &["TWILIO_FROM"]),
        (&[SID, TOKEN, FROM, ("TWILIO_API_KEY", "SK1")], &["TWILIO_API_SECRET"]),
        (&[SID, TOKEN, FROM, ("TWILIO_API_SECRET", "x")], &["TWILIO_API_KEY"]),
        (&[SID, TOKEN, ("TWILIO_CHAT_SERVICE_SID", "IS1")], &["TWILIO_IDENTITY"]),
        (&[("TWILIO_ACCOUNT_SID", "SK1"), TOKEN, FROM], &["TWILIO_ACCOUNT_SID"]),
        (&[("TWILIO_ACCOUNT_SID", "AC/../x"), TOKEN, FROM], &["TWILIO_ACCOUNT_SID"]),
        (&[SID, TOKEN, ("TWILIO_FROM", "15005550006")], &["TWILIO_FROM"]),
        (&[SID, TOKEN, FROM, ("TWILIO_API_URL", "https://a.example/?b")], &["TWILIO_API_URL"]),
        (&[SID, TOKEN, FROM, ("TWILIO_PUBLIC_URL", "https://u@a.example")], &["TWILIO_PUBLIC_URL"]),
    ] {
        let problems = read_from(pairs, None).map(|_| ()).unwrap_err();
        let named: Vec<&str> = problems.iter().map(|problem| &*problem.setting).collect();
        assert_eq!(named, settings, "{pairs:?}");
    }
}
