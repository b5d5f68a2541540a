//! The simulation of the egress engine, with as many seeds as one likes.

use anyhow::{Context as _, Result};

use crate::workspace;

/// Runs it; gives whether every seed held. The simulation itself shows the first that did not.
pub(crate) fn run(seeds: u64, from: u64) -> Result<bool> {
    let (seeds, from) = (seeds.to_string(), from.to_string());
    let mut simulation = workspace::cargo();
    simulation.args(["run", "--quiet", "--package", "chatbus-sim", "--", "--seeds", &seeds, "--from", &from]);
    Ok(simulation.status().context("the simulation does not start")?.success())
}
