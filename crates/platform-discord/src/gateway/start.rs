//! What is asked over REST before the first connection: who we are, what we may, what there is.

use std::sync::PoisonError;
use std::time::Duration;

use chatbus_connector::AuthState;
use chatbus_event::json::Raw;
use chatbus_runtime::{Backoff, Runtime};
use tracing::{info, warn};
use twilight_gateway::queue::InMemoryQueue;
use twilight_model::gateway::Intents;

use super::life::Halt;
use crate::PLATFORM;
use crate::config::GatewayUrl;
use crate::connector::Shared;
use crate::rest::{Answer, Call, Unanswered};

/// More shards than this are for bots in hundreds of thousands of guilds; chatbus serves one.
const MAX_SHARDS: u32 = 64;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The intents that have to be switched on for an application, and the flags that tell so (reference, Application
/// Flags: for all guilds, for few).
const PRIVILEGED: [(Intents, &str, u64); 3] = [
    (Intents::GUILD_PRESENCES, "PRESENCE", 1 << 12 | 1 << 13),
    (Intents::GUILD_MEMBERS, "SERVER MEMBERS", 1 << 14 | 1 << 15),
    (Intents::MESSAGE_CONTENT, "MESSAGE CONTENT", 1 << 18 | 1 << 19),
];

/// What connections are made with.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) gateway: GatewayUrl,
    pub(crate) shards: u32,
    pub(crate) queue: InMemoryQueue,
    pub(crate) intents: Intents,
    pub(crate) own_user: String,
}

/// Asks until everything is answered.
///
/// # Errors
/// When only a person can help.
pub(crate) async fn start(shared: &Shared, runtime: &Runtime) -> Result<Started, Halt> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let problem = match ask(shared).await {
            Ok(started) => return Ok(started),
            Err(problem) => problem,
        };
        let (code, message) = match problem {
            Ok(Answer { status: 401, .. }) | Err(Unanswered::Unauthorized) => return Err(Halt::Unauthorized),
            Ok(Answer { status, .. }) => {
                (format!("http_{status}"), "Discord did not answer as it should".to_owned())
            }
            Err(Unanswered::Unreachable(why) | Unanswered::Lost(why)) => ("unreachable".to_owned(), why),
            Err(Unanswered::NotBefore(_)) => ("rate_limited".to_owned(), "a limit is in the way".to_owned()),
        };
        warn!(
            event = "discord.start_failed",
            platform = PLATFORM,
            code,
            "Discord cannot be asked: {message}"
        );
        shared.fail(&code, &message, runtime.clock.now());
        tokio::time::sleep(backoff.next(&*runtime.entropy)).await;
    }
}

async fn ask(shared: &Shared) -> Result<Started, Result<Answer, Unanswered>> {
    let rest = &shared.rest;
    let me = rest.json(&Call::get("GET /users/@me", "", "/users/@me".to_owned())).await?;
    let texts =
        |raw: &Raw, key: &str| raw.get(key).and_then(|text| text.as_str().map(|text| text.into_owned()));
    let own_user = texts(&me, "id").unwrap_or_default();
    let login = texts(&me, "username");
    let application =
        rest.json(&Call::get("GET /applications/@me", "", "/applications/@me".to_owned())).await?;
    let flags = application.get("flags").and_then(|flags| flags.as_u64());
    let (intents, missing) = granted(shared.config.intents, flags);
    shared.status.update(|snapshot| {
        snapshot.auth = AuthState {
            state: if missing.is_empty() { "ok" } else { "degraded" },
            login,
            user_id: Some(own_user.clone()),
            missing_scopes: missing.iter().map(|name| format!("{name} INTENT")).collect(),
            ..AuthState::anonymous()
        };
    });
    if !missing.is_empty() {
        let names = missing.join(" and ");
        let message = format!("switch on {names} INTENT for the bot in Discord's developer portal");
        warn!(event = "discord.missing_intent", platform = PLATFORM, "{message}");
        shared.note_error("missing_intent", &message);
    }
    learn_guild(shared).await?;
    let found = rest.json(&Call::get("GET /gateway/bot", "", "/gateway/bot".to_owned())).await?;
    let gateway = match &shared.config.gateway {
        Some(gateway) => gateway.clone(),
        None => {
            let url = texts(&found, "url").unwrap_or_default();
            GatewayUrl::parse(&url)
                .map_err(|_| Err(Unanswered::Lost(format!("the gateway's URL is {url:?}"))))?
        }
    };
    let shards = found.get("shards").and_then(|shards| shards.as_u64()).unwrap_or(1);
    let shards = u32::try_from(shards).unwrap_or(MAX_SHARDS).clamp(1, MAX_SHARDS);
    info!(event = "discord.started", platform = PLATFORM, gateway = gateway.as_str(), shards, "starting");
    Ok(Started { gateway, shards, queue: queue(&found), intents, own_user })
}

/// What is known of the guild. One that cannot be seen is told by the gateway once the bot is let in.
async fn learn_guild(shared: &Shared) -> Result<(), Result<Answer, Unanswered>> {
    let guild = &shared.config.guild;
    let of = |rest: &str| format!("/guilds/{guild}{rest}");
    let whole = match shared.rest.json(&Call::get("GET /guilds/{}", guild, of(""))).await {
        Ok(whole) => whole,
        Err(Ok(Answer { status: 403 | 404, .. })) => {
            shared.note_error("unknown_guild", "the bot is not in the guild of DISCORD_GUILD_ID");
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let channels = Call::get("GET /guilds/{}/channels", guild, of("/channels"));
    let channels = shared.rest.json(&channels).await?.as_array().unwrap_or_default();
    let threads = Call::get("GET /guilds/{}/threads/active", guild, of("/threads/active"));
    let threads = shared.rest.json(&threads).await?;
    let mut directory = shared.directory.write().unwrap_or_else(PoisonError::into_inner);
    channels.iter().for_each(|channel| directory.learn_channel(channel));
    directory.learn_threads(&threads);
    directory.learn_guild(&whole);
    Ok(())
}

/// What there may be asked for, and the names of what is missing. Flags that are not told forbid nothing.
fn granted(mut wanted: Intents, flags: Option<u64>) -> (Intents, Vec<&'static str>) {
    let mut missing = Vec::new();
    let Some(flags) = flags else { return (wanted, missing) };
    for (intent, name, bits) in PRIVILEGED {
        if wanted.contains(intent) && flags & bits == 0 {
            wanted -= intent;
            missing.push(name);
        }
    }
    (wanted, missing)
}

/// Starts of sessions, as many as Discord allows; all shards share one.
fn queue(found: &Raw) -> InMemoryQueue {
    let limit = found.get("session_start_limit").unwrap_or(Raw::NULL);
    let number = |key: &str| limit.get(key).and_then(|number| number.as_u64());
    let total = number("total").and_then(|total| u32::try_from(total).ok()).unwrap_or(1_000);
    let remaining = number("remaining").and_then(|left| u32::try_from(left).ok()).unwrap_or(total).min(total);
    let at_once = number("max_concurrency").and_then(|many| u16::try_from(many).ok()).unwrap_or(1).max(1);
    InMemoryQueue::new(at_once, remaining, Duration::from_millis(number("reset_after").unwrap_or(0)), total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_that_are_not_switched_on_are_named_and_not_asked_for() {
        let wanted = Intents::GUILDS | Intents::MESSAGE_CONTENT | Intents::GUILD_MEMBERS;
        for (flags, missing) in [
            (None, &[][..]),
            (Some(0), &["SERVER MEMBERS", "MESSAGE CONTENT"]),
            (Some(1 << 19), &["SERVER MEMBERS"]),
            (Some(1 << 18 | 1 << 14), &[]),
        ] {
            let (intents, named) = granted(wanted, flags);
            assert_eq!(named, missing, "{flags:?}");
            assert_eq!(intents.contains(Intents::MESSAGE_CONTENT), !named.contains(&"MESSAGE CONTENT"));
            assert!(intents.contains(Intents::GUILDS));
        }
    }
}
