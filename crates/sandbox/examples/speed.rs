//! How fast the fast paths are: a flood to a client that only counts bytes, and a client that sends
//! into the sink, over loopback TCP in one process.
//!
//! `cargo run --release -p chatbus-sandbox --example speed`

use std::io::Write as _;
use std::sync::Arc;

use chatbus_runtime::{CancellationToken, Runtime, SystemClock, SystemEntropy};
use chatbus_sandbox::twitch_irc::{Flood, Rules};
use chatbus_sandbox::{Sandbox, SandboxConfig};
use chatbus_testkit::TestSpawner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const FLOOD: u64 = 2_000_000;
const SENT: u64 = 500_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy::new()),
        spawner: Arc::new(TestSpawner),
        stop: CancellationToken::new(),
    };
    let sandbox = Sandbox::start(SandboxConfig::default(), runtime).await?;
    let twitch = sandbox.twitch();
    twitch.set_rules(|rules| *rules = Rules { sink: true, ..Rules::unlimited() });
    let mut socket = TcpStream::connect(twitch.irc_addr()).await?;
    socket
        .write_all(
            b"CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:x\r\nNICK bot\r\nJOIN #hall\r\n",
        )
        .await?;
    twitch.wait_for_members("hall", 1).await;
    let (mut read, mut write) = socket.into_split();
    let mut sending = Vec::new();
    for n in 0..SENT {
        sending.extend_from_slice(
            format!("PRIVMSG #hall :{n} and some words to make a line of chat\r\n").as_bytes(),
        );
    }
    let reading = async {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            if read.read(&mut buffer).await? == 0 {
                return Err::<(), std::io::Error>(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    let measuring = async {
        let flood =
            Flood { channel: "hall".into(), count: FLOOD, rate: None, text_bytes: 60, record_times: false };
        let report = twitch.flood(&flood).await?;
        let took = report.finished.duration_since(report.started).as_secs_f64();
        let rate = report.sent as f64 / took;
        writeln!(std::io::stdout(), "flood: {} lines in {took:.2} s, {rate:.0} lines/s", report.sent)?;
        write.write_all(&sending).await?;
        twitch.wait_for_sent(SENT).await;
        let sink = twitch.sink();
        if let Some((first, last)) = sink.first.zip(sink.last) {
            let took = last.duration_since(first).as_secs_f64();
            let rate = sink.received as f64 / took;
            writeln!(std::io::stdout(), "sink: {} lines in {took:.2} s, {rate:.0} lines/s", sink.received)?;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    tokio::select! {
        result = reading => result?,
        result = measuring => result?,
    }
    sandbox.stop().await;
    Ok(())
}
