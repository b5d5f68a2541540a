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

/// A signed claim, as `nsc` makes them.
fn jwt(issuer: &nkeys::KeyPair, subject: &nkeys::KeyPair, name: &str, claims: &serde_json::Value) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    let body = serde_json::json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": name, "nats": claims,
    });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body.to_string()));
    let signature = issuer.sign(signed.as_bytes()).expect("the key signs");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn creds(path: &Path, jwt: &str, key: &nkeys::KeyPair) {
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        key.seed().expect("a seed")
    );
    std::fs::write(path, text).expect("the credentials are written");
}

#[tokio::test]
async fn a_credentials_file_lets_us_in_and_a_strangers_does_not() {
    use serde_json::json;
    let operator = nkeys::KeyPair::new_operator();
    let (account, system) = (nkeys::KeyPair::new_account(), nkeys::KeyPair::new_account());
    let unlimited = json!({"type": "account", "version": 2, "limits": {
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    }});
    let plain = json!({"type": "account", "version": 2, "limits": {
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    }});
    let extra = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        jwt(&operator, &operator, "o", &json!({"type": "operator", "version": 2})),
        system.public_key(),
        account.public_key(),
        jwt(&operator, &account, "a", &unlimited),
        system.public_key(),
        jwt(&operator, &system, "s", &plain),
    );
    let server = ServerConfig { extra, ..ServerConfig::default() }.start().await;
    let user = nkeys::KeyPair::new_user();
    let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (folder.path().join("ours.creds"), folder.path().join("theirs.creds"));
    let token = jwt(&account, &user, "u", &claims);
    creds(&ours, &token, &user);
    creds(&theirs, &token, &nkeys::KeyPair::new_user());

    let bus = open(NatsConfig { creds_file: Some(ours), ..config(&server) }).await;
    put(&bus, &Topic::ingress(), "m").await;
    bus.close().await;
    reason(NatsConfig { creds_file: Some(theirs), ..config(&server) }, "Authorization Violation").await;
    reason(config(&server), "refused us").await;
}
