//! When a nats-server can be used: it greets a new connection, and JetStream says that it is well.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A cluster on a loaded machine needs several seconds to elect a leader.
const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// One try: a frozen server accepts connections (the kernel does) and says nothing.
const TRY_LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn wait(client: u16, monitor: u16, running: impl Fn() -> bool) -> Result<(), String> {
    let deadline = now() + LIMIT;
    loop {
        if !running() {
            return Err("the process is gone".to_owned());
        }
        let problem = match tokio::time::timeout(TRY_LIMIT, check(client, monitor)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(_) => "no answer".to_owned(),
        };
        if now() > deadline {
            return Err(problem);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn check(client: u16, monitor: u16) -> Result<(), String> {
    let greeting = greeting(client).await?;
    if !greeting.starts_with("INFO ") {
        return Err(format!("greeted with {greeting:?}"));
    }
    let health = exchange(monitor, b"GET /healthz HTTP/1.0\r\n\r\n", |_| false).await?;
    match health.starts_with("HTTP/1.0 200") || health.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(format!("its health: {health:?}")),
    }
}

/// What the server says to a new connection: a line of JSON about itself, also where TLS follows.
pub(super) async fn greeting(port: u16) -> Result<String, String> {
    let said = exchange(port, b"", |seen| seen.contains(&b'\n'));
    tokio::time::timeout(TRY_LIMIT, said).await.map_err(|_| "no greeting".to_owned())?
}

/// Says `request` and reads until `enough`, or the other side closes.
async fn exchange(port: u16, request: &[u8], enough: impl Fn(&[u8]) -> bool) -> Result<String, String> {
    let said = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(request).await?;
        let mut seen = Vec::new();
        while !enough(&seen) && stream.read_buf(&mut seen).await? > 0 {}
        Ok::<_, std::io::Error>(seen)
    };
    let seen = said.await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&seen).into_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a real server starts in real time, also where a test pauses its own"
)]
fn now() -> Instant {
    Instant::now()
}
