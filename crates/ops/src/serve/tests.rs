use axum::routing::{get, post};
use chatbus_testkit::test_runtime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Server {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    ended: tokio::sync::oneshot::Receiver<()>,
}

async fn server(limits: HttpLimits) -> Server {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow"
    };
    let router = Router::new()
        .route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| async move { peer.to_string() }),
        )
        .route("/slow", get(slow))
        .route("/echo", post(|body: String| async { body }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (runtime, stop) = (test_runtime(1), CancellationToken::new());
    let (tell, ended) = tokio::sync::oneshot::channel();
    let stopping = stop.clone();
    let spawning = runtime.clone();
    runtime.spawn("test.serve", async move {
        serve(listener, router, limits, &spawning, stopping).await;
        let _ = tell.send(());
    });
    Server { address, stop, ended }
}

async fn say(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may have hung up before it heard everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn short() -> HttpLimits {
    HttpLimits {
        head_within: Duration::from_millis(200),
        body_within: Duration::from_millis(200),
        ..HttpLimits::default()
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered_and_the_peer_is_known() {
    let server = server(HttpLimits::default()).await;
    let answer = say(&server, GET).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_heads_get_their_error() {
    let server = server(HttpLimits::default()).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(200));
    let fat = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "x".repeat(100_000));
    for (bytes, codes) in [
        (long.as_bytes(), &["414", "431"][..]),
        (wide.as_bytes(), &["431"]),
        (fat.as_bytes(), &["431"]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &["400", ""]),
        (b"GET / HTTP/9.9\r\n\r\n", &["400", "505"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", &["400"]),
        (b"\r\n\r\n\r\nnonsense\r\n\r\n", &["400"]),
    ] {
        let answer = say(&server, bytes).await;
        let code = answer.split(' ').nth(1).unwrap_or_default();
        assert!(codes.contains(&code), "{code:?} not of {codes:?}: {answer}");
        assert!(say(&server, GET).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_client_that_stalls_is_let_go() {
    let server = server(short()).await;
    for stalled in [
        &b""[..],
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let answered = tokio::time::timeout(Duration::from_secs(5), say(&server, stalled)).await;
        assert!(answered.is_ok_and(|answer| !answer.contains(" 200 ")), "{stalled:?}");
    }
}

#[tokio::test]
async fn connections_over_the_bound_wait_until_one_ends() {
    let server = server(HttpLimits { connections: 2, ..short() }).await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    let _too = TcpStream::connect(server.address).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), say(&server, GET)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_is_in_hand_is_finished_at_the_stop() {
    let server = server(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.cancel();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"), "{answer}");
    tokio::time::timeout(Duration::from_secs(3), server.ended).await.unwrap().unwrap();
}
