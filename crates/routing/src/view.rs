//! An event as conditions and templates see it: made once for all rules.

use std::borrow::Cow;
use std::collections::HashMap;

use chatbus_event::json::Raw;
use chatbus_event::{Event, Shape, Timestamp};
use datalogic_rs::DataValue;
use datalogic_rs::bumpalo::Bump;
use datalogic_rs::datavalue::NumberValue;

/// Of a list rules see so many items: what they cost grows with them.
pub(crate) const MAX_ITEMS: usize = 1_000;
/// Of a text rules see so many bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Objects of up to so many members are looked through for repeats member by member.
const FEW: usize = 32;

type Member<'a> = (&'a str, DataValue<'a>);

/// The members of the event as in the flat shape, whatever its shape, with three of our own: `payload` is what
/// the platform said where that is there, `now` and `ts` are the time, as a text and in milliseconds.
pub(crate) fn of_event<'a>(event: &Event, now: Timestamp, arena: &'a Bump) -> &'a DataValue<'a> {
    let bytes = event.encode();
    let text: &'a str = arena.alloc_str(&String::from_utf8_lossy(&bytes));
    let root = parse(text, &bytes, arena);
    let own: &[Member<'_>] = root.as_object().unwrap_or_default();
    let mut members: Vec<Member<'_>> = Vec::with_capacity(own.len() + 8);
    match own.iter().find(|(name, _)| *name == "envelope") {
        // What stands in the envelope counts before what stands beside it.
        Some((_, DataValue::Object(inner))) if event.shape() == Shape::Nested => {
            members.extend(own.iter().filter(|(name, _)| *name != "envelope"));
            members.extend_from_slice(inner);
            if has_repeats(&members) {
                members = each_once(&members);
            }
        }
        _ => members.extend_from_slice(own),
    }
    if event.shape() == Shape::V1 {
        put(&mut members, "source", DataValue::String(arena.alloc_str(&event.source())));
        for (name, value) in [("channel", event.channel()), ("userId", event.user_id())] {
            if let Some(value) = value {
                put(&mut members, name, DataValue::String(arena.alloc_str(&value)));
            }
        }
    }
    let said = find(&members, "message").and_then(|message| get(message, "rawPlatformPayload")).copied();
    let payload =
        said.filter(is_something).or_else(|| find(&members, "payload").copied().filter(is_something));
    put(&mut members, "payload", payload.unwrap_or(DataValue::Object(&[])));
    put(&mut members, "now", DataValue::String(arena.alloc_str(&now.to_string())));
    put(&mut members, "ts", DataValue::from_i64(now.as_millis()));
    arena.alloc(DataValue::Object(arena.alloc_slice_copy(&members)))
}

/// Some texts by their names; what is not there is null.
pub(crate) fn of_texts<'a>(texts: &[(&'static str, Option<&str>)], arena: &'a Bump) -> &'a DataValue<'a> {
    let value = |text: &str| DataValue::String(arena.alloc_str(clip(text)));
    let members = texts.iter().map(|(name, text)| (*name, text.map_or(DataValue::Null, value)));
    let members: Vec<Member<'_>> = members.collect();
    arena.alloc(DataValue::Object(arena.alloc_slice_copy(&members)))
}

/// The member of an object.
pub(crate) fn get<'d, 'a>(value: &'d DataValue<'a>, name: &str) -> Option<&'d DataValue<'a>> {
    match value {
        DataValue::Object(members) => find(members, name),
        _ => None,
    }
}

/// A plain value as a text: nothing for null, lists and objects.
pub(crate) fn text_of<'d>(value: &'d DataValue<'_>) -> Cow<'d, str> {
    match value {
        DataValue::String(text) => Cow::Borrowed(text),
        DataValue::Bool(true) => Cow::Borrowed("true"),
        DataValue::Bool(false) => Cow::Borrowed("false"),
        DataValue::Number(NumberValue::Integer(number)) => Cow::Owned(number.to_string()),
        DataValue::Number(NumberValue::Float(number)) => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(""),
    }
}

fn find<'d, 'a>(members: &'d [Member<'a>], name: &str) -> Option<&'d DataValue<'a>> {
    members.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

fn put<'a>(members: &mut Vec<Member<'a>>, name: &'a str, value: DataValue<'a>) {
    match members.iter_mut().find(|(own, _)| *own == name) {
        Some((_, known)) => *known = value,
        None => members.push((name, value)),
    }
}

/// What JavaScript takes for true, of the kinds that stand here.
fn is_something(value: &DataValue<'_>) -> bool {
    match value {
        DataValue::Null | DataValue::Bool(false) => false,
        DataValue::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn parse<'a>(text: &'a str, bytes: &bytes::Bytes, arena: &'a Bump) -> DataValue<'a> {
    match DataValue::from_str(text, arena) {
        Ok(value) => bounded(&value, arena).unwrap_or(value),
        // The engine's reader is stricter with odd escapes than the one that took the event.
        Err(_) => Raw::parse(bytes).map_or(DataValue::Null, |raw| of_raw(&raw, arena)),
    }
}

/// The same within our bounds, and with each name once, the last one counting; `None` when it is so already.
fn bounded<'a>(value: &DataValue<'a>, arena: &'a Bump) -> Option<DataValue<'a>> {
    match value {
        DataValue::String(text) => (text.len() > MAX_TEXT_BYTES).then(|| DataValue::String(clip(text))),
        DataValue::Array(items) => {
            let kept = items.get(..MAX_ITEMS).unwrap_or(items);
            let changed: Vec<(usize, DataValue<'a>)> =
                kept.iter().enumerate().filter_map(|(at, item)| Some((at, bounded(item, arena)?))).collect();
            if changed.is_empty() {
                return (kept.len() < items.len()).then_some(DataValue::Array(kept));
            }
            let copy = arena.alloc_slice_copy(kept);
            changed.into_iter().for_each(|(at, item)| {
                if let Some(place) = copy.get_mut(at) {
                    *place = item;
                }
            });
            Some(DataValue::Array(copy))
        }
        DataValue::Object(members) => {
            let changed: Vec<(usize, DataValue<'a>)> = members
                .iter()
                .enumerate()
                .filter_map(|(at, (_, value))| Some((at, bounded(value, arena)?)))
                .collect();
            let repeats = has_repeats(members);
            if changed.is_empty() && !repeats {
                return None;
            }
            let mut copy = members.to_vec();
            changed.into_iter().for_each(|(at, value)| {
                if let Some((_, place)) = copy.get_mut(at) {
                    *place = value;
                }
            });
            if repeats {
                copy = each_once(&copy);
            }
            Some(DataValue::Object(arena.alloc_slice_copy(&copy)))
        }
        _ => None,
    }
}

fn has_repeats(members: &[Member<'_>]) -> bool {
    if members.len() > FEW {
        let names: HashMap<&str, ()> = members.iter().map(|(name, _)| (*name, ())).collect();
        return names.len() < members.len();
    }
    members.iter().enumerate().any(|(at, (name, _))| {
        members.get(..at).unwrap_or_default().iter().any(|(earlier, _)| earlier == name)
    })
}

fn each_once<'a>(members: &[Member<'a>]) -> Vec<Member<'a>> {
    let last: HashMap<&str, usize> = members.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let is_last = |(at, (name, _)): &(usize, &Member<'a>)| last.get(name) == Some(at);
    members.iter().enumerate().filter(is_last).map(|(_, member)| *member).collect()
}

fn of_raw<'a>(raw: &Raw, arena: &'a Bump) -> DataValue<'a> {
    if let Some(text) = raw.as_str() {
        return DataValue::String(arena.alloc_str(clip(&text)));
    }
    if let Some(truth) = raw.as_bool() {
        return DataValue::Bool(truth);
    }
    if let Some(object) = raw.as_object() {
        let member = |(name, value): (String, &[u8])| {
            let value = Raw::parse(&bytes::Bytes::copy_from_slice(value)).ok()?;
            Some((&*arena.alloc_str(&name), of_raw(&value, arena)))
        };
        let members: Vec<Member<'a>> = object.iter().filter_map(member).collect();
        let members = if has_repeats(&members) { each_once(&members) } else { members };
        return DataValue::Object(arena.alloc_slice_copy(&members));
    }
    if let Some(items) = raw.as_array() {
        let items: Vec<DataValue<'a>> =
            items.iter().take(MAX_ITEMS).map(|item| of_raw(item, arena)).collect();
        return DataValue::Array(arena.alloc_slice_copy(&items));
    }
    raw.as_f64().map_or(DataValue::Null, DataValue::from_f64)
}

fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
