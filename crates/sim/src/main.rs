//! Runs many seeds, and shows the first that fails.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use chatbus_sim::{Plan, Wrong, run, shrink};
use clap::Parser;

/// Runs the simulation of the egress engine.
#[derive(Parser)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with its trace
    #[arg(long)]
    seed: Option<u64>,
    /// How many that fail are shown
    #[arg(long, default_value_t = 1)]
    show: usize,
    /// Do not look for a smaller failure
    #[arg(long)]
    whole: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        return if show(seed, args.whole) { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let (next, struck, said) = (AtomicU64::new(args.from), AtomicUsize::new(0), AtomicUsize::new(0));
    let end = args.from + args.seeds;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    return failed;
                }
                let ran = run(&Plan::of(seed), false, |_| {});
                struck.fetch_add(ran.struck, Ordering::Relaxed);
                said.fetch_add(ran.said, Ordering::Relaxed);
                if !ran.wrong.is_empty() {
                    failed.push((seed, ran.wrong));
                }
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut failed: Vec<_> =
            threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect();
        failed.sort();
        failed
    });
    summary(&args, &failed, struck.into_inner(), said.into_inner());
    for (seed, _) in failed.iter().take(args.show) {
        show(*seed, args.whole);
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
fn summary(args: &Args, failed: &[(u64, Vec<Wrong>)], struck: usize, said: usize) {
    for (seed, wrong) in failed {
        let wrong: Vec<String> = wrong.iter().map(Wrong::to_string).collect();
        println!("seed {seed}: {}", wrong.join("; "));
    }
    println!("{} seeds, {struck} faults, {said} texts said, {} seeds failed", args.seeds, failed.len());
}

/// Prints what happens with a seed; gives whether it fails.
#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
fn show(seed: u64, whole: bool) -> bool {
    let plan = Plan::of(seed);
    let fails = !run(&plan, false, |_| {}).wrong.is_empty();
    let plan = if fails && !whole { shrink(&plan, |_| {}) } else { plan };
    let ran = run(&plan, true, |_| {});
    println!("seed {seed}\n{plan}\n{}", ran.trace);
    for wrong in &ran.wrong {
        println!("WRONG {wrong}");
    }
    fails
}
