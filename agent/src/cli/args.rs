//! What can be typed.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{config::Flag, source::process::SESSION};

use super::{
    files::FilesArgs, inject::InjectArgs, level::LevelArgs, logs::LogsArgs, metrics::MetricsArgs, replay::ReplayArgs,
    run::RunArgs, runs::RunsArgs, status::StatusArgs, submit::SubmitArgs,
};

const EXAMPLES: &str = "\
Examples:
  runlog exec -- python train.py           run a script and keep what it prints
  runlog runs                              list runs
  runlog logs latest --level warn          what went wrong in the newest one
  runlog runs show latest                  how it ended, and whether every line is there
  RUNLOG_LEVEL=DEBUG RUNLOG_FILES='/logs/*.log' RUNLOG_EXPORT_ENDPOINT=http://collector:4318 runlog
                                           a sidecar: files of a shared volume, sent to a Collector
  runlog check                             try settings, rights and the destination

Exit codes: 0 all delivered, 1 the command failed, 64 settings, 70 a bug, 74 the state directory cannot be used,
75 stopped with records still in the queue. `exec` ends with the code of its process.";

const EXEC_EXAMPLES: &str = "\
Examples:
  runlog exec -- python train.py --lr 0.1
  runlog exec --run-id ridge-1 --experiment diabetes --level debug -- python train.py
  runlog exec --pty -- python train.py     with the progress bars and colours of a terminal";

const STDIN_EXAMPLES: &str = "\
Examples:
  python train.py 2>&1 | runlog stdin
  zcat old.log.gz | runlog stdin --quiet --run-id ridge-0

The exit code of what writes is not seen here, and what is in the pipe when runlog is killed is lost:
`runlog exec -- python train.py` has neither flaw.";

const RUN_EXAMPLES: &str = "\
Examples:
  export RUNLOG_RUN_ID=$(runlog run start --experiment diabetes --param alpha=0.4)
  runlog run log mse 3295.7 --step 1
  runlog run upload outputs/model.pkl model.pkl
  runlog run complete

It is taken by the agent at RUNLOG_SOCKET, or of the state directory; without one it goes into the store there.";

const LOGS_EXAMPLES: &str = "\
Examples:
  runlog logs latest -f
  runlog logs ridge-1 --level warn --tail 50
  runlog logs ridge-1 --grep 'loss=nan' --json";

const LEVEL_EXAMPLES: &str = "\
Examples:
  runlog level                             what holds now
  runlog level debug --for 10m             everything, for ten minutes
  runlog level debug --run ridge-1 --logger train
  runlog level warn --source noisy-proxy   of one container
  runlog level --reset                     what the settings say

It is asked of the agent of the state directory and of all `runlog exec` there, and holds within a second. Nothing of it
is kept: a restart, and a reload by SIGHUP, return to the settings.";

/// What a training run printed, found under its run.
#[derive(Debug, Parser)]
#[command(name = "runlog", version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub settings: SettingsArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that set an option; each is also a variable and a key of the configuration file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Read this configuration file instead of /etc/runlog/runlog.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Leave out lines below this level: trace, debug, info, warn, error, fatal [RUNLOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// The run that everything belongs to [RUNLOG_RUN_ID]
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// The experiment that the run belongs to [RUNLOG_EXPERIMENT]
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
    /// Follow these files; may be given several times [RUNLOG_FILES]
    #[arg(long, value_name = "GLOB")]
    pub files: Vec<String>,
    /// Keep the queue and the store here [RUNLOG_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Send logs there over OTLP [RUNLOG_EXPORT_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Serve health, metrics and the page here; off for none [RUNLOG_SERVE_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Set any other option, as key=value [RUNLOG_<KEY>]
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Where the reading commands read.
#[derive(Debug, Default, Args)]
pub struct PlaceArgs {
    /// Ask the agent or `runlog serve` at this address, such as http://127.0.0.1:4319
    #[arg(long, value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Read what is kept in this state directory [RUNLOG_STATE_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<String>,
}

impl PlaceArgs {
    /// The settings that these flags amount to.
    pub fn settings(&self) -> SettingsArgs {
        SettingsArgs { state_dir: self.state_dir.clone(), ..SettingsArgs::default() }
    }
}

impl SettingsArgs {
    /// The flags that were given, for [`crate::config::load`].
    ///
    /// # Errors
    /// A `--set` without `=`, as it was typed.
    pub fn flags(&self) -> Result<Vec<Flag>, String> {
        let files = (!self.files.is_empty()).then(|| self.files.join(","));
        let named = [
            ("level", "--level", &self.level),
            ("run_id", "--run-id", &self.run_id),
            ("experiment", "--experiment", &self.experiment),
            ("files", "--files", &files),
            ("state_dir", "--state-dir", &self.state_dir),
            ("export.endpoint", "--endpoint", &self.endpoint),
            ("serve.listen", "--listen", &self.listen),
        ];
        let flag =
            |key: &str, name: &str, value: &str| Flag { key: key.into(), name: name.into(), value: value.into() };
        let mut flags: Vec<Flag> =
            named.iter().filter_map(|(key, name, value)| Some(flag(key, name, value.as_deref()?))).collect();
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| pair.clone())?;
            let key = key.trim();
            flags.push(flag(key, &format!("--set {key}"), value));
        }
        Ok(flags)
    }
}

/// What runlog can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect from files and containers until stopped (what runlog does without a command)
    Agent(SettingsArgs),
    /// Run a program and collect what it prints; ends with its exit code
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Collect what is piped in until its end, and show it
    #[command(after_help = STDIN_EXAMPLES)]
    Stdin(StdinArgs),
    /// Become a program that leads the session of a terminal, for `exec --pty`
    #[command(name = SESSION, hide = true)]
    LeadSession {
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Serve the embedded store alone: page, API, and OTLP/HTTP logs from other agents
    Serve(SettingsArgs),
    /// Try the settings, the rights and the destination
    Check(CheckArgs),
    /// List runs, or show what came of one
    Runs(Read<RunsArgs>),
    /// Print what a run printed
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(Read<LogsArgs>),
    /// Run a script in a copy of its folder, once or for each value of a sweep
    Submit(SubmitPlace),
    /// Work at what `submit --no-wait` was given
    #[command(hide = true)]
    Supervise {
        /// The file that says what is to be run
        plan: PathBuf,
        /// Have another process do it, and start one more if that is killed
        #[arg(long, conflicts_with = "take_over")]
        keep: bool,
        /// Go on where one that was killed has been
        #[arg(long)]
        take_over: bool,
    },
    /// Start a run, log to it and end it, from a script
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunPlace),
    /// Print what a run has logged: numbers, lists, tables
    Metrics(Read<MetricsArgs>),
    /// List the files of a run, or get them
    Files(Read<FilesArgs>),
    /// Show how a running agent is doing
    Status(Read<StatusArgs>),
    /// Show which level holds, or set another one for a time, without a restart
    #[command(after_help = LEVEL_EXAMPLES)]
    Level(Read<LevelArgs>),
    /// Send what the flight recorder has kept of lines below the level (recorder.on)
    Replay(Read<ReplayArgs>),
    /// Write the manual's pages into a folder, for packages
    #[command(hide = true)]
    Man {
        /// The folder, which has to exist
        folder: PathBuf,
    },
    /// Add the sidecar to the manifests of Kubernetes, or take it out
    Inject(InjectArgs),
    /// Put this program into a folder that the containers of a pod share, for `inject`
    #[command(hide = true)]
    Furnish {
        /// The folder
        folder: PathBuf,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `runlog exec`
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Do not tell about the run at its end
    #[arg(long, short)]
    pub quiet: bool,
    /// Give the program a terminal, on which stdout and stderr are one, in place of a pipe for each
    #[arg(long, short = 't')]
    pub pty: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    // Last, because its heading goes on to what follows.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `runlog stdin`
#[derive(Debug, Args)]
pub struct StdinArgs {
    /// Show nothing: neither the lines nor what came of the run
    #[arg(long, short)]
    pub quiet: bool,
    // Last, because its heading goes on to what follows.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `runlog check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Show each option's value and where it was set, and try nothing
    #[arg(long)]
    pub show: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    // Last, because its heading goes on to what follows.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// `runlog submit`: what to run, and where it is kept.
#[derive(Debug, Args)]
pub struct SubmitPlace {
    /// Keep the queues and the store here [RUNLOG_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    #[command(flatten)]
    pub what: SubmitArgs,
}

/// `runlog run`: what to do, and where.
#[derive(Debug, Args)]
pub struct RunPlace {
    #[command(flatten)]
    pub what: RunArgs,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// A reading command: what to read, and where.
#[derive(Debug, Args)]
pub struct Read<A: Args> {
    #[command(flatten)]
    pub what: A,
    #[command(flatten)]
    pub place: PlaceArgs,
}
