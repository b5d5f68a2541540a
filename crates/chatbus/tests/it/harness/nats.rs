//! The NATS server read and written by an independent client.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::wait::{LONG, eventually};

/// Everything a stream holds, as `chatbus tail` shows it. `None` while the server does not answer or
/// the stream is not there yet.
async fn try_records(url: &str, stream: &str) -> Option<Vec<Value>> {
    let client = async_nats::connect(url).await.ok()?;
    let stream = async_nats::jetstream::new(client).get_stream(stream).await.ok()?;
    let config = pull::Config {
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_secs(30),
        ..pull::Config::default()
    };
    let mut consumer = stream.create_consumer(config).await.ok()?;
    let mut left = consumer.info().await.ok()?.num_pending;
    let mut found = Vec::new();
    while left > 0 {
        let batch = usize::try_from(left.min(500)).ok()?;
        let mut messages = consumer.fetch().max_messages(batch).messages().await.ok()?;
        let before = found.len();
        while let Some(message) = messages.next().await {
            let message = message.ok()?;
            let attributes: BTreeMap<String, String> = message
                .headers
                .iter()
                .flat_map(HeaderMap::iter)
                .map(|(name, values)| (name.to_string(), values[0].to_string()))
                .collect();
            let event: Value = serde_json::from_slice(&message.payload)
                .unwrap_or(json!({ "invalid": message.payload.to_vec() }));
            found.push(
                json!({ "subject": message.subject.as_str(), "attributes": attributes, "event": event }),
            );
        }
        left = left.saturating_sub(u64::try_from(found.len() - before).ok()?);
        if found.len() == before {
            return None;
        }
    }
    Some(found)
}

/// Everything a stream holds now.
pub(crate) async fn records(url: &str, stream: &str) -> Vec<Value> {
    settled_records(url, stream, |_| Ok(())).await
}

/// Everything a stream holds, once that is enough.
pub(crate) async fn settled_records(
    url: &str,
    stream: &str,
    enough: impl Fn(&[Value]) -> Result<(), String>,
) -> Vec<Value> {
    eventually(stream, LONG, async || {
        let found = try_records(url, stream).await.ok_or("the stream cannot be read")?;
        enough(&found).map(|()| found)
    })
    .await
}

/// Publishes as any program could; waits for the acknowledgement.
pub(crate) async fn publish(url: &str, subject: &str, headers: &[(&str, &str)], body: Vec<u8>) {
    let client = async_nats::connect(url).await.unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let jetstream = async_nats::jetstream::new(client);
    jetstream.publish_with_headers(subject.to_owned(), map, body.into()).await.unwrap().await.unwrap();
}
