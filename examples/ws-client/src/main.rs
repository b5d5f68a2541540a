//! The smallest client of the gateway: says what it is given, prints what comes, goes on after a break.
//!
//! Run with `cargo run -p ws-client -- ws://127.0.0.1:8080/ws/v1 [TEXT…] < token.txt`.

mod client;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use client::{After, Client};
use futures::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Waits between tries double up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The server pings every 25 s: when nothing came for this long, the connection is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// What is not acknowledged is said again this often; its id makes that safe.
const SAY_AGAIN: Duration = Duration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = run().await;
    if let Err(error) = ended {
        // Without the backtrace that a returned error shows.
        let _ = writeln!(std::io::stderr().lock(), "ws-client: {error:#}");
    }
    ExitCode::FAILURE
}

/// Goes on until it is of no use.
async fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("usage: ws-client ws://HOST:PORT/ws/v1 [TEXT…] < token.txt")?;
    let mut token = String::new();
    std::io::stdin().read_line(&mut token)?;
    let mut client = Client::default();
    for text in arguments {
        client.say(new_id()?, text);
    }
    let mut wait = FIRST_WAIT;
    loop {
        let after = serve(&url, token.trim(), &mut client).await?;
        if client.take_was_ready() {
            wait = FIRST_WAIT;
        }
        tokio::time::sleep(after.unwrap_or(wait)).await;
        wait = (2 * wait).min(LONGEST_WAIT);
    }
}

/// Serves one connection until it ends; gives the wait that the server asked for.
///
/// # Errors
/// When trying again is of no use.
async fn serve(url: &str, token: &str, client: &mut Client) -> anyhow::Result<Option<Duration>> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
    let mut socket = match connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(answer)) if answer.status().as_u16() < 429 => {
            let body = answer.body().as_deref().unwrap_or_default();
            bail!("{}: {}", answer.status(), String::from_utf8_lossy(body));
        }
        Err(error) => {
            print(&format!("! {error}"))?;
            return Ok(None);
        }
    };
    let mut again = tokio::time::interval(SAY_AGAIN);
    again.tick().await;
    loop {
        let message = tokio::select! {
            message = tokio::time::timeout(SILENCE, socket.next()) => message.ok().flatten(),
            _ = again.tick() => {
                for frame in client.unsaid() {
                    if socket.send(Message::text(frame)).await.is_err() {
                        return Ok(None);
                    }
                }
                continue;
            }
        };
        match message {
            Some(Ok(Message::Text(frame))) => {
                let (lines, frames) = client.hear(&frame);
                lines.iter().try_for_each(|line| print(line))?;
                for frame in frames {
                    if socket.send(Message::text(frame)).await.is_err() {
                        return Ok(None);
                    }
                }
            }
            Some(Ok(Message::Close(close))) => {
                let (code, reason) = close
                    .map_or((1005, String::new()), |close| (u16::from(close.code), close.reason.to_string()));
                print(&format!("! closed: {code} {reason}"))?;
                return match client::after_close(code, &reason) {
                    After::Wait(wait) => Ok(wait),
                    After::Stop => Err(anyhow!("the token ended")),
                };
            }
            // The protocol's layer answers pings.
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                print(&format!("! {error}"))?;
                return Ok(None);
            }
            None => {
                print("! the connection is gone")?;
                return Ok(None);
            }
        }
    }
}

fn new_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

fn print(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}
