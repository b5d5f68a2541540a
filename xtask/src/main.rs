//! Checks and generators of the workspace.

mod coverage;
mod docs;
mod layers;
mod new_platform;
mod rust;
mod sim;
mod soak;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Checks and generators of the workspace")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check manifests and code against layers.toml
    Layers,
    /// Write the documents that are generated from the code
    Docs {
        /// Change nothing; fail when one is out of date
        #[arg(long)]
        check: bool,
    },
    /// Make a crate for a platform, and the lines elsewhere that it needs
    NewPlatform {
        /// 2 to 24 of a-z 0-9, beginning with a letter
        name: String,
        /// In a copy of the workspace: build, lint and test it there, and leave nothing
        #[arg(long = "try")]
        try_only: bool,
    },
    /// Run the fault tests with the numbers that are promised, and write docs/soak.md
    Soak {
        /// Only the test of this name
        #[arg(long)]
        only: Option<String>,
        /// In the form that CI runs, to see that it works; docs/soak.md stays as it is
        #[arg(long)]
        short: bool,
    },
    /// Run the egress engine through simulated faults
    Sim {
        /// How many seeds
        #[arg(long, default_value_t = 2_000)]
        seeds: u64,
        /// The first
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Measure line coverage and hold it against the floors
    Coverage,
}

#[expect(clippy::print_stderr, reason = "a command of the developers' terminal")]
fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Layers => layers::run(),
        Task::Docs { check } => docs::run(check),
        Task::NewPlatform { name, try_only } => new_platform::run(&name, try_only),
        Task::Soak { only, short } => soak::run(only.as_deref(), short),
        Task::Sim { seeds, from } => sim::run(seeds, from),
        Task::Coverage => coverage::run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
