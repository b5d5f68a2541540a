//! Finds the event that a text answers.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::{BusError, Scan, ScanFrom, ScanTopics};
use chatbus_event::Event;
use futures::future::try_join;

use crate::coverage::Coverage;
use crate::egress::Origin;
use crate::frames::{Feed, Filter};
use crate::server::Shared;
use crate::tokens::Token;

/// Events that are looked at, of those that platforms sent and of the same with who said it.
const LAST: u32 = 1_000;
/// How long the bus may take to give them.
const WITHIN: Duration = Duration::from_secs(5);

/// The last event of this id, or whose message has it, that the token covers.
///
/// # Errors
/// When the bus does not give them.
pub(super) async fn find(
    shared: &Shared,
    token: &Arc<Token>,
    id: &str,
) -> Result<Option<Arc<Origin>>, String> {
    let of = |feed| last(shared, Coverage { feed, token: Arc::clone(token), filter: Filter::default() }, id);
    // With who said it, an event knows more.
    let both = try_join(of(Feed::Enriched), of(Feed::Ingress));
    match tokio::time::timeout(WITHIN, both).await {
        Ok(Ok((enriched, ingress))) => Ok(enriched.or(ingress)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the bus did not answer in time".to_owned()),
    }
}

async fn last(shared: &Shared, coverage: Coverage, id: &str) -> Result<Option<Arc<Origin>>, BusError> {
    let topics = ScanTopics::One(coverage.feed.topic());
    let scan = Scan { topics, from: ScanFrom::Last(LAST), follow: false };
    let mut records = shared.bus.scan(scan).await?;
    let mut found = None;
    while let Some(record) = records.next().await {
        let body = record?.message.body;
        // Most are others, which is seen without reading them.
        let may_be_it = body.windows(id.len()).any(|part| part == id.as_bytes());
        if may_be_it
            && let Some(origin) = Event::decode(&body).ok().as_ref().and_then(Origin::of)
            && origin.is_named(id)
            && coverage.covers(&body)
        {
            found = Some(Arc::new(origin));
        }
    }
    Ok(found)
}
