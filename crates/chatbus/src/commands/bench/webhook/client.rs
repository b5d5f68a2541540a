//! The side that calls: what Twilio posts, and the least that posts it and reads the answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chatbus_platform_twilio::signature::sign;
use chatbus_platform_twilio::{WEBHOOK_PATH, form};
use chatbus_sandbox::twilio::Account;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Who write; the events of one are in order.
const PEOPLE: u64 = 1_000;
/// Without an answer for this long something is wrong.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// An answer is a few hundred bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// What Twilio signs for, whatever port it comes to.
pub(super) const PUBLIC_URL: &str = "https://bench.example";
pub(super) const NUMBER: &str = "+15005550006";

/// A connection that is kept between calls.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The nth call, whole: a text message with the parameters that Twilio sends for one.
pub(super) fn call(account: &Account, n: u64) -> Vec<u8> {
    let (sid, from) = (format!("SM{n:032x}"), format!("+1500556{:04}", n % PEOPLE));
    let text = format!("{n} and as much as people write in a text message");
    let body = form::encoded([
        ("ToCountry", "US"),
        ("ToState", "CA"),
        ("SmsMessageSid", &*sid),
        ("NumMedia", "0"),
        ("ToCity", "SAN FRANCISCO"),
        ("FromZip", "94107"),
        ("SmsSid", &*sid),
        ("FromState", "CA"),
        ("SmsStatus", "received"),
        ("FromCity", "SAN FRANCISCO"),
        ("Body", &*text),
        ("FromCountry", "US"),
        ("To", NUMBER),
        ("ToZip", "94107"),
        ("NumSegments", "1"),
        ("MessageSid", &*sid),
        ("AccountSid", &*account.sid),
        ("From", &*from),
        ("ApiVersion", "2010-04-01"),
    ]);
    let token = account.auth_token.clone().into();
    let signature = sign(&token, &format!("{PUBLIC_URL}{WEBHOOK_PATH}"), &form::params(body.as_bytes()));
    let length = body.len();
    format!(
        "POST {WEBHOOK_PATH} HTTP/1.1\r\nhost: bench.example\r\nuser-agent: TwilioProxy/1.1\r\n\
         content-type: application/x-www-form-urlencoded; charset=UTF-8\r\nx-twilio-signature: {signature}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await.context("chatbus does not answer")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(MAX_ANSWER) })
    }

    /// Writes a request and reads its answer, which is to be 200.
    pub(super) async fn call(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let answered = async {
            self.stream.write_all(request).await?;
            self.buffer.clear();
            loop {
                if let Some(length) = answer_end(&self.buffer)? {
                    ensure!(length == self.buffer.len(), "more than an answer was read");
                    return Ok(());
                }
                ensure!(self.buffer.len() < MAX_ANSWER, "the answer does not end");
                ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "chatbus hung up");
            }
        };
        timeout(ANSWER_WITHIN, answered).await.context("chatbus does not answer a call")?
    }
}

/// Where an answer ends, once all of it is there. It names its length, as chatbus's answers do.
fn answer_end(read: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head_end) = memmem::find(read, b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let head = String::from_utf8_lossy(read.get(..head_end).unwrap_or_default()).to_ascii_lowercase();
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("http/1.1 200 "), "a call was answered with {status}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("no length")?;
    let end = head_end + length.trim().parse::<usize>().context("the answer's length")?;
    Ok((read.len() >= end).then_some(end))
}

#[cfg(test)]
mod tests {
    use chatbus_platform_twilio::signature::is_signed;

    use super::*;

    #[test]
    fn an_answer_ends_where_it_says_and_is_to_be_200() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<xml>";
        for cut in 0..whole.len() {
            assert_eq!(answer_end(&whole[..cut]).unwrap(), None, "{cut} bytes");
        }
        assert_eq!(answer_end(whole).unwrap(), Some(whole.len()));
        for bad in ["HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(answer_end(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_call_is_signed_and_is_another_message() {
        let account = Account::default();
        let [first, second] = [0, 1].map(|n| String::from_utf8(call(&account, n)).unwrap());
        assert_ne!(first, second);
        let (head, body) = first.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        let signature = head.lines().find_map(|line| line.strip_prefix("x-twilio-signature: ")).unwrap();
        let (url, params) = (format!("{PUBLIC_URL}{WEBHOOK_PATH}"), form::params(body.as_bytes()));
        assert!(is_signed(&account.auth_token.into(), signature, &url, &params));
    }
}
