//! What the client makes of answers, and of none.

use std::time::Duration;

use chatbus_connector::{Account, Credential};
use chatbus_event::Clock as _;
use chatbus_http::hyper::Method;
use chatbus_platform_twitch::helix::{Helix, HelixError};
use serde_json::{Value, json};

use super::{FakeTwitch, Reply, bot, clock, no, nowhere};

fn helix(twitch: &FakeTwitch, credential: Credential) -> Helix {
    Helix::new(twitch.config(), Account::fixed(credential), clock())
}

async fn users(helix: &Helix) -> Result<chatbus_platform_twitch::helix::HelixAnswer, HelixError> {
    helix.call(Method::GET, "/users", &[("login", "a&b c")], None).await
}

#[tokio::test]
async fn what_is_asked_carries_the_token_and_the_application() {
    let twitch = FakeTwitch::start(|_, _| Reply::Json(200, json!({"data":[{"id":"1"}]}))).await;
    let helix = helix(&twitch, bot("t-1", &[]));
    let answer = users(&helix).await.unwrap();
    assert!(answer.is_success() && answer.data() == [json!({"id":"1"})]);
    let body = json!({"message":"hi"});
    helix.call(Method::POST, "/chat/messages", &[], Some(body.clone())).await.unwrap();
    let asked = twitch.asked();
    assert_eq!((asked[0].path.as_str(), asked[0].query.as_str()), ("/helix/users", "login=a%26b+c"));
    assert_eq!((asked[0].authorization.as_str(), asked[0].client_id.as_str()), ("Bearer t-1", "app"));
    assert_eq!((asked[1].method.as_str(), &asked[1].body), ("POST", &body));
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_question_asked_once_more() {
    let twitch = FakeTwitch::start(|asked, _| match asked.authorization.as_str() {
        "Bearer new" => Reply::Json(200, Value::Null),
        _ => no(401, "Invalid OAuth token"),
    })
    .await;
    let (account, keeper) = Account::new(bot("old", &[]));
    let helix = Helix::new(twitch.config(), account, clock());
    let keeping = async {
        let mut refusals = keeper.refusals();
        assert_eq!(*refusals.wait_for(|generation| *generation > 0).await.unwrap(), 1);
        keeper.tell(bot("new", &[]));
    };
    let (answer, ()) = tokio::join!(users(&helix), keeping);
    assert!(answer.unwrap().is_success());
    assert_eq!(twitch.asked().len(), 2);
    // The next one is refused, too, and its keeper has no other: it is asked once, and once more with nothing.
    keeper.tell(bot("old", &[]));
    drop(keeper);
    assert_eq!(users(&helix).await, Err(HelixError::Refused("Invalid OAuth token".to_owned())));
    assert_eq!(twitch.asked().len(), 3);
}

#[tokio::test]
async fn a_scope_that_is_missing_is_no_token_to_renew() {
    let twitch = FakeTwitch::start(|_, _| no(401, "Missing scope: user:write:chat")).await;
    let (account, keeper) = Account::new(bot("t-1", &[]));
    let helix = Helix::new(twitch.config(), account, clock());
    assert!(matches!(users(&helix).await, Err(HelixError::MissingScope(_))));
    assert_eq!(*keeper.refusals().borrow(), 0);
    assert_eq!(twitch.asked().len(), 1);
}

#[tokio::test]
async fn after_too_many_nothing_is_asked_until_twitch_said() {
    let clock = clock();
    let in_seconds = |seconds: i64| clock.now().as_millis() / 1000 + seconds;
    let (used_up, some_left) = (in_seconds(30), in_seconds(40));
    let twitch = FakeTwitch::start(move |asked, _| {
        let headers = |left, reset| format!("Ratelimit-Remaining: {left}\r\nRatelimit-Reset: {reset}\r\n");
        match asked.path.as_str() {
            "/helix/whispers" => Reply::With(429, headers(5, some_left), Value::Null),
            _ => Reply::With(429, headers(0, used_up), Value::Null),
        }
    })
    .await;
    let helix = helix(&twitch, bot("t-1", &[]));
    let whisper = helix.call(Method::POST, "/whispers", &[], None).await.unwrap();
    assert!(whisper.wait.unwrap() > Duration::from_secs(35));
    assert_eq!(helix.quiet_until(), None, "the limit of one question is not that of all");
    assert_eq!(users(&helix).await.unwrap().status, 429);
    let until = helix.quiet_until().unwrap();
    let wait = until.saturating_duration_since(clock.instant());
    assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(users(&helix).await, Err(HelixError::Limited(until)));
    assert_eq!(twitch.asked_of("/helix/users").len(), 1);
}

#[tokio::test]
async fn only_a_connection_that_was_there_may_have_done_it() {
    let twitch = FakeTwitch::start(|_, _| Reply::HangUp).await;
    let lost = users(&helix(&twitch, bot("t-1", &[]))).await.unwrap_err();
    assert!(matches!(lost, HelixError::Lost(_)) && !lost.is_unsent(), "{lost}");
    assert_eq!(twitch.asked().len(), 1, "never a second time by itself");
    let mut config = twitch.config();
    config.api_url = nowhere().await.parse().unwrap();
    let unreachable = Helix::new(config, Account::fixed(bot("t-1", &[])), clock());
    let unreachable = users(&unreachable).await.unwrap_err();
    assert!(matches!(unreachable, HelixError::Unreachable(_)) && unreachable.is_unsent(), "{unreachable}");
    assert_eq!(users(&helix(&twitch, Credential::default())).await, Err(HelixError::NoToken));
    let bad = users(&helix(&twitch, bot("se cret\r\nx: y", &[]))).await.unwrap_err();
    assert!(matches!(&bad, HelixError::Unusable(why) if !why.contains("cret")), "{bad}");
}

#[tokio::test]
async fn the_application_has_a_token_of_its_own_until_that_is_refused() {
    let twitch = FakeTwitch::start(|asked, before| match asked.path.as_str() {
        "/oauth2/token" => {
            let token = format!("app-{before}");
            Reply::Json(200, json!({"access_token": token, "expires_in": 3600, "token_type": "bearer"}))
        }
        _ if asked.authorization == "Bearer app-0" && before > 1 => no(401, "Invalid OAuth token"),
        _ => Reply::Json(202, Value::Null),
    })
    .await;
    let helix = helix(&twitch, Credential::default());
    for _ in 0..4 {
        let answer = helix.call_as_app(Method::POST, "/eventsub/subscriptions", &[], None).await.unwrap();
        assert_eq!(answer.status, 202);
    }
    let tokens = twitch.asked_of("/oauth2/token");
    assert_eq!(tokens.len(), 2);
    let form = "client_id=app&client_secret=app-secret&grant_type=client_credentials";
    assert_eq!(tokens[0].body, Value::from(form));
    let used: Vec<String> = twitch
        .asked_of("/helix/eventsub/subscriptions")
        .into_iter()
        .map(|asked| asked.authorization)
        .collect();
    assert_eq!(used, ["app-0", "app-0", "app-0", "app-1", "app-1"].map(|token| format!("Bearer {token}")));
}

#[tokio::test]
async fn an_application_that_is_refused_or_has_no_secret_asks_nothing() {
    let twitch = FakeTwitch::start(|_, before| match before {
        0 => no(403, "invalid client secret"),
        1 => Reply::Json(503, Value::Null),
        _ => Reply::HangUp,
    })
    .await;
    let app = helix(&twitch, Credential::default());
    let ask = async |helix: &Helix| helix.call_as_app(Method::GET, "/users", &[], None).await.unwrap_err();
    assert_eq!(ask(&app).await, HelixError::Refused("invalid client secret".to_owned()));
    for _ in 0..2 {
        assert!(matches!(ask(&app).await, HelixError::Unreachable(_)));
    }
    let mut config = twitch.config();
    config.client_secret = None;
    let public = Helix::new(config, Account::fixed(Credential::default()), clock());
    assert_eq!(ask(&public).await, HelixError::NoToken);
    assert!(twitch.asked_of("/helix/users").is_empty());
}

#[tokio::test]
async fn whose_the_token_is_is_asked_once_a_token() {
    let valid = json!({"client_id":"app","login":"bot","scopes":["user:write:chat"],"user_id":"99"});
    let twitch = FakeTwitch::start(move |_, _| Reply::Json(200, valid.clone())).await;
    let unknown = || Credential { user_id: None, ..bot("t-1", &[]) };
    let (account, keeper) = Account::new(unknown());
    let helix = Helix::new(twitch.config(), account, clock());
    for _ in 0..3 {
        let who = helix.who().await.unwrap();
        assert_eq!((who.user_id.as_str(), &who.scopes[..]), ("99", &["user:write:chat".to_owned()][..]));
    }
    assert_eq!(twitch.asked_of("/oauth2/validate").len(), 1);
    keeper.tell(unknown());
    assert_eq!(helix.who().await.unwrap().generation, 2);
    assert_eq!(twitch.asked_of("/oauth2/validate").len(), 2);
    keeper.tell(bot("t-1", &["chat:read"]));
    assert_eq!(helix.who().await.unwrap().scopes, ["chat:read"]);
    assert_eq!(twitch.asked().len(), 2, "what its keeper knows is not asked");
}

#[tokio::test]
async fn a_token_of_another_twitch_is_not_shown_to_the_real_one() {
    let user = json!({"data":[{"id":"99","login":"bot"}]});
    let twitch = FakeTwitch::start(move |_, _| Reply::Json(200, user.clone())).await;
    let mut config = twitch.config();
    config.auth_url = "https://id.twitch.tv/oauth2".parse().unwrap();
    let account = Account::fixed(Credential { user_id: None, ..bot("t-1", &[]) });
    let who = Helix::new(config, account, clock()).who().await.unwrap();
    assert_eq!((who.user_id.as_str(), who.login.as_str()), ("99", "bot"));
    assert_eq!(twitch.asked_of("/helix/users")[0].query, "");
}
