//! `runlog exec`: one command, collected from start to end.

use std::{ffi::OsStr, io::ErrorKind, path::Path, time::Duration};

use anyhow::anyhow;
use tokio::time::timeout;

use crate::{
    config::{Input, Settings},
    source::process::{self, Prints, Program},
};

use super::{
    args::ExecArgs,
    exit::{Exit, Failure},
    program::{self, Place},
    setup::Run,
    single::Single,
    socket::Socket,
};

/// How long the socket's end is waited for once all else has ended.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Runs the command and collects what it prints. Ends as the command does.
pub async fn run(settings: &Settings, input: &Input, arguments: &ExecArgs) -> Result<Exit, Failure> {
    let single = Single::begin(settings, input)?;
    let [name, rest @ ..] = arguments.command.as_slice() else {
        return Err(Failure::new(Exit::Settings, anyhow!("there is no command to run")));
    };
    let socket = Socket::open(settings, input, &single).await;
    let mut environment = variables(&single.run, input);
    environment.extend(socket.iter().flat_map(|socket| socket.variables(input)));
    let program = Program {
        name: name.clone(),
        arguments: rest.to_vec(),
        environment,
        prints_to: if arguments.pty { Prints::ToTerminal } else { Prints::ToPipes },
        error_file: input.environment.get("TORCHELASTIC_ERROR_FILE").filter(|path| !path.is_empty()).map(Into::into),
    };
    let exit = process::run(&program, &settings.process, single.context(), &single.tagging(settings)).await;
    let exit = match exit {
        Ok(exit) => exit,
        Err(error) => {
            stop(socket.as_ref()).await;
            single.discard(settings, close(socket)).await;
            if error.kind() == ErrorKind::NotFound && name.to_string_lossy().starts_with('-') {
                return Err(Failure::new(Exit::Settings, no_flag("exec", &name.to_string_lossy())));
            }
            return Err(not_started(name, &error));
        }
    };
    stop(socket.as_ref()).await;
    let collected = single.end(settings, close(socket)).await?;
    if !arguments.quiet {
        collected.tell();
    }
    Ok(Exit::Process(exit.code))
}

async fn stop(socket: Option<&Socket>) {
    if let Some(socket) = socket {
        socket.stop().await;
    }
}

async fn close(socket: Option<Socket>) {
    if let Some(socket) = socket {
        // One that hangs in the system is left behind.
        let _ = timeout(LAST_MOMENT, socket.close()).await;
    }
}

/// Becomes the command, on a terminal of its own. Returns if that fails.
pub fn lead_session(command: &[std::ffi::OsString]) -> Failure {
    let [name, rest @ ..] = command else {
        return Failure::new(Exit::Settings, anyhow!("there is no command to run"));
    };
    not_started(name, &process::lead_session(name, rest))
}

/// Why the program was not started: what can be found out, otherwise what the system says.
fn not_started(name: &OsStr, error: &std::io::Error) -> Failure {
    let search = std::env::var_os("PATH");
    let place = Place { folder: Path::new("."), called: "this folder", search: search.as_deref() };
    let said = || anyhow!("{} cannot be started: {error}", name.to_string_lossy());
    Failure::new(Exit::Process(code_of(error)), program::check(name, &place).err().unwrap_or_else(said))
}

/// What is typed before the program is taken for the program if it is no flag of the command.
pub fn no_flag(command: &str, name: &str) -> anyhow::Error {
    anyhow!("{name} is no flag of `runlog {command}`, and no program\n`runlog {command} --help` has its flags")
}

/// As shells have it: 127 is not found, 126 cannot be run.
fn code_of(error: &std::io::Error) -> u8 {
    if error.kind() == ErrorKind::NotFound { 127 } else { 126 }
}

/// What the command's environment says beside what it inherits.
fn variables(run: &Run, input: &Input) -> Vec<(String, String)> {
    let mut variables = vec![("RUNLOG_RUN_ID".to_owned(), run.id.to_string())];
    if let Some(experiment) = &run.identity.experiment {
        variables.push(("RUNLOG_EXPERIMENT".to_owned(), experiment.clone()));
    }
    // Python keeps 8 KiB back when it writes to a pipe: nothing would be seen for an hour, and lost at a kill.
    if !input.environment.contains_key("PYTHONUNBUFFERED") {
        variables.push(("PYTHONUNBUFFERED".to_owned(), "1".to_owned()));
    }
    variables
}
