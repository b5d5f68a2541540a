//! Names: of the platform, of channels, of users.

use std::sync::Arc;

use super::Rig;
use super::check::{is_plain, odd_texts};
use crate::Target;

/// Names that are no platform's here.
const OTHERS: [&str; 2] = ["elsewhere", "nowhere"];

/// Its name can stand in a path, a metric and a source, and what it shares is the same at every call.
pub async fn it_has_one_name_and_one_sink(rig: &dyn Rig) {
    let connector = rig.connector();
    let (name, sink) = (connector.platform(), connector.sink());
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    assert!(!name.is_empty() && name.bytes().all(is_word), "{name:?} is no word of a-z 0-9");
    assert_eq!(sink.platform(), name, "the sink's name");
    assert!(Arc::ptr_eq(&sink, &connector.sink()), "another sink at the second call");
    let path = connector.webhook().map(|webhook| webhook.path());
    assert!(path.is_none_or(|path| path.starts_with("/webhooks/")), "{path:?} is not under /webhooks/");
}

/// The form of a channel's name is itself a name of that channel, and the configured ones have it.
pub async fn a_channel_has_one_form(rig: &dyn Rig) {
    let sink = rig.connector().sink();
    let target = match rig.target() {
        Target::Channel(channel) => Some(channel),
        Target::User(_) => None,
    };
    for channel in target.into_iter().chain(sink.default_channel()) {
        assert_eq!(sink.channel(&channel).as_ref(), Some(&channel), "the form of {channel:?}");
    }
    let wanted = rig.connector().status().snapshot().wanted_channels;
    for channel in wanted.iter().filter(|_| sink.capabilities().chat) {
        assert_eq!(sink.channel(channel).as_deref(), Some(&**channel), "the form of {channel:?}");
    }
}

/// A user's id is known with and without the platform's own prefix.
pub async fn a_user_has_one_form(rig: &dyn Rig) {
    let connector = rig.connector();
    let (platform, sink) = (connector.platform(), connector.sink());
    let Some(user) = rig.user() else {
        assert!(!sink.capabilities().direct, "it speaks to users, and the rig names none");
        return;
    };
    let form = sink.recipient(&user);
    assert!(form.is_some(), "{user:?} is a user");
    assert_eq!(sink.recipient(&format!("{platform}:{user}")), form, "with the platform's prefix");
    for empty in ["", " ", &format!("{platform}:"), &format!("{platform}: ")] {
        assert_eq!(sink.recipient(empty), None, "{empty:?} is nobody");
    }
}

/// What is named as another platform's is not looked for on this one.
pub async fn names_of_other_platforms_are_refused(rig: &dyn Rig) {
    let sink = rig.connector().sink();
    let mut names = vec![rig.channel(1), "1337".to_owned()];
    names.extend(rig.user());
    names.extend(sink.default_channel().map(|channel| channel.to_string()));
    for name in names {
        for other in OTHERS {
            let name = format!("{other}:{name}");
            assert_eq!(sink.recipient(&name), None, "the user {name}");
            assert_eq!(sink.channel(&name), None, "the channel {name}");
        }
    }
}

/// Whatever somebody writes as a name is none, or becomes one that is only a name.
pub async fn odd_names_are_refused_or_made_harmless(rig: &dyn Rig) {
    let connector = rig.connector();
    let sink = connector.sink();
    for text in odd_texts() {
        let user = [text.clone(), format!("{}:{text}", connector.platform())].map(|id| sink.recipient(&id));
        for form in user.into_iter().chain([sink.channel(&text)]).flatten() {
            assert!(is_plain(&form), "{text:?} becomes {form:?}");
        }
        if let Some(form) = sink.channel(&text) {
            assert_eq!(sink.channel(&form).as_ref(), Some(&form), "the form of {text:?}");
        }
    }
}
