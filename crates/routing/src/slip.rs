//! Routing slips: the steps an event still has to take, and what follows when one of them is done.
//!
//! A slip is read in its order. A step that is `OK` or `SKIP` is behind us; the first `PENDING` one is where
//! the event goes next; one that is `ERROR` stops those behind it. When nothing is left to do, what there is
//! to say goes to the egress side, an event with nothing to say is finalized `NONE`, and one that failed with
//! nothing to say becomes a dead letter. So an event that took its slip's last step has exactly one end.

mod onward;
mod publication;
mod steps;

pub use onward::{Done, MAX_HOPS, Onward, OnwardContext, is_followed, onward};
pub use publication::{Input, Publication};
pub use steps::{MAX_ATTEMPTS, MAX_STEPS, Plan, set_plan};

#[cfg(test)]
mod tests;
