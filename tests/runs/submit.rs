//! What is submitted and goes on by itself.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use runlog_tests::{State, eventually};
use serde_json::Value;

use crate::{alone, done, json, refused, with_runlog};

/// Runs until there is a file `go` beside the state directory, or some minutes, so that a test that fails leaves nothing.
const WAITS: &str = "for _ in $(seq 6000); do [ -e \"$GO\" ] && break; sleep 0.05; done";

/// Submits a script and does not wait. Gives the run's id.
fn submit(state: &State, script: &str, further: &[&str]) -> String {
    let source = state.path("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("train.sh"), script).unwrap();
    let arguments = [&["submit", "--no-wait", "--source-dir", source.to_str().unwrap()], further].concat();
    let mut command = state.command(&arguments);
    command.env("RUNLOG_SERVE_LISTEN", "off").env("PATH", with_runlog()).env("GO", state.path("go"));
    let output = command.env("LEFT", state.path("left")).output().unwrap();
    String::from_utf8(done(&output).stdout.clone()).unwrap().trim().to_owned()
}

fn shown(state: &State, run: &str) -> Value {
    json(&alone(state, &["runs", "show", run, "--json"]))
}

/// The children of a sweep, each with where it stands, in their order.
fn children(state: &State, sweep: &str) -> Vec<(String, String)> {
    let output = alone(state, &["runs", "list", "--parent", sweep, "--json"]);
    let text = String::from_utf8(done(&output).stdout.clone()).unwrap();
    let runs = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut children: Vec<_> =
        runs.map(|run| ["name", "status"].map(|field| run[field].as_str().unwrap().to_owned()).into()).collect();
    children.sort();
    children
}

/// Whoever works at what was submitted, which is no keeper.
fn supervisor(run: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let works = |path: &PathBuf| {
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(" supervise ") && line.contains(run) && !line.contains("--keep")
    };
    processes.into_iter().find(works).map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
}

fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

#[test]
fn a_sweep_that_is_not_waited_for_goes_on_and_leaves_no_copy() {
    let state = State::new();
    let sweep = submit(
        &state,
        &format!("{WAITS}; runlog run log mse $1.5"),
        &["--sweep", "n=1,2,3", "--parallel", "2", "--sort", "mse", "--", "sh", "train.sh", "{n}"],
    );
    eventually("two are under way, one waits", || {
        let children = children(&state, &sweep);
        let count = |wanted: &str| children.iter().filter(|(_, status)| status == wanted).count();
        (count("running") == 2 && count("queued") == 1).then_some(())
    });
    assert_eq!(shown(&state, &sweep)["status"], "running");
    fs::write(state.path("go"), "").unwrap();
    done(&alone(&state, &["runs", "wait", &sweep]));
    let all = ["n=1", "n=2", "n=3"].map(|name| (name.to_owned(), "completed".to_owned()));
    assert_eq!(children(&state, &sweep), all);
    let compared = alone(&state, &["runs", "compare", "--parent", &sweep, "--sort", "mse", "--json"]);
    let first = String::from_utf8(done(&compared).stdout.clone()).unwrap();
    let best: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(best["metrics"]["mse"]["values"].to_string(), "[1.5]");
    let is_empty = |folder: &str| state.dir().join(folder).read_dir().is_ok_and(|mut files| files.next().is_none());
    eventually("the copy and the plan are gone", || (is_empty("snapshots") && is_empty("submitted")).then_some(()));
}

#[test]
fn a_supervisor_that_is_killed_is_followed_by_one_that_begins_no_run_twice() {
    let state = State::new();
    let script = format!("echo $1 >> \"$LEFT\"; {WAITS}; [ $1 != 3 ]");
    let sweep = submit(&state, &script, &["--sweep", "n=1,2,3", "--", "sh", "train.sh", "{n}"]);
    let left = || fs::read_to_string(state.path("left")).unwrap_or_default();
    eventually("the first one is under way", || (left() == "1\n").then_some(()));
    let first = eventually("there is a supervisor", || supervisor(&sweep));
    signal("-KILL", &first);
    eventually("another one takes over", || supervisor(&sweep).filter(|pid| *pid != first));
    assert_eq!(shown(&state, &sweep)["status"], "running");
    fs::write(state.path("go"), "").unwrap();
    let refusal = refused(&alone(&state, &["runs", "wait", &sweep]));
    assert!(refusal.contains("1 of 3 runs failed"), "{refusal}");
    let ends = ["completed", "completed", "failed"];
    let expected = ["n=1", "n=2", "n=3"].iter().zip(ends).map(|(name, end)| ((*name).to_owned(), end.to_owned()));
    assert_eq!(children(&state, &sweep), expected.collect::<Vec<_>>());
    assert_eq!(left(), "1\n2\n3\n");
    assert!(state.dir().join("snapshots").join(&sweep).exists(), "what has failed can be looked at");
}

#[test]
fn what_is_canceled_has_its_processes_ended_and_what_waits_is_not_begun() {
    let state = State::new();
    // One that does not listen, and would go on when its parent has ended.
    let script = "sh -c 'trap \"\" HUP; echo $$ >> \"$LEFT\"; exec sleep 1000' & wait";
    let sweep = submit(&state, script, &["--sweep", "n=1,2", "--", "sh", "train.sh", "{n}"]);
    let pid = eventually("the first one is under way", || {
        fs::read_to_string(state.path("left")).ok().filter(|text| text.ends_with('\n'))
    });
    done(&alone(&state, &["runs", "cancel", &sweep]));
    let refusal = refused(&alone(&state, &["runs", "wait", &sweep]));
    assert!(refusal.contains("canceled"), "{refusal}");
    eventually("its processes are gone", || (!Path::new("/proc").join(pid.trim()).exists()).then_some(()));
    eventually("all are canceled", || {
        let all = ["n=1", "n=2"].map(|name| (name.to_owned(), "canceled".to_owned()));
        (children(&state, &sweep) == all).then_some(())
    });
    assert_eq!(fs::read_to_string(state.path("left")).unwrap(), pid, "the second one was not begun");
    eventually("the supervisor has ended", || supervisor(&sweep).is_none().then_some(()));
    assert_eq!(shown(&state, &sweep)["status"], "canceled");
}

#[test]
fn a_copy_in_which_a_run_has_left_files_stays() {
    let state = State::new();
    let run = submit(&state, "echo model > model.pkl", &["--", "sh", "train.sh"]);
    done(&alone(&state, &["runs", "wait", &run]));
    eventually("the supervisor has ended", || supervisor(&run).is_none().then_some(()));
    assert_eq!(fs::read_to_string(state.dir().join("snapshots").join(&run).join("model.pkl")).unwrap(), "model\n");
}

#[test]
fn what_is_canceled_while_somebody_is_about_to_begin_it_is_ended_and_stays_canceled() {
    let state = State::new();
    let script = format!("if [ $1 = 1 ]; then {WAITS}; else exec sleep 1000; fi");
    let sweep = submit(&state, &script, &["--sweep", "n=1,2", "--", "sh", "train.sh", "{n}"]);
    eventually("the first one is under way", || (children(&state, &sweep)[0].1 == "running").then_some(()));
    // Not before: what it has just begun is called like it for a moment.
    let supervisor_id = eventually("there is a supervisor", || supervisor(&sweep));
    // When it goes on, it may see first that the other one can begin.
    signal("-STOP", &supervisor_id);
    fs::write(state.path("go"), "").unwrap();
    eventually("the first one has ended", || (children(&state, &sweep)[0].1 == "completed").then_some(()));
    let listed = alone(&state, &["runs", "list", "--status", "queued", "--json"]);
    done(&alone(&state, &["runs", "cancel", json(&listed)["run_id"].as_str().unwrap()]));
    signal("-CONT", &supervisor_id);
    let refusal = refused(&alone(&state, &["runs", "wait", &sweep]));
    assert!(refusal.contains("1 of 2 runs were canceled"), "{refusal}");
    let ends = [("n=1", "completed"), ("n=2", "canceled")].map(|(name, end)| (name.to_owned(), end.to_owned()));
    assert_eq!(children(&state, &sweep), ends);
    eventually("the supervisor has ended", || supervisor(&sweep).is_none().then_some(()));
}

#[test]
fn the_copy_of_what_has_failed_goes_when_its_run_is_removed_for_its_age() {
    let state = State::new();
    let run = submit(&state, "echo model > model.pkl; exit 3", &["--", "sh", "train.sh"]);
    refused(&alone(&state, &["runs", "wait", &run]));
    eventually("the supervisor has ended", || supervisor(&run).is_none().then_some(()));
    let names = |folder: &str| state.dir().join(folder).read_dir().unwrap().flatten().count();
    assert_eq!((names("snapshots"), names("submitted")), (1, 2));
    for folder in state.dir().join("store/runs").read_dir().unwrap() {
        for file in folder.unwrap().path().read_dir().unwrap() {
            let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
        }
    }
    let mut command = state.command(&["exec", "--", "true"]);
    done(&command.env("RUNLOG_SERVE_LISTEN", "off").env("RUNLOG_STORE_MAX_AGE", "1h").output().unwrap());
    assert_eq!((names("snapshots"), names("submitted")), (0, 0));
}

#[test]
fn the_copy_of_what_has_failed_goes_with_its_run_that_is_deleted() {
    let state = State::new();
    let runs = [(); 2].map(|()| submit(&state, "exit 3", &["--", "sh", "train.sh"]));
    for run in &runs {
        refused(&alone(&state, &["runs", "wait", run]));
        eventually("the supervisor has ended", || supervisor(run).is_none().then_some(()));
    }
    // None is removed if one is mistyped.
    refused(&alone(&state, &["runs", "delete", &runs[0], "mistyped"]));
    assert_eq!(shown(&state, &runs[0])["status"], "failed");
    done(&alone(&state, &["runs", "delete", &runs[0]]));
    let names = |folder: &str| state.dir().join(folder).read_dir().unwrap().flatten().count();
    assert_eq!((names("snapshots"), names("submitted")), (1, 2));
    assert!(state.dir().join("snapshots").join(&runs[1]).exists());
}

#[test]
fn a_command_that_is_no_program_is_refused_before_there_is_a_run_of_it() {
    let state = State::new();
    fs::create_dir(state.path("source")).unwrap();
    let source = state.path("source");
    for further in [&["--no-wait"][..], &["--sweep", "a=1,2"]] {
        let submit = [&["submit", "--source-dir", source.to_str().unwrap()], further].concat();
        let refusal = refused(&alone(&state, &[&submit[..], &["--", "no-such-program", "{a}"]].concat()));
        assert_eq!(refusal, "runlog: no-such-program cannot be started: there is no such program in PATH\n");
    }
    assert_eq!(String::from_utf8(done(&alone(&state, &["runs", "list", "--json"])).stdout.clone()).unwrap(), "");
    assert_eq!(state.dir().join("snapshots").read_dir().unwrap().count(), 0, "the copy is left");
}

#[test]
fn a_run_that_could_not_be_begun_has_failed_and_says_why() {
    let state = State::new();
    let source = state.path("source");
    fs::create_dir(&source).unwrap();
    // What reads it is there and may be executed, so that only `runlog exec` finds out.
    for (name, text) in [("train", "#!./reader\n"), ("reader", "#!/no/such/interpreter\n")] {
        fs::write(source.join(name), text).unwrap();
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let refusal = refused(&alone(&state, &["submit", "--source-dir", source.to_str().unwrap(), "--", "./train"]));
    let why = "it has not begun, runlog exec has ended with 127; try it with --show-output";
    assert!(refusal.lines().last().unwrap().ends_with(&format!(": {why}")), "{refusal}");
    let shown = shown(&state, "latest");
    assert_eq!((&shown["status"], &shown["error_message"]), (&"failed".into(), &why.into()));
}
