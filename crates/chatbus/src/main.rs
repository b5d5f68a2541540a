//! The `chatbus` command: connects chat platforms to an event bus, both ways.

mod cli;
mod client;
mod commands;
mod instance;
mod logging;
mod process;
mod registry;
mod settings;
mod signals;
mod supervisor;
mod target;
mod terminal;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use commands::{Failure, Outcome};
use settings::Environment;

/// Events are made in one thread and dropped in another, many of them longer than what the system's
/// allocator keeps at hand for a thread: with that one a quarter of an event's CPU time went there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The executor reads this itself.
const WORKERS_SETTING: &str = "TOKIO_WORKER_THREADS";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::of_process();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if environment.get(WORKERS_SETTING).is_none() {
        builder.worker_threads(workers());
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err(Failure::Runtime(error.into()))),
    };
    let outcome = runtime.block_on(run(cli, &environment));
    // A blocking call that hangs must not keep a process that is done.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    exit_code(outcome)
}

/// One fewer than there are cores: what the bus's writer or server and the kernel do for each event wants one
/// too. On two cores a second worker costs more for being woken than it carries (docs/performance.md).
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

async fn run(cli: Cli, environment: &Environment) -> Outcome {
    match cli.command {
        Command::Demo(args) => commands::demo::run(args, environment).await,
        Command::Serve(args) => commands::serve::run(args, environment).await,
        Command::Sandbox(args) => commands::sandbox::run(args, environment).await,
        Command::Tail(args) => commands::tail::run(args, environment).await,
        Command::Send(args) => commands::send::run(args, environment).await,
        Command::Channels(args) => commands::channels::run(args, environment).await,
        Command::Events(args) => commands::events::run(args, environment).await,
        Command::Dlq(args) => commands::dlq::run(args, environment).await,
        Command::Users(args) => commands::users::run(args, environment).await,
        Command::Rules(args) => commands::rules::run(args.what, environment).await,
        Command::Token(args) => commands::token::run(args, environment).await,
        Command::Oauth(args) => commands::oauth::run(args, environment).await,
        Command::Doctor(args) => commands::doctor::run(args, environment).await,
        Command::Config(args) => commands::config::run(args.what, environment),
        Command::Schema(args) => commands::schema::run(args.what),
        Command::Bench(args) => commands::bench::run(args).await,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |io: &std::io::Error| io.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

fn exit_code(outcome: Outcome) -> ExitCode {
    let mut err = std::io::stderr().lock();
    // There is nowhere left to report that reporting failed.
    let code = match outcome {
        Ok(()) => 0,
        Err(Failure::Reported(code)) => code,
        // Whoever read the output has enough of it.
        Err(Failure::Runtime(error)) if is_broken_pipe(&error) => 0,
        Err(Failure::Runtime(error)) => {
            let _ = writeln!(err, "chatbus: {error:#}");
            1
        }
        Err(Failure::Configuration(problems)) => {
            let _ = writeln!(err, "chatbus: the configuration has {} problem(s):", problems.len());
            for problem in problems {
                let _ = writeln!(err, "  {}", terminal::safe(&problem.to_string()));
            }
            let _ = writeln!(err, "See `chatbus config show` and docs/settings.md.");
            2
        }
    };
    ExitCode::from(code)
}
