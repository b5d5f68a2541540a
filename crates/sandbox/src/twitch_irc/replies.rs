//! The lines of the server that are not chat: greetings, states, notices. Each ends in CRLF.
//! Shapes as documented under dev.twitch.tv/docs/chat/irc.

use std::fmt::Write as _;

use super::names;
use super::room::{Modes, Standing};
use super::wire::escape;

/// The capabilities there are, as `CAP LS` lists them.
pub(super) const CAPABILITIES: &str = "twitch.tv/commands twitch.tv/membership twitch.tv/tags";

pub(super) fn greeting(nick: &str) -> String {
    format!(
        ":tmi.twitch.tv 001 {nick} :Welcome, GLHF!\r\n\
         :tmi.twitch.tv 002 {nick} :Your host is tmi.twitch.tv\r\n\
         :tmi.twitch.tv 003 {nick} :This server is rather new\r\n\
         :tmi.twitch.tv 004 {nick} :-\r\n\
         :tmi.twitch.tv 375 {nick} :-\r\n\
         :tmi.twitch.tv 372 {nick} :You are in a maze of twisty passages, all alike.\r\n\
         :tmi.twitch.tv 376 {nick} :>\r\n"
    )
}

pub(super) fn global_user_state(login: &str, tags: bool) -> String {
    let mut out = String::new();
    if tags {
        let _ = write!(
            out,
            "@badge-info=;badges=;color={};display-name={};emote-sets=0;user-id={};user-type= ",
            names::color(login),
            names::display_name(login),
            names::user_id(login)
        );
    }
    out.push_str(":tmi.twitch.tv GLOBALUSERSTATE\r\n");
    out
}

/// USERSTATE: after a JOIN without `of`, after a message with its id and client nonce.
pub(super) fn user_state(
    login: &str,
    channel: &str,
    standing: Standing,
    of: Option<(&str, Option<&str>)>,
    tags: bool,
) -> String {
    let mut out = String::with_capacity(256);
    if tags {
        let _ = write!(out, "@badge-info={};badges={};", badge_info(standing), standing.badges());
        if let Some((_, Some(nonce))) = of {
            out.push_str("client-nonce=");
            escape(nonce, &mut out);
            out.push(';');
        }
        let _ = write!(
            out,
            "color={};display-name={};emote-sets=0;",
            names::color(login),
            names::display_name(login)
        );
        if let Some((id, _)) = of {
            let _ = write!(out, "id={id};");
        }
        let _ = write!(
            out,
            "mod={};subscriber={};user-type={} ",
            u8::from(standing.moderator && !standing.broadcaster),
            u8::from(standing.subscriber),
            user_type(standing)
        );
    }
    let _ = write!(out, ":tmi.twitch.tv USERSTATE #{channel}\r\n");
    out
}

/// ROOMSTATE with all modes, as after a JOIN, or only with those that `before` had otherwise.
pub(super) fn room_state(channel: &str, modes: &Modes, before: Option<&Modes>, tags: bool) -> Option<String> {
    let values = |modes: &Modes| {
        [
            ("emote-only", i64::from(modes.emote_only)),
            ("followers-only", modes.followers_only_minutes),
            ("r9k", 0),
            ("room-id", i64::try_from(names::user_id(channel)).unwrap_or_default()),
            ("slow", i64::try_from(modes.slow_seconds).unwrap_or(i64::MAX)),
            ("subs-only", i64::from(modes.subs_only)),
        ]
    };
    let now = values(modes);
    let shown: Vec<String> = match before.map(values) {
        None => now.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        Some(then) if then == now => return None,
        Some(then) => now
            .iter()
            .zip(then)
            .filter(|((key, value), (_, old))| *key == "room-id" || value != old)
            .map(|((key, value), _)| format!("{key}={value}"))
            .collect(),
    };
    let tags = if tags { format!("@{} ", shown.join(";")) } else { String::new() };
    Some(format!("{tags}:tmi.twitch.tv ROOMSTATE #{channel}\r\n"))
}

/// A NOTICE of a channel, with its `msg-id`.
pub(super) fn notice(channel: &str, code: &str, text: &str, tags: bool) -> String {
    let tags = if tags { format!("@msg-id={code} ") } else { String::new() };
    format!("{tags}:tmi.twitch.tv NOTICE #{channel} :{text}\r\n")
}

/// Twitch answers a PING with an argument under its own name and gives the argument back; one without
/// gets a bare PONG. Clients rely on either form.
pub(super) fn pong(argument: &str) -> String {
    if argument.is_empty() {
        return "PONG :tmi.twitch.tv\r\n".to_owned();
    }
    format!(":tmi.twitch.tv PONG tmi.twitch.tv :{argument}\r\n")
}

/// A NOTICE to somebody who is not logged in.
pub(super) fn login_notice(text: &str) -> String {
    format!(":tmi.twitch.tv NOTICE * :{text}\r\n")
}

pub(super) fn joined(login: &str, channel: &str) -> String {
    format!(":{login}!{login}@{login}.tmi.twitch.tv JOIN #{channel}\r\n")
}

pub(super) fn parted(login: &str, channel: &str) -> String {
    format!(":{login}!{login}@{login}.tmi.twitch.tv PART #{channel}\r\n")
}

/// 353 and 366. `names` are those of the channel; each line holds at most as many as fit 400 bytes.
pub(super) fn name_list<'a>(login: &str, channel: &str, names: impl Iterator<Item = &'a str>) -> String {
    let head = format!(":{login}.tmi.twitch.tv 353 {login} = #{channel} :");
    let mut out = String::new();
    let mut line = String::new();
    for name in names {
        if line.len() + name.len() > 400 {
            let _ = write!(out, "{head}{line}\r\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
    }
    let _ =
        write!(out, "{head}{line}\r\n:{login}.tmi.twitch.tv 366 {login} #{channel} :End of /NAMES list\r\n");
    out
}

/// CLEARCHAT for a ban, or a timeout of so many seconds.
pub(super) fn clear_chat(
    channel: &str,
    login: &str,
    seconds: Option<u64>,
    now_ms: i64,
    tags: bool,
) -> String {
    let mut out = String::new();
    if tags {
        out.push('@');
        if let Some(seconds) = seconds {
            let _ = write!(out, "ban-duration={seconds};");
        }
        let _ = write!(
            out,
            "room-id={};target-user-id={};tmi-sent-ts={now_ms} ",
            names::user_id(channel),
            names::user_id(login)
        );
    }
    let _ = write!(out, ":tmi.twitch.tv CLEARCHAT #{channel} :{login}\r\n");
    out
}

/// The `badge-info` tag: months of subscription.
pub(super) fn badge_info(standing: Standing) -> &'static str {
    if standing.subscriber { "subscriber/1" } else { "" }
}

/// The `user-type` tag.
pub(super) fn user_type(standing: Standing) -> &'static str {
    if standing.moderator && !standing.broadcaster { "mod" } else { "" }
}
