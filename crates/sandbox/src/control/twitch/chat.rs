//! Making clients read something.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use crate::control::fields::{Fields, Refused};
use crate::twitch_irc::{Flood, MAX_RAW_BYTES, Raw, RawReport, Say, TwitchIrc};
use crate::viewers::{Viewers, ViewersConfig};

/// Bytes of a flood's text when the request does not say.
const FLOOD_TEXT_BYTES: u64 = 60;
/// Lines of scripted viewers when the request does not say.
const VIEWER_LINES: u64 = 100;

pub(super) async fn say(State(twitch): State<TwitchIrc>, body: Bytes) -> Result<Json<Value>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let say = Say {
        channel: fields.must_text("channel")?,
        login: fields.must_text("login")?,
        text: fields.must_text("text")?,
        tags: tags(fields.value("tags"))?,
        count: fields.number("count")?.unwrap_or(1),
        rate: fields.rate()?,
    };
    fields.end()?;
    Ok(Json(json!({ "messages": twitch.say(&say).await? })))
}

fn tags(value: Option<Value>) -> Result<BTreeMap<String, Option<String>>, Refused> {
    let wrong = || Refused::field("tags", "is not an object of texts, numbers and nulls");
    match value {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(tags)) => {
            let read = |(key, value)| match value {
                Value::String(text) => Ok((key, Some(text))),
                Value::Number(number) => Ok((key, Some(number.to_string()))),
                Value::Null => Ok((key, None)),
                _ => Err(wrong()),
            };
            tags.into_iter().map(read).collect()
        }
        Some(_) => Err(wrong()),
    }
}

pub(super) async fn raw(State(twitch): State<TwitchIrc>, body: Bytes) -> Result<Json<RawReport>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let raw = match (fields.value("lines"), fields.text("file")?) {
        (Some(_), Some(_)) => return Err(Refused::field("file", "is given, and so is lines")),
        (None, None) => return Err(Refused::field("lines", "is missing, and so is file")),
        (Some(Value::Array(lines)), None) => {
            Raw { lines: lines.into_iter().map(line).collect::<Result<_, _>>()?, ..Raw::default() }
        }
        (Some(_), None) => return Err(Refused::field("lines", "is not a list")),
        (None, Some(path)) => Raw::from_file_bytes(&read_file(&path).await?),
    };
    let raw = Raw {
        channel: fields.text("channel")?,
        connection: fields.number("connection")?,
        rate: fields.rate()?,
        ..raw
    };
    fields.end()?;
    Ok(Json(twitch.raw(&raw).await?))
}

/// A line: a text, or an object with its bytes in hexadecimal.
fn line(value: Value) -> Result<bytes::Bytes, Refused> {
    match value {
        Value::String(text) => {
            let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
            Ok(bytes::Bytes::copy_from_slice(text.as_bytes()))
        }
        Value::Object(object) if object.len() == 1 => {
            let hex = object.get("hex").and_then(Value::as_str);
            hex.and_then(unhex)
                .ok_or_else(|| Refused::field("lines", "holds an object that is not {\"hex\":\"…\"}"))
        }
        _ => Err(Refused::field("lines", "holds something that is neither a text nor {\"hex\":\"…\"}")),
    }
}

fn unhex(text: &str) -> Option<bytes::Bytes> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

async fn read_file(path: &str) -> Result<bytes::Bytes, Refused> {
    let unreadable = |error: std::io::Error| Refused::field("file", &format!("cannot be read: {error}"));
    let facts = tokio::fs::metadata(path).await.map_err(unreadable)?;
    // Anything but a plain file (a device, a pipe) might never end.
    if !facts.is_file() || facts.len() > u64::try_from(MAX_RAW_BYTES).unwrap_or(u64::MAX) {
        return Err(Refused::field("file", "is not a plain file of at most 64 MiB"));
    }
    Ok(tokio::fs::read(path).await.map_err(unreadable)?.into())
}

pub(super) async fn flood(State(twitch): State<TwitchIrc>, body: Bytes) -> Result<Json<Value>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let flood = Flood {
        channel: fields.must_text("channel")?,
        count: fields
            .number("count")?
            .filter(|count| *count > 0)
            .ok_or_else(|| Refused::field("count", "is missing or 0"))?,
        rate: fields.rate()?,
        text_bytes: fields
            .number("text_bytes")?
            .unwrap_or(FLOOD_TEXT_BYTES)
            .try_into()
            .map_err(|_| Refused::field("text_bytes", "is not 12 to 500"))?,
        record_times: false,
    };
    fields.end()?;
    let report = twitch.flood(&flood).await?;
    Ok(Json(json!({
        "sent": report.sent,
        "first_id": report.id(0),
        "last_id": report.id(report.sent.saturating_sub(1)),
        "seconds": report.finished.saturating_duration_since(report.started).as_secs_f64(),
    })))
}

pub(super) async fn viewers(State(twitch): State<TwitchIrc>, body: Bytes) -> Result<Json<Value>, Refused> {
    let mut fields = Fields::of_body(&body)?;
    let channels = match fields.value("channels") {
        Some(Value::Array(channels)) => channels
            .into_iter()
            .map(|channel| channel.as_str().map(ToOwned::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Refused::field("channels", "holds something that is not a text"))?,
        Some(_) => return Err(Refused::field("channels", "is not a list")),
        None => return Err(Refused::field("channels", "is missing")),
    };
    let defaults = ViewersConfig::default();
    let config = ViewersConfig {
        bot: None,
        channels,
        rate: fields.rate()?.unwrap_or(defaults.rate),
        seed: fields.number("seed")?.unwrap_or(defaults.seed),
        max_lines: fields.number("count")?.unwrap_or(VIEWER_LINES),
    };
    fields.end()?;
    let viewers = Viewers::new(config)?;
    let report = viewers.chat(&twitch, &chatbus_runtime::CancellationToken::new()).await;
    Ok(Json(json!({ "said": report.said, "pings": report.pings })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_from_hex_and_nothing_else() {
        assert_eq!(unhex("00fF41").as_deref(), Some(&b"\x00\xffA"[..]));
        for bad in ["0", "0g", "+1", "é"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
