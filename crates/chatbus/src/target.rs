//! Where a text is sent, as people write it.

use chatbus_delivery::Reach;
use chatbus_event::EgressKind;
use chatbus_ops::SendTarget;

use crate::registry;

/// Reads `twitch:#chan`, `discord:CHANNEL`, `twilio:+1555…`, `websocket:USER` or `dm:PLATFORM:USER`.
///
/// # Errors
/// Says what would be right.
pub(crate) fn parse(text: &str) -> Result<SendTarget, String> {
    let usage = || {
        format!(
            "{text:?} is no target; use twitch:#channel, discord:CHANNEL, twilio:+1555..., websocket:USER or dm:PLATFORM:USER"
        )
    };
    let (head, rest) = text.split_once(':').ok_or_else(usage)?;
    let (kind, platform, rest) = if head == "dm" {
        let (platform, user) = rest.split_once(':').ok_or_else(usage)?;
        (EgressKind::Dm, platform, user)
    } else {
        (EgressKind::Chat, head, rest)
    };
    let table = registry::platform_table();
    let known = table.named(platform).filter(|_| !rest.trim().is_empty()).ok_or_else(usage)?;
    let to_user = known.reach == Reach::Gateway || kind == EgressKind::Dm;
    Ok(SendTarget {
        destination: platform.to_owned(),
        kind,
        channel: (!to_user).then(|| rest.to_owned()),
        user_id: to_user.then(|| rest.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        for (text, destination, kind, channel, user) in [
            ("twitch:#a", "twitch", EgressKind::Chat, Some("#a"), None),
            ("discord:123", "discord", EgressKind::Chat, Some("123"), None),
            ("twilio:+15550100", "twilio", EgressKind::Chat, Some("+15550100"), None),
            ("websocket:twitch:1337", "websocket", EgressKind::Chat, None, Some("twitch:1337")),
            ("dm:twitch:1337", "twitch", EgressKind::Dm, None, Some("1337")),
        ] {
            let target = parse(text).unwrap();
            assert_eq!(target.destination, destination, "{text}");
            assert_eq!(
                (target.kind, target.channel.as_deref(), target.user_id.as_deref()),
                (kind, channel, user),
                "{text}"
            );
        }
        for bad in ["", "twitch", "twitch:", "irc:#a", "dm:twitch", "dm:irc:1"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
