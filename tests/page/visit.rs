//! A script that visits a page, in a real browser.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use runlog_tests::tool;
use serde_json::Value;

/// What runs a script of this folder. Before the arguments it is given the browser, and behind them where screenshots go.
pub fn script(name: &str, arguments: &[&str], token: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("page").join(name))
        .arg(tool("RUNLOG_TEST_CHROMIUM", "chromium"))
        .args(arguments)
        .arg(env::var("RUNLOG_TEST_SCREENSHOT").unwrap_or_default())
        .env("RUNLOG_SERVE_TOKEN", token)
        .env("NODE_PATH", tool("RUNLOG_TEST_PLAYWRIGHT", "playwright"));
    command
}

/// A script that says what it has seen, and waits to be told to go on.
pub struct Visit {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Visit {
    pub fn start(name: &str, arguments: &[&str], token: &str) -> Self {
        let mut command = script(name, arguments, token);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// What it says next; nothing if it ends, with what is wrong on stderr.
    pub fn says(&mut self) -> Option<Value> {
        self.says.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }

    pub fn go_on(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    }

    pub fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}
