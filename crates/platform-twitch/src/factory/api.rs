//! The settings of Helix, EventSub and the accounts.

use chatbus_connector::BuildContext;
use chatbus_runtime::settings::{Problem, Values};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::config::{ApiConfig, EventSubTransport, Read, SendBy};

/// How long Twitch lets the secret of a webhook subscription be (dev.twitch.tv/docs/eventsub/handling-webhook-events).
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 10..=100;

/// What is read here.
pub(super) struct Api {
    pub(super) read: Read,
    pub(super) send: SendBy,
    pub(super) api: Option<ApiConfig>,
    pub(super) eventsub_url: Option<Url>,
    pub(super) eventsub_transport: EventSubTransport,
    pub(super) eventsub_secret: Option<SecretString>,
}

/// Reads them all, and notes every problem. `has_token` when the bot's account has one already.
pub(super) fn read(values: &Values, cx: &BuildContext, has_token: bool, problems: &mut Vec<Problem>) -> Api {
    let read = match values.text("TWITCH_READ") {
        Some("eventsub") => Read::EventSub,
        Some("both") => Read::Both,
        _ => Read::Irc,
    };
    let send = match values.text("TWITCH_SEND") {
        Some("irc") => SendBy::Irc,
        Some("helix") => SendBy::Helix,
        _ => SendBy::Auto,
    };
    let eventsub_transport = match values.text("TWITCH_EVENTSUB_TRANSPORT") {
        Some("webhook") => EventSubTransport::Webhook,
        Some("conduit") => EventSubTransport::Conduit,
        _ => EventSubTransport::WebSocket,
    };
    let eventsub_secret = eventsub_secret(values, problems);
    let eventsub_url = url(values, "TWITCH_EVENTSUB_URL", problems);
    let api = application(values, has_token, problems);
    let reads_by_eventsub = read != Read::Irc;
    let mut needs = |is_there: bool, name: &str, why: &str| {
        let is_named = problems.iter().any(|problem| problem.setting == name);
        if !is_there && !is_named {
            problems.push(Problem::new(name, format!("is needed because {why}")));
        }
    };
    let has_id = values.is_set("TWITCH_CLIENT_ID");
    if send == SendBy::Helix {
        needs(has_id, "TWITCH_CLIENT_ID", "TWITCH_SEND is helix");
    }
    if reads_by_eventsub {
        let word = values.text("TWITCH_READ").unwrap_or_default();
        needs(has_id, "TWITCH_CLIENT_ID", &format!("TWITCH_READ is {word}"));
        // Subscriptions of these two are made with the application's own token.
        let has_secret = values.is_set("TWITCH_CLIENT_SECRET");
        match eventsub_transport {
            EventSubTransport::WebSocket => {}
            EventSubTransport::Conduit => {
                needs(has_secret, "TWITCH_CLIENT_SECRET", "TWITCH_EVENTSUB_TRANSPORT is conduit");
            }
            EventSubTransport::Webhook => {
                let why = "TWITCH_EVENTSUB_TRANSPORT is webhook";
                needs(has_secret, "TWITCH_CLIENT_SECRET", why);
                needs(values.is_set("TWITCH_EVENTSUB_SECRET"), "TWITCH_EVENTSUB_SECRET", why);
                needs(cx.public_url.is_some(), "PUBLIC_URL", why);
            }
        }
    }
    Api { read, send, api, eventsub_url, eventsub_transport, eventsub_secret }
}

/// The application and where it asks. Its id alone is enough beside a token of the bot, which was had
/// somewhere else; without one a login needs the secret as well.
pub(crate) fn application(
    values: &Values,
    has_token: bool,
    problems: &mut Vec<Problem>,
) -> Option<ApiConfig> {
    let id = values.text("TWITCH_CLIENT_ID").map(str::trim).filter(|id| !id.is_empty());
    let secret = values.text("TWITCH_CLIENT_SECRET");
    let missing = |name: &str, other: &str| Problem::new(name, format!("is needed because {other} is set"));
    if id.is_some() && secret.is_none() && !has_token {
        problems.push(missing("TWITCH_CLIENT_SECRET", "TWITCH_CLIENT_ID"));
    }
    if id.is_none() && secret.is_some() {
        problems.push(missing("TWITCH_CLIENT_ID", "TWITCH_CLIENT_SECRET"));
    }
    if id.is_some_and(|id| !id.bytes().all(|b| b.is_ascii_graphic())) {
        problems.push(Problem::new("TWITCH_CLIENT_ID", "is no application's id: use ASCII without spaces"));
    }
    let (api_url, auth_url) =
        (url(values, "TWITCH_API_URL", problems), url(values, "TWITCH_AUTH_URL", problems));
    Some(ApiConfig {
        api_url: api_url?,
        auth_url: auth_url?,
        client_id: id?.to_owned(),
        client_secret: secret.map(SecretString::from),
    })
}

/// Where a browser comes back to after a login.
pub(crate) fn redirect_uri(values: &Values, problems: &mut Vec<Problem>) -> Option<String> {
    const NAME: &str = "TWITCH_REDIRECT_URI";
    let urls = values.list(NAME);
    if urls.len() > 1 || urls.iter().any(|url| Url::parse(url).is_err()) {
        problems.push(Problem::new(NAME, "use one URL"));
        return None;
    }
    urls.into_iter().next()
}

/// One address without a slash at its end, so that paths can be put behind it.
fn url(values: &Values, name: &str, problems: &mut Vec<Problem>) -> Option<Url> {
    let urls = values.list(name);
    let only = urls.first().filter(|_| urls.len() == 1);
    let url = only.and_then(|text| Url::parse(text.trim_end_matches('/')).ok()).filter(|url| {
        url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        problems.push(Problem::new(name, "use one URL with a host, and no user, query or fragment"));
    }
    url
}

fn eventsub_secret(values: &Values, problems: &mut Vec<Problem>) -> Option<SecretString> {
    let secret = SecretString::from(values.text("TWITCH_EVENTSUB_SECRET")?);
    let text = secret.expose_secret();
    if !text.is_ascii() || !SECRET_CHARS.contains(&text.len()) {
        problems.push(Problem::new("TWITCH_EVENTSUB_SECRET", "use 10 to 100 ASCII characters"));
        return None;
    }
    Some(secret)
}
