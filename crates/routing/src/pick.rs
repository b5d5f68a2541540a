//! Which of several candidates is said.

use chatbus_event::{MessageId, sha256_hex};

/// One of `count` candidates of a rule, for a message: the same for the same message, and another than `last`
/// where there is another. `count` 0 gives 0.
pub fn pick(message: &MessageId, rule: &str, count: usize, last: Option<usize>) -> usize {
    let last = last.filter(|last| *last < count && count > 1);
    let left = count - usize::from(last.is_some());
    let digest = sha256_hex(format!("{rule}\n{message}").as_bytes());
    let number = digest.get(..8).and_then(|digits| usize::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let at = number.checked_rem(left).unwrap_or(0);
    match last {
        Some(last) if at >= last => at + 1,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_one_is_never_picked_again_where_there_is_another(
            message in ".{0,12}", count in 0_usize..6, last in proptest::option::of(0_usize..8),
        ) {
            let id = MessageId::new(&message);
            let picked = pick(&id, "r", count, last);
            prop_assert!(picked < count.max(1));
            if count > 1 {
                prop_assert_ne!(Some(picked), last);
            }
            prop_assert_eq!(picked, pick(&id, "r", count, last));
        }
    }

    #[test]
    fn with_two_they_alternate() {
        let mut last = None;
        let mut seen = Vec::new();
        for n in 0..6 {
            let picked = pick(&MessageId::new(&format!("m{n}")), "r", 2, last);
            seen.push(picked);
            last = Some(picked);
        }
        assert!(seen.windows(2).all(|two| two[0] != two[1]), "{seen:?}");
    }

    #[test]
    fn all_are_picked_at_some_time() {
        let picked: std::collections::BTreeSet<usize> =
            (0..100).map(|n| pick(&MessageId::new(&format!("m{n}")), "r", 4, None)).collect();
        assert_eq!(picked.len(), 4);
    }
}
