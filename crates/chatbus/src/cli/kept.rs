//! Commands about what is kept: events, dead letters, channels, users, rules.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::RemoteArgs;

/// Shows events and what became of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus events list --channel '#some_channel' --since 10m\n  \
    chatbus events list --status ERROR --json | jq .[].correlationId\n  \
    chatbus events show 0b0e7a40-5f0e-4c54-9d6e-7b1f6f1f9a11")]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    pub(crate) what: EventsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Events, newest first.
    List(Box<EventsListArgs>),
    /// One event's whole way: received, enriched, routed, answered, and how it ended, with times.
    Show {
        /// The event's correlation id.
        #[arg(value_name = "ID")]
        id: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EventsListArgs {
    /// Only of this user: an id such as twitch:1337, or a name.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Only of this channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<String>,
    /// Only of this platform.
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: Option<String>,
    /// Only those in which this was said.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only those that are so far: INGESTED, IN_PROGRESS, FINALIZED or ERROR.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    #[command(flatten)]
    pub(crate) when: WhenArgs,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Which part of a list.
#[derive(Debug, Default, Args)]
pub(crate) struct WhenArgs {
    /// Not before this time, or so long ago (10m, 2h, 7d).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this time, or so long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    /// Pass over so many first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: usize,
}

/// Shows dead letters, and publishes them again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  chatbus dlq list --reason expired --since 1h\n  chatbus dlq show ID\n  \
    chatbus dlq replay --reason no_instance --dry-run\n  chatbus dlq replay --reason no_instance --rate 5 --to generic\n  \
    chatbus dlq discard --reason invalid_event\n\n\
    A replay may be interrupted and repeated: nothing is replayed twice. What failed again after three replays is not\n\
    replayed any more."
)]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    pub(crate) what: DlqCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Dead letters, newest first.
    List {
        #[command(flatten)]
        which: Box<WhichArgs>,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// One dead letter, with the whole original.
    Show {
        /// The letter's id, as list shows it.
        #[arg(value_name = "ID")]
        id: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// Publishes the originals again.
    Replay(Box<ReplayArgs>),
    /// Notes that nothing is to be done about them.
    Discard {
        /// The letters' ids; the filters count where none is given.
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        which: Box<WhichArgs>,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
}

/// Which dead letters.
#[derive(Debug, Default, Args)]
pub(crate) struct WhichArgs {
    /// Only with this reason, such as expired or rejected.
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Only of this platform.
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: Option<String>,
    /// Only of this event.
    #[arg(long, value_name = "ID")]
    pub(crate) correlation_id: Option<String>,
    /// Only those with which so much was done: open, replaying, replayed or discarded.
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    #[command(flatten)]
    pub(crate) when: WhenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The letters' ids; the filters count where none is given.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// At most so many a second.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u32>,
    /// Where to: original (where it stood), generic (whichever instance can deliver), or a topic.
    #[arg(long, value_name = "WHERE", default_value = "original")]
    pub(crate) to: String,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Shows, adds and removes channels that are joined beside the configured ones.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus channels list\n  chatbus channels add twitch some_channel\n  \
    chatbus channels remove twitch some_channel\n\n\
    The channels of TWITCH_CHANNELS are always joined, and not listed here.")]
pub(crate) struct ChannelsArgs {
    #[command(subcommand)]
    pub(crate) what: ChannelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelsCommand {
    /// The channels that were added.
    List {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// Joins a channel, now and at every start.
    Add {
        #[command(flatten)]
        channel: ChannelArgs,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// Leaves a channel that was added.
    Remove {
        #[command(flatten)]
        channel: ChannelArgs,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ChannelArgs {
    /// The platform.
    #[arg(value_name = "PLATFORM")]
    pub(crate) platform: String,
    /// The channel, with or without #.
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: String,
}

/// Shows users, and says who is not answered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus users list --name ada\n  chatbus users show twitch:1337\n  \
    chatbus users ban twitch:1337\n  chatbus users unban twitch:1337")]
pub(crate) struct UsersArgs {
    #[command(subcommand)]
    pub(crate) what: UsersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Users, the last seen first.
    List {
        /// Only of this login or name.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only of this platform.
        #[arg(long, value_name = "NAME")]
        platform: Option<String>,
        /// Only those that are active or banned.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// One user.
    Show {
        /// The user's id, such as twitch:1337.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// No longer answers a user.
    Ban {
        /// The user's id, such as twitch:1337.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// Answers a user again.
    Unban {
        /// The user's id, such as twitch:1337.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
}

/// Checks routing rules, and tries them on an event.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  chatbus rules check rules.yaml\n  chatbus rules test rules.yaml --event event.json\n  \
    chatbus events show ID --json | jq .event.event | chatbus rules test rules.yaml --event -"
)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    pub(crate) what: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Says what is wrong with rules, and where; exit 2 when something is.
    Check {
        /// Files or folders; RULES_PATH when none is given.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        settings: Box<super::SettingFlags>,
    },
    /// Runs an event through the rules and says which matched, and why.
    Test {
        /// Files or folders; RULES_PATH when none is given.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// A file with the event as JSON; - reads it from the standard input.
        #[arg(long, value_name = "FILE")]
        event: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Box<super::SettingFlags>,
    },
}
