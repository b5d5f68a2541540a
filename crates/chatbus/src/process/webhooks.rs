//! The paths on which platforms call.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use chatbus_connector::{Accept, Connector, Webhook, WebhookAnswer, WebhookRequest};
use chatbus_event::Clock;
use chatbus_ingress::IngressHandle;
use chatbus_runtime::Runtime;

use crate::settings::{Access, Origins};

/// One platform's path.
struct Door {
    webhook: Arc<dyn Webhook>,
    accept: Arc<dyn Accept>,
    origins: Origins,
    clock: Arc<dyn Clock>,
}

/// A route for each connector that is called over HTTP.
pub(super) fn routes(
    connectors: &[Arc<dyn Connector>],
    emitters: Option<&IngressHandle>,
    access: &Access,
    runtime: &Runtime,
) -> Router {
    let mut router = Router::new();
    let Some(emitters) = emitters else { return router };
    for connector in connectors {
        let Some(webhook) = connector.webhook() else { continue };
        tracing::info!(
            event = "webhook.listening",
            platform = connector.platform(),
            path = webhook.path(),
            "is called over HTTP"
        );
        let door = Arc::new(Door {
            accept: emitters.accepter(connector.platform()),
            origins: access.origins.clone(),
            clock: Arc::clone(&runtime.clock),
            webhook,
        });
        let path = door.webhook.path();
        router = router.route(
            path,
            any(async move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| {
                door.answer(peer, request).await
            }),
        );
    }
    router
}

// === impl Door ===

impl Door {
    async fn answer(&self, peer: SocketAddr, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        if !matches!(parts.method.as_str(), "GET" | "POST") {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        let Ok(body) = to_bytes(body, WebhookRequest::MAX_BODY).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec().into()))
            .collect();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = WebhookRequest {
            method: parts.method.as_str().to_owned(),
            origin: self.origins.of(peer.ip(), &parts.headers),
            path_and_query: path.to_owned(),
            headers,
            body,
            received_at: self.clock.now(),
        };
        respond(self.webhook.call(request, &*self.accept).await)
    }
}

fn respond(answer: WebhookAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    if let Some(kind) = answer.content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
