use std::process::Command;
use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use crate::rig::{Rig, Server, config};

/// Speaks the server's part of a login over a WebSocket, and says something.
async fn chat_over_websocket(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.starts_with("NICK")) {
        lines.push(socket.next().await.unwrap().unwrap().into_text().unwrap().to_string());
    }
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "one line in each message: {lines:?}");
    let nick = lines.last().unwrap().trim_start_matches("NICK ");
    let welcome = format!(":t CAP * ACK :twitch.tv/tags\r\n:t 001 {nick} :hi\r\n");
    socket.send(Message::text(welcome)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("JOIN #a"));
    socket.send(Message::text("@room-id=1 :t ROOMSTATE #a")).await.unwrap();
    let both = "@id=1 :x!x@x PRIVMSG #a :first\r\n@id=2 :x!x@x PRIVMSG #a :second";
    socket.send(Message::text(both)).await.unwrap();
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("x".into()));
}

#[tokio::test]
async fn lines_come_and_go_in_websocket_messages() {
    let server = Server::start().await;
    let rig = Rig::run(config(&server.url("ws"), &["a"], false));
    chat_over_websocket(server.accept_stream().await).await;
    rig.ear.wait_for_text("first").await;
    rig.ear.wait_for_text("second").await;
    rig.end().await;
}

/// A certificate for 127.0.0.1, made by the openssl command, and the client that trusts it.
fn certificate() -> (TlsAcceptor, Arc<ClientConfig>) {
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
    let provider = || Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), Arc::new(client))
}

#[tokio::test]
async fn tls_is_spoken_with_servers_that_are_trusted() {
    let server = Server::start().await;
    let (acceptor, client) = certificate();
    let rig = Rig::run_with(config(&server.url("ircs"), &["a"], false), client);
    let mut stream = acceptor.accept(server.accept_stream().await).await.unwrap();
    stream.write_all(b"@id=1 :x!x@x PRIVMSG #a :in secret\r\n").await.unwrap();
    rig.ear.wait_for_text("in secret").await;
    rig.end().await;
}

#[tokio::test]
async fn websocket_over_tls_is_both() {
    let server = Server::start().await;
    let (acceptor, client) = certificate();
    let rig = Rig::run_with(config(&server.url("wss"), &["a"], false), client);
    chat_over_websocket(acceptor.accept(server.accept_stream().await).await.unwrap()).await;
    rig.ear.wait_for_text("second").await;
    rig.end().await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_spoken_to() {
    let server = Server::start().await;
    let (acceptor, _) = certificate();
    let rig = Rig::run(config(&server.url("ircs"), &["a"], false));
    assert!(acceptor.accept(server.accept_stream().await).await.is_err());
    let status = rig.until(|status| status.last_error.is_some()).await;
    assert_eq!(status.last_error.unwrap().code, "connection_lost");
    rig.end().await;
}
