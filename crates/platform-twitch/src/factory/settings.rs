//! Twitch's settings: what each is called and may be.

use chatbus_runtime::settings::{Kind, SettingSpec};

use crate::config::{API_URL, AUTH_URL, EVENTSUB_URL};

pub(super) const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new("TWITCH_ENABLED", Kind::Bool, "`false` turns Twitch off whatever else is set."),
    SettingSpec::new(
        "TWITCH_CHANNELS",
        Kind::List,
        "Channels to be in, with or without `#`. A public answer that names no channel goes to the first.",
    ),
    SettingSpec::new(
        "TWITCH_BOT_USERNAME",
        Kind::Text,
        "The bot's login. Without it and its token chat is read anonymously, and nothing is said.",
    ),
    SettingSpec::new(
        "TWITCH_BOT_ACCESS_TOKEN",
        Kind::Secret,
        "The bot's user access token, with or without `oauth:`: `chat:read` and `chat:edit` for IRC, \
         `user:write:chat` to speak and `user:manage:whispers` to whisper by Helix. A token that is stored wins.",
    ),
    SettingSpec::new(
        "TWITCH_CLIENT_ID",
        Kind::Text,
        "The application's id. With it and its secret but no token, chat is read anonymously and the account \
         shows as `needs_reauth`.",
    ),
    SettingSpec::new("TWITCH_CLIENT_SECRET", Kind::Secret, "The application's secret."),
    SettingSpec::new(
        "TWITCH_REDIRECT_URI",
        Kind::Urls(&["http", "https"]),
        "Where a browser comes back to after a login, as it is registered with Twitch; without it made from \
         PUBLIC_URL.",
    ),
    SettingSpec::new(
        "TWITCH_OAUTH_SCOPES",
        Kind::List,
        "The scopes that a login of the bot asks for, instead of those that chatbus can make use of.",
    ),
    SettingSpec::new(
        "TWITCH_READ",
        Kind::Choice(&["irc", "eventsub", "both"]),
        "By which interface chat is read. What both bring is one event.",
    )
    .default("irc"),
    SettingSpec::new(
        "TWITCH_SEND",
        Kind::Choice(&["auto", "irc", "helix"]),
        "By which interface something is said in a channel. `auto` and `helix` use IRC where nothing can have \
         been said by Helix; `auto` uses Helix only with a token that has `user:write:chat`, and when \
         TWITCH_API_URL and TWITCH_IRC_URL are both Twitch's own or both not.",
    )
    .default("auto"),
    SettingSpec::new(
        "TWITCH_IRC_URL",
        Kind::Urls(&["irc", "ircs", "ws", "wss"]),
        "The IRC server: lines over TCP, TLS, WebSocket, or WebSocket over TLS.",
    )
    .default("ircs://irc.chat.twitch.tv:6697"),
    SettingSpec::new("TWITCH_API_URL", Kind::Urls(&["http", "https"]), "Where Helix is.").default(API_URL),
    SettingSpec::new(
        "TWITCH_AUTH_URL",
        Kind::Urls(&["http", "https"]),
        "Where tokens are had and validated.",
    )
    .default(AUTH_URL),
    SettingSpec::new("TWITCH_EVENTSUB_URL", Kind::Urls(&["ws", "wss"]), "Where EventSub's WebSockets are.")
        .default(EVENTSUB_URL),
    SettingSpec::new(
        "TWITCH_EVENTSUB_TRANSPORT",
        Kind::Choice(&["websocket", "webhook", "conduit"]),
        "How EventSub's notifications come: over WebSockets, as HTTP requests to PUBLIC_URL, or over the \
         shards of a conduit.",
    )
    .default("websocket"),
    SettingSpec::new(
        "TWITCH_EVENTSUB_SECRET",
        Kind::Secret,
        "Signs the notifications that come as HTTP requests: 10 to 100 ASCII characters.",
    ),
    SettingSpec::new(
        "TWITCH_MESSAGE_LIMIT",
        Kind::Choice(&["by-role", "off"]),
        "How fast messages go out: by Twitch's limits for the account's role, or, for benchmarks against \
         another server than Twitch's, without limits.",
    )
    .default("by-role"),
    SettingSpec::new(
        "TWITCH_JOIN_LIMIT",
        Kind::Choice(&["ordinary", "verified"]),
        "How fast channels are joined: 20 in ten seconds, or 2,000 for a bot that Twitch has verified.",
    )
    .default("ordinary"),
    SettingSpec::new(
        "IRC_RECONNECT_INITIAL_MS",
        Kind::Millis { min: 1, max: 3_600_000 },
        "The first wait before a lost IRC connection is made again; doubles each time, with jitter.",
    )
    .default("1000"),
    SettingSpec::new(
        "IRC_RECONNECT_MAX_MS",
        Kind::Millis { min: 1, max: 3_600_000 },
        "The longest such wait.",
    )
    .default("30000"),
];
