//! What `GET /` tells: the addresses, and the table of the crate's page, read from that page so that
//! there is one of it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Steered;

const PAGE: &str = include_str!("../lib.rs");

/// Addresses and endpoints.
pub(super) fn page(control: Option<SocketAddr>, steered: &Steered) -> Value {
    let Steered { twitch, playground, model, twitch_api, discord, twilio } = steered;
    json!({
        "service": "chatbus-sandbox",
        "control": control.map(|addr| format!("http://{addr}")),
        "twitch": { "irc": twitch.irc_url(), "irc_ws": twitch.ws_url(), "api": twitch_api.url(), "eventsub": twitch_api.eventsub_url() },
        "discord": { "url": discord.url() },
        "twilio": { "url": twilio.url() },
        "playground": { "url": playground.url() },
        "model": { "base_url": model.base_url() },
        "endpoints": endpoints(),
    })
}

fn endpoints() -> Vec<Value> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.filter_map(|row| {
        let (request, row) = row.split_once("` | ")?;
        let (fields, does) = row.split_once("| ")?;
        let does = does.trim_end().trim_end_matches('|').trim_end();
        Some(json!({ "request": request, "fields": fields.trim_end(), "does": does }))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_page_is_read_whole() {
        let endpoints = endpoints();
        assert_eq!(endpoints.len(), PAGE.matches("\n//! | `").count());
        assert!(endpoints.len() > 20);
        for endpoint in endpoints {
            let request = endpoint["request"].as_str().unwrap();
            assert!(request.starts_with("GET /") || request.starts_with("POST /"), "{request}");
            assert!(!endpoint["does"].as_str().unwrap().is_empty(), "{request}");
        }
    }
}
