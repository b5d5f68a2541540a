//! Accepting clients, the same way for every listener of the sandbox.

use std::net::SocketAddr;
use std::time::Duration;

use chatbus_runtime::CancellationToken;
use tokio::net::{TcpListener, TcpStream};

/// A failed accept (out of file descriptors) is tried again after this.
const PAUSE: Duration = Duration::from_millis(50);

/// Hands every client that comes to `take`, until `stop`. `server` names the listener in the log.
pub(crate) async fn accept_each(
    server: &'static str,
    listener: TcpListener,
    stop: CancellationToken,
    mut take: impl FnMut(TcpStream, SocketAddr) + Send,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer),
            Err(error) => {
                tracing::warn!(event = "sandbox.accept_failed", server, %error, "a client could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
