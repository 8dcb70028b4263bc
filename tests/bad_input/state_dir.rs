//! State directories that cannot be used, and addresses that are taken.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use insta::{allow_duplicates, assert_snapshot};
use runlog_tests::{Agent, SmallDisk, State, eventually, runlog, unprivileged};

use crate::told;

#[test]
fn a_file_in_place_of_the_state_directory_ends_with_74() {
    let state = State::new();
    fs::write(state.dir(), "a file").unwrap();
    for command in [["agent"].as_slice(), &["exec", "--", "true"], &["serve"]] {
        allow_duplicates! {
            assert_snapshot!(told(&state, &state.command(command)), @r#"
            exit status: 74
            --- stderr
            runlog: the state directory FOLDER/state cannot be used: it is not a directory
            set RUNLOG_STATE_DIR to a directory that runlog may write, or change the owner of this one
            "#);
        }
    }
    assert_eq!(fs::read(state.dir()).unwrap(), b"a file");
}

#[test]
fn a_state_directory_below_a_file_ends_with_74() {
    let state = State::new();
    fs::write(state.path("file"), "").unwrap();
    let mut command = state.command(&["agent"]);
    command.env("RUNLOG_STATE_DIR", state.path("file/state"));
    assert_snapshot!(told(&state, &command), @r#"
    exit status: 74
    --- stderr
    runlog: the state directory FOLDER/file/state cannot be used: it is not a directory
    set RUNLOG_STATE_DIR to a directory that runlog may write, or change the owner of this one
    "#);
}

#[test]
fn a_state_directory_that_may_not_be_written_ends_with_74() {
    let state = State::new();
    fs::create_dir(state.dir()).unwrap();
    for mode in [0o555, 0o000] {
        fs::set_permissions(state.dir(), PermissionsExt::from_mode(mode)).unwrap();
        fs::set_permissions(state.folder(), PermissionsExt::from_mode(0o755)).unwrap();
        allow_duplicates! {
            assert_snapshot!(told(&state, &unprivileged(&state.command(&["agent"]))), @r#"
            exit status: 74
            --- stderr
            runlog: the state directory FOLDER/state cannot be used: Permission denied (os error 13)
            set RUNLOG_STATE_DIR to a directory that runlog may write, or change the owner of this one
            "#);
        }
    }
}

#[test]
fn a_store_that_may_not_be_read_is_not_said_to_be_empty() {
    let state = State::new();
    state.exec("r", "echo secret");
    let allow = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    allow(state.folder(), 0o755);
    allow(&state.dir(), 0o000);
    let read = || told(&state, &unprivileged(&state.command(&["logs", "r"])));
    assert_snapshot!(read(), @r#"
    exit status: 1
    --- stderr
    runlog: FOLDER/state may not be read; read as the user that runs runlog, or ask it with --server: Permission denied (os error 13)
    "#);
    allow(&state.dir(), 0o755);
    allow(&state.dir().join("store"), 0o000);
    assert_snapshot!(read(), @r#"
    exit status: 1
    --- stderr
    runlog: cannot use the store's directory FOLDER/state/store: Permission denied (os error 13)
    "#);
    // So that the folder can be removed by who is not root.
    allow(&state.dir().join("store"), 0o700);
}

#[test]
fn q11_a_second_agent_in_a_state_directory_ends_with_74_and_the_first_goes_on() {
    let agent = Agent::builder().start();
    let state = State::new();
    let mut second = runlog(&agent.state());
    second.env("RUNLOG_DOCKER_COLLECT", "off").env("RUNLOG_SERVE_LISTEN", "127.0.0.1:0");
    let text = told(&state, &second);
    let text = text.replace(agent.state().to_str().unwrap(), "STATE").replace(&agent.pid().to_string(), "PID");
    assert_snapshot!(text, @r#"
    exit status: 74
    --- stderr
    runlog: process PID collects with STATE/queue already
    stop it, or give this one a state directory of its own with RUNLOG_STATE_DIR
    "#);

    fs::write(agent.path("train.log"), "still here\n").unwrap();
    assert_eq!(agent.eventually_lines("r", 1)[0].body(), "still here");
    assert_eq!(agent.status()["address"], agent.address(), "the first one's address is still the announced one");
}

#[test]
fn a_taken_port_ends_with_64_and_the_remedy() {
    let state = State::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for name in ["agent", "serve"] {
        let mut command = state.command(&[name]);
        command.env("RUNLOG_DOCKER_COLLECT", "off").env("RUNLOG_SERVE_LISTEN", &address);
        let text = told(&state, &command).replace(&address, "ADDRESS");
        allow_duplicates! {
            assert_snapshot!(text, @r#"
            exit status: 64
            --- stderr
            runlog: serve.listen=ADDRESS cannot be used: Address already in use (os error 98)
            stop what uses it, or set RUNLOG_SERVE_LISTEN to another address (127.0.0.1:0 takes a free port)
            "#);
        }
    }
}

#[test]
fn exec_needs_no_port() {
    let agent = Agent::builder().start();
    let output = agent.run(&["exec", "--run-id", "beside", "--", "echo", "line"]);
    assert!(output.status.success());
    let lines = eventually("both are in one store", || agent.try_lines("beside"));
    assert!(lines.iter().any(|line| line.body() == "line"));
}

#[test]
fn a_full_disk_is_said_to_be_one() {
    let state = State::new();
    let disk = SmallDisk::mount(state.dir(), "size=8m");
    state.exec("before", "echo kept");
    let _others = disk.fill_but(0);
    let full = "the disk of FOLDER/state is full\n\
                make room, or set RUNLOG_STATE_DIR to a directory on another disk\n";
    for (command, said) in [
        (&["exec", "--", "true"][..], "exit status: 74\n--- stderr\nrunlog: the embedded store cannot be opened: "),
        (&["runs"], "exit status: 1\n--- stderr\nrunlog: "),
    ] {
        assert_eq!(told(&state, &state.command(command)).trim_end(), format!("{said}{full}").trim_end());
    }
    let checked = told(&state, &state.command(&["check"]));
    let line = "error    state     FOLDER/state has 0 B left, and 409.6 KiB are left to others: nothing is collected";
    assert!(checked.lines().any(|found| found == line), "{checked}");
}
