use serde_json::{Value, json};

use crate::corpus;

/// What a chat client showed of a message must be in its event: names, badges, emotes, text, time.
#[test]
fn what_a_client_shows_of_a_message_is_in_its_event() {
    let mut compared = 0;
    let mut messages = 0;
    for row in corpus::rows("twitch-irc-chatterino-snapshots.jsonl") {
        let input = row["input"].as_str().unwrap();
        if !input.contains(" PRIVMSG ") {
            continue;
        }
        let event = corpus::event_of(input);
        let raw = &event["message"]["rawPlatformPayload"];
        let outputs = row["expected"]["output"].as_array().cloned().unwrap_or_default();
        let same = |output: &&Value| {
            output["id"].as_str().is_some_and(|id| !id.is_empty() && *id == event["message"]["id"])
        };
        let Some(shown) = outputs.iter().find(same) else { continue };
        messages += 1;
        let mut check = |what: &str, ours: &Value, theirs: &Value| {
            assert_eq!(ours, theirs, "{what} of {input}");
            compared += 1;
        };
        check("login", &raw["user"]["login"], &shown["loginName"]);
        check("user id", &raw["user"]["id"], &shown["userID"]);
        check("channel", &event["channel"], &json!(format!("#{}", shown["channelName"].as_str().unwrap())));
        if let Some(badges) = shown["twitchBadges"].as_array() {
            // A client shows those it has pictures of, and of shared chat also the source's.
            for badge in badges {
                let has = raw["badges"].as_array().unwrap().contains(badge);
                let of_source = raw["raw"]["tags"]["source-badges"].as_str().unwrap_or_default();
                check("badge", &json!(has || of_source.contains(badge.as_str().unwrap())), &json!(true));
            }
        }
        let names = [&shown["localizedName"], &shown["displayName"]];
        let name = names.into_iter().find(|name| name.as_str().is_some_and(|name| !name.is_empty()));
        // Without a name to show the client shows none, and we the login.
        check("name", &raw["user"]["displayName"], name.unwrap_or(&shown["loginName"]));
        let received = shown["serverReceivedTime"].as_str().unwrap().trim_end_matches('Z');
        // What a history service replays is shown with that service's time.
        if raw["raw"]["tags"]["historical"].is_null() {
            check("time", &json!(raw["timestamp"].as_str().unwrap()[..19]), &json!(received));
        }
        let ours: Vec<&Value> = raw["emotes"].as_array().unwrap().iter().map(|emote| &emote["id"]).collect();
        // Rewards and cheers show pictures too, which are no emotes of the text.
        let has_emotes = raw["raw"]["tags"]["emotes"].as_str().is_some_and(|tag| !tag.is_empty());
        for id in emote_ids(shown).into_iter().filter(|_| has_emotes) {
            check("emote", &json!(ours.contains(&&json!(id))), &json!(true));
        }
    }
    println!("{messages} messages shown, {compared} facts compared");
    assert!(compared == 0 || messages >= 15, "{messages}");
}

/// The ids of Twitch's emotes among the elements, as their pictures name them.
fn emote_ids(shown: &Value) -> Vec<String> {
    let elements = shown["elements"].as_array().cloned().unwrap_or_default();
    let pictures = elements.iter().filter_map(|element| element["emote"]["images"]["1x"].as_str());
    pictures
        .filter_map(|url| Some(url.split_once("/emoticons/v2/")?.1.split('/').next()?.to_owned()))
        .collect()
}
