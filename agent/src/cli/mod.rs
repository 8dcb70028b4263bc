//! The command line: what can be typed, and what is done then.

mod agent;
mod args;
mod caller;
pub mod check;
mod exec;
mod exit;
mod exit_with;
mod files;
mod inject;
mod level;
pub mod logs;
mod manual;
mod metrics;
mod notify;
mod program;
mod reader;
mod replay;
mod retain;
mod run;
mod run_api;
pub mod runs;
mod serve;
mod setup;
mod signals;
mod single;
mod socket;
mod sources;
pub mod status;
mod stdin;
mod submit;
mod table;
mod terminal;
#[cfg(test)]
mod tests;

pub use reader::{Reader, Server};
pub use terminal::{Kind, Output};

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clap::{CommandFactory, Parser};
use jiff::tz::TimeZone;
use tokio::runtime;
use url::Url;

use crate::{
    config::{Input, Settings},
    record::{Clock, SystemClock},
};

use args::{Cli, Command, PlaceArgs, SettingsArgs};
use caller::Caller;
use check::{Asked, Form, What};
use exit::{Exit, Failure};
use setup::State;
use terminal::unless_closed;

/// Threads that sources, destinations and the server share. The pipeline and the files have their own. With a second
/// one, each batch wakes both.
const WORKERS: usize = 1;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version were asked for; everything else is a fault of what was typed.
            let exit = if error.use_stderr() { Exit::Settings } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let mut text = format!("runlog: {}", failure.error);
            for cause in failure.error.chain().skip(1) {
                text += &format!(": {cause}");
            }
            // There is nobody left to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "{text}");
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let before = cli.settings;
    match cli.command.unwrap_or(Command::Agent(SettingsArgs::default())) {
        Command::Agent(settings) => {
            let input = setup::input(&[&before, &settings])?;
            let settings = setup::begin(&input)?;
            in_runtime(agent::run(&settings, &input))
        }
        Command::Exec(exec) => {
            let input = setup::input(&[&before, &exec.settings])?;
            let settings = setup::begin(&input)?;
            in_runtime(exec::run(&settings, &input, &exec))
        }
        Command::Stdin(stdin) => {
            let input = setup::input(&[&before, &stdin.settings])?;
            let settings = setup::begin(&input)?;
            in_runtime(stdin::run(&settings, &input, &stdin))
        }
        Command::LeadSession { command } => Err(exec::lead_session(&command)),
        Command::Serve(settings) => {
            let settings = setup::begin(&setup::input(&[&before, &settings])?)?;
            in_runtime(serve::run(&settings))
        }
        Command::Check(check) => {
            let input = setup::input(&[&before, &check.settings])?;
            let asked = Asked {
                what: if check.show { What::Show } else { What::Try },
                form: if check.json { Form::Json } else { Form::Text },
            };
            let mut answer = Vec::new();
            let code = check::check(&input, asked, &mut answer).context("cannot write the answer")?;
            print(&answer)?;
            Ok(if code == 0 { Exit::Ok } else { Exit::Settings })
        }
        Command::Inject(inject) => {
            let text = inject::inject(&inject).map_err(|error| Failure::new(Exit::Settings, error))?;
            print(text.as_bytes())?;
            Ok(Exit::Ok)
        }
        Command::Furnish { folder } => {
            inject::furnish(&folder)?;
            Ok(Exit::Ok)
        }
        Command::Submit(submit) => {
            let place = PlaceArgs { state_dir: submit.state_dir, ..PlaceArgs::default() };
            let input = setup::input(&[&before, &place.settings()])?;
            let state_dir = setup::load(&input)?.settings.state_dir;
            in_runtime(async {
                let caller = caller(&input, &place).await?;
                Ok(submit::submit(&submit.what, &state_dir, &caller, &mut Output::stdout()).await?)
            })
        }
        Command::Supervise { plan, keep: true, .. } => Ok(submit::detached::keep(&plan)?),
        Command::Supervise { plan, take_over, .. } => {
            let plan = submit::read(&plan)?;
            let begun = if take_over { submit::Begun::Before } else { submit::Begun::Never };
            let input = setup::input(&[&before])?;
            in_runtime(async {
                let caller = caller(&input, &PlaceArgs::default()).await?;
                Ok(submit::go_on(&plan, begun, &caller).await?)
            })
        }
        Command::Run(run) => {
            let input = setup::input(&[&before, &run.place.settings()])?;
            let id = input.environment.get("RUNLOG_RUN_ID").map(String::as_str).filter(|id| !id.is_empty());
            in_runtime(async {
                let caller = caller(&input, &run.place).await?;
                Ok(run::run(&run.what, id, &caller, &mut Output::stdout()).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Metrics(metrics) => {
            let input = setup::input(&[&before, &metrics.place.settings()])?;
            in_runtime(async {
                let caller = caller(&input, &metrics.place).await?;
                let zone = TimeZone::system();
                Ok(metrics::metrics(&metrics.what, &caller, &mut Output::stdout(), &zone).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Files(files) => {
            let input = setup::input(&[&before, &files.place.settings()])?;
            in_runtime(async {
                let caller = caller(&input, &files.place).await?;
                Ok(files::files(&files.what, &caller, &mut Output::stdout()).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Runs(runs) if runs.what.needs_caller() => {
            let input = setup::input(&[&before, &runs.place.settings()])?;
            in_runtime(async {
                let caller = caller(&input, &runs.place).await?;
                let state_dir = setup::load(&input)?.settings.state_dir;
                let done = runs::manage::runs(&runs.what, &caller, &state_dir, &mut Output::stdout()).await;
                Ok(done.map(|()| Exit::Ok)?)
            })
        }
        Command::Runs(runs) if runs.what.is_import() => {
            if runs.place.server.is_some() {
                return Err(anyhow!("a run is imported where the store is: run this there, without --server").into());
            }
            let settings = setup::load(&setup::input(&[&before, &runs.place.settings()])?)?.settings;
            let store = State::open(&settings)?.open_store()?;
            in_runtime(async { Ok(runs::import(&runs.what, store, &mut Output::stdout()).await.map(|()| Exit::Ok)?) })
        }
        Command::Runs(runs) => {
            let reader = reader(&before, &runs.place)?;
            let zone = TimeZone::system();
            in_runtime(async {
                Ok(runs::runs(&runs.what, &reader, &mut Output::stdout(), &zone).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Logs(logs) => {
            let reader = reader(&before, &logs.place)?;
            let now = SystemClock.now();
            in_runtime(async {
                Ok(logs::logs(&logs.what, &reader, &mut Output::stdout(), now).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Status(status) => {
            let server = server(&before, &status.place)?;
            in_runtime(async {
                Ok(status::status(&status.what, &server, &mut Output::stdout(), &SystemClock)
                    .await
                    .map(|()| Exit::Ok)?)
            })
        }
        Command::Level(level) => {
            let input = setup::input(&[&before, &level.place.settings()])?;
            in_runtime(async {
                let callers = callers(&input, &level.place).await?;
                Ok(level::level(&level.what, &callers, &mut Output::stdout(), &SystemClock).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Replay(replay) => {
            let input = setup::input(&[&before, &replay.place.settings()])?;
            in_runtime(async {
                let callers = callers(&input, &replay.place).await?;
                Ok(replay::replay(&replay.what, &callers, &mut Output::stdout()).await.map(|()| Exit::Ok)?)
            })
        }
        Command::Man { folder } => {
            manual::write(&folder)?;
            Ok(Exit::Ok)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "runlog", &mut script);
            print(&script)?;
            Ok(Exit::Ok)
        }
    }
}

/// Writes a whole answer at once.
fn print(answer: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(answer).and_then(|()| stdout.flush());
    unless_closed(written.map_err(Into::into)).context("cannot write the answer")
}

/// Where the reading commands read.
fn reader(before: &SettingsArgs, place: &PlaceArgs) -> Result<Reader, Failure> {
    let settings = setup::load(&setup::input(&[before, &place.settings()])?)?.settings;
    if let Some(server) = &place.server {
        return Ok(Reader::Server(Box::new(Server::new(&url(server)?, &settings.serve.access)?)));
    }
    let dir = State::of(&settings).store_dir();
    let is_there = dir.try_exists().with_context(|| {
        let remedy = "read as the user that runs runlog, or ask it with --server";
        format!("{} may not be read; {remedy}", settings.state_dir.display())
    })?;
    if !is_there {
        let text =
            "is nothing stored yet; `runlog exec -- COMMAND` stores a run, --state-dir or --server reads elsewhere";
        return Err(anyhow!("in {} {text}", settings.state_dir.display()).into());
    }
    Ok(Reader::open(&dir).map_err(|error| State::of(&settings).full().unwrap_or(error))?)
}

/// Who answers calls of the Run API.
async fn caller(input: &Input, place: &PlaceArgs) -> Result<Caller, Failure> {
    let server = place.server.as_deref().map(url).transpose()?;
    let settings = setup::load(input)?.settings;
    let socket = input.environment.get("RUNLOG_SOCKET").map(String::as_str);
    Ok(Caller::find(server.as_ref(), socket, &settings).await?)
}

/// All that collect, and can be asked to do so in another way.
async fn callers(input: &Input, place: &PlaceArgs) -> Result<Vec<Caller>, Failure> {
    let server = place.server.as_deref().map(url).transpose()?;
    let settings = setup::load(input)?.settings;
    let socket = input.environment.get("RUNLOG_SOCKET").map(String::as_str);
    let callers = Caller::all(server.as_ref(), socket, &settings).await?;
    if callers.is_empty() { Err(nobody(&settings).into()) } else { Ok(callers) }
}

/// The server that is asked how it is.
fn server(before: &SettingsArgs, place: &PlaceArgs) -> Result<Server, Failure> {
    let settings = setup::load(&setup::input(&[before, &place.settings()])?)?.settings;
    if let Some(server) = &place.server {
        return Ok(Server::new(&url(server)?, &settings.serve.access)?);
    }
    let Some(address) = State::of(&settings).address() else {
        return Err(nobody(&settings).into());
    };
    Ok(Server::new(&url(&address)?, &settings.serve.access)?)
}

fn nobody(settings: &Settings) -> anyhow::Error {
    let dir = settings.state_dir.display();
    anyhow!("no runlog serves from {dir}; start one, or name another with --state-dir or --server")
}

fn url(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).with_context(|| format!("{text} is not an address such as http://127.0.0.1:4319"))?;
    Ok(url)
}

fn in_runtime(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, anyhow!(error).context("cannot start threads")))?;
    let outcome = runtime.block_on(work);
    // What is still blocked in the system, such as a write to a full pipe, must not keep the process.
    runtime.shutdown_background();
    outcome
}
