//! What is said and done becomes events.

use chatbus_connector::Connector as _;
use chatbus_sandbox::discord::{BOT_ID, GENERAL_ID, GUILD_ID, Say};
use serde_json::json;

use crate::rig::{Rig, general};

#[tokio::test]
async fn a_message_is_an_event_with_all_that_is_known_of_it() {
    let rig = Rig::connected().await;
    let parent = rig.say("bob", "who is there?");
    let say = Say {
        channel: Some("general".to_owned()),
        login: "ada".to_owned(),
        text: "me <:kappa:25>".to_owned(),
        nick: Some("Lady A".to_owned()),
        roles: Some(vec!["Wizards".to_owned(), "Moderators".to_owned()]),
        reply_to: Some(parent.id.clone()),
        bot: false,
    };
    let said = rig.discord().say(&say).unwrap();
    let event = rig.ear.wait_text("me <:kappa:25>").await;
    assert_eq!(event["source"], "ingress.discord");
    assert_eq!(event["channel"], GENERAL_ID);
    assert_eq!(event["userId"], *said.user);
    assert_eq!(event["egress"]["type"], "chat");
    assert_eq!(event["message"]["id"], *said.id);
    let raw = &event["message"]["rawPlatformPayload"];
    assert_eq!(raw["user"], json!({ "id": said.user, "login": "ada", "displayName": "Lady A" }));
    assert_eq!((&raw["roles"], &raw["isMod"]), (&json!(["Wizards", "Moderators"]), &json!(true)));
    assert_eq!(raw["guildId"], GUILD_ID);
    assert_eq!(raw["emotes"], json!([{ "id": "25", "start": 3, "end": 13 }]));
    assert_eq!(raw["reply"]["parentMessageId"], *parent.id);
    assert_eq!(raw["reply"]["parentText"], "who is there?");
    assert!(event.get("metadata").is_none(), "others' words are not marked");
    let heard = rig.ear.heard();
    let inbound = heard.iter().find(|event| event.id.as_str() == format!("discord:{}", said.id)).unwrap();
    assert_eq!(&*inbound.conversation, GENERAL_ID);
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.joined_channels, snapshot.wanted_channels);
    assert_eq!(snapshot.auth.user_id.as_deref(), Some(BOT_ID));
}

#[tokio::test]
async fn what_was_said_to_the_bot_alone_asks_for_an_answer_to_that_user_alone() {
    let rig = Rig::connected().await;
    let say = Say { login: "ada".to_owned(), text: "psst".to_owned(), ..Say::default() };
    let said = rig.discord().say(&say).unwrap();
    let event = rig.ear.wait_text("psst").await;
    assert_eq!(event["egress"]["type"], "dm");
    assert!(event.get("channel").is_none(), "nothing names a place where others could hear an answer");
    assert_eq!(event["userId"], *said.user);
    rig.discord().edit(&said.id, "psst!").unwrap();
    let edited =
        rig.ear.wait("discord.gateway.v1", |event| event["externalEvent"]["kind"] == "message_update").await;
    assert_eq!((&edited["egress"]["type"], edited.get("channel")), (&json!("dm"), None));
}

#[tokio::test]
async fn our_own_words_come_once_and_are_marked() {
    let rig = Rig::connected().await;
    rig.send("d-1", &general(), "from us").await;
    let event = rig.ear.wait_text("from us").await;
    assert_eq!(event["metadata"]["self"], true);
    rig.say("ada", "and then");
    rig.ear.wait_text("and then").await;
    assert_eq!(rig.ear.texts(), ["from us", "and then"]);
}

#[tokio::test]
async fn what_happens_beside_chat_is_external_and_no_token_is_in_it() {
    let rig = Rig::connected().await;
    let said = rig.say("ada", "helo");
    rig.discord().edit(&said.id, "hello").unwrap();
    rig.discord().delete(&said.id).unwrap();
    rig.discord().join("bob");
    rig.discord().leave("bob").unwrap();
    let interaction = json!({
        "id": "77", "type": 2, "token": "top-secret", "guild_id": GUILD_ID, "channel_id": GENERAL_ID,
        "data": { "name": "roll" }, "member": { "user": { "id": "5", "username": "ada" }, "roles": [] },
    });
    rig.discord().dispatch("INTERACTION_CREATE", &interaction);
    rig.discord().dispatch("TYPING_START", &json!({ "guild_id": GUILD_ID, "channel_id": GENERAL_ID }));
    rig.discord().dispatch("A_NEW_THING", &json!({ "guild_id": GUILD_ID, "what": [1] }));
    rig.ear.wait("discord.gateway.v1", |event| event["externalEvent"]["kind"] == "a_new_thing").await;
    let events = rig.ear.events("discord.gateway.v1");
    let kinds: Vec<&str> =
        events.iter().map(|event| event["externalEvent"]["kind"].as_str().unwrap()).collect();
    let expected = [
        "message_update",
        "message_delete",
        "guild_member_add",
        "guild_member_remove",
        "interaction_create",
        "a_new_thing",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(events[0]["externalEvent"]["payload"]["text"], "hello");
    assert_eq!(events[4]["externalEvent"]["payload"]["command"]["name"], "roll");
    assert_eq!(events[5]["externalEvent"]["rawPayload"]["d"]["what"], json!([1]));
    assert!(rig.ear.heard().iter().all(|event| !event.body.windows(10).any(|part| part == b"top-secret")));
    let ids: std::collections::HashSet<_> = rig.ear.heard().iter().map(|event| event.id.clone()).collect();
    assert_eq!(ids.len(), rig.ear.heard().len(), "every event has an id of its own");
    assert_eq!(rig.snapshot().counters.other.get("noise"), Some(&3), "the welcome, the guild and the typing");
}

#[tokio::test]
async fn threads_of_wanted_channels_are_heard_and_other_places_are_not() {
    let rig = Rig::connected().await;
    let thread = rig.discord().thread("general", "aside").unwrap();
    let elsewhere = json!({
        "id": "5", "channel_id": "6", "guild_id": GUILD_ID, "content": "elsewhere", "type": 0,
        "author": { "id": "7", "username": "x" },
    });
    rig.discord().dispatch("MESSAGE_CREATE", &elsewhere);
    let say = Say {
        channel: Some(thread.clone()),
        login: "ada".to_owned(),
        text: "in here".to_owned(),
        ..Say::default()
    };
    rig.discord().say(&say).unwrap();
    let event = rig.ear.wait_text("in here").await;
    assert_eq!(
        (&event["channel"], &event["message"]["rawPlatformPayload"]["threadOf"]),
        (&json!(thread), &json!(GENERAL_ID))
    );
    assert_eq!(rig.ear.texts(), ["in here"]);
    rig.connector.set_channels(vec!["6".to_owned()]);
    rig.discord().dispatch("MESSAGE_CREATE", &elsewhere);
    rig.ear.wait_text("elsewhere").await;
    let refused = rig.snapshot().refused_channels;
    assert_eq!((refused[0].channel.as_str(), refused[0].code.as_str()), ("6", "unknown_channel"));
}
