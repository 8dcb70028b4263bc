use std::fs;

use super::{agent::ending, *};
use crate::{
    peer::Invocation,
    sink::samples::{lines, request},
};

/// Stands for an agent: a script that finds the sink in `$SINK` and a request in `$REQUEST`.
struct Script {
    text: &'static str,
    /// Bodies of the request's records.
    bodies: Vec<String>,
}

impl Peer for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn settings(&self) -> &'static str {
        ""
    }

    fn program(&self) -> &Path {
        Path::new("bash")
    }

    fn prepare(&self, job: &Job<'_>) -> io::Result<Invocation> {
        let body = request(self.bodies.iter().cloned());
        let mut http = format!("POST /v1/logs HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        http.extend(body);
        let path = job.folder.join("request");
        fs::write(&path, http)?;
        let sink = format!("/dev/tcp/{}/{}", job.sink.ip(), job.sink.port());
        let environment = vec![("SINK", sink.into()), ("REQUEST", path.into())];
        Ok(Invocation { program: "bash".into(), arguments: vec!["-c".into(), self.text.into()], environment })
    }
}

fn task(lines: u64) -> Task {
    Task::Files { format: Format::Python, files: 1, lines }
}

#[test]
fn agent_that_ends_by_itself_is_an_error_with_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script { text: "echo no such backend >&2; exit 3", bodies: Vec::new() };
    let error = measure(&script, task(1), folder.path(), folder.path(), None).unwrap_err();
    assert!(error.to_string().contains("exit status: 3: no such backend"), "{error}");
}

/// Reads until the sink ends the connection, which it does after the agent has ended.
const POST: &str = "exec 3<>$SINK; cat $REQUEST >&3; while read -r line <&3; do :; done";

#[test]
fn agent_is_stopped_when_its_lines_are_there_and_what_came_twice_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut bodies: Vec<String> = lines(0, 3).collect();
    bodies.push(bodies[1].clone());
    let sample = measure(&Script { text: POST, bodies }, task(3), folder.path(), folder.path(), None).unwrap();
    assert_eq!((sample.totals.unique, sample.totals.repeated, sample.missing()), (3, 1, 0));
    assert!(!sample.is_exact());
    assert_eq!(ending(sample.exit), "signal 15");
    assert!(sample.peak_rss_bytes > 0);
}

#[test]
fn idle_span_is_what_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let watched = Duration::from_millis(100);
    let script = Script { text: POST, bodies: lines(0, 1).collect() };
    let task = Task::Idle { files: 1, watched };
    let sample = measure(&script, task, folder.path(), folder.path(), None).unwrap();
    assert!(sample.is_exact());
    // The connection and the request before the span cost more than nothing at all.
    assert!(sample.wall >= watched && sample.cpu < Duration::from_millis(1), "{sample:?}");
}
