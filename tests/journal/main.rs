//! The journal of systemd, written by a real journald and read by the real journalctl.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod entries;
mod faults;
mod journalctl;

use runlog_tests::{Agent, AgentBuilder, Journal, Line};

/// A journal in a folder of its own, and an agent that collects that unit of it as run `r`.
struct Site {
    agent: Agent,
    journal: Journal,
    _folder: tempfile::TempDir,
}

impl Site {
    fn prepare(settings: &[&str], units: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::start(folder.path().to_owned(), settings);
        Self { agent: agent(&journal, units).prepare(), journal, _folder: folder }
    }

    fn start(settings: &[&str], units: &str) -> Self {
        let mut site = Self::prepare(settings, units);
        site.agent.start();
        site
    }
}

fn agent(journal: &Journal, units: &str) -> AgentBuilder {
    let directory = journal.directory().to_str().unwrap().to_owned();
    Agent::builder().set("RUNLOG_JOURNAL_UNITS", units).set("RUNLOG_JOURNAL_DIRECTORY", directory)
}

/// What was printed, without runlog's events.
fn printed(lines: &[Line]) -> Vec<&str> {
    lines.iter().filter(|line| line.is_printed()).map(Line::body).collect()
}

fn gaps(lines: &[Line]) -> Vec<&Line> {
    lines.iter().filter(|line| line.text("event_name") == "runlog.gap").collect()
}
