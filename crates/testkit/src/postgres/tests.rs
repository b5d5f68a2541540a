use std::net::{Ipv4Addr, TcpStream};

use super::*;

/// What a program of PostgreSQL answers to SQL.
fn query(server: &Postgres, sql: &str) -> String {
    let answer = Command::new(find::binary("psql"))
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql])
        .arg(server.url())
        .output()
        .expect("psql runs");
    assert!(answer.status.success(), "{}", text(&answer));
    String::from_utf8_lossy(&answer.stdout).trim().to_owned()
}

#[tokio::test]
async fn what_was_committed_survives_a_stop_and_a_kill_on_the_same_port() {
    let server = Postgres::start().await;
    let port = server.port();
    query(&server, "CREATE TABLE kept (n int)");
    for (n, end) in [Postgres::stop as fn(&Postgres), Postgres::kill].into_iter().enumerate() {
        query(&server, &format!("INSERT INTO kept VALUES ({n})"));
        end(&server);
        assert!(!server.is_running());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "nobody listens");
        server.restart().await;
        assert_eq!(query(&server, "SELECT count(*) FROM kept"), (n + 1).to_string());
    }
    assert_eq!(server.port(), port);
}

#[tokio::test]
async fn a_frozen_server_says_nothing_until_it_is_thawed() {
    let server =
        PostgresConfig { fsync: true, settings: vec!["max_connections=7".into()], ..Default::default() };
    let server = server.start().await;
    assert_eq!(query(&server, "SHOW fsync"), "on");
    assert_eq!(query(&server, "SHOW max_connections"), "7");
    server.freeze();
    assert!(server.is_running());
    assert!(server.check().is_err(), "a frozen server answered");
    server.thaw();
    assert_eq!(query(&server, "SELECT 1"), "1");
}
