//! What an exit code says.

use std::fs;

use runlog_tests::{Agent, Sink, State, runlog};

/// 70 is a bug; it is shown beside the pipeline's stage, which has to be made to panic.
#[test]
fn s3_exit_codes_tell_how_it_ended() {
    let sink = Sink::prepare();
    let file = State::new();
    fs::write(file.dir(), "no folder").unwrap();
    let delivered = || Agent::builder().start().terminate().status.code();
    let left = || {
        let endpoint = sink.endpoint();
        let mut agent =
            Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", endpoint).set("RUNLOG_STOP_GRACE", "100ms").start();
        fs::write(agent.path("a.log"), "a line\n").unwrap();
        agent.terminate().status.code()
    };
    let settings = || State::new().command(&["agent"]).env("RUNLOG_LEVEL", "chatty").status().unwrap().code();
    let state = || runlog(&file.dir()).arg("agent").status().unwrap().code();
    let program = || State::new().run(&["exec", "--", "sh", "-c", "exit 3"]).status.code();
    let ends = [
        ("all is delivered", delivered(), 0),
        ("what the program ended with", program(), 3),
        ("settings", settings(), 64),
        ("state directory", state(), 74),
        ("records are left in the queue", left(), 75),
    ];
    for (what, code, expected) in ends {
        assert_eq!(code, Some(expected), "{what}");
    }
}
