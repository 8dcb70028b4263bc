//! Progress bars, as real programs have drawn them (`tests/corpus/terminal`).

use std::process::Output;

use runlog_tests::{State, root};

use crate::printed;

fn draw(state: &State, run: &str, file: &str, options: &[&str]) -> Output {
    let script = format!("cat '{}/tests/corpus/terminal/{file}' >&2", root().display());
    let arguments = [&["exec", "--run-id", run, "--quiet"], options, &["--", "sh", "-c", &script]].concat();
    // A state of a bar that stands still for long is kept as well.
    state.command(&arguments).env("RUNLOG_PARSE_PROGRESS_EVERY", "1h").output().unwrap()
}

#[test]
fn nested_bars_of_a_program_are_one_record_each_beside_its_lines_and_the_receipt_is_complete() {
    let state = State::new();
    for (run, stream, options) in [("pipe", "stderr", &[][..]), ("pty", "stdout", &["--pty"])] {
        assert!(draw(&state, run, "tqdm_nested.pipe", options).status.success());
        let bodies = printed(&state, run, stream);
        let expected =
            ["epoch 0: 100%|", "epoch 0 done", "epoch 1: 100%|", "epoch 1 done", "epoch 2: 100%|", "epoch 2 done"];
        let expected = [&expected[..], &["epochs: 100%|", "after the bars"]].concat();
        let are_alike = bodies.iter().zip(&expected).all(|(body, expected)| body.starts_with(expected));
        assert!(bodies.len() == expected.len() && are_alike, "{run}: {bodies:#?}");

        let lines = state.lines(run);
        let bar = lines.iter().find(|line| line.body().starts_with("epochs: 100%|")).unwrap();
        let number = |name: &str| bar.attribute(name).parse::<f64>().unwrap();
        let numbers = ["progress.current", "progress.total", "runlog.folded"].map(number);
        assert_eq!(numbers, [3.0, 3.0, 7.0], "{bar:?}");

        let shown = state.run(&["runs", "show", run, "--json"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["complete"], true, "{shown}");
        let source = &shown["receipts"][0]["sources"][0];
        assert_eq!(source["lines_read"], 8, "{shown}");
        assert!(source["states_folded"].as_u64().unwrap() >= 12 + 12 + 12 + 7, "{shown}");
    }
}
