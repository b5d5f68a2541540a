//! The guild's own emojis in a text: `<:name:id>`, and `<a:name:id>` where they move.

use chatbus_event::Emote;

use crate::channel::snowflake;

/// Where they stand, in code points, both ends inclusive.
pub(super) fn parse(text: &str) -> Vec<Emote<'_>> {
    let mut emotes = Vec::new();
    let (mut from, mut points) = (0, 0);
    while let Some(found) = text.get(from..).and_then(|rest| rest.find('<')) {
        let begin = from + found;
        points += chars(&text[from..begin]);
        let rest = &text[begin..];
        match rest.find('>').and_then(|end| Some((end, emoji(&rest[1..end])?))) {
            Some((end, id)) => {
                let length = chars(&rest[..=end]);
                emotes.push(Emote { id, start: points, end: points + length - 1 });
                (from, points) = (begin + end + 1, points + length);
            }
            None => (from, points) = (begin + 1, points + 1),
        }
    }
    emotes
}

/// The id of what stands between the brackets.
fn emoji(inner: &str) -> Option<&str> {
    let inner = inner.strip_prefix('a').filter(|rest| rest.starts_with(':')).unwrap_or(inner);
    let (name, id) = inner.strip_prefix(':')?.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    snowflake(id).filter(|_| is_name).map(|_| id)
}

fn chars(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emojis_of_the_guild_are_found_by_code_points() {
        let found = parse("ü <:kappa:25> <a:wave:7><@1> <:x> <");
        assert_eq!(found, [Emote { id: "25", start: 2, end: 12 }, Emote { id: "7", start: 14, end: 23 }]);
        for none in ["", "<::1>", "<:a b:1>", "<:a:x>", "a < b > c", "<<>>"] {
            assert_eq!(parse(none), [], "{none}");
        }
    }
}
