//! Which instance a connection of the sandbox belongs to: each connects through a relay of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::sandbox::SandboxProcess;

/// The sandbox's connections by their numbers, and whose they are.
pub(crate) type Owners = Arc<Mutex<BTreeMap<u64, String>>>;

/// Passes bytes on to the sandbox. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) url: String,
    accepting: JoinHandle<()>,
}

// === impl Relay ===

impl Relay {
    /// For the connections of one instance.
    #[expect(clippy::disallowed_methods, reason = "a server of the test's own")]
    pub(crate) async fn start(sandbox: Arc<SandboxProcess>, instance: &str, owners: Owners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("irc://{}", listener.local_addr().unwrap());
        let target: SocketAddr = sandbox.irc.trim_start_matches("irc://").parse().unwrap();
        let instance = instance.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let Ok(mut outside) = TcpStream::connect(target).await else { continue };
                let peer = outside.local_addr().unwrap().to_string();
                let (sandbox, owners, instance) =
                    (Arc::clone(&sandbox), Arc::clone(&owners), instance.clone());
                tokio::spawn(async move {
                    // Known before a byte of it is passed on.
                    let id = loop {
                        let all = sandbox.get("connections").await;
                        let found = all.as_array().unwrap().iter().find(|one| one["peer"] == peer.as_str());
                        match found.and_then(|one| one["id"].as_u64()) {
                            Some(id) => break id,
                            None => tokio::time::sleep(Duration::from_millis(5)).await,
                        }
                    };
                    owners.lock().unwrap().insert(id, instance);
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                });
            }
        });
        Self { url, accepting }
    }

    /// Whose connection something was sent on.
    pub(crate) fn owner(owners: &Owners, sent: &Value) -> String {
        let id = sent["connection"].as_u64().unwrap();
        owners.lock().unwrap().get(&id).cloned().unwrap_or_else(|| format!("nobody's connection {id}"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
