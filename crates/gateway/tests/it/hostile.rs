//! A thousand bad frames and requests, each answered or closed with its code, while a good client goes on.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Client, Fixture, PATIENCE};

/// A frame as a client sends it, with every bit in the test's hand.
fn frame(first: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mask_bit = if is_masked { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..=125 => out.push(mask_bit | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    if is_masked {
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        out.extend_from_slice(payload);
    }
    out
}

const TEXT: u8 = 0x81;
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

/// What comes of bytes: the code of a `chat.error`, of an answer, or of the close.
async fn outcome(client: &mut Client, bytes: &[u8]) -> String {
    // The server may close before it has read all of it.
    let _ = client.ws.get_mut().write_all(bytes).await;
    loop {
        match tokio::time::timeout(PATIENCE, client.ws.next()).await.expect("an answer or the end") {
            Some(Ok(Message::Text(text))) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                return match frame["type"].as_str() {
                    Some("chat.error") => frame["payload"]["code"].as_str().unwrap().to_owned(),
                    other => other.unwrap().to_owned(),
                };
            }
            Some(Ok(Message::Pong(_))) => return "ws pong".to_owned(),
            Some(Ok(Message::Close(frame))) => {
                return frame.map_or_else(|| "closed".to_owned(), |frame| u16::from(frame.code).to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return format!("error {error}"),
            None => return "end".to_owned(),
        }
    }
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let long = "x".repeat(64 * 1024 + 1);
    let fragments = |parts: &[(u8, &[u8])]| -> Vec<u8> {
        parts.iter().flat_map(|(first, payload)| frame(*first, true, payload)).collect()
    };
    let mut many = frame(TEXT_BEGINS, true, b"[");
    for _ in 0..70 {
        many.extend(frame(GOES_ON, true, &[b' '; 1000]));
    }
    vec![
        ("bad_frame", frame(TEXT, true, b"")),
        ("bad_frame", frame(TEXT, true, b"{")),
        ("bad_frame", frame(TEXT, true, b"[1,2]")),
        ("bad_frame", frame(TEXT, true, &[b'['; 60_000])),
        ("bad_frame", frame(TEXT, true, br#"{"type":null}"#)),
        ("unsupported_type", frame(TEXT, true, br#"{"type":"chat.message.received"}"#)),
        ("unsupported_type", frame(TEXT, true, br#"{"type":"connection.ready"}"#)),
        ("bad_request", frame(TEXT, true, br#"{"type":"chat.message.send"}"#)),
        ("bad_request", frame(TEXT, true, br#"{"type":"chat.message.send","payload":{"text":["x"]}}"#)),
        ("pong", fragments(&[(TEXT_BEGINS, br#"{"type":"#), (GOES_ON, b""), (ENDS, br#""ping"}"#)])),
        ("ws pong", frame(0x89, true, b"there?")),
        ("1002", frame(TEXT, false, br#"{"type":"ping"}"#)),
        ("1002", frame(0x82, false, b"x")),
        ("1002", frame(0xc1, true, b"{}")),
        ("1002", frame(0xf1, true, b"{}")),
        ("1002", frame(0x83, true, b"{}")),
        ("1002", frame(0x8b, true, b"{}")),
        ("1002", frame(GOES_ON, true, b"{}")),
        ("1002", frame(ENDS, true, b"{}")),
        ("1002", frame(0x09, true, b"fragmented ping")),
        ("1002", frame(0x89, true, &[b'x'; 126])),
        ("1002", fragments(&[(TEXT_BEGINS, b"{"), (TEXT, b"}")])),
        ("1003", frame(0x82, true, b"\x00\x01")),
        ("1007", frame(TEXT, true, b"\xff\xfe")),
        ("1007", frame(TEXT, true, b"{\"type\":\"\xed\xa0\x80\"}")),
        ("1007", fragments(&[(TEXT_BEGINS, b"{\"a\":\"\xc3"), (ENDS, b"\x28\"}")])),
        ("1009", frame(TEXT, true, long.as_bytes())),
        ("1009", vec![TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
        ("1009", many),
        ("1000", frame(0x88, true, &1000_u16.to_be_bytes())),
        ("1002", frame(0x88, true, &999_u16.to_be_bytes())),
        ("1002", frame(0x88, true, b"\x03")),
    ]
}

#[tokio::test]
async fn a_thousand_bad_frames_disturb_nobody() {
    let fixture = Fixture::new().await;
    let mut good = fixture.user("good").await;
    let (secret, _) = fixture.token("bad").await;
    let cases = frames();
    let (mut seen, mut client) = (0, None);
    while seen < 1000 {
        for (expected, bytes) in &cases {
            let mut bad: Client = match client.take() {
                Some(client) => client,
                None => fixture.connect(&secret).await.0,
            };
            let got = outcome(&mut bad, bytes).await;
            assert_eq!(got, *expected, "{:?}", &bytes[..bytes.len().min(40)]);
            // What answers goes on with the same connection.
            let is_open = got.parse::<u16>().is_err();
            client = is_open.then_some(bad);
            seen += 1;
        }
        // A new one for each round: there is a bound on nonsense, too.
        drop(client.take());
        fixture.until("places", |f| f.gateway.connections() <= 5).await;
        let began = fixture.runtime.clock.instant();
        good.works().await;
        assert!(fixture.runtime.clock.instant() - began < Duration::from_millis(500));
    }
    fixture.until("all gone but the good one", |f| f.gateway.connections() == 1).await;
    assert!(fixture.metrics.render().contains("chatbus_gateway_connections 1"));
    assert!(fixture.bus.taken.lock().unwrap().is_empty());
    good.works().await;
}

/// The UTF-8 sequences of the Autobahn suite: hex, and whether they are valid.
#[expect(clippy::disallowed_methods, reason = "where the corpus is")]
fn sequences() -> Option<Vec<(Vec<u8>, bool)>> {
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("CHATBUS_CORPUS").map_or_else(beside, std::path::PathBuf::from);
    let lines = std::fs::read_to_string(folder.join("websocket/utf8-sequences.jsonl")).ok()?;
    let read = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let hex = row["hex"].as_str().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        (bytes.collect(), row["valid"].as_bool().unwrap())
    };
    Some(lines.lines().map(read).collect())
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_its_code_however_it_is_cut() {
    let Some(sequences) = sequences() else {
        println!("absent: the corpus; set CHATBUS_CORPUS");
        return;
    };
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token("bad").await;
    for (bytes, is_valid) in sequences {
        let mut cut: Vec<u8> = frame(TEXT_BEGINS, true, b"");
        cut.extend(bytes.iter().flat_map(|byte| frame(GOES_ON, true, &[*byte])));
        cut.extend(frame(ENDS, true, b""));
        for sent in [frame(TEXT, true, &bytes), cut] {
            let mut client = fixture.connect(&secret).await.0;
            let got = outcome(&mut client, &sent).await;
            assert_eq!(got, if is_valid { "bad_frame" } else { "1007" }, "{bytes:x?}");
            drop(client);
            fixture.until("a place", |f| f.gateway.connections() < 5).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_a_frame_keeps_nothing_but_its_place() {
    let fixture = Fixture::new().await;
    let mut good = fixture.user("good").await;
    for cut in [1, 2, 5, 40_000] {
        let mut bad = fixture.user("bad").await;
        let whole = frame(TEXT, true, &[b'x'; 60_000]);
        bad.ws.get_mut().write_all(&whole[..cut]).await.unwrap();
        good.works().await;
        drop(bad);
        fixture.until("gone", |f| f.gateway.connections() == 1).await;
    }
}

#[tokio::test]
async fn every_hostile_request_is_answered_or_closed() {
    let fixture = Fixture::new().await;
    let mut good = fixture.user("good").await;
    let (secret, _) = fixture.token("bad").await;
    let head = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let auth = format!("Authorization: Bearer {secret}\r\n");
    let get = |rest: &str| format!("GET /ws/v1 HTTP/1.1\r\n{rest}\r\n").into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("101", get(&format!("{head}{key}{auth}"))),
        ("401", get(&format!("{head}{key}"))),
        ("401", get(&format!("{head}{key}Authorization: Bearer {}\r\n", "f".repeat(64)))),
        ("401", get(&format!("{head}{key}Authorization: Bearer \r\n"))),
        ("401", format!("GET /ws/v1?token={secret} HTTP/1.1\r\n{head}{key}\r\n").into_bytes()),
        ("400", get(&format!("{head}{auth}"))),
        ("400", get(&format!("{head}{key}{key}{auth}"))),
        ("400", get(&format!("{head}{key}{auth}{auth}"))),
        ("400", get(&format!("{head}Sec-WebSocket-Key: short\r\n{auth}"))),
        ("426", get(&format!("Host: a\r\n{auth}"))),
        ("426", get(&format!("Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{key}{auth}"))),
        ("400", format!("POST /ws/v1 HTTP/1.1\r\n{head}{key}{auth}Content-Length: 0\r\n\r\n").into_bytes()),
        ("400", format!("GET /ws/v1 HTTP/1.0\r\n{head}{key}{auth}\r\n").into_bytes()),
        ("404", format!("GET /ws/v2 HTTP/1.1\r\n{head}{key}{auth}Connection: close\r\n\r\n").into_bytes()),
        ("431", get(&format!("{head}{key}{auth}{}", "X-Pad: y\r\n".repeat(500)))),
        ("431", get(&format!("{head}{key}Authorization: Bearer {}\r\n", "f".repeat(200_000)))),
        ("400", b"GET /ws/v1\r\n\r\n".to_vec()),
        ("400", b"\x00\x01\x02\x03\r\n\r\n".to_vec()),
        ("", get(&format!("{head}{key}"))[..60].to_vec()),
        ("", b"GET /ws/v1 HTTP/1.1\r\nHost".to_vec()),
    ];
    for round in 0..10 {
        for (expected, bytes) in &cases {
            let mut stream = TcpStream::connect(fixture.address).await.unwrap();
            let _ = stream.write_all(bytes).await;
            let mut answer = [0; 12];
            let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an end");
            let code = match read {
                Ok(_) => String::from_utf8_lossy(&answer[9..]).into_owned(),
                Err(_) => String::new(),
            };
            // A head that is cut off may be told so, or not.
            let is_right = code == *expected || (expected.is_empty() && code == "408");
            assert!(is_right, "{code:?} is not {expected:?}: {}", String::from_utf8_lossy(bytes));
            if round > 0 && expected.is_empty() {
                break;
            }
        }
        good.works().await;
    }
    good.say("m", "still here").await;
    assert_eq!(good.next().await["payload"]["id"], json!("m"));
    fixture.until("all gone but the good one", |f| f.gateway.connections() == 1).await;
}
