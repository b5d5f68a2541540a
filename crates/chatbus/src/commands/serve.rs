//! `chatbus serve`.

use super::{Failure, Outcome, load};
use crate::cli::ServeArgs;
use crate::logging::{self, Stream};
use crate::process::{Process, read_roles};
use crate::settings::Environment;
use crate::signals;
use crate::supervisor::Supervisor;

pub(crate) async fn run(args: ServeArgs, environment: &Environment) -> Outcome {
    let roles = read_roles(&args.roles);
    let ((values, core), roles) = match (load(args.settings, environment), roles) {
        (Ok(loaded), Ok(roles)) => (loaded, roles),
        (Err(failure), Ok(_)) => return Err(failure),
        (Ok(_), Err(problems)) => return Err(Failure::Configuration(problems)),
        (Err(Failure::Configuration(mut problems)), Err(more)) => {
            problems.extend(more);
            return Err(Failure::Configuration(problems));
        }
        (Err(failure), Err(_)) => return Err(failure),
    };
    let supervisor = Supervisor::new();
    logging::start(&values, supervisor.runtime().clock, Stream::Stdout, None);
    let process = Process::start(&values, &core, &roles, &supervisor).await?;
    tokio::select! {
        signal = signals::stop() => tracing::info!(event = "process.signal", signal, "a signal asks to stop"),
        // A crashed task asks for the same.
        () = supervisor.stop().cancelled() => {}
    }
    process.stop().await?;
    Ok(())
}
