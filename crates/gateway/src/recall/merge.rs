//! Several instances' frames for one user, as one. Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::history::Remembered;

/// A frame that an instance sent, on this one's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) seq: u64,
    pub(super) delivery_id: Arc<str>,
    pub(super) at: Instant,
    pub(super) frame: Bytes,
}

/// What a connection that resumes is sent at once, less than what makes it a slow consumer.
const MAX_FRAMES: usize = 400;
const MAX_BYTES: usize = 768 * 1024;

/// In the order of time, each delivery once and none of `skip`. What stands in several lists ties them
/// together: as long as they agree, each instance's order is kept, since clocks are only as good as the
/// time that answers took. `None` when that is more than can be sent at once.
pub(super) fn merge(lists: Vec<Vec<Sent>>, skip: &HashSet<Arc<str>>) -> Option<Vec<Bytes>> {
    let mut left: HashMap<Arc<str>, usize> = HashMap::new();
    let mut queues: Vec<VecDeque<Sent>> = Vec::with_capacity(lists.len());
    for list in lists {
        let mut seen = skip.clone();
        let once = list.into_iter().filter(|sent| seen.insert(Arc::clone(&sent.delivery_id)));
        let queue: VecDeque<Sent> = once.collect();
        for sent in &queue {
            *left.entry(Arc::clone(&sent.delivery_id)).or_default() += 1;
        }
        queues.push(queue);
    }
    if left.len() > MAX_FRAMES {
        return None;
    }
    let (mut frames, mut bytes) = (Vec::with_capacity(left.len()), 0);
    while let Some(next) = next_of(&queues, &left) {
        let id = Arc::clone(&next.delivery_id);
        bytes += next.frame.len();
        frames.push(next.frame.clone());
        left.remove(&id);
        for queue in &mut queues {
            if let Some(at) = queue.iter().position(|sent| sent.delivery_id == id) {
                queue.remove(at);
            }
        }
    }
    (bytes <= MAX_BYTES).then_some(frames)
}

/// The first of a list that was sent first, of those that no other list has further behind; of all, where
/// the lists do not agree.
fn next_of<'a>(queues: &'a [VecDeque<Sent>], left: &HashMap<Arc<str>, usize>) -> Option<&'a Sent> {
    let heads = || queues.iter().filter_map(VecDeque::front);
    let is_first_in_all = |sent: &&Sent| {
        let first_in = heads().filter(|head| head.delivery_id == sent.delivery_id).count();
        left.get(&sent.delivery_id).is_none_or(|in_all| first_in == *in_all)
    };
    let first = heads().filter(is_first_in_all).min_by_key(|sent| sent.at);
    first.or_else(|| heads().min_by_key(|sent| sent.at))
}

// === impl Sent ===

impl From<Remembered> for Sent {
    fn from(frame: Remembered) -> Self {
        let Remembered { seq, delivery_id, at, frame } = frame;
        Self { seq, delivery_id, at, frame }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the global clock")]
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// Frames by when they were sent and their deliveries.
    fn list(frames: &[(u64, &str)]) -> Vec<Sent> {
        let sent = |(seq, (at, delivery)): (u64, &(u64, &str))| Sent {
            seq,
            delivery_id: (*delivery).into(),
            at: *BEGIN + Duration::from_millis(*at),
            frame: Bytes::copy_from_slice(delivery.as_bytes()),
        };
        (1..).zip(frames).map(sent).collect()
    }

    fn merged(lists: &[&[(u64, &str)]], skip: &[&str]) -> String {
        let skip = skip.iter().map(|&id| id.into()).collect();
        let frames = merge(lists.iter().map(|frames| list(frames)).collect(), &skip).unwrap();
        String::from_utf8(frames.concat()).unwrap()
    }

    #[test]
    fn frames_come_in_the_order_of_time_each_delivery_once() {
        for (lists, skip, expected) in [
            (&[][..], &[][..], ""),
            (&[&[(1, "a"), (2, "b")][..]], &[], "ab"),
            (&[&[(1, "a"), (5, "d")], &[(2, "b"), (3, "c")]], &[], "abcd"),
            // What both were sent holds them together, however their clocks differ.
            (&[&[(1, "a"), (5, "b"), (6, "d")], &[(2, "b"), (3, "c")]], &[], "abcd"),
            (&[&[(7, "a"), (8, "b"), (9, "c")], &[(1, "b"), (2, "c"), (3, "d")]], &[], "abcd"),
            (&[&[(1, "a"), (2, "b")], &[(3, "b"), (4, "a")]], &[], "ab"),
            (&[&[(1, "a"), (2, "a")], &[(3, "a")]], &[], "a"),
            // One instance's stay in their order though no time passes between them.
            (&[&[(1, "c"), (1, "b")], &[(1, "a"), (1, "d")]], &[], "cbad"),
            // What the client has, or got itself.
            (&[&[(1, "a"), (2, "b")], &[(1, "b"), (3, "c")]], &["b"], "ac"),
        ] {
            assert_eq!(merged(lists, skip), expected, "{lists:?}");
        }
    }

    #[test]
    fn more_than_can_be_sent_at_once_is_not_sent_in_part() {
        let many: Vec<Sent> = (0..=400)
            .map(|n| Sent { delivery_id: n.to_string().into(), ..list(&[(1, "x")]).remove(0) })
            .collect();
        assert_eq!(merge(vec![many[..400].to_vec()], &HashSet::new()).map(|all| all.len()), Some(400));
        assert_eq!(merge(vec![many], &HashSet::new()), None);
        let large = Sent { frame: vec![b'x'; MAX_BYTES].into(), ..list(&[(1, "large")]).remove(0) };
        assert_eq!(merge(vec![vec![large.clone()]], &HashSet::new()).map(|all| all.len()), Some(1));
        assert_eq!(merge(vec![vec![large], list(&[(1, "x")])], &HashSet::new()), None);
    }
}
