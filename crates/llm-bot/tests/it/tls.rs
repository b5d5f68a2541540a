//! An endpoint behind TLS.

use std::process::Command;
use std::sync::Arc;

use chatbus_bus::Handler;
use chatbus_llm_bot::{LlmBot, LlmConfig};
use chatbus_testkit::test_runtime;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::rig::{Answered, config, record, says};

/// A certificate for 127.0.0.1 that no authority signed.
fn acceptor() -> TlsAcceptor {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("the openssl command is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let cert = CertificateDer::from_pem_file(cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn an_endpoint_that_no_authority_vouches_for_is_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    let bot = LlmBot::new(LlmConfig { base_url, retries: 0, ..config() }, None, test_runtime(4)).unwrap();
    let record = record("m-1", &says("ann", "hi"));
    let acceptor = acceptor();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let (outputs, seen) = tokio::join!(Handler::handle(&bot, &record), server);
    let answered = Answered::of(outputs.unwrap());
    assert_eq!(answered.event["payload"]["error"]["code"], "model_error");
    // The client spoke TLS as far as the certificate, and said why it stopped there.
    assert!(seen.contains("UnknownCA"), "{seen}");
}
