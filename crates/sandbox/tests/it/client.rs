//! A bare IRC client over TCP: sends lines, reads lines, with a limit on how long it waits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const ALL_CAPS: &str = "CAP REQ :twitch.tv/tags twitch.tv/commands twitch.tv/membership";

pub(crate) async fn sandbox() -> SandboxHandle {
    Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.expect("a sandbox on free ports")
}

pub(crate) struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let (read, write) = TcpStream::connect(addr).await.expect("the sandbox listens").into_split();
        Self { read: BufReader::new(read), write }
    }

    /// Logged in with all capabilities and in these channels.
    pub(crate) async fn joined(sandbox: &SandboxHandle, login: &str, channels: &str) -> Self {
        let mut client = Self::logged_in(sandbox, login).await;
        client.send(&format!("JOIN {channels}")).await;
        for _ in channels.split(',') {
            client.until(" ROOMSTATE ").await;
        }
        client
    }

    pub(crate) async fn logged_in(sandbox: &SandboxHandle, login: &str) -> Self {
        let mut client = Self::connect(sandbox.twitch().irc_addr()).await;
        client.send(&format!("{ALL_CAPS}\r\nPASS oauth:token_of_{login}\r\nNICK {login}")).await;
        client.until(" 376 ").await;
        if !login.starts_with("justinfan") {
            client.until("GLOBALUSERSTATE").await;
        }
        client
    }

    /// Its two halves, to be used at once.
    pub(crate) fn split(self) -> (BufReader<OwnedReadHalf>, OwnedWriteHalf) {
        (self.read, self.write)
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.expect("the connection is open");
    }

    /// The next line without CRLF, as bytes; `None` at the end.
    pub(crate) async fn bytes(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.read.read_until(b'\n', &mut line)).await;
        match read.expect("a line or the end in time") {
            Ok(0) | Err(_) => None,
            Ok(_) => {
                assert!(line.ends_with(b"\r\n"), "{line:?} ends with CRLF");
                line.truncate(line.len() - 2);
                Some(line)
            }
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        String::from_utf8(self.bytes().await.expect("the connection is open")).expect("UTF-8")
    }

    /// Reads on to a line that holds this.
    pub(crate) async fn until(&mut self, part: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Everything told up to now: what comes before the answer to a PING.
    pub(crate) async fn pending(&mut self) -> Vec<String> {
        self.send("PING :up-to-here").await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line == ":tmi.twitch.tv PONG tmi.twitch.tv :up-to-here" {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.read.fill_buf()).await.is_err()
    }

    /// Reads until the server has closed the connection; true when it was a reset.
    pub(crate) async fn ends(mut self) -> bool {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, self.read.read_to_end(&mut rest)).await;
        end.expect("the connection ends in time").is_err()
    }

    /// Sends a message and reads the verdict on it.
    pub(crate) async fn say(&mut self, channel: &str, text: &str) -> String {
        self.send(&format!("PRIVMSG {channel} :{text}")).await;
        loop {
            let line = self.line().await;
            if line.contains(" USERSTATE ") || line.contains(" NOTICE ") {
                return line;
            }
        }
    }
}

/// The tags of a line.
pub(crate) fn tags(line: &str) -> BTreeMap<&str, &str> {
    let tags = line.strip_prefix('@').and_then(|line| line.split_once(' ')).map_or("", |(tags, _)| tags);
    tags.split(';').filter_map(|tag| tag.split_once('=')).collect()
}
