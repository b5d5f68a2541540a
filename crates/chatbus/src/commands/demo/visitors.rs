//! People on the platforms beside the viewers' one: on Discord, and with a telephone.

use std::sync::Arc;
use std::time::Duration;

use chatbus_event::Clock;
use chatbus_runtime::CancellationToken;
use chatbus_sandbox::SandboxHandle;
use chatbus_sandbox::discord::{GENERAL_ID, Say};
use chatbus_sandbox::twilio::Text;
use chatbus_sandbox::viewers::ViewerSaid;

/// The bot's number.
pub(super) const NUMBER: &str = "+15550100";
const CALLER: &str = "+15550123";
const EVERY: Duration = Duration::from_millis(1500);
const LINES: [&str; 4] = ["hello from another place", "!ping", "what is this about?", "!help"];

/// Lets them speak in turn until it is enough; tells what they said.
pub(super) async fn speak(
    sandbox: &SandboxHandle,
    clock: &Arc<dyn Clock>,
    enough: &CancellationToken,
) -> Vec<ViewerSaid> {
    let mut said = Vec::new();
    for (n, line) in LINES.iter().cycle().enumerate() {
        if enough.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            break;
        }
        let at = clock.now();
        let (id, channel, login) = match n % 3 {
            0 => (on_discord(sandbox, Some(GENERAL_ID), line), "discord", "bea"),
            1 => (by_text_message(sandbox, line).await, "twilio", CALLER),
            _ => (on_discord(sandbox, None, line), "discord", "bea"),
        };
        // What the sandbox refuses was not said.
        if let Some(id) = id {
            let (channel, login) = (channel.to_owned(), login.to_owned());
            said.push(ViewerSaid { id, channel, login, text: (*line).to_owned(), at, told: 1 });
        }
    }
    said
}

fn on_discord(sandbox: &SandboxHandle, channel: Option<&str>, text: &str) -> Option<String> {
    let say = Say {
        login: "bea".to_owned(),
        text: text.to_owned(),
        channel: channel.map(str::to_owned),
        ..Say::default()
    };
    sandbox.discord().say(&say).ok().map(|said| said.id)
}

async fn by_text_message(sandbox: &SandboxHandle, text: &str) -> Option<String> {
    let text =
        Text { from: CALLER.to_owned(), to: NUMBER.to_owned(), body: text.to_owned(), ..Text::default() };
    let told = sandbox.twilio().text(text).await;
    (told.status == Some(200)).then_some(told.sid)
}
