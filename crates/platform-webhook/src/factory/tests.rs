//! What settings make, and what is wrong with them.

use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::{Origin, resolve};

use super::*;

fn read_from(pairs: &[(&str, &str)]) -> Result<Option<WebhookConfig>, Vec<Problem>> {
    let origin = |name: &str| Origin::Environment(name.to_owned());
    let layer = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned(), origin(name)));
    let (values, problems) = resolve(SETTINGS, &[layer.collect()]);
    assert_eq!(problems, []);
    let instance = InstanceId::parse("test").unwrap();
    let egress = Topic::egress_of(&instance);
    let cx = BuildContext::alone(instance, egress, Shape::default(), Arc::new(SystemClock));
    read(&values, &cx)
}

const URL: (&str, &str) = ("WEBHOOK_URL", "https://example.com/hush");
const SECRET: (&str, &str) = ("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
const CHANNELS: (&str, &str) = ("WEBHOOK_CHANNELS", "a, #B a");
const PRIVATE: (&str, &str) = ("WEBHOOK_ALLOW_PRIVATE", "true");
const LOCAL: (&str, &str) = ("WEBHOOK_URL", "http://127.0.0.1:8000");

#[test]
fn it_runs_where_a_secret_and_a_channel_are_named_and_speaks_where_a_url_is() {
    let config = read_from(&[URL, SECRET, CHANNELS]).unwrap().unwrap();
    assert_eq!(config.channels, ["#a".into(), "#b".into()]);
    assert_eq!(config.destination.as_ref().map(Destination::host), Some("example.com"));
    assert!(!format!("{config:?}").contains("hush"));
    assert!(read_from(&[SECRET, CHANNELS]).unwrap().unwrap().destination.is_none());
    assert!(read_from(&[LOCAL, PRIVATE, SECRET, CHANNELS]).unwrap().unwrap().destination.is_some());
    for off in [&[][..], &[PRIVATE], &[("WEBHOOK_ENABLED", "false"), URL, SECRET, CHANNELS]] {
        assert!(read_from(off).unwrap().is_none(), "{off:?}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_named_without_its_value() {
    let many = [SECRET.1; MAX_PREVIOUS + 1].join(" ");
    for (pairs, settings) in [
        (&[URL][..], &["WEBHOOK_SECRET", "WEBHOOK_CHANNELS"][..]),
        (&[("WEBHOOK_ENABLED", "true")], &["WEBHOOK_SECRET", "WEBHOOK_CHANNELS"]),
        (&[SECRET], &["WEBHOOK_CHANNELS"]),
        (&[SECRET, ("WEBHOOK_CHANNELS", "a/b")], &["WEBHOOK_CHANNELS"]),
        (&[("WEBHOOK_SECRET", "hush"), CHANNELS], &["WEBHOOK_SECRET"]),
        (&[SECRET, CHANNELS, ("WEBHOOK_SECRET_PREVIOUS", "hush")], &["WEBHOOK_SECRET_PREVIOUS"]),
        (&[SECRET, CHANNELS, ("WEBHOOK_SECRET_PREVIOUS", &many)], &["WEBHOOK_SECRET_PREVIOUS"]),
        (&[SECRET, CHANNELS, LOCAL], &["WEBHOOK_URL"]),
        (&[SECRET, CHANNELS, ("WEBHOOK_URL", "http://example.com/hush")], &["WEBHOOK_URL"]),
        (&[SECRET, CHANNELS, ("WEBHOOK_URL", "https://169.254.169.254/hush")], &["WEBHOOK_URL"]),
    ] {
        let problems = read_from(pairs).unwrap_err();
        let named: Vec<&str> = problems.iter().map(|problem| &*problem.setting).collect();
        assert_eq!(named, settings, "{pairs:?}");
        assert!(!format!("{problems:?}").contains("hush"), "{problems:?}");
    }
}
