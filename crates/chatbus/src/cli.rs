//! The command line.

mod flags;
mod kept;
mod logins;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use flags::SettingFlags;
pub(crate) use kept::{
    ChannelsArgs, ChannelsCommand, DlqArgs, DlqCommand, EventsArgs, EventsCommand, EventsListArgs,
    ReplayArgs, RulesArgs, RulesCommand, UsersArgs, UsersCommand, WhichArgs,
};
pub(crate) use logins::{OauthArgs, OauthCommand};

/// Connects chat platforms to an event bus, both ways.
#[derive(Debug, Parser)]
#[command(
    name = "chatbus",
    version,
    max_term_width = 110,
    after_help = "Examples:\n  chatbus demo --for 10s\n  chatbus serve --twitch-channel some_channel\n  \
                  chatbus tail --follow\n  chatbus send --to 'twitch:#some_channel' 'hello'\n\n\
                  Exit codes: 0 ok, 1 failure at run time, 2 bad usage or configuration."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(DemoArgs),
    Serve(ServeArgs),
    Sandbox(SandboxArgs),
    Tail(TailArgs),
    Send(SendArgs),
    Channels(ChannelsArgs),
    Events(EventsArgs),
    Dlq(DlqArgs),
    Users(UsersArgs),
    Rules(RulesArgs),
    Token(TokenArgs),
    Oauth(OauthArgs),
    Doctor(DoctorArgs),
    Config(ConfigArgs),
    Schema(SchemaArgs),
    Bench(BenchArgs),
}

/// Shows everything at work on this machine: a fake platform, viewers, a bot; needs nothing installed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus demo\n  chatbus demo --for 10s\n\n\
    With --for it stops by itself, prints a summary, and exits 0 only if nothing was lost.\n\
    It uses a temporary data folder and free ports unless told otherwise.")]
pub(crate) struct DemoArgs {
    /// Stop after this long (10s, 2m) and print a summary.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Runs the real thing: all roles in one process, or only those named.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  chatbus serve --twitch-channel some_channel      # reads anonymously\n  \
    TWITCH_BOT_USERNAME=me TWITCH_BOT_ACCESS_TOKEN_FILE=token chatbus serve --twitch-channel some_channel\n  \
    MESSAGE_BUS_DRIVER=nats NATS_URL=nats://10.0.0.5:4222 chatbus serve ingress-egress"
)]
pub(crate) struct ServeArgs {
    /// Roles to run; all that this build has when none is named.
    #[arg(value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Runs only the fake platform servers, for bot developers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus sandbox --sandbox-port 9000 --irc-port 6667\n  \
    curl -X POST localhost:9000/twitch/say -H 'content-type: application/json' \\\n       \
    -d '{\"channel\":\"#demo\",\"login\":\"ada\",\"text\":\"!ping\"}'\n\n\
    It prints the addresses as one JSON object; GET / on the control address lists what it can do.")]
pub(crate) struct SandboxArgs {
    /// Port of the Twitch IRC server; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) irc_port: u16,
    /// Port of the Twitch IRC server over WebSocket; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) ws_port: u16,
    /// Port of the playground, a platform for tests whose messages carry an idempotency key; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) playground_port: u16,
    /// Port of Twitch's HTTP interfaces and EventSub; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) twitch_api_port: u16,
    /// Port of Discord's REST and gateway; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) discord_port: u16,
    /// Port of Twilio's REST; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) twilio_port: u16,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Prints what is on the bus: pretty on a terminal, one JSON object a line when piped.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  chatbus tail --follow\n  chatbus tail --topic internal.deadletter.v1 --last 100\n  \
    chatbus tail --follow | jq .event.message.text"
)]
pub(crate) struct TailArgs {
    /// Only this topic.
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Go on with what is published later.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many of what is there already, from each family of topics.
    #[arg(long, default_value_t = 10)]
    pub(crate) last: u32,
    /// One JSON object a line, on a terminal too.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Says something through a running chatbus and waits for what becomes of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  chatbus send --to 'twitch:#some_channel' 'The stream starts in five minutes.'\n  \
    chatbus send --to dm:twitch:1337 'Only you can read this.'\n\n\
    TARGET is twitch:#channel, discord:CHANNEL, twilio:+1555..., websocket:USER or dm:PLATFORM:USER.\n\
    Exit codes: 0 delivered, 3 dead-lettered, 4 no outcome in time."
)]
pub(crate) struct SendArgs {
    /// Where to.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// What to say.
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,
    /// How long to wait for the outcome; EGRESS_DEADLINE_MS and 15 s when not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Makes repeating this command safe: the same key is said once.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Makes, lists and revokes the tokens with which users and bots connect to the gateway.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus token create --user alice\n  \
    chatbus token create --bot pingbot --platform twitch --expires 90d\n  chatbus token list\n  \
    chatbus token revoke tok_0123456789abcdef\n\n\
    The secret is printed once, by create, and is kept nowhere. Revoking closes the token's connections at once.\n\
    The process that runs is asked; where none does, this is done in what it keeps: DATA_DIR, or the state beside the bus.")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) what: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints its secret, once.
    Create(Box<NewTokenArgs>),
    /// The tokens there are, without their secrets.
    List {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// Ends a token, and closes its connections.
    Revoke {
        /// The token's id, as create and list show it.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewTokenArgs {
    /// Whose it is: the user id that answers are addressed to.
    #[arg(long, value_name = "ID", required_unless_present = "bot")]
    pub(crate) user: Option<String>,
    /// A bot's, of this name; it may hear what is said everywhere, and answer.
    #[arg(long, value_name = "NAME")]
    pub(crate) bot: Option<String>,
    /// The platforms a bot hears; all when not given.
    #[arg(long = "platform", value_name = "NAME", requires = "bot")]
    pub(crate) platforms: Vec<String>,
    /// The channels it may name; all when not given.
    #[arg(long = "channel", value_name = "NAME")]
    pub(crate) channels: Vec<String>,
    /// The types of events it may hear; all when not given.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// The origins from which browsers may connect with it; any when not given.
    #[arg(long = "origin", value_name = "URL")]
    pub(crate) origins: Vec<String>,
    /// How long it is good (10m, 24h, 90d); for ever when not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) expires: Option<Duration>,
    /// Print as JSON: `{token,id,user_id,expires_at}`.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Checks configuration, bus and platforms, and says how to mend each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus doctor\n  MESSAGE_BUS_DRIVER=nats chatbus doctor --json")]
pub(crate) struct DoctorArgs {
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Shows the effective settings, or what they can be.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus config show\n  chatbus config schema > chatbus.schema.json\n  \
    chatbus config schema --markdown > docs/settings.md")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) what: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// The effective settings, each with where it came from, secrets masked.
    Show {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Box<SettingFlags>,
    },
    /// The JSON Schema of chatbus.toml.
    Schema {
        /// The reference page instead.
        #[arg(long)]
        markdown: bool,
    },
}

/// Prints machine-readable descriptions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus schema envelope\n  chatbus schema asyncapi > asyncapi.json")]
pub(crate) struct SchemaArgs {
    /// Which one.
    #[arg(value_enum)]
    pub(crate) what: SchemaKind,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SchemaKind {
    /// JSON Schema of the envelope.
    Envelope,
    /// AsyncAPI document of all topics.
    Asyncapi,
}

/// Measures this machine: rate, latency and cost, beside the ceiling in the same run.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  chatbus bench bus --for 10s\n  chatbus bench ingress --driver nats --for 20s\n  \
    chatbus bench egress --driver nats --json\n\n\
    It starts what it needs, on loopback, and keeps its data in the system's temporary folder (TMPDIR), which\n\
    should be on the disk that is to be measured. A table on a terminal or in a pipe; --json for programs."
)]
pub(crate) struct BenchArgs {
    /// What to measure.
    #[arg(value_enum)]
    pub(crate) what: BenchKind,
    /// How long each part runs.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub(crate) duration: Duration,
    /// The bus: embedded, or nats (a nats-server is started for it).
    #[arg(long, default_value = "embedded", value_parser = ["embedded", "nats"])]
    pub(crate) driver: String,
    /// The nats-server to start.
    #[arg(long, default_value = "nats-server", value_name = "PATH")]
    pub(crate) nats_server: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) fill: FillArgs,
}

/// What a benchmark asks of the processes that it starts beside, whose CPU time is not ours.
#[derive(Debug, Args)]
pub(crate) struct FillArgs {
    /// The nats-server whose topic is filled, and nothing else is done.
    #[arg(long, hide = true, value_name = "URL")]
    pub(crate) fill: Option<String>,
    /// What the events' ids begin with.
    #[arg(long, hide = true, value_name = "NAME", default_value = "")]
    pub(crate) fill_name: String,
    /// How many.
    #[arg(long, hide = true, value_name = "N", default_value_t = 0)]
    pub(crate) fill_events: u64,
    /// Be the gateway's clients, as ordered on the standard input.
    #[arg(long, hide = true)]
    pub(crate) clients: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BenchKind {
    /// From a platform's socket to the bus.
    Ingress,
    /// From the bus to a platform's socket.
    Egress,
    /// From the bus to clients of the gateway, and what each of them costs.
    Gateway,
    /// The whole way: from a platform through auth, rules and the answer to the platform, all of it recorded.
    Pipeline,
    /// From a platform's call over HTTP to the answer, which says that the event is safe.
    Webhook,
    /// Publishing alone.
    Bus,
}

/// Which running process to speak to.
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoteArgs {
    /// The address of a running chatbus; found through DATA_DIR, HOST and PORT when not given.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// `500ms`, `10s`, `2m`, `1h`, `90d`, or a number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("{text:?} is no time; use one such as 10s or 2m"))?;
    let millis = match &text[digits..] {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is no time; use one such as 10s or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("10", 10_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for bad in ["", "s", "1w", "1.5s", "-1s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_setting_is_a_flag_and_a_list_can_be_repeated() {
        let cli = Cli::try_parse_from([
            "chatbus",
            "serve",
            "--twitch-channel",
            "a",
            "--twitch-channels",
            "b",
            "--port",
            "0",
        ])
        .unwrap();
        let Command::Serve(args) = cli.command else { panic!("not serve") };
        let flags: Vec<_> = args.settings.layer.iter().map(|(k, v, _)| (k.as_str(), v.as_str())).collect();
        assert!(flags.contains(&("TWITCH_CHANNELS", "a,b")), "{flags:?}");
        assert!(flags.contains(&("PORT", "0")), "{flags:?}");
    }
}
