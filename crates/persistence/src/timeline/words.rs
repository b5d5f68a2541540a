//! What a step's detail says, in words.

use serde_json::Value;

/// In which order steps of one moment stand.
pub(super) fn turn(name: &str) -> usize {
    const ORDER: [&str; 7] =
        ["received", "replayed", "enriched", "routed", "answered", "outcome", "dead_letter"];
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

/// One line about a step.
pub(super) fn what(name: &str, detail: &Value) -> String {
    let text = |key: &str| detail[key].as_str().unwrap_or("-");
    match name {
        "received" => {
            let late = if detail["late"] == true { ", late from the spool" } else { "" };
            format!("on {}{late}", text("topic"))
        }
        "enriched" if detail["matched"] == true => {
            let roles = list(&detail["roles"]);
            let roles = if roles.is_empty() { "no roles".to_owned() } else { roles.join(" ") };
            let ignored = detail["ignored"].as_str().map(|why| format!(", ignored: {why}"));
            format!("{}, {roles}{}", text("userRef"), ignored.unwrap_or_default())
        }
        "enriched" => "no user".to_owned(),
        "routed" => match detail["chosenRuleId"].as_str() {
            Some(rule) => format!("rule {rule}, of {} that matched", list(&detail["matchedRuleIds"]).len()),
            None => "no rule".to_owned(),
        },
        "answered" => {
            let attempt = detail["attempt"].as_u64().map(|n| format!(", attempt {n}")).unwrap_or_default();
            format!("{} {}{attempt}{}", text("by"), text("status"), error(&detail["error"]))
        }
        "outcome" => {
            let attempts = detail["attempts"].as_array().map_or(0, Vec::len);
            let (status, to) = (detail["status"].as_str().unwrap_or("FINALIZED"), text("destination"));
            format!("{status} to {to} after {attempts} attempts{}", error(&detail["error"]))
        }
        "dead_letter" => format!("{}{}", text("reason"), error(&detail["error"])),
        "replayed" => format!("to {}, replay {} in a row", text("to"), detail["count"].as_u64().unwrap_or(1)),
        _ => String::new(),
    }
}

/// The texts of a list.
pub(super) fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Who made what was said: the selected candidate, else the first one with a text.
pub(super) fn author(candidates: &Value) -> Option<String> {
    let candidates = candidates.as_array()?;
    let selected = candidates.iter().find(|candidate| candidate["status"] == "selected");
    let said = selected.or_else(|| candidates.iter().find(|candidate| candidate["text"].is_string()))?;
    said["source"].as_str().map(str::to_owned)
}

fn error(error: &Value) -> String {
    let Some(code) = error["code"].as_str() else { return String::new() };
    match error["message"].as_str() {
        Some(message) if message != code => format!(", {code}: {message}"),
        _ => format!(", {code}"),
    }
}
