//! Real protocol data, where it is beside the checkout.

use std::path::PathBuf;

use bytes::Bytes;
use chatbus_sandbox::twitch_irc::Raw;

use crate::client::{Client, sandbox};

fn corpus(file: &str) -> Option<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "where the corpus is is told to tests by the environment")]
    let named = std::env::var_os("CHATBUS_CORPUS").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let path = named.unwrap_or(beside).join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(_) => {
            #[expect(clippy::print_stdout, reason = "whoever reads the test's output is to know")]
            {
                println!("absent, so nothing is tested: {}", path.display());
            }
            None
        }
    }
}

#[tokio::test]
async fn every_line_that_clients_send_is_taken_on_one_connection_and_on_one_of_its_own() {
    let Some(bytes) = corpus("twitch-irc-outbound.txt") else { return };
    let sandbox = sandbox().await;
    let lines = Raw::from_file_bytes(&bytes.into()).lines;
    assert!(lines.len() > 50);
    let mut fresh = Client::connect(sandbox.twitch().irc_addr()).await;
    let mut logged_in = Client::joined(&sandbox, "bot", "#hall").await;
    for line in &lines {
        for client in [&mut fresh, &mut logged_in] {
            client.send_bytes(&[line, &b"\r\n"[..]].concat()).await;
            client.pending().await;
        }
        if !line.starts_with(b"QUIT") {
            let mut own = Client::connect(sandbox.twitch().irc_addr()).await;
            own.send_bytes(&[line, &b"\r\n"[..]].concat()).await;
            own.pending().await;
        }
    }
}

#[tokio::test]
async fn lines_of_the_server_are_replayed_as_they_stand_in_the_file() {
    for file in ["twitch-irc.txt", "twitch-irc-malformed.txt"] {
        let Some(bytes) = corpus(file) else { continue };
        let sandbox = sandbox().await;
        let mut client = Client::logged_in(&sandbox, "justinfan1").await;
        let raw = Raw::from_file_bytes(&Bytes::from(bytes.clone()));
        let (report, heard) = tokio::join!(sandbox.twitch().raw(&raw), async {
            let mut heard = Vec::new();
            for _ in &raw.lines {
                heard.extend(client.bytes().await.expect("open"));
                heard.push(b'\n');
            }
            heard
        });
        assert_eq!(report.unwrap().lines, raw.lines.len() as u64);
        assert!(heard == bytes, "{file} came through unchanged");
    }
}
