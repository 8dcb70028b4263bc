//! A Python program that logs through the package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use runlog_tests::{Agent, Lines, eventually, root, tool};

/// The interpreters that there are, the oldest first.
pub fn pythons() -> Vec<String> {
    let pythons = tool("RUNLOG_TEST_PYTHONS", "pythons");
    pythons.split(':').map(str::to_owned).collect()
}

/// The newest one.
pub fn python() -> String {
    pythons().pop().unwrap()
}

/// The oldest and the newest one.
pub fn oldest_and_newest() -> Vec<String> {
    let mut pythons = pythons();
    let newest = pythons.pop();
    pythons.into_iter().take(1).chain(newest).collect()
}

/// A script of this suite.
pub fn script(name: &str) -> PathBuf {
    root().join("tests/python").join(name)
}

/// A running program. Killed when dropped.
pub struct Program {
    child: Child,
    says: Lines,
    complaints: PathBuf,
}

impl Program {
    /// Starts a script of this suite beside an agent, in a run of that name.
    pub fn start(agent: &Agent, python: &str, run: &str, arguments: &[&str]) -> Self {
        Self::start_with(agent, python, run, arguments, &[])
    }

    /// The same with further variables.
    pub fn start_with(agent: &Agent, python: &str, run: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let complaints = agent.path(&format!("complaints.{run}"));
        let mut command = Command::new(python);
        command
            .arg(script(arguments[0]))
            .args(&arguments[1..])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYTHONPATH", root().join("proto/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("RUNLOG_RUN_ID", run)
            .env("RUNLOG_SOCKET", socket(agent))
            .env("RUNLOG_STATE_DIR", agent.state())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&complaints).unwrap());
        let mut child = command.spawn().unwrap();
        let says = Lines::of(child.stdout.take().unwrap());
        Self { child, says, complaints }
    }

    /// Waits until it says that.
    pub fn says(&self, word: &str) {
        assert_eq!(self.says.next().as_deref(), Some(word), "{}", self.complaints());
    }

    /// Ends the stdin of a `steps.py` that logs until then, and gives the number of its steps.
    pub fn stops(&mut self) -> usize {
        drop(self.child.stdin.take());
        let line = self.says.next().unwrap_or_default();
        let steps = line.strip_prefix("logged ").and_then(|steps| steps.parse().ok());
        steps.unwrap_or_else(|| panic!("{line:?}: {}", self.complaints()))
    }

    /// Ends its stdin and waits for its end.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.child.stdin.take());
        let status = eventually("the program ends", || self.child.try_wait().unwrap());
        (status, self.complaints())
    }

    /// The same for one that ends well, and says nothing on stderr.
    pub fn ends_in_silence(self) {
        let (status, complaints) = self.end();
        assert!(status.success() && complaints.is_empty(), "{status}: {complaints}");
    }

    /// Ends its stdin, waits for its end, which is good, and gives what it has still printed.
    pub fn prints(self) -> String {
        self.ends().unwrap_or_else(|complaints| panic!("{complaints}"))
    }

    /// The same for one that may fail: what it complained of then.
    pub fn ends(mut self) -> Result<String, String> {
        drop(self.child.stdin.take());
        let said: String = std::iter::from_fn(|| self.says.next()).map(|line| line + "\n").collect();
        let (status, complaints) = self.end();
        if status.success() { Ok(said) } else { Err(format!("{status}: {complaints}")) }
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The socket of an agent of this suite.
pub fn socket(agent: &Agent) -> PathBuf {
    agent.path("otlp.sock")
}

/// An agent that listens on a socket, and is not started yet.
pub fn agent() -> Agent {
    let mut agent = Agent::builder().prepare();
    let address = format!("unix:{}", socket(&agent).display());
    agent.set("RUNLOG_OTLP_LISTEN", address);
    agent
}

/// Files that wait in the spool of an agent.
pub fn spooled(agent: &Agent) -> usize {
    let folder: &Path = &agent.state().join("spool");
    folder.read_dir().map_or(0, |entries| entries.flatten().filter(|entry| !hidden(&entry.path())).count())
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
