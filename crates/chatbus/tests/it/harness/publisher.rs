//! A program of somebody else's that publishes on NATS, over one connection.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use serde_json::Value;

/// How long an acknowledgement may take before the message is sent again.
const ACK_WITHIN: Duration = Duration::from_secs(2);

/// Publishes until it is acknowledged, under the same id each time.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    jetstream: Context,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) async fn connect(url: &str) -> Self {
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let options = options.reconnect_delay_callback(|_| Duration::from_millis(100));
        Self { jetstream: jetstream::new(options.connect(url).await.unwrap()) }
    }

    /// Publishes an event whose delivery has this id; outages are waited out.
    pub(crate) async fn deliver(&self, subject: &str, delivery: &str, event: &Value) {
        let body = serde_json::to_vec(event).unwrap();
        loop {
            let mut headers = HeaderMap::new();
            for name in ["Nats-Msg-Id", "messageId", "deliveryId"] {
                headers.insert(name, delivery);
            }
            let publish = async {
                let publishing =
                    self.jetstream.publish_with_headers(subject.to_owned(), headers, body.clone().into());
                publishing.await.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())
            };
            if let Ok(Ok(_)) = tokio::time::timeout(ACK_WITHIN, publish).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
