use std::time::Duration;

use serde_json::Value;

use crate::harness::{run, scale};

#[tokio::test]
async fn the_demo_ends_by_itself_with_nothing_lost() {
    let folder = tempfile::tempdir().unwrap();
    let time = scale(Duration::from_secs(3), Duration::from_secs(10));
    let wanted = format!("{}s", time.as_secs());
    let done = run(&["demo", "--for", &wanted, "--json"], &[], folder.path()).await;
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    let summary: Value = serde_json::from_str(&done.out).unwrap();
    println!("demo --for {wanted}: {summary}");
    assert!(summary["received"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["lost"], 0, "{summary}");
    assert_eq!(summary["repeated"], 0, "{summary}");
    assert_eq!(summary["published"], summary["received"], "{summary}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing behind");
}

#[tokio::test]
async fn what_the_platform_has_configured_for_real_stays_out_of_a_demo() {
    let folder = tempfile::tempdir().unwrap();
    let real = [
        ("TWITCH_CHANNELS", "somebody_real"),
        ("TWITCH_BOT_USERNAME", "me"),
        ("TWITCH_BOT_ACCESS_TOKEN", "oauth:real"),
        ("TWITCH_IRC_URL", "irc://127.0.0.1:1"),
    ];
    let done = run(&["demo", "--for", "1s"], &real, folder.path()).await;
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert!(!(done.out + &done.err).contains("somebody_real"));
}
