//! `POST /chat/messages`: said in the room under the room's rules, and answered at once whether it was.

use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use serde_json::{Value, json};

use super::caller::Caller;
use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem, data};
use crate::twitch_api::orders::Fault;
use crate::twitch_api::pairs::{Pairs, object, text};
use crate::twitch_irc::{Post, Refused};

/// A message is at most this many code points (dev.twitch.tv/docs/api/reference, Send Chat Message).
const MAX_TEXT_CHARS: usize = 500;
const SCOPE: &str = "user:write:chat";

pub(super) async fn send(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    if caller.login.is_some() && !caller.has_any(&[SCOPE]) {
        return Err(Problem::scope(SCOPE));
    }
    let fields = object(&body)?;
    // Twitch takes ids from the query too, and Twurple puts them there.
    let pairs = Pairs::of(query.as_deref(), &[]);
    let must = |name| text(&fields, name).or_else(|| pairs.get(name)).ok_or_else(|| Problem::missing(name));
    let (broadcaster_id, sender_id, message) =
        (must("broadcaster_id")?, must("sender_id")?, must("message")?);
    if message.chars().count() > MAX_TEXT_CHARS {
        return Err(Problem::new(422, "The message is too large"));
    }
    let channel = api.login_of(broadcaster_id).ok_or(Problem::bad("The broadcaster_id is not valid"))?;
    let login = sender(&api, &caller, sender_id, &channel)?;
    let now = api.core.moment().mono;
    let ordered =
        api.core.lock().orders.take("chat/messages", now, |f| matches!(f, Fault::DropMessage { .. }));
    let refused = match ordered {
        Some(Fault::DropMessage { code, message }) => Some(Refused { code, message }),
        _ => None,
    };
    let parent = text(&fields, "reply_parent_message_id");
    // A line end would be another line on IRC; Twitch says a blank instead.
    let said = message.replace(['\r', '\n', '\0'], " ");
    let refused = refused.or_else(|| {
        let blank = said.trim().is_empty();
        blank
            .then(|| Refused { code: "msg_rejected".to_owned(), message: "The message is blank.".to_owned() })
    });
    let post = Post { login: &login, channel: &channel, text: &said, parent };
    data(&[match api.chat.post(post, refused) {
        Ok(id) => json!({ "message_id": id, "is_sent": true, "drop_reason": Value::Null }),
        Err(refused) => json!({
            "message_id": "",
            "is_sent": false,
            "drop_reason": { "code": refused.code, "message": refused.message },
        }),
    }])
}

/// The sender's login, if this caller may send as them: with their own token, or with the application's when
/// they and the channel have granted it.
fn sender(api: &TwitchApi, caller: &Caller, sender_id: &str, channel: &str) -> Result<String, Problem> {
    match &caller.login {
        Some(login) => {
            if caller.user_id().as_deref() != Some(sender_id) {
                return Err(Problem::new(
                    401,
                    "The sender_id does not match the user ID of the access token",
                ));
            }
            Ok(login.clone())
        }
        None => {
            let login = api.login_of(sender_id).ok_or(Problem::bad("The sender_id is not valid"))?;
            let moderates = api.chat.is_moderator(channel, &login);
            let world = api.core.lock();
            let granted = |who: &str, scope| world.auth.has_granted(&caller.client_id, who, Some(scope));
            for scope in [SCOPE, "user:bot"] {
                if !granted(&login, scope) {
                    return Err(Problem::scope(scope));
                }
            }
            if !moderates && !granted(channel, "channel:bot") {
                return Err(Problem::new(403, "The sender is not permitted to send to this chat as a bot"));
            }
            Ok(login)
        }
    }
}
