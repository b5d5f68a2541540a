//! TLS, passwords, tokens, credentials.

use std::path::{Path, PathBuf};
use std::process::Command;

use chatbus_bus::{Bus as _, BusErrorKind};
use chatbus_bus_nats::{NatsBus, NatsConfig};
use chatbus_event::Topic;
use chatbus_testkit::test_runtime;
use chatbus_testkit::{NatsConfig as ServerConfig, NatsTls};

use crate::harness::{config, eventually, open, put};

/// An authority of our own and what it signed, made by the openssl command.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj /CN=test-ca -keyout ca.key -out ca.pem",
        );
        authority
    }

    fn issue(&self, name: &str, extension: &str) -> (PathBuf, PathBuf) {
        std::fs::write(self.path(&format!("{name}.ext")), extension).expect("it works");
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ));
        (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("the openssl command is installed");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

async fn reason(config: NatsConfig, wanted: &str) -> String {
    let bus = NatsBus::connect(config, test_runtime(1)).expect("the settings are right");
    let reason = eventually(wanted, || async {
        let reason = bus.status().borrow().reason.clone()?;
        reason.contains(wanted).then(|| reason.to_string())
    })
    .await;
    bus.close().await;
    reason
}

#[tokio::test]
async fn an_own_authority_a_client_certificate_and_a_password_let_us_in_and_nothing_less_does() {
    let authority = Authority::new();
    let (cert, key) = authority.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
    let (client_cert, client_key) = authority.issue("client", "extendedKeyUsage=clientAuth");
    let ca = authority.path("ca.pem");
    let server = ServerConfig {
        tls: Some(NatsTls { cert, key, client_ca: Some(ca.clone()) }),
        user: Some(("bot".into(), "s3cr%t/".into())),
        ..ServerConfig::default()
    }
    .start()
    .await;
    let url = |who: &str| server.url().replace("tls://", &format!("tls://{who}"));
    let with = |who: &str| NatsConfig {
        ca_file: Some(ca.clone()),
        cert_file: Some(client_cert.clone()),
        key_file: Some(client_key.clone()),
        ..config(&server).with_urls(&url(who))
    };
    let bus = open(with("bot:s3cr%25t%2F@")).await;
    put(&bus, &Topic::ingress(), "m").await;
    bus.close().await;

    let refused = reason(with("bot:wr0ng@"), "Authorization Violation").await;
    assert!(!refused.contains("wr0ng"), "{refused}");
    reason(NatsConfig { ca_file: None, ..with("bot:s3cr%25t%2F@") }, "UnknownIssuer").await;
    let without = NatsConfig { cert_file: None, key_file: None, ..with("bot:s3cr%25t%2F@") };
    reason(without, "NATS server localhost").await;
}

#[tokio::test]
async fn a_token_in_the_url_lets_us_in() {
    let server = ServerConfig { token: Some("t0ken".into()), ..ServerConfig::default() }.start().await;
    let bus = open(config(&server).with_urls(&server.url().replace("//", "//t0ken@"))).await;
    put(&bus, &Topic::ingress(), "m").await;
    bus.close().await;
}

#[tokio::test]
async fn a_server_without_jetstream_is_named_as_such() {
    let text = "no_auth_user: plain\naccounts { A { users: [{ user: plain, password: x }] } }".to_owned();
    let server = ServerConfig { extra: text, ..ServerConfig::default() }.start().await;
    let bus = NatsBus::connect(config(&server), test_runtime(1)).expect("the settings are right");
    let kind = eventually("it is told to be misconfigured", || async {
        let error = bus.declare(&[]).await.err()?;
        (error.kind() == BusErrorKind::Misconfigured).then(|| error.to_string())
    })
    .await;
    assert!(kind.to_lowercase().contains("jetstream"), "{kind}");
    bus.close().await;
}

#[tokio::test]
async fn settings_that_can_never_work_are_errors_at_once() {
    for (config, setting) in [
        (
            NatsConfig { creds_file: Some(Path::new("/does/not/exist").into()), ..NatsConfig::default() },
            "NATS_CREDS",
        ),
        (
            NatsConfig { ca_file: Some(Path::new("/does/not/exist").into()), ..NatsConfig::default() },
            "NATS_CA_FILE",
        ),
        (NatsConfig { prefix: "a..b".into(), ..NatsConfig::default() }, "BUS_PREFIX"),
        (NatsConfig { replicas: 0, ..NatsConfig::default() }, "NATS_REPLICAS"),
        (NatsConfig::default().with_urls("http://localhost"), "NATS_URL"),
    ] {
        let error = NatsBus::connect(config, test_runtime(1)).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Misconfigured);
        assert!(error.to_string().contains(setting), "{error}");
    }
}
