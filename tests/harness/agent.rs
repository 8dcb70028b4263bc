//! The agent, as users run it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    binary, eventually, eventually_within,
    privilege::{give_away, unprivileged, with_hosts, with_one_watch},
    process::eventually_stands_still,
    tool,
    wait::PATIENCE,
};

/// A `runlog` command with nothing of this machine's settings in its environment.
#[must_use]
pub fn runlog(state: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("RUNLOG_STATE_DIR", state)
        .env("RUNLOG_CONFIG", "/dev/null")
        .stdin(Stdio::null());
    command
}

/// How an agent is started.
#[derive(Debug, Clone)]
pub struct AgentBuilder {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    is_unprivileged: bool,
    /// A command that becomes the agent, and its arguments.
    wrapper: Vec<String>,
    has_one_watch: bool,
    hosts: Option<PathBuf>,
}

/// A running agent with a folder of its own. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    builder: AgentBuilder,
    folder: tempfile::TempDir,
    child: Option<Child>,
    starts: u32,
    /// What `strace -e inject=` does at the next start.
    injection: Option<String>,
}

/// An agent that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it said on stderr since it was last started.
    pub messages: String,
}

/// A line as `runlog logs --json` gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line(pub Value);

impl Line {
    /// The text.
    #[must_use]
    pub fn body(&self) -> &str {
        self.text("body")
    }

    /// A field that is text; empty if it is missing.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// A record attribute as text; empty if it is missing.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        self.0["attributes"][key].as_str().unwrap_or_default()
    }

    /// The severity number.
    #[must_use]
    pub fn severity(&self) -> i64 {
        self.0["severity_number"].as_i64().unwrap_or_default()
    }

    /// What a line of a program is known by: its stream, its severity number and its text.
    #[must_use]
    pub fn seen(&self) -> (&str, i64, &str) {
        (self.text("stream"), self.severity(), self.body())
    }

    /// Whether it is a line of the training, and no event of runlog's.
    #[must_use]
    pub fn is_printed(&self) -> bool {
        self.text("event_name").is_empty()
    }
}

impl AgentBuilder {
    /// Sets a variable of the agent's environment.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Starts the agent through a command that becomes it, such as `prlimit --nofile=64`.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts the agent as a user without rights, which only matters where the tests are run by root.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.is_unprivileged = true;
        self
    }

    /// Starts the agent where the kernel lets it watch one folder.
    #[must_use]
    pub fn with_one_watch(mut self) -> Self {
        self.has_one_watch = true;
        self
    }

    /// Lets the agent find names in that file in place of `/etc/hosts`. Needs root.
    #[must_use]
    pub fn with_hosts(mut self, path: PathBuf) -> Self {
        self.hosts = Some(path);
        self
    }

    /// Starts the agent in a new folder and waits until it is ready.
    #[must_use]
    pub fn start(self) -> Agent {
        let mut agent = self.prepare();
        agent.start();
        agent
    }

    /// Makes the folder of an agent that is not started yet.
    #[must_use]
    pub fn prepare(self) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        if self.is_unprivileged {
            give_away(folder.path());
        }
        Agent { builder: self, folder, child: None, starts: 0, injection: None }
    }
}

impl Agent {
    /// An agent that follows `*.log` in its folder as run `r`, serves on a free port and looks at no container.
    #[must_use]
    pub fn builder() -> AgentBuilder {
        Self::command("agent")
            .set("RUNLOG_RUN_ID", "r")
            .set("RUNLOG_LEVEL", "TRACE")
            .set("RUNLOG_DOCKER_COLLECT", "off")
    }

    /// `runlog serve` on a free port.
    #[must_use]
    pub fn server() -> AgentBuilder {
        Self::command("serve")
    }

    fn command(name: &str) -> AgentBuilder {
        AgentBuilder {
            arguments: vec![name.to_owned()],
            environment: BTreeMap::new(),
            is_unprivileged: false,
            has_one_watch: false,
            wrapper: Vec::new(),
            hosts: None,
        }
        .set("RUNLOG_SERVE_LISTEN", "127.0.0.1:0")
    }

    /// A path in the agent's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The process id.
    ///
    /// # Panics
    /// If the agent does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the agent runs").id()
    }

    /// Changes a variable for the next start.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.builder.environment.insert(name.to_owned(), value.into());
    }

    /// Lets system calls of the next start fail or kill the agent, as `strace -e inject=` has it:
    /// `fdatasync:signal=KILL:when=3`, `pwritev:error=ENOSPC:when=2+`. Calls are counted per thread.
    pub fn inject(&mut self, injection: impl Into<String>) {
        self.injection = Some(injection.into());
    }

    /// Starts the agent and waits until it is ready.
    pub fn start(&mut self) {
        self.spawn();
        let address = self.state().join("address");
        eventually("the agent is ready", || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the agent ended at its start, {status}: {}", self.messages());
            }
            address.exists().then_some(())
        });
    }

    /// Starts the agent without waiting.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the agent runs already");
        // Written anew by each start; what an earlier one left would look like being ready.
        let _ = fs::remove_file(self.state().join("address"));
        self.starts += 1;
        let mut command = runlog(&self.state());
        command
            .args(&self.builder.arguments)
            .env("RUNLOG_FILES", self.folder.path().join("*.log"))
            .envs(&self.builder.environment);
        if self.builder.is_unprivileged {
            command = unprivileged(&command);
        }
        if self.builder.has_one_watch {
            command = with_one_watch(&command);
        }
        if let Some(hosts) = &self.builder.hosts {
            command = with_hosts(&command, hosts);
        }
        if let [name, arguments @ ..] = self.builder.wrapper.as_slice() {
            command = wrapped(name, arguments, &command);
        }
        if let Some(injection) = self.injection.take() {
            command = self.injected(&command, &injection);
        }
        command.stdout(Stdio::null()).stderr(fs::File::create(self.messages_path()).unwrap());
        self.child = Some(command.spawn().unwrap());
    }

    /// The command under strace, whose process is a child of the agent's, so that the agent stays a child of ours.
    fn injected(&self, command: &Command, injection: &str) -> Command {
        let (syscall, _) = injection.split_once(':').expect("an injection names a system call");
        let calls = self.path(&format!("calls.{}", self.starts)).display().to_string();
        let (trace, inject) = (format!("trace={syscall}"), format!("inject={injection}"));
        let arguments = ["-D", "-f", "-q", "-e", &trace, "-e", &inject, "-o", &calls].map(str::to_owned);
        wrapped(&tool("RUNLOG_TEST_STRACE", "strace"), &arguments, command)
    }

    /// Whether a system call of the last start was made to fail.
    #[must_use]
    pub fn was_injected(&self) -> bool {
        fs::read_to_string(self.path(&format!("calls.{}", self.starts))).is_ok_and(|calls| calls.contains("(INJECTED)"))
    }

    /// Whether it was started and has not been seen to end.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the agent runs");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    /// `kill -9` while it may be ending by itself. Says whether it had not ended yet.
    pub fn kill_if_running(&mut self) -> bool {
        let mut child = self.child.take().expect("the agent was started");
        child.kill().unwrap();
        child.wait().unwrap().signal() == Some(9)
    }

    /// How it has ended by itself, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(status)
    }

    /// Sends a signal, at once: by the time that `kill` would take to start, what it is to interrupt can be over.
    ///
    /// # Panics
    /// If the signal is none that tests send.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            "HUP" => Signal::HUP,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "PIPE" => Signal::PIPE,
            other => panic!("no test sends SIG{other}"),
        };
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), signal).unwrap();
        if name == "STOP" {
            eventually_stands_still(self.pid());
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> Finished {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Finished {
        let mut child = self.child.take().expect("the agent runs");
        let status = eventually("the agent ends", || child.try_wait().unwrap());
        Finished { status, messages: self.messages() }
    }

    /// What the agent has said on stderr since it was last started.
    #[must_use]
    pub fn messages(&self) -> String {
        fs::read_to_string(self.messages_path()).unwrap_or_default()
    }

    /// The address that the agent serves on, such as `http://127.0.0.1:4319`.
    #[must_use]
    pub fn address(&self) -> String {
        fs::read_to_string(self.state().join("address")).unwrap().trim().to_owned()
    }

    /// The lines of a run and its gaps, but not its starts and ends, read straight from the store.
    #[must_use]
    pub fn lines(&self, run: &str) -> Vec<Line> {
        let is_no_end = |line: &Line| !line.text("event_name").starts_with("ml.run.");
        self.try_lines(run).unwrap_or_default().into_iter().filter(is_no_end).collect()
    }

    /// The lines of a run, or `None` if it is not known yet.
    #[must_use]
    pub fn try_lines(&self, run: &str) -> Option<Vec<Line>> {
        lines_in(&self.run(&["logs", run, "--json"]))
    }

    /// What the agent answers to `runlog status --json`.
    #[must_use]
    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The agent's messages of that level, such as `WARN`.
    #[must_use]
    pub fn messages_of(&self, level: &str) -> Vec<String> {
        let messages = self.messages();
        let all = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|message| message["level"] == level)
            .map(|message| message["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Waits until it has said that, at whatever level.
    pub fn eventually_says(&self, text: &str) {
        eventually(&format!("the agent says {text:?}"), || self.messages().contains(text).then_some(()));
    }

    /// Waits until it has warned of that, and gives all that it has warned of so far.
    #[must_use]
    pub fn eventually_warns(&self, text: &str) -> Vec<String> {
        eventually(&format!("the agent warns: {text}"), || {
            Some(self.messages_of("WARN")).filter(|told| told.iter().any(|message| message.contains(text)))
        })
    }

    /// Waits until a run has at least so many lines, and gives them.
    #[must_use]
    pub fn eventually_lines(&self, run: &str, count: usize) -> Vec<Line> {
        self.eventually_lines_within(PATIENCE, run, count)
    }

    /// Waits until a run has at least so many lines, and gives them.
    #[must_use]
    pub fn eventually_lines_within(&self, patience: Duration, run: &str, count: usize) -> Vec<Line> {
        let mut seen = 0;
        let what = format!("run {run} has {count} lines");
        eventually_within(patience, &what, || {
            let lines = self.lines(run);
            seen = lines.len();
            (seen >= count).then_some(lines)
        })
    }

    /// Another command with the same state that is yet to be run.
    #[must_use]
    pub fn other(&self, arguments: &[&str]) -> Command {
        let mut command = runlog(&self.state());
        command.args(arguments);
        command
    }

    /// Runs another command with the same state.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.other(arguments).output().unwrap()
    }

    /// Its folder, which is left behind when the agent is dropped.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Resident memory in bytes, now.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    fn messages_path(&self) -> PathBuf {
        self.path(&format!("messages.{}", self.starts))
    }
}

/// The same command, started by another one.
fn wrapped(name: &str, arguments: &[String], command: &Command) -> Command {
    let mut outer = Command::new(name);
    outer.args(arguments).arg(command.get_program()).args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    outer
}

/// The lines in the answer of `runlog logs --json`, without receipts, or `None` if it was refused.
pub(crate) fn lines_in(output: &Output) -> Option<Vec<Line>> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    // A run may have any number of receipts, which are asked for by `runlog runs show`.
    let lines = text.lines().map(|line| Line(serde_json::from_str(line).unwrap()));
    output.status.success().then(|| lines.filter(|line| line.text("event_name") != "runlog.receipt").collect())
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the agent's messages ---\n{}", self.messages());
        }
    }
}
