use std::net::{Ipv4Addr, TcpStream};

use super::*;

#[tokio::test]
async fn a_killed_server_is_gone_and_comes_back_on_its_port_with_its_store() {
    let server = NatsServer::start().await;
    let (port, first) = (server.port(), server.pid().expect("it runs"));
    server.kill();
    assert!(!server.is_running());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "nobody listens");
    assert!(server.store().exists(), "the store stays");
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), Some(first));
    let binary =
        fs::read_link(format!("/proc/{}/exe", server.pid().expect("it runs"))).expect("the process exists");
    assert_eq!(binary, fs::canonicalize(nats_server_binary()).expect("the binary"), "no wrapper in between");
}

#[tokio::test]
async fn a_frozen_server_accepts_and_says_nothing_until_it_is_thawed() {
    let server = NatsServer::start().await;
    server.freeze();
    assert!(server.is_running());
    let greeted = ready::greeting(server.port()).await;
    assert!(greeted.is_err(), "a frozen server said {greeted:?}");
    server.thaw();
    server.wait_until_ready().await;
}

#[tokio::test]
async fn a_prepared_server_is_not_there_until_it_is_started() {
    let server = NatsConfig::default().prepare();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
    server.restart().await;
    server.stop();
    assert!(!server.is_running());
}

#[tokio::test]
async fn all_settings_together_make_a_file_that_the_server_takes() {
    let config = NatsConfig {
        sync_always: true,
        user: Some(("a\"b".to_owned(), "c\\d".to_owned())),
        max_payload: Some(2 << 20),
        max_file_store: Some(1 << 30),
        extra: "max_connections: 50".to_owned(),
        ..NatsConfig::default()
    };
    let server = config.start().await;
    let greeting = ready::greeting(server.port()).await.expect("a greeting");
    assert!(greeting.contains("\"auth_required\":true"), "{greeting}");
    assert!(greeting.contains("\"max_payload\":2097152"), "{greeting}");
}

#[tokio::test]
async fn a_cluster_of_three_survives_the_kill_of_one() {
    let servers = NatsServer::start_cluster(3, &NatsConfig::default()).await;
    let ports: std::collections::BTreeSet<u16> = servers.iter().map(NatsServer::port).collect();
    assert_eq!(ports.len(), 3);
    servers[0].kill();
    servers[1].wait_until_ready().await;
    servers[0].restart().await;
}
