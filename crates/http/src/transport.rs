//! Connections: TCP or TLS, kept for as long as they are of use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use crate::{Guarded, Reach};

/// What is sent.
pub type Sent = Full<Bytes>;
/// Keeps connections for as long as they are of use.
pub type Http = Client<HttpsConnector<Guarded>, Sent>;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A connection that nothing was asked over for so long is closed.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// Makes one that connects to any address.
///
/// # Errors
/// When the provider of cryptography supports no protocol version, which the one named here does.
pub fn client() -> Result<Http, rustls::Error> {
    client_within(Reach::Anywhere)
}

/// Makes one that connects to addresses within this reach.
///
/// # Errors
/// As [`client`].
pub(crate) fn client_within(reach: Reach) -> Result<Http, rustls::Error> {
    let connector = Guarded::new(reach, |http| {
        http.set_connect_timeout(Some(CONNECT_WITHIN));
        http.set_nodelay(true);
        // The layer around it takes care of https.
        http.enforce_http(false);
    });
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls()?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let mut client = Client::builder(TokioExecutor::new());
    Ok(client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_FOR).build(connector))
}

/// What comes next of a body; `None` at its end.
///
/// # Errors
/// When the connection ends before the body does.
pub async fn next_bytes(response: &mut Response<Incoming>) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = response.body_mut().frame().await {
        if let Ok(bytes) = frame?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// Trusts the public certificate authorities, as Mozilla lists them, whatever the machine has.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
