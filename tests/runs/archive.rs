//! Runs that are carried to another machine, and those that are too old to stay.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    time::{Duration, SystemTime},
};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

use super::*;

const BODY: &str = "INFO:root:Gewicht 0.25 \u{2713}";

/// A run with lines, metrics of each kind and a file.
fn ridge() -> State {
    let state = State::new();
    let run = |arguments: &[&str]| done(&alone(&state, &[&["run", "--run", "ridge/1"], arguments].concat())).clone();
    fs::write(state.path("model"), b"weights").unwrap();
    run(&["start", "--param", "alpha=0.4", "--tag", "best=yes"]);
    run(&["log", "mse", "nan", "--step", "3"]);
    run(&["log-row", "cosine", "angle=0.5", "name=a,\"b\""]);
    run(&["upload", "outputs/model", state.path("model").to_str().unwrap()]);
    state.exec("ridge/1", &format!("echo '{BODY}'; echo 'ERROR:root:bad'"));
    state
}

fn entries(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive).unwrap()));
    let whole = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(whole).collect()
}

#[test]
fn a_run_that_was_carried_to_another_store_is_the_same_there() {
    let (here, there) = (ridge(), State::new());
    let archive = here.path("ridge.runlog.tar.gz");
    let target = archive.to_str().unwrap();
    done(&here.run(&["runs", "export", "ridge", "--output", target]));
    for _ in 0..2 {
        done(&there.run(&["runs", "import", target]));
    }
    let questions: [&[&str]; 4] = [
        &["logs", "ridge/1", "--json"],
        &["runs", "show", "ridge/1", "--json"],
        &["metrics", "ridge/1", "--json"],
        &["files", "ridge/1", "--json"],
    ];
    for question in questions {
        let [here, there] = [&here, &there].map(|state| alone(state, question));
        assert_eq!(String::from_utf8_lossy(&done(&here).stdout), String::from_utf8_lossy(&done(&there).stdout));
    }
    done(&alone(&there, &["files", "ridge/1", "get", "--to", there.path("got").to_str().unwrap()]));
    assert_eq!(fs::read(there.path("got/outputs/model")).unwrap(), b"weights");
}

#[test]
fn other_programs_read_lines_metrics_and_files_of_an_archive() {
    let here = ridge();
    let archive = here.path("ridge.tgz");
    done(&here.run(&["runs", "export", "latest", "-o", archive.to_str().unwrap()]));
    let entries = entries(&archive);
    assert_eq!(entries["files/outputs/model"], b"weights");
    let metrics = String::from_utf8(entries["metrics.csv"].clone()).unwrap();
    let values: Vec<_> = metrics.lines().map(|line| line.splitn(4, ',').collect::<Vec<_>>()).collect();
    let of = |name: &str| values.iter().filter(|line| line[0] == name).map(|line| line[3]).collect::<Vec<_>>();
    assert_eq!(of("mse"), ["3,,NaN"]);
    assert_eq!(of("cosine"), [",angle,0.5", r#",name,"a,""b""""#]);
    let requests = String::from_utf8(entries["logs.jsonl"].clone()).unwrap();
    let bodies: Vec<_> = requests
        .lines()
        .map(|line| serde_json::from_str::<ExportLogsServiceRequest>(line).unwrap())
        .flat_map(|request| request.resource_logs)
        .flat_map(|resource| resource.scope_logs)
        .flat_map(|scope| scope.log_records)
        .filter(|record| record.event_name.is_empty())
        .collect();
    assert_eq!(bodies.len(), 2);
    assert!(format!("{:?}", bodies[0].body).contains("Gewicht 0.25 \u{2713}"));
}

#[test]
fn what_is_no_archive_or_is_there_already_is_refused_and_changes_nothing() {
    let (here, there) = (ridge(), State::new());
    let archive = here.path("ridge.tgz");
    let target = archive.to_str().unwrap();
    done(&here.run(&["runs", "export", "latest", "-o", target]));
    let refusal = refused(&here.run(&["runs", "export", "latest", "-o", target]));
    assert!(refusal.contains("is there already"), "{refusal}");
    let refusal = refused(&here.run(&["runs", "import", target]));
    assert!(refusal.contains("a run of that id is here already"), "{refusal}");
    let refusal = refused(&there.run(&["runs", "import", here.path("model").to_str().unwrap()]));
    assert!(refusal.contains("no archive of a run"), "{refusal}");
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let refusal = refused(&there.run(&["runs", "import", target]));
    assert!(refusal.contains("ends before its end"), "{refusal}");
    fs::write(&archive, bytes).unwrap();
    done(&there.run(&["runs", "import", target]));
    let [here, there] = [&here, &there].map(|state| alone(state, &["logs", "ridge/1", "--json"]));
    assert_eq!(here.stdout, there.stdout, "what was interrupted is begun again");
}

#[test]
fn a_run_that_is_too_old_is_removed_when_the_next_one_has_ended() {
    let state = State::new();
    state.exec("old-1", "echo a line");
    state.exec("old-2", "echo a line");
    age(&state.dir());
    let mut command = state.command(&["exec", "--run-id", "new", "--", "echo", "new"]);
    done(&command.env("RUNLOG_STORE_MAX_AGE", "1d").output().unwrap());
    let runs = String::from_utf8(state.run(&["runs", "--json"]).stdout).unwrap();
    assert!(runs.lines().count() == 1 && runs.contains(r#""new""#), "{runs}");
}

#[test]
fn an_agent_removes_runs_that_are_too_old_and_says_which() {
    let mut agent = Agent::builder().set("RUNLOG_STORE_MAX_AGE", "1d").prepare();
    let exec = ["exec", "--run-id", "old", "--", "echo", "a line"];
    done(&agent.run(&exec));
    age(&agent.state());
    agent.start();
    let runs = || String::from_utf8(agent.run(&["runs", "--json"]).stdout).unwrap();
    eventually("it is gone", || (!runs().contains("old")).then_some(()));
    agent.eventually_says(r#""run_id":"old""#);
    agent.eventually_says(r#""option":"store.max_age""#);
}

/// As if nothing had been stored for two days.
fn age(state: &Path) {
    let before = SystemTime::now() - Duration::from_hours(48);
    for folder in fs::read_dir(state.join("store/runs")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(before).unwrap();
        }
    }
}
