use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn the_parts_of_a_line_are_found() {
    let line = "@a=1;b;c=x\\sy :nick!user@host PRIVMSG  #chan   :hello  there ";
    let message = Message::parse(line).unwrap();
    assert_eq!(message.tags().iter().collect::<Vec<_>>(), [("a", "1"), ("b", ""), ("c", "x\\sy")]);
    assert_eq!(message.prefix(), Some(Prefix { nick: Some("nick"), user: Some("user"), host: Some("host") }));
    assert_eq!(message.command(), "PRIVMSG");
    assert_eq!(message.params().collect::<Vec<_>>(), ["#chan", "hello  there "]);
    assert_eq!(message.line(), line);
}

#[test]
fn senders_come_in_several_forms() {
    let parts = |text| {
        let prefix = Prefix::parse(text);
        [prefix.nick, prefix.user, prefix.host].map(|part| part.unwrap_or("-"))
    };
    assert_eq!(parts("a!b@c.d"), ["a", "b", "c.d"]);
    assert_eq!(parts("a@c.d"), ["a", "-", "c.d"]);
    assert_eq!(parts("tmi.twitch.tv"), ["-", "-", "tmi.twitch.tv"]);
    assert_eq!(parts("ada"), ["ada", "-", "-"]);
    assert_eq!(parts("a!b"), ["a", "b", "-"]);
    assert_eq!(parts("!@"), ["-", "-", "-"]);
}

#[test]
fn the_last_of_repeated_tags_counts_and_an_empty_one_is_as_good_as_none() {
    let message = Message::parse("@a=1;a=2;e=;=x;;f FOO").unwrap();
    assert_eq!(message.tag("a"), Some("2"));
    assert_eq!(message.tag("e"), None);
    assert_eq!(message.tags().get("e"), Some(""));
    assert_eq!(message.tags().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "a", "e", "f"]);
}

#[test]
fn what_is_no_message_is_named() {
    for (line, why) in [
        ("", Malformed::Empty),
        ("   \r\n", Malformed::Empty),
        ("@ :tmi.twitch.tv TEST", Malformed::EmptyTags),
        ("@a=b : TEST", Malformed::EmptyPrefix),
        (": PING", Malformed::EmptyPrefix),
        ("@a=b :tmi.twitch.tv ", Malformed::NoCommand),
        ("@a=b", Malformed::NoCommand),
        (":tmi.twitch.tv P!NG", Malformed::NoCommand),
        ("PRIVMSG #a :b\rc", Malformed::ControlCharacter),
        ("PRIVMSG #a :b\0c", Malformed::ControlCharacter),
    ] {
        assert_eq!(Message::parse(line), Err(why), "{line:?}");
    }
}

#[test]
fn tag_values_are_unescaped_as_ircv3_says() {
    for (escaped, plain) in [
        ("a\\sb\\:c\\\\d\\re\\nf", "a b;c\\d\re\nf"),
        ("lone\\", "lone"),
        ("\\bunknown", "bunknown"),
        ("\\\\s", "\\s"),
        ("ü\\sü", "ü ü"),
    ] {
        assert_eq!(unescape(escaped), plain);
    }
    assert!(matches!(unescape("plain"), std::borrow::Cow::Borrowed("plain")));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(message) = Message::parse(&text) {
            let _ = message.prefix();
            prop_assert!(message.params().count() <= text.len());
            for (_, value) in message.tags().iter() {
                let _ = unescape(value);
            }
        }
    }

    #[test]
    fn irc_like_text_is_a_message_or_an_error(text in "[@:; =\\\\a-c#!.\\r\\n\u{0}ü]{0,60}") {
        if let Ok(message) = Message::parse(&text) {
            prop_assert!(!message.command().is_empty());
            let _ = (message.prefix(), message.last_param(), message.tags().get("a"));
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        tags in proptest::collection::btree_map("[a-z][a-z-]{0,8}", "[^\\x00]{0,20}", 0..6),
        nick in proptest::option::of("[a-z_]{1,12}"),
        command in "[A-Z]{1,10}|[0-9]{3}",
        middles in proptest::collection::vec("[^\\x00\\r\\n :][^\\x00\\r\\n ]{0,10}", 0..4),
        trailing in proptest::option::of("[^\\x00\\r\\n]{0,40}"),
    ) {
        let mut line = String::new();
        if !tags.is_empty() {
            let pairs: Vec<String> =
                tags.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
            line.push_str(&format!("@{} ", pairs.join(";")));
        }
        if let Some(nick) = &nick {
            line.push_str(&format!(":{nick}!{nick}@{nick}.tmi.twitch.tv "));
        }
        line.push_str(&command);
        for middle in &middles {
            line.push_str(&format!(" {middle}"));
        }
        if let Some(trailing) = &trailing {
            line.push_str(&format!(" :{trailing}"));
        }
        let message = Message::parse(&line).unwrap();
        let read: BTreeMap<String, String> = message
            .tags()
            .iter()
            .map(|(name, value)| (name.to_owned(), unescape(value).replace('\0', "")))
            .collect();
        prop_assert_eq!(read, tags);
        prop_assert_eq!(message.prefix().and_then(|prefix| prefix.nick), nick.as_deref());
        prop_assert_eq!(message.command(), command);
        let params: Vec<String> = middles.into_iter().chain(trailing).collect();
        prop_assert_eq!(message.params().collect::<Vec<_>>(), params);
    }
}
