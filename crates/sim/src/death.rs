//! Worlds in which nothing goes wrong but one death, in the middle of what somebody says in one
//! conversation: there it can be seen what becomes of the order.

use std::time::Duration;

use chatbus_delivery::Role;

use crate::plan::{Answer, BROOK, CHANNELS, Draft, Fault, Instance, Planned, What};
use crate::rng::Rng;

/// How many worlds in a hundred are such.
const SHARE: u64 = 12;
/// A death that does not come back before all that it left is said by others.
const LONG: Duration = Duration::from_secs(55);

/// Makes a world one of these, if its seed says so.
pub(crate) fn strike(
    seed: u64,
    instances: &mut [Instance],
    events: &mut Vec<Planned>,
    faults: &mut Vec<Fault>,
) {
    let mut rng = Rng::new(seed, 4);
    let speakers: Vec<usize> = (0..instances.len())
        .filter(|at| instances.get(*at).is_some_and(|i| i.role == Role::IngressEgress))
        .collect();
    let Some(&owner) = rng.pick(&speakers).filter(|_| speakers.len() > 1 && rng.clone().chance(SHARE)) else {
        return;
    };
    let channel = rng.pick(&CHANNELS).copied().unwrap_or("#one");
    for at in &speakers {
        if let Some(instance) = instances.get_mut(*at)
            && !instance.channels.contains(&(BROOK, channel))
        {
            instance.channels.push((BROOK, channel));
        }
    }
    let name = instances.get(owner).map_or("", |instance| &instance.name);
    let begin = rng.millis(30_000, 50_000);
    let lasts = rng.between(500, 12_000);
    for n in 0..rng.between(6, 20) {
        let name_of_it = format!("b{n}");
        let answer = match rng.below(6) {
            0 => Answer::Later(u32::try_from(rng.between(1, 3)).unwrap_or(1)),
            1 => Answer::Slow(rng.between(1, 3)),
            _ => Answer::Yes,
        };
        let draft = Draft {
            name: &name_of_it,
            destination: BROOK,
            channel,
            deadline: Some(300_000),
            ..Draft::default()
        };
        events.push(Planned {
            at: begin + rng.millis(0, lasts),
            topic: format!("internal.egress.v1.{name}"),
            body: draft.encode(rng.below(3)),
            delivery_id: None,
            twice: false,
            audience: Some((BROOK, channel.to_owned())),
            answer,
            name: name_of_it,
        });
    }
    let awaits = u32::try_from(rng.below(40)).unwrap_or(0);
    let what = What::Crash { awaits, back: LONG, known_over: rng.chance(50) };
    *faults = vec![Fault { at: begin + rng.millis(0, lasts), instance: owner, what }];
}
