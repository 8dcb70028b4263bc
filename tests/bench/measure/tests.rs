use super::*;
use crate::sink::samples::{lines, request};

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

#[test]
fn cpu_is_read_behind_any_name() {
    let stat = "7 (a) 1 (b) S 1 7 7 0 -1 4194304 9 9 9 9 150 25 3 4 20 0 1 0 1 1 1";
    assert_eq!(cpu_in(stat), Some(Duration::from_millis(1750)));
    assert_eq!(cpu_in("7 (sh) S 1"), None);
}

#[test]
fn agent_that_ends_by_itself_is_an_error_with_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let workload = Workload { lines: 1, pace: Pace::Ahead };
    let script = Script { text: "echo no such backend >&2; exit 3", bodies: Vec::new() };
    let error = measure(&script, workload, folder.path(), folder.path(), None).unwrap_err();
    assert!(error.to_string().contains("exit status: 3: no such backend"), "{error}");
}

#[test]
fn agent_is_stopped_when_its_lines_are_there_and_what_came_twice_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let workload = Workload { lines: 3, pace: Pace::Ahead };
    let mut bodies: Vec<String> = lines(0, 3).collect();
    bodies.push(bodies[1].clone());
    // Reads until the sink ends the connection, which it does after the agent has ended.
    let text = "exec 3<>$SINK; cat $REQUEST >&3; while read -r line <&3; do :; done";
    let sample = measure(&Script { text, bodies }, workload, folder.path(), folder.path(), None).unwrap();
    assert_eq!((sample.totals.unique, sample.totals.repeated, sample.missing()), (3, 1, 0));
    assert_eq!(ending(sample.exit), "signal 15");
    assert!(sample.peak_rss_bytes > 0);
}
