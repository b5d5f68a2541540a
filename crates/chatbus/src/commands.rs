//! The commands, a file each.

mod ask;
pub(crate) mod bench;
pub(crate) mod channels;
pub(crate) mod config;
pub(crate) mod demo;
mod direct;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod oauth;
pub(crate) mod rules;
pub(crate) mod sandbox;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod users;

use chatbus_runtime::settings::{Problem, Values};

use crate::cli::SettingFlags;
use crate::registry;
use crate::settings::{self, Core, Environment};

/// How a command ended, when it did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Bad usage or configuration: exit 2, every problem at once.
    Configuration(Vec<Problem>),
    /// Anything else: exit 1.
    Runtime(anyhow::Error),
    /// Something that was reported already, with its own exit code.
    Reported(u8),
}

/// What a command gives main.
pub(crate) type Outcome = Result<(), Failure>;

// === impl Failure ===

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Runtime(error.into())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Configuration(vec![problem])
    }
}

/// Loads the settings of a command.
///
/// # Errors
/// Every problem at once.
fn load(flags: SettingFlags, environment: &Environment) -> Result<(Values, Core), Failure> {
    let loaded = settings::load(&settings::all(), flags.config.as_deref(), environment, flags.layer);
    let mut problems = loaded.problems;
    match Core::read(&loaded.values) {
        Ok(core) if problems.is_empty() => return Ok((loaded.values, core)),
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    registry::add_problems(&loaded.values, &mut problems);
    Err(Failure::Configuration(problems))
}
