//! `chatbus channels`.

use std::io::Write as _;

use serde_json::Value;

use super::Outcome;
use super::ask::ask;
use crate::cli::{ChannelsArgs, ChannelsCommand};
use crate::process::admin::{ChannelOrder, Order};
use crate::settings::Environment;
use crate::terminal;

pub(crate) async fn run(args: ChannelsArgs, environment: &Environment) -> Outcome {
    match args.what {
        ChannelsCommand::List { json, remote } => {
            let all = ask(Order::Channels(ChannelOrder::List), *remote, environment).await?;
            list(&all, json)
        }
        ChannelsCommand::Add { channel, remote } => {
            let order = ChannelOrder::Add { platform: channel.platform, name: channel.channel };
            let done = ask(Order::Channels(order), *remote, environment).await?;
            let word = if done["added"] == true { "is joined" } else { "was added before" };
            say(&done, word)
        }
        ChannelsCommand::Remove { channel, remote } => {
            let order = ChannelOrder::Remove { platform: channel.platform, name: channel.channel };
            let done = ask(Order::Channels(order), *remote, environment).await?;
            say(&done, "is left")
        }
    }
}

fn list(all: &Value, as_json: bool) -> Outcome {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let none = Vec::new();
    let channels = all.as_array().unwrap_or(&none);
    if channels.is_empty() {
        writeln!(out, "No channel was added. Add one with `chatbus channels add PLATFORM CHANNEL`.")?;
    }
    for channel in channels {
        let text = |name: &str| terminal::safe(channel[name].as_str().unwrap_or_default());
        writeln!(out, "{:10} {}", text("platform"), text("channel"))?;
    }
    Ok(())
}

fn say(done: &Value, word: &str) -> Outcome {
    let text = |name: &str| terminal::safe(done[name].as_str().unwrap_or_default());
    writeln!(std::io::stdout().lock(), "{} {} {word}.", text("platform"), text("channel"))?;
    Ok(())
}
