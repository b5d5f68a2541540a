use std::collections::BTreeMap;

use chatbus_platform_twitch::irc::grammar::{Message, unescape};
use serde_json::{Value, json};

use crate::corpus;

/// Where other libraries are wrong, or mean something else by the word. Input contains, path contains.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("id=744f9c58-b180-4f46-bd9e-b515b5ef75c1", "emotes", "twitch-irc-rs keeps emotes beyond the text"),
    ("display-name=CarvedTaleare\\s", "sender.name", "twitch-irc-rs keeps the space at a name's end"),
    ("msg-id=resub", "msg.emotes", "twitch-irc-rs cuts names of emotes out of an action's wrapper"),
    ("msg-id=subgift", "cumulative_months", "Twitch says `months` of gifts; two libraries rename it"),
    ("have\\sjoined\\n!", "systemmsg", "go-twitch-irc leaves line breaks out"),
    ("USERSTATE #clippyassistant", "user.name", "go-twitch-irc makes a login of the display name"),
    ("tmi-sent-ts=-6795364578871", "target.content", "the expectation was cut when it was collected"),
];

/// Names of a fact, and how an event tells it.
type Row = (&'static [&'static str], fn(&Facts) -> Value);

/// A fact about an event, by the last words of the names that libraries give it.
const FACTS: &[Row] = &[
    (
        &[
            "message_text",
            "messagetext",
            "content",
            "msg.message",
            "un.message",
            "struct.text",
            "privatemessage.message",
        ],
        Facts::text,
    ),
    (&["is_action", "isaction"], |f| f.flag("isAction")),
    (
        &[
            "channel_login",
            "channelname",
            "channel.login",
            "channel.name",
            "msg.channel",
            "un.channel",
            "roomstate.channel",
            "userstate.channel",
            "hosttarget.channel",
            "cm.channel",
            "struct.channel",
            "privatemessage.channel",
            "userstatemessage.channel",
        ],
        Facts::channel,
    ),
    (&["channel_id", "channelid", "channel.id", "roomid", "room_id"], Facts::room),
    (&["sender.login", "senderusername", "author.name", "msg.userlogin", "un.userlogin", "user.name"], |f| {
        f.user("login")
    }),
    (
        &[
            "sender.id",
            "senderuserid",
            "msg.user_id",
            "author.id",
            "msg.userid",
            "un.userid",
            "user.id",
            "whisper.userid",
        ],
        |f| f.user("id"),
    ),
    (&["sender.name", "sender.displayname", "displayname", "author.displayname"], |f| f.user("displayName")),
    (
        &[
            "message_id",
            "struct.id",
            "msg.id",
            "un.id",
            "privmsg.id",
            "announcement.id",
            "sub.id",
            "gift.id",
            "upgrade.id",
            "milestone.id",
            "modiversary.id",
            "intro.id",
        ],
        Facts::id,
    ),
    (&["unix_ms", "tmisentts", "struct.timestamp"], Facts::time),
    (&["msg.event_id", "struct.event_id"], |f| f.payload("msgId")),
    (&["bits"], |f| f.extra("bits")),
    (&["customrewardid", "custom_reward_id"], |f| f.extra("customRewardId")),
    (&["isfirstmessage", "firstmessage"], |f| f.flag("firstMessage")),
    (&["isreturningchatter", "returningchatter"], |f| f.flag("returningChatter")),
    (&["nonce", "clientnonce"], |f| f.extra("clientNonce")),
    (&["author.ismod", "msg.ismod", "message.ismod"], |f| f.look("isMod")),
    (&["author.isvip"], |f| f.flag("isVip")),
    (&["author.issubscriber"], |f| f.look("isSubscriber")),
    (&["source.id", "source?.id"], |f| f.extra("sourceMessageId")),
    (&["source.channelid", "source?.channelid", "source.roomid"], |f| f.extra("sourceRoomId")),
    (&["system_message", "systemmessage", "systemmsg"], |f| f.payload("systemMessage")),
    (&["parentmessageid", "replyparent?.messageid"], |f| f.reply("parentMessageId")),
    (&["parentdisplayname", "replyparent?.displayname"], |f| f.reply("parentDisplayName")),
    (&["reply.parentusername", "replyparent?.userlogin"], |f| f.reply("parentUserLogin")),
    (&["replyparent?.userid"], |f| f.reply("parentUserId")),
    (&["parentmessage", "replyparent?.messagebody"], |f| f.reply("parentText")),
    (&["parentthreadmessageid"], |f| f.reply("threadMessageId")),
    (&["parentthreadusername"], |f| f.reply("threadUserLogin")),
    (&["target.login", "targetusername", "cm.userlogin", "msg.sender_login", "action.user_login"], |f| {
        f.target("login")
    }),
    (&["action.user_id"], |f| f.target("id")),
    (&["target.messageid", "targetmessageid", "target_message_id"], |f| f.target("messageId")),
    (&["timeout_length.from_secs"], |f| f.payload("durationSeconds")),
    (&["slow_mode.from_secs", "slowmodeduration", "roomstate.slow"], |f| f.payload("slowSeconds")),
    (
        &[
            "roomstate.followersonly",
            "message.followersonlyduration",
            "msg.followersonlyduration",
            "state.followers-only",
        ],
        |f| f.payload("followersOnlyMinutes"),
    ),
    (&["msg.r9k", "message.r9k", "roomstate.r9k"], |f| f.payload("uniqueChat")),
    (&["msg.subscribers_only", "subscribersonly", "roomstate.subsonly"], |f| f.payload("subscribersOnly")),
    (&["msg.emote_only", "message.emoteonly", "roomstate.emoteonly"], |f| f.payload("emoteOnly")),
    (&["hostedchannelname"], |f| f.payload("hosted")),
    (&["numberofviewers", "msg.viewercount", "message.viewercount"], |f| f.payload("viewerCount")),
    (&["cumulative_months", "cumulativemonths"], |f| f.param("cumulativeMonths")),
    (&["streak_months", "streakmonths", "monthstreak"], |f| f.param("streakMonths")),
    (&["event.sub_plan", "args[0].sub_plan", "msg-param-sub-plan"], |f| f.param("subPlan")),
    (&["sub_plan_name", "msg-param-sub-plan-name"], |f| f.param("subPlanName")),
    (&["mass_gift_count"], |f| f.param("massGiftCount")),
    (&["sender_total_gifts", "msg-param-sender-count"], |f| f.param("senderCount")),
    (&["num_gifted_months", "gift.giftedmonths"], |f| f.param("giftMonths")),
    (&["promo_name"], |f| f.param("promoName")),
    (&["total_gifts"], |f| f.param("promoGiftTotal")),
    (&["ritual_name", "ritualname"], |f| f.param("ritualName")),
    (&["event.threshold"], |f| f.param("threshold")),
    (&["recipient.id", "recipientid", "msg-param-recipient-id"], |f| f.param("recipientId")),
    (&["msg.recipientusername", "message.recipientusername"], |f| f.target("login")),
    (&["recipient.login", "info.recipientusername", "msg-param-recipient-user-name"], |f| {
        f.param("recipientLogin")
    }),
    (&["recipient.displayname", "recipientdisplayname", "msg-param-recipient-display-name"], |f| {
        f.param("recipientDisplayName")
    }),
    (&["gifter_login"], |f| f.param("senderLogin")),
    (&["gifter_name"], |f| f.param("senderName")),
    (&["info.viewercount", "msg-param-viewercount"], |f| f.param("viewerCount")),
    (&["reward", "eventparams.coporeward", "info.coporeward"], |f| f.param("rewardPoints")),
    (&["milestone.category", "eventparams.category", "info.category"], |f| f.param("category")),
    (&["eventparams.value", "info.value", "consecutivestreamswatched"], |f| f.param("value")),
    (&["info.amount"], |f| f.param("amount")),
    (&["info.currency"], |f| f.param("currency")),
    (&["info.exponent"], |f| f.param("exponent")),
    (&["info.emoteid"], |f| f.param("emoteId")),
    (&["whisper.threadid", "message.threadid", "msg.threadid"], |f| f.payload("threadId")),
];

struct Facts {
    event: Value,
}

impl Facts {
    fn raw(&self) -> &Value {
        &self.event["message"]["rawPlatformPayload"]
    }

    fn is_chat(&self) -> bool {
        self.event["type"] == "chat.message.v1"
    }

    fn payload(&self, key: &str) -> Value {
        self.event["externalEvent"]["payload"][key].clone()
    }

    fn text(&self) -> Value {
        if self.is_chat() { self.raw()["text"].clone() } else { self.payload("text") }
    }

    fn channel(&self) -> Value {
        json!(self.event["channel"].as_str().unwrap_or_default().trim_start_matches('#'))
    }

    fn room(&self) -> Value {
        if self.is_chat() { self.raw()["roomId"].clone() } else { self.payload("roomId") }
    }

    fn user(&self, key: &str) -> Value {
        if self.is_chat() { self.raw()["user"][key].clone() } else { self.payload("user")[key].clone() }
    }

    fn id(&self) -> Value {
        if self.event["externalEvent"]["kind"] == "clearmsg" {
            return self.target("messageId");
        }
        if self.is_chat() {
            self.event["message"]["id"].clone()
        } else {
            self.event["externalEvent"]["id"].clone()
        }
    }

    fn time(&self) -> Value {
        if self.is_chat() {
            self.raw()["timestamp"].clone()
        } else {
            self.event["externalEvent"]["createdAt"].clone()
        }
    }

    fn extra(&self, key: &str) -> Value {
        if self.is_chat() { self.raw()[key].clone() } else { self.payload(key) }
    }

    /// Absent is no.
    fn flag(&self, key: &str) -> Value {
        json!(self.extra(key).as_bool().unwrap_or(false))
    }

    fn look(&self, key: &str) -> Value {
        self.extra(key)
    }

    fn reply(&self, key: &str) -> Value {
        self.raw()["reply"][key].clone()
    }

    fn target(&self, key: &str) -> Value {
        self.payload("target")[key].clone()
    }

    fn param(&self, key: &str) -> Value {
        self.payload("params")[key].clone()
    }
}

/// As one text, since libraries differ in how they type things.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text == "string.Empty" || text == "default" => String::new(),
        // One library gives tags as they are escaped.
        Value::String(text) => match chatbus_event::Timestamp::parse(text) {
            Some(time) => time.as_millis().to_string(),
            None => unescape(text).trim_start_matches('#').trim_end().to_owned(),
        },
        other => other.to_string(),
    }
}

/// Every scalar of a tree, with its path in lower case.
fn leaves(value: &Value, path: &str, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                leaves(member, &format!("{path}.{}", key.to_lowercase()), all);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{at}]"), all);
            }
        }
        scalar => all.push((path.to_owned(), scalar.clone())),
    }
}

fn is_excepted(input: &str, path: &str) -> bool {
    EXCEPTIONS.iter().any(|(text, part, _)| input.contains(text) && path.contains(part))
}

#[test]
fn events_say_what_other_libraries_say_of_the_same_lines() {
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in corpus::rows("twitch-irc-expected.jsonl") {
        let input = row["input"].as_str().unwrap();
        let kind = row["kind"].as_str().unwrap();
        if kind == "irc-atoms" || Message::parse(input).is_err() {
            continue;
        }
        let facts = Facts { event: corpus::event_of(input) };
        let root = if kind == "struct" { "struct" } else { "" };
        let expected = if kind == "facts" { &row["expected"]["facts"] } else { &row["expected"] };
        let mut all = Vec::new();
        leaves(expected, root, &mut all);
        let before: usize = compared.values().sum();
        for (path, theirs) in &all {
            let path = path.strip_prefix('.').unwrap_or(path);
            let names = |name: &&&str| path == **name || path.ends_with(&format!(".{name}"));
            // The longest name is the most exact one.
            let found = FACTS.iter().filter_map(|(all, read)| {
                Some((all.iter().filter(|name| names(name)).map(|name| name.len()).max()?, all[0], read))
            });
            let Some((_, name, read)) = found.max_by_key(|(length, _, _)| *length) else { continue };
            // Words that stand for a variable or an enumeration of the library are no facts.
            if theirs.as_str().is_some_and(|text| {
                text.contains("msg.") || text.starts_with("$\"") || text.starts_with("#\"")
            }) {
                continue;
            }
            let ours = read(&facts);
            // Libraries say 0 or no for what is not there.
            let absent = plain(&ours).is_empty() && matches!(plain(theirs).as_str(), "0" | "false");
            if plain(&ours) == plain(theirs) || absent {
                *compared.entry(name).or_default() += 1;
            } else if !is_excepted(input, path) {
                wrong.push(format!("{path}: ours {ours}, theirs {theirs}\n    {input}"));
            }
        }
        rows += usize::from(compared.values().sum::<usize>() > before);
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    let total: usize = compared.values().sum();
    println!("{rows} rows, {total} facts compared: {compared:?}");
    assert!(total == 0 || total > 500, "{total}");
}

/// Emotes, badges and colours, which each library writes in its own way.
#[test]
fn emotes_badges_and_colours_are_those_that_other_libraries_find() {
    let mut compared = 0;
    for row in corpus::rows("twitch-irc-expected.jsonl") {
        let input = row["input"].as_str().unwrap();
        let message = &row["expected"]["facts"]["msg"];
        if is_excepted(input, "msg.emotes") || !input.contains("PRIVMSG") {
            continue;
        }
        let event = corpus::event_of(input);
        let raw = &event["message"]["rawPlatformPayload"];
        let emotes = row["expected"]["facts"]["msg.emotes"].as_array().or(message["emotes"].as_array());
        for (emote, ours) in emotes.into_iter().flatten().zip(raw["emotes"].as_array().unwrap()) {
            assert_eq!(ours["id"], emote["id"], "{input}");
            let range = &emote["char_range"];
            assert_eq!(ours["start"], range["start"], "{input}");
            assert_eq!(ours["end"].as_u64().unwrap() + 1, range["end"].as_u64().unwrap(), "{input}");
            let code: String = raw["text"]
                .as_str()
                .unwrap()
                .chars()
                .skip(usize::try_from(ours["start"].as_u64().unwrap()).unwrap())
                .take(
                    usize::try_from(ours["end"].as_u64().unwrap() - ours["start"].as_u64().unwrap() + 1)
                        .unwrap(),
                )
                .collect();
            assert_eq!(code, emote["code"].as_str().unwrap(), "{input}");
            compared += 1;
        }
        if let Some(badges) = message["badges"].as_array() {
            let names: Vec<&Value> = badges.iter().map(|badge| &badge["name"]).collect();
            assert_eq!(raw["badges"].as_array().unwrap().iter().collect::<Vec<_>>(), names, "{input}");
            compared += 1;
        }
        if let Some(red) = message["name_color"]["r"].as_u64() {
            let rgb = [
                red,
                message["name_color"]["g"].as_u64().unwrap(),
                message["name_color"]["b"].as_u64().unwrap(),
            ];
            let color = format!("#{:02X}{:02X}{:02X}", rgb[0], rgb[1], rgb[2]);
            assert_eq!(raw["color"], json!(color), "{input}");
            compared += 1;
        }
    }
    println!("{compared} emotes, lists of badges and colours compared");
    assert!(compared == 0 || compared >= 5, "{compared}");
}

/// The atoms of a line: tags, sender, command, parameters.
#[test]
fn atoms_are_those_that_other_libraries_find() {
    // go-twitch-irc keeps empty parameters for repeated spaces, and unescapes in several passes.
    let differs = |input: &str| input.contains("  ") || input.ends_with(' ') || input.contains('\\');
    let (mut compared, mut excepted) = (0, 0);
    for row in corpus::rows("twitch-irc-expected.jsonl") {
        let input = row["input"].as_str().unwrap();
        let expected = match row["kind"].as_str().unwrap() {
            "irc-atoms" => row["expected"].clone(),
            _ => match (&row["expected"]["facts"]["message"], &row["expected"]["facts"]["actual"]) {
                (message @ Value::Object(_), _) => message.clone(),
                (_, actual @ Value::Object(_)) if actual["$set"].is_null() => json!({
                    "command": actual["ircCommand"], "params": actual["ircParameters"], "tags": actual["ircTags"],
                }),
                _ => continue,
            },
        };
        let Ok(message) = Message::parse(input) else { continue };
        if differs(input) && row["source"]["repo"] == "gempir/go-twitch-irc" {
            excepted += 1;
            continue;
        }
        assert!(message.command().eq_ignore_ascii_case(expected["command"].as_str().unwrap()), "{row}");
        let params: Vec<&str> = message.params().collect();
        assert_eq!(json!(params), expected.get("params").cloned().unwrap_or(json!([])), "{row}");
        for (name, value) in expected["tags"].as_object().into_iter().flatten() {
            let ours = message.tags().get(name).map(unescape);
            assert_eq!(ours.as_deref().unwrap_or("?"), value.as_str().unwrap_or_default(), "{name} of {row}");
        }
        compared += 1;
    }
    println!("{compared} lines compared by their atoms, {excepted} that go-twitch-irc reads otherwise");
    assert!(compared == 0 || compared >= 30, "{compared}");
}
