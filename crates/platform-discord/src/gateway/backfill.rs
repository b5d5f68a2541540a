//! Fetches what was said in a gap, over REST.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatbus_event::Timestamp;
use chatbus_event::json::Raw;
use tracing::warn;

use crate::directory::id_of;
use crate::rest::{Call, Rest};

/// Pages of a hundred messages of one channel.
const MAX_PAGES: usize = 10;
const PAGE: usize = 100;
/// Messages of all channels.
const MAX_MESSAGES: usize = 5_000;
/// Milliseconds of Discord's epoch.
const EPOCH_MS: i64 = 1_420_070_400_000;

/// What was fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Messages, those of a channel in their order.
    pub(crate) messages: Vec<Raw>,
    /// Channels that may have said more.
    pub(crate) open: Vec<String>,
}

/// The smallest id of anything that happened at that time or later.
pub(crate) fn id_at(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis() - EPOCH_MS).unwrap_or(0) << 22
}

/// The messages of these channels after the last that was heard in each; where none was, after `from`.
pub(crate) async fn fetch(
    rest: Arc<Rest>,
    channels: Vec<Arc<str>>,
    seen: BTreeMap<String, u64>,
    from: Timestamp,
) -> Fetched {
    let mut fetched = Fetched::default();
    for channel in channels {
        let after = seen.get(&*channel).copied().unwrap_or_else(|| id_at(from));
        if !fetch_one(&rest, &channel, after, &mut fetched.messages).await {
            fetched.open.push(channel.to_string());
        }
    }
    fetched
}

/// Whether all of the channel's messages were fetched.
async fn fetch_one(rest: &Rest, channel: &str, mut after: u64, messages: &mut Vec<Raw>) -> bool {
    for _ in 0..MAX_PAGES {
        if messages.len() >= MAX_MESSAGES {
            return false;
        }
        let path = format!("/channels/{channel}/messages?after={after}&limit={PAGE}");
        let page = match rest.json(&Call::get("GET /channels/{}/messages", channel, path)).await {
            Ok(page) => page.as_array().unwrap_or_default(),
            Err(answer) => {
                let status = answer.map_or(0, |answer| answer.status);
                warn!(
                    event = "discord.backfill_failed",
                    channel, status, "messages of a gap cannot be fetched"
                );
                return false;
            }
        };
        // The newest comes first, whatever is asked for.
        let mut page: Vec<(u64, Raw)> =
            page.into_iter().filter_map(|message| Some((id_of(&message.get("id")?)?, message))).collect();
        page.sort_by_key(|(id, _)| *id);
        let count = page.len();
        after = page.last().map_or(after, |(id, _)| *id);
        messages.extend(page.into_iter().map(|(_, message)| message));
        if count < PAGE {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_the_time() {
        let at = Timestamp::parse("2016-04-30T11:18:25.796Z").unwrap();
        assert_eq!(id_at(at), 175_928_847_299_117_063 >> 22 << 22, "the reference's example");
        assert_eq!(id_at(Timestamp::EPOCH), 0);
    }
}
