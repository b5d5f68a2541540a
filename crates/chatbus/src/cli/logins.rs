//! Commands about accounts on platforms.

use clap::{Args, Subcommand};

use super::RemoteArgs;

/// Logs the bot's and the broadcaster's accounts in, and shows how they are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  chatbus oauth login twitch            # the bot's account\n  \
    chatbus oauth login twitch broadcaster\n  chatbus oauth status\n\n\
    A login prints an address and a code; open the one in any browser and type the other. The process that \
    runs goes on by itself once that is done.")]
pub(crate) struct OauthArgs {
    #[command(subcommand)]
    pub(crate) what: OauthCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OauthCommand {
    /// Logs an account in with a code that is typed into a browser.
    Login {
        /// The platform.
        #[arg(value_name = "PLATFORM")]
        platform: String,
        /// What the account is for.
        #[arg(value_name = "IDENTITY", default_value = "bot")]
        identity: String,
        /// Print as JSON, a line for each step.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
    /// What is stored of each account, without secrets.
    Status {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Box<RemoteArgs>,
    },
}
