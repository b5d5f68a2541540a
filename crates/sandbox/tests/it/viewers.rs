//! Scripted viewers over real sockets.

use chatbus_runtime::CancellationToken;
use chatbus_sandbox::viewers::{Viewers, ViewersConfig};

use crate::client::{Client, sandbox, tags};

#[tokio::test]
async fn everything_the_viewers_say_is_heard_with_its_id() {
    let sandbox = sandbox().await;
    let mut bot = Client::joined(&sandbox, "bot", "#one,#two").await;
    sandbox.twitch().wait_for_members("two", 1).await;
    let channels = vec!["one".to_owned(), "#two".to_owned()];
    let config = ViewersConfig { channels, rate: 1000.0, seed: 3, max_lines: 50, bot: None };
    let stop = CancellationToken::new();
    let report = Viewers::new(config).unwrap().chat(sandbox.twitch(), &stop).await;
    assert_eq!(report.said.len(), 50);
    assert!(report.pings > 0);
    for said in &report.said {
        let heard = bot.until("PRIVMSG").await;
        assert_eq!((tags(&heard)["id"], said.told), (said.id.as_str(), 1));
        assert!(heard.contains(&format!("PRIVMSG #{} :", said.channel)), "{heard}");
    }
}

#[tokio::test]
async fn viewers_stop_when_told() {
    let sandbox = sandbox().await;
    let stop = CancellationToken::new();
    let config = ViewersConfig { rate: 0.001, ..ViewersConfig::default() };
    let viewers = Viewers::new(config).unwrap();
    let (report, ()) = tokio::join!(viewers.chat(sandbox.twitch(), &stop), async { stop.cancel() });
    assert_eq!(report.said.len(), 1);
    assert_eq!(report.said[0].told, 0);
}
