//! Settings that are wrong, secrets, and two processes that want the same folder.

use crate::harness::{Chatbus, SandboxProcess, run};

/// The problem lines of an error output: setting and what would be right.
fn problems(err: &str) -> Vec<&str> {
    err.lines().filter_map(|line| line.strip_prefix("  ")).collect()
}

#[tokio::test]
async fn every_wrong_setting_is_named_at_once_with_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = [
        ("HOST", "not an address", "127.0.0.1"),
        ("PORT", "65536", "from 0 to 65535"),
        ("LOG_LEVEL", "loud", "info"),
        ("MESSAGE_BUS_DRIVER", "carrier-pigeon", "embedded"),
        ("SPOOL_MAX_BYTES", "much", "64 MiB"),
        ("SHUTDOWN_GRACE_MS", "-1", "milliseconds"),
        ("INGRESS_ENVELOPE", "round", "flat"),
        ("BUS_PREFIX", "dev.*", "dev."),
        ("TWITCH_ENABLED", "perhaps", "true"),
        ("TWITCH_CHANNELS", "not/a/channel", "a-z"),
        ("TWITCH_IRC_URL", "gopher://somewhere", "ircs://"),
        ("TWITCH_BOT_USERNAME", "somebody", "TWITCH_BOT_ACCESS_TOKEN"),
        ("IRC_RECONNECT_INITIAL_MS", "soon", "milliseconds"),
    ];
    let settings: Vec<_> = wrong.iter().map(|(name, value, _)| (*name, *value)).collect();
    let done = run(&["serve"], &settings, folder.path()).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    let found = problems(&done.err);
    for (name, value, right) in wrong {
        // A name without a token lacks the token: that is the setting to name.
        let name = if name == "TWITCH_BOT_USERNAME" { right } else { name };
        let line = found.iter().find(|line| line.starts_with(&format!("{name}:")));
        let line = line.unwrap_or_else(|| panic!("{name}={value} is not named in:\n{}", done.err));
        assert!(line.contains(right) || name == right, "{line}: says what would be right ({right})");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was begun");

    // With an instance id that cannot stand in a topic, the rest is told as well.
    let settings = [("EGRESS_INSTANCE_ID", "a.b"), ("TWITCH_CHANNELS", "not/a/channel")];
    let done = run(&["serve"], &settings, folder.path()).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(
        done.err.contains("EGRESS_INSTANCE_ID:") && done.err.contains("TWITCH_CHANNELS:"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn flags_and_roles_are_checked_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(&["serve", "juggler", "--port", "high"], &[("LOG_LEVEL", "loud")], folder.path()).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    for name in ["ROLE:", "PORT:", "LOG_LEVEL:"] {
        assert!(problems(&done.err).iter().any(|line| line.starts_with(name)), "{name} in {}", done.err);
    }
    let done = run(&["serve", "--no-such-flag"], &[], folder.path()).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    let done = run(&["send", "--to", "nowhere", "hi"], &[], folder.path()).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("twitch:#channel"), "{}", done.err);
}

#[tokio::test]
async fn unknown_keys_of_the_file_are_errors_and_known_ones_are_overruled_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chatbus.toml");
    std::fs::write(&file, "port = 4000\nlog_levle = \"debug\"\nbus_prefix = \"x.\"\n").unwrap();
    let done = run(&["serve"], &[("PORT", "high")], folder.path()).await;
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("log_levle") && done.err.contains("PORT:"), "{}", done.err);

    std::fs::write(&file, "port = 4000\nbus_prefix = \"x.\"\n").unwrap();
    let done = run(&["config", "show", "--json"], &[("PORT", "4001")], folder.path()).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let shown: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let text = shown.to_string();
    assert!(text.contains("4001") && !text.contains("4000") && text.contains("x."), "{text}");
}

#[tokio::test]
async fn every_command_shows_examples() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["demo", "serve", "sandbox", "tail", "send", "doctor", "config", "schema"] {
        for flag in ["--help", "-h"] {
            let done = run(&[command, flag], &[], folder.path()).await;
            assert_eq!(done.code, Some(0), "{command}");
            assert!(
                done.out.contains("Examples:") && done.out.contains("chatbus "),
                "{command}: {}",
                done.out
            );
        }
    }
}

#[tokio::test]
async fn a_secret_in_a_file_works_and_no_output_shows_it() {
    const SECRET: &str = "f1leS3cretF1leS3cret";
    let sandbox = SandboxProcess::start().await;
    let chatbus = Chatbus::new().reading(&sandbox.irc, "hall").with("TWITCH_BOT_USERNAME", "chatbus_bot");
    let file = chatbus.folder().join("token");
    std::fs::write(&file, format!("oauth:{SECRET}\n")).unwrap();
    let chatbus = chatbus
        .with("TWITCH_BOT_ACCESS_TOKEN_FILE", file.display().to_string())
        .with("CHATBUS_ADMIN_TOKEN", "adm1nS3cret")
        .with("LOG_LEVEL", "trace");
    let doctor = chatbus.run(&["doctor"]).await;
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.out, doctor.err);
    let running = chatbus.ready().await;
    let request = running.http.get(format!("{}/_debug/twitch", running.url)).bearer_auth("adm1nS3cret");
    let debug = request.send().await.unwrap().text().await.unwrap();
    assert!(debug.contains("\"login\":\"chatbus_bot\""), "the token from the file logs in: {debug}");
    let send = chatbus.run(&["send", "--url", &running.url, "--to", "twitch:#hall", "hi"]).await;
    assert_eq!(send.code, Some(0), "{}{}", send.out, send.err);
    let mut outputs =
        vec![("log", running.log()), ("debug", debug), ("metrics", running.text("/metrics").await)];
    for args in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["doctor", "--json"],
        &["tail", "--last", "100"],
    ] {
        let done = chatbus.run(args).await;
        outputs.push((args[0], done.out + &done.err));
    }
    let request = running.http.get(format!("{}/_debug/config", running.url)).bearer_auth("adm1nS3cret");
    outputs.push(("/_debug/config", request.send().await.unwrap().text().await.unwrap()));
    for (what, output) in outputs {
        assert!(!output.is_empty(), "{what}");
        assert!(!output.contains(SECRET) && !output.contains("adm1nS3cret"), "{what}: {output}");
    }

    let missing = chatbus.with("TWITCH_BOT_ACCESS_TOKEN_FILE", "/nowhere/token").run(&["serve"]).await;
    assert_eq!(missing.code, Some(2), "{}", missing.err);
    assert!(missing.err.contains("TWITCH_BOT_ACCESS_TOKEN_FILE:"), "{}", missing.err);
}

#[tokio::test]
async fn a_second_process_on_an_embedded_data_dir_is_told_to_use_nats() {
    let chatbus = Chatbus::new();
    let running = chatbus.listening().await;
    let second = chatbus.run(&["serve"]).await;
    assert_eq!(second.code, Some(2), "{}{}", second.out, second.err);
    assert!(second.err.contains("DATA_DIR") && second.err.to_lowercase().contains("nats"), "{}", second.err);
    assert_eq!(running.get("/healthz").await.unwrap().0, 200, "the first goes on");
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_failure_that_says_what_to_do() {
    let running = Chatbus::new().listening().await;
    let port = running.url.rsplit(':').next().unwrap().to_owned();
    let done = Chatbus::new().with("PORT", port).run(&["serve"]).await;
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    assert!(done.err.contains("PORT"), "{}", done.err);
}
