//! A chatbus on all platforms of a sandbox.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{Chatbus, Running, SHORT, SandboxProcess, eventually};

pub(super) const GUILD: &str = "900000000000000001";
pub(super) const GENERAL: &str = "900000000000000010";
pub(super) const NUMBER: &str = "+15550100";
pub(super) const CLIENT: &str = "client";
const SCOPES: &str =
    "chat:read chat:edit user:read:chat user:write:chat user:bot channel:bot user:manage:whispers";

/// A chatbus with its sandbox.
pub(super) struct World {
    pub(super) sandbox: SandboxProcess,
    pub(super) chatbus: Chatbus,
    pub(super) running: Running,
}

impl World {
    /// With the token of an account in the settings.
    pub(super) async fn start() -> Self {
        let sandbox = SandboxProcess::start().await;
        let asked = json!({ "login": "chatbus_bot", "client_id": CLIENT, "scopes": scopes() });
        let token = sandbox.post_to("twitch-api/token", asked).await;
        let token = token["access_token"].as_str().unwrap().to_owned();
        let chatbus = platforms(Chatbus::new(), &sandbox)
            .with("TWITCH_BOT_USERNAME", "chatbus_bot")
            .with("TWITCH_BOT_ACCESS_TOKEN", token);
        Self::of(sandbox, chatbus).await
    }

    /// As these settings have it; ready.
    pub(super) async fn of(sandbox: SandboxProcess, chatbus: Chatbus) -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let chatbus =
            twilio(chatbus, &sandbox).await.with("PORT", port.to_string()).with("TWILIO_PUBLIC_URL", &*url);
        sandbox.post_to("twilio/webhook", json!({ "url": format!("{url}/webhooks/twilio") })).await;
        let running = chatbus.ready().await;
        Self { sandbox, chatbus, running }
    }

    /// Sends a text and waits for its outcome.
    pub(super) async fn outcome(&self, to: &str, text: &str) -> Value {
        let id = self.running.send(to, text).await.unwrap();
        eventually("the outcome", SHORT, async || {
            let records = self.running.records("internal.finalizer.v1").await;
            let mut of = records.iter().filter(|record| record["event"]["deliveryId"] == *id);
            let found = of.next().ok_or(format!("no outcome of {to}"))?;
            assert!(of.next().is_none(), "a second outcome of {to}");
            Ok(found["event"].clone())
        })
        .await
    }
}

pub(super) fn scopes() -> Vec<&'static str> {
    SCOPES.split(' ').collect()
}

/// Twitch over both transports, and Discord.
pub(super) fn platforms(chatbus: Chatbus, sandbox: &SandboxProcess) -> Chatbus {
    let discord = sandbox.address("discord");
    twitch(chatbus, sandbox)
        .with("TWITCH_READ", "both")
        .with("DISCORD_BOT_TOKEN", "sandbox")
        .with("DISCORD_GUILD_ID", GUILD)
        .with("DISCORD_CHANNELS", GENERAL)
        .with("DISCORD_GATEWAY_URL", discord.replacen("http", "ws", 1))
        .with("DISCORD_API_URL", discord)
}

/// Twitch with its application, and no token.
pub(super) fn twitch(chatbus: Chatbus, sandbox: &SandboxProcess) -> Chatbus {
    let api = sandbox.address("twitchApi");
    chatbus
        .reading(&sandbox.irc, "hall")
        .with("TWITCH_API_URL", format!("{api}/helix"))
        .with("TWITCH_AUTH_URL", format!("{api}/oauth2"))
        .with("TWITCH_EVENTSUB_URL", format!("{}/ws", api.replacen("http", "ws", 1)))
        .with("TWITCH_CLIENT_ID", CLIENT)
        .with("TWITCH_CLIENT_SECRET", "sandbox-secret")
}

async fn twilio(chatbus: Chatbus, sandbox: &SandboxProcess) -> Chatbus {
    let account = sandbox.post_to("twilio/account", json!({})).await;
    let text = |name: &str| account[name].as_str().unwrap().to_owned();
    let twilio = sandbox.address("twilio");
    chatbus
        .with("TWILIO_ACCOUNT_SID", text("sid"))
        .with("TWILIO_AUTH_TOKEN", text("auth_token"))
        .with("TWILIO_FROM", NUMBER)
        .with("TWILIO_IDENTITY", "chatbus_bot")
        .with("TWILIO_API_URL", &*twilio)
        .with("TWILIO_CONVERSATIONS_URL", twilio)
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
