//! Tokens, applications, accounts.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use crate::control::fields::{Fields, Refused};
use crate::twitch_api::{Issued, NewToken, TwitchApi};

type Answer = Result<Json<Value>, Refused>;

/// A token can live for ten years.
const MAX_LIFETIME_SECONDS: u64 = 315_360_000;
/// Code points of a display name.
const MAX_DISPLAY_NAME: usize = 50;
/// Bytes of a title or a game.
const MAX_WORDS: usize = 1_000;

pub(super) async fn token(State(api): State<TwitchApi>, body: Bytes) -> Result<Json<Issued>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let token = NewToken {
        client_id: fields.text("client_id")?.unwrap_or_else(|| "client".to_owned()),
        login: fields.text("login")?,
        scopes: scopes(fields.value("scopes"))?,
        lifetime: seconds(&mut fields, "lifetime_seconds")?,
    };
    fields.end()?;
    Ok(Json(api.make_token(&token)?))
}

fn scopes(value: Option<Value>) -> Result<Vec<String>, Refused> {
    let wrong = || Refused::field("scopes", "is neither a list of texts nor a text");
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(scopes)) => {
            scopes.into_iter().map(|scope| scope.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn seconds(fields: &mut Fields, name: &str) -> Result<Option<Duration>, Refused> {
    match fields.number(name)? {
        Some(seconds) if seconds > MAX_LIFETIME_SECONDS => Err(Refused::field(name, "is over ten years")),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

pub(super) async fn expire(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    end(&api, &body, false)
}

pub(super) async fn revoke(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    end(&api, &body, true)
}

fn end(api: &TwitchApi, body: &[u8], revoke: bool) -> Answer {
    let mut fields = Fields::of_body(body)?;
    let (token, login) = (fields.text("token")?, fields.text("login")?);
    fields.end()?;
    let mut ended = 0;
    match (token, login) {
        (None, None) => return Err(Refused::field("token", "is missing, and so is login")),
        (Some(_), Some(_)) => return Err(Refused::field("login", "is given, and so is token")),
        (Some(token), None) if revoke => api.revoke_token(&token)?,
        (Some(token), None) => api.expire_token(&token)?,
        (None, Some(login)) => ended = api.end_tokens_of(&login, revoke)?.saturating_sub(1),
    }
    Ok(Json(json!({ "tokens": ended + 1 })))
}

pub(super) async fn token_lifetime(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let lifetime = seconds(&mut fields, "seconds")?;
    fields.end()?;
    api.set_token_lifetime(lifetime);
    Ok(Json(json!({ "seconds": lifetime.map(|lifetime| lifetime.as_secs()) })))
}

pub(super) async fn refuse_refreshes(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (login, on) = (fields.must_text("login")?, fields.on("on")?.unwrap_or(true));
    fields.end()?;
    api.refuse_refreshes(&login, on)?;
    Ok(Json(json!({ "login": login, "on": on })))
}

pub(super) async fn client(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let (client_id, secret) = (fields.must_text("client_id")?, fields.must_text("secret")?);
    fields.end()?;
    api.set_client_secret(&client_id, &secret)?;
    Ok(Json(json!({ "client_id": client_id })))
}

pub(super) async fn grant_as(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let who = who(&mut fields)?;
    fields.end()?;
    api.grant_as(who.as_deref())?;
    Ok(Json(json!({ "login": who })))
}

pub(super) async fn device(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let code = fields.must_text("code")?;
    let who = who(&mut fields)?;
    fields.end()?;
    match &who {
        Some(login) => api.approve_device(&code, login)?,
        None => api.deny_device(&code)?,
    }
    Ok(Json(json!({ "login": who })))
}

/// Who grants; nobody when it is denied.
fn who(fields: &mut Fields) -> Result<Option<String>, Refused> {
    match (fields.text("login")?, fields.on("deny")?.unwrap_or(false)) {
        (Some(_), true) => Err(Refused::field("login", "is given, and so is deny")),
        (None, false) => Err(Refused::field("login", "is missing, and so is deny")),
        (login, _) => Ok(login),
    }
}

pub(super) async fn user(State(api): State<TwitchApi>, body: Bytes) -> Answer {
    let mut fields = Fields::of_body(&body)?;
    let login = fields.must_text("login")?;
    let display_name = fields.text("display_name")?;
    let missing = fields.on("missing")?;
    let broadcaster_type = fields.text("broadcaster_type")?;
    let (title, game) = (words(&mut fields, "title")?, words(&mut fields, "game")?);
    let (live, viewers) = (fields.on("live")?, fields.number("viewers")?);
    fields.end()?;
    if display_name.as_deref().is_some_and(|name| !is_display_name(name)) {
        return Err(Refused::field("display_name", "is not 1 to 50 characters"));
    }
    if broadcaster_type.as_deref().is_some_and(|kind| !matches!(kind, "" | "affiliate" | "partner")) {
        return Err(Refused::field("broadcaster_type", "is not affiliate, partner or empty"));
    }
    let person = api.set_user(&login, |person| {
        if display_name.is_some() {
            person.display_name = display_name;
        }
        person.missing = missing.unwrap_or(person.missing);
        person.broadcaster_type =
            broadcaster_type.unwrap_or_else(|| std::mem::take(&mut person.broadcaster_type));
        person.title = title.unwrap_or_else(|| std::mem::take(&mut person.title));
        person.game = game.unwrap_or_else(|| std::mem::take(&mut person.game));
    })?;
    let told = match live {
        Some(live) => api.set_live(&login, live, viewers.unwrap_or(1))?,
        None => 0,
    };
    let id = crate::twitch_irc::login(&login).map(|login| crate::twitch_irc::user_id(&login).to_string());
    Ok(Json(json!({ "id": id, "login": login, "user": person, "told": told })))
}

fn is_display_name(text: &str) -> bool {
    (1..=MAX_DISPLAY_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn words(fields: &mut Fields, name: &str) -> Result<Option<String>, Refused> {
    match fields.text(name)? {
        Some(text) if text.len() > MAX_WORDS => Err(Refused::field(name, "is over 1000 bytes")),
        text => Ok(text),
    }
}
