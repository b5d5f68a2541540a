//! Where emotes stand in a text: `id:first-last,first-last/id:…`, in code points, both ends inclusive.

use chatbus_event::Emote;

/// Emotes in the order in which they stand in the text, and how many ranges were left out because they
/// are no numbers, run backwards, or reach beyond the text.
pub(super) fn parse<'a>(tag: &'a str, text: &str) -> (Vec<Emote<'a>>, u64) {
    let mut emotes = Vec::new();
    let mut bad = 0;
    if tag.is_empty() {
        return (emotes, bad);
    }
    let length = text.chars().count();
    for group in tag.split('/').filter(|group| !group.is_empty()) {
        let Some((id, ranges)) = group.split_once(':').filter(|(id, _)| !id.is_empty()) else {
            bad += 1;
            continue;
        };
        for range in ranges.split(',') {
            match ends(range).filter(|(_, end)| (*end as usize) < length) {
                Some((start, end)) => emotes.push(Emote { id, start, end }),
                None => bad += 1,
            }
        }
    }
    emotes.sort_by_key(|emote| emote.start);
    (emotes, bad)
}

fn ends(range: &str) -> Option<(u32, u32)> {
    let (start, end) = range.split_once('-')?;
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(tag: &str, text: &str) -> (Vec<(String, u32, u32)>, u64) {
        let (emotes, bad) = parse(tag, text);
        (emotes.iter().map(|emote| (emote.id.to_owned(), emote.start, emote.end)).collect(), bad)
    }

    #[test]
    fn emotes_are_given_in_the_order_of_the_text() {
        let all = [("25", 0, 4), ("1902", 6, 10), ("25", 12, 16)].map(|(id, a, b)| (id.to_owned(), a, b));
        assert_eq!(read("25:0-4,12-16/1902:6-10", "Kappa Keepo Kappa"), (all.to_vec(), 0));
    }

    #[test]
    fn positions_count_code_points() {
        assert_eq!(read("483:2-3", "👉 <3"), (vec![("483".to_owned(), 2, 3)], 0));
        assert_eq!(read("483:3-4", "👉 <3"), (vec![], 1));
    }

    #[test]
    fn bad_ranges_are_left_out_and_counted() {
        for (tag, bad) in [
            ("84608:9-10", 1),
            ("84608:15-2", 1),
            ("84608:-1-2", 1),
            ("84608:2", 1),
            ("84608:", 1),
            (":0-1", 1),
            ("84608", 1),
            ("1:0-9999999999999999999999,a-b,1-", 3),
        ] {
            assert_eq!(read(tag, "foo bar"), (vec![], bad), "{tag}");
        }
        assert_eq!(read("1:0-0,8-9/2:4-6", "foo bar").0.len(), 2);
    }

    proptest! {
        #[test]
        fn whatever_the_tag_says_every_emote_is_inside_the_text(tag in "[0-9a-z_:,/-]{0,40}", text in ".{0,12}") {
            for emote in parse(&tag, &text).0 {
                prop_assert!(emote.start <= emote.end && (emote.end as usize) < text.chars().count());
            }
        }
    }
}
