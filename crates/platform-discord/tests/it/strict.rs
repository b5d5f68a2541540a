//! The sandbox as the strictest of Discord's clients sees it: one that reads every dispatch into a type.

use std::collections::BTreeSet;
use std::time::Duration;

use chatbus_sandbox::discord::Say;
use chatbus_sandbox::{Sandbox, SandboxConfig};
use chatbus_testkit::test_runtime;
use futures::StreamExt as _;
use twilight_gateway::{ConfigBuilder, EventTypeFlags, Message, Shard, ShardId};
use twilight_model::gateway::Intents;

use crate::rig::say;

#[tokio::test]
async fn every_dispatch_of_the_sandbox_is_read_by_a_typed_client() {
    let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(3)).await.unwrap();
    let discord = sandbox.discord();
    // The library takes the process's provider of cryptography, which is chosen by whoever comes first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let intents = Intents::GUILDS
        | Intents::GUILD_MEMBERS
        | Intents::GUILD_MESSAGES
        | Intents::DIRECT_MESSAGES
        | Intents::MESSAGE_CONTENT;
    let config = ConfigBuilder::new("token".to_owned(), intents).proxy_url(discord.gateway_url()).build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    let mut seen = BTreeSet::new();
    let reading = async {
        while !seen.contains("THREAD_CREATE") {
            let Some(Ok(Message::Text(text))) = shard.next().await else { panic!("the connection ended") };
            let event = twilight_gateway::parse(text.clone(), EventTypeFlags::all());
            assert!(event.is_ok_and(|event| event.is_some()), "{text}");
            let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
            let Some(name) = frame["t"].as_str() else { continue };
            seen.insert(name.to_owned());
            if name == "GUILD_CREATE" {
                let said = say(discord, "ada", "hello");
                let reply_to = Some(said.id.clone());
                let say =
                    Say { login: "bob".to_owned(), text: "psst".to_owned(), reply_to, ..Say::default() };
                discord.say(&say).unwrap();
                discord.edit(&said.id, "hello!").unwrap();
                discord.delete(&said.id).unwrap();
                discord.join("carl");
                discord.leave("carl").unwrap();
                discord.thread("general", "aside").unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
    let expected = [
        "GUILD_CREATE",
        "GUILD_MEMBER_ADD",
        "GUILD_MEMBER_REMOVE",
        "MESSAGE_CREATE",
        "MESSAGE_DELETE",
        "MESSAGE_UPDATE",
        "READY",
        "THREAD_CREATE",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
