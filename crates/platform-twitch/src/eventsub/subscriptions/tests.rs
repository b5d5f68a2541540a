use std::sync::{Mutex, PoisonError};

use super::*;
use crate::eventsub::types::known;

fn channel(name: &str, id: &str) -> Channel {
    Channel { name: format!("#{name}").into(), id: id.into() }
}

fn want(kind: &str, channel_id: &str) -> Wanted {
    Wanted { row: known(kind).unwrap(), channel: channel("c", channel_id), user_id: "bot".into() }
}

fn session(id: &str) -> Transport {
    Transport::Session(id.into())
}

/// What Twitch would list for something.
fn there(id: &str, of: &Wanted, transport: &Transport, status: &str) -> Existing {
    let (method, goal) = transport.parts();
    Existing {
        id: id.to_owned(),
        status: status.to_owned(),
        kind: of.row.name.to_owned(),
        version: of.row.version.to_owned(),
        condition: of.condition().into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        method: method.to_owned(),
        goal: goal.to_owned(),
    }
}

fn names(wanted: &[Wanted]) -> Vec<(&str, &str)> {
    wanted.iter().map(|wanted| (wanted.row.name, &*wanted.channel.name)).collect()
}

#[test]
fn what_matters_most_is_wanted_first_in_every_channel() {
    let channels = [channel("a", "1"), channel("b", "2")];
    let (wanted, missing) = wanted(&channels, &Grants { user_id: "bot".to_owned(), ..Grants::default() });
    assert_eq!(
        names(&wanted)[..3],
        [(CHAT_MESSAGE, "#a"), (CHAT_MESSAGE, "#b"), ("channel.chat.notification", "#a")]
    );
    assert!(wanted.iter().all(|wanted| wanted.row.is_basic) && missing.is_empty());
}

#[test]
fn scopes_decide_what_is_asked_for() {
    let channels = [channel("own", "bot"), channel("other", "2")];
    let grants = |scopes: &[&str], owner: Option<(&str, &str)>| Grants {
        user_id: "bot".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        owner: owner.map(|(id, scope)| (id.to_owned(), vec![scope.to_owned()])),
    };
    for (grants, kind, expected) in [
        (grants(&["user:read:chat"], None), CHAT_MESSAGE, &["#own", "#other"][..]),
        (grants(&["chat:read"], None), CHAT_MESSAGE, &[]),
        (grants(&["chat:read"], None), "stream.online", &["#own", "#other"]),
        (grants(&["bits:read"], None), "channel.cheer", &["#own"]),
        (grants(&["bits:read"], Some(("2", "bits:read"))), "channel.cheer", &["#own", "#other"]),
        (grants(&["moderator:manage:warnings"], None), "channel.warning.send", &["#own", "#other"]),
        (grants(&["user:read:chat"], None), "channel.warning.send", &[]),
    ] {
        let (wanted, missing) = wanted(&channels, &grants);
        let found: Vec<_> = wanted
            .iter()
            .filter(|wanted| wanted.row.name == kind)
            .map(|wanted| &*wanted.channel.name)
            .collect();
        assert_eq!(found, expected, "{kind} with {grants:?}");
        let lacks_chat = !grants.scopes.iter().any(|scope| scope == "user:read:chat");
        assert_eq!(missing.contains("user:read:chat"), lacks_chat, "{grants:?}");
    }
}

#[test]
fn what_is_there_becomes_what_is_wanted() {
    let wanted = [want(CHAT_MESSAGE, "1"), want("channel.raid", "1"), want("stream.online", "1")];
    let (ours, other) = (session("s-now"), session("s-other"));
    let dead: [Arc<str>; 1] = ["s-before".into()];
    let hook = Transport::Webhook("https://a/webhooks/eventsub".into());
    for (what, existing, kept, create, remove) in [
        ("nothing", vec![], vec![], vec![0, 1, 2], vec![]),
        ("one of ours", vec![there("x", &wanted[1], &ours, "enabled")], vec![1], vec![0, 2], vec![]),
        (
            "one of ours, twice",
            vec![there("x", &wanted[1], &ours, "enabled"), there("y", &wanted[1], &ours, "enabled")],
            vec![1],
            vec![0, 2],
            vec!["y"],
        ),
        (
            "one of ours that is not wanted",
            vec![there("x", &want(CHAT_MESSAGE, "9"), &ours, "enabled")],
            vec![],
            vec![0, 1, 2],
            vec!["x"],
        ),
        (
            "one of ours that was revoked",
            vec![there("x", &wanted[0], &ours, "authorization_revoked")],
            vec![],
            vec![0, 1, 2],
            vec!["x"],
        ),
        (
            "of a session that is dead, as Twitch knows",
            vec![there("x", &wanted[0], &other, "websocket_disconnected")],
            vec![],
            vec![0, 1, 2],
            vec!["x"],
        ),
        (
            "of a session that is dead, as we know",
            vec![there("x", &wanted[0], &session("s-before"), "enabled")],
            vec![],
            vec![0, 1, 2],
            vec!["x"],
        ),
        (
            "of another session that lives",
            vec![there("x", &wanted[0], &other, "enabled")],
            vec![],
            vec![0, 1, 2],
            vec![],
        ),
        (
            "of a webhook that fails and is not ours",
            vec![there("x", &wanted[0], &hook, "notification_failures_exceeded")],
            vec![],
            vec![0, 1, 2],
            vec![],
        ),
        (
            "an old version",
            vec![Existing { version: "0".to_owned(), ..there("x", &wanted[0], &ours, "enabled") }],
            vec![],
            vec![0, 1, 2],
            vec!["x"],
        ),
    ] {
        let plan = plan(&wanted, &existing, &ours, &dead);
        let remove: Vec<String> = remove.into_iter().map(str::to_owned).collect();
        assert_eq!(plan, Plan { kept, create, remove }, "{what}");
    }
    let pending = there("x", &wanted[0], &hook, "webhook_callback_verification_pending");
    assert_eq!(plan(&wanted[..1], &[pending], &hook, &[]).kept, [0]);
}

/// A Twitch that keeps what it is told, and refuses what the test says.
#[derive(Default)]
struct Fake(Mutex<State>);

#[derive(Default)]
struct State {
    rows: Vec<Existing>,
    /// What creating a type is answered with, the first time.
    refusals: Vec<(&'static str, Refusal)>,
    list_refusal: Option<Refusal>,
    calls: Vec<String>,
}

impl Fake {
    fn with(rows: Vec<Existing>, refusals: Vec<(&'static str, Refusal)>) -> Self {
        Self(Mutex::new(State { rows, refusals, ..State::default() }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Api for Fake {
    async fn list(&self, after: Option<&str>) -> Result<Page, Refusal> {
        let mut state = self.state();
        state.calls.push("list".to_owned());
        if let Some(refusal) = state.list_refusal.take() {
            return Err(refusal);
        }
        // Pages of one row.
        let at: usize = after.map_or(0, |after| after.parse().unwrap());
        let next = (at + 1 < state.rows.len()).then(|| (at + 1).to_string());
        Ok(Page { rows: state.rows.get(at).cloned().into_iter().collect(), next })
    }

    async fn create(&self, wanted: &Wanted, transport: &Transport) -> Result<(), Refusal> {
        let mut state = self.state();
        state.calls.push(format!("create {}", wanted.row.name));
        if let Some(at) = state.refusals.iter().position(|(kind, _)| *kind == wanted.row.name) {
            return Err(state.refusals.remove(at).1);
        }
        let id = format!("new-{}", state.rows.len());
        state.rows.push(there(&id, wanted, transport, "enabled"));
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        state.calls.push(format!("delete {id}"));
        state.rows.retain(|row| row.id != id);
        Ok(())
    }
}

/// Runs it, and gives what came of it: the outcome, and what was told.
async fn run(fake: &Fake, wanted: &[Wanted], is_fresh: bool) -> (Outcome, Vec<String>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let dead: [Arc<str>; 1] = ["s-before".into()];
    let outcome = reconcile(fake, wanted, &session("s-now"), &dead, is_fresh, &sender).await;
    drop(sender);
    let mut told = Vec::new();
    while let Some(next) = receiver.recv().await {
        told.push(match next {
            Told::Subscribed(wanted) => format!("ok {}", wanted.row.name),
            Told::Refused(wanted, why) => format!("{} {}", why.code(), wanted.row.name),
        });
    }
    (outcome, told)
}

fn two() -> [Wanted; 2] {
    [want(CHAT_MESSAGE, "1"), want("channel.follow", "1")]
}

#[tokio::test]
async fn a_fresh_session_gets_its_first_subscription_before_anything_is_listed() {
    let stale = there("old", &two()[0], &session("s-before"), "enabled");
    let fake = Fake::with(vec![stale], Vec::new());
    let (outcome, told) = run(&fake, &two(), true).await;
    assert_eq!(
        (outcome, &told[..]),
        (Outcome::Done, &["ok channel.chat.message".to_owned(), "ok channel.follow".to_owned()][..])
    );
    let calls = fake.state().calls.clone();
    assert_eq!(calls, ["create channel.chat.message", "list", "list", "delete old", "create channel.follow"]);
}

#[tokio::test]
async fn a_second_look_changes_nothing() {
    let fake = Fake::default();
    run(&fake, &two(), false).await;
    fake.state().calls.clear();
    let (outcome, told) = run(&fake, &two(), false).await;
    assert_eq!((outcome, told.len()), (Outcome::Done, 2));
    assert_eq!(fake.state().calls, ["list", "list"]);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_consequence() {
    let limited = || Refusal::Limited(Duration::from_secs(9));
    for (refusals, outcome, told) in [
        (
            vec![(CHAT_MESSAGE, Refusal::MissingScope("user:read:chat".to_owned()))],
            Outcome::Done,
            &["missing_scope channel.chat.message", "ok channel.follow"][..],
        ),
        (
            vec![(CHAT_MESSAGE, Refusal::TooCostly)],
            Outcome::Done,
            &["max_total_cost channel.chat.message", "ok channel.follow"],
        ),
        (
            vec![(CHAT_MESSAGE, Refusal::Refused("odd".to_owned()))],
            Outcome::Done,
            &["refused channel.chat.message", "ok channel.follow"],
        ),
        (vec![(CHAT_MESSAGE, limited())], Outcome::Done, &["ok channel.chat.message", "ok channel.follow"]),
        (
            vec![(CHAT_MESSAGE, limited()), (CHAT_MESSAGE, limited()), (CHAT_MESSAGE, limited())],
            Outcome::Again(Duration::from_secs(9), "asked too often".to_owned()),
            &[],
        ),
        (
            vec![("channel.follow", Refusal::Unavailable("HTTP 503".to_owned()))],
            Outcome::Again(Duration::from_secs(5), "HTTP 503".to_owned()),
            &["ok channel.chat.message"],
        ),
        (
            vec![(CHAT_MESSAGE, Refusal::Reauth("refused".to_owned()))],
            Outcome::Reauth("refused".to_owned()),
            &[],
        ),
    ] {
        let what = format!("{refusals:?}");
        let fake = Fake::with(Vec::new(), refusals);
        assert_eq!(
            run(&fake, &two(), false).await,
            (outcome, told.iter().map(|t| (*t).to_owned()).collect()),
            "{what}"
        );
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_found_and_taken_or_removed_or_left() {
    let chat = want(CHAT_MESSAGE, "1");
    for (what, row, expected, removes) in [
        ("ours after all", there("x", &chat, &session("s-now"), "enabled"), "ok", false),
        ("of a dead session", there("x", &chat, &session("s-before"), "enabled"), "ok", true),
        ("dead itself", there("x", &chat, &session("s-9"), "websocket_disconnected"), "ok", true),
        ("another's", there("x", &chat, &session("s-9"), "enabled"), "conflict", false),
        ("gone meanwhile", there("x", &want(CHAT_MESSAGE, "9"), &session("s-9"), "enabled"), "ok", false),
    ] {
        // What is in the way is seen only by the second look: the list lags behind.
        let fake = Fake::with(vec![row], vec![(CHAT_MESSAGE, Refusal::Conflict)]);
        let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
        let dead: [Arc<str>; 1] = ["s-before".into()];
        fake.state().list_refusal = Some(Refusal::Unavailable("late".to_owned()));
        let wanted = [chat.clone()];
        let outcome = reconcile(&fake, &wanted, &session("s-now"), &dead, true, &sender).await;
        let again = Outcome::Again(Duration::from_secs(30), "conflict".to_owned());
        assert_eq!(outcome, if expected == "conflict" { again } else { Outcome::Done }, "{what}");
        let code = match receiver.recv().await.unwrap() {
            Told::Subscribed(_) => "ok",
            Told::Refused(_, why) => why.code(),
        };
        assert_eq!(code, expected, "{what}");
        assert_eq!(fake.state().calls.contains(&"delete x".to_owned()), removes, "{what}");
    }
}
