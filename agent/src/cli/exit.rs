//! Exit codes. Source for the numbers: `sysexits.h`.

use std::process::ExitCode;

use super::check::EXIT_SETTINGS;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is delivered, or the command did what was asked.
    Ok,
    /// The command failed: what was asked for does not exist, or nobody answers.
    Failed,
    /// The settings are wrong (`EX_USAGE`).
    Settings,
    /// A bug in runlog (`EX_SOFTWARE`).
    Bug,
    /// The state directory cannot be used (`EX_IOERR`).
    State,
    /// Stopped with records still in the queue; they are delivered after the next start (`EX_TEMPFAIL`).
    Undelivered,
    /// What the wrapped process ended with.
    Process(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Settings => EXIT_SETTINGS,
            Exit::Bug => 70,
            Exit::State => 74,
            Exit::Undelivered => 75,
            Exit::Process(code) => code,
        })
    }
}

/// A failure with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What is told to the operator.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure that ends with that code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_the_number_that_the_documents_name() {
        let ends = [
            (Exit::Ok, 0),
            (Exit::Failed, 1),
            (Exit::Settings, 64),
            (Exit::Bug, 70),
            (Exit::State, 74),
            (Exit::Undelivered, 75),
            (Exit::Process(137), 137),
        ];
        for (exit, number) in ends {
            assert_eq!(ExitCode::from(exit), ExitCode::from(number), "{exit:?}");
        }
    }
}
