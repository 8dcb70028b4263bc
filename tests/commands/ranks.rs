//! Lines of several ranks in one stream, and which rank failed first.

use runlog_tests::State;
use serde_json::Value;

use crate::printed;

/// Rank 1 has no memory; rank 0 waits for it in vain and says so at once, and the launcher ends what is left.
const OUTPUT: &str = "\
[default0]:[rank0]:[E918 19:29:24.436 ProcessGroupNCCL.cpp:689] [Rank 0] Watchdog caught collective operation timeout
[default1]:[rank1]: Traceback (most recent call last):
[default1]:[rank1]:   File \"train.py\", line 3, in <module>
[default1]:[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
[default0]:INFO:train:epoch 1
ERROR:torch.distributed.elastic.multiprocessing.api:failed (exitcode: 1) local_rank: 1 (pid: 12)
";

fn failed_run() -> State {
    let state = State::new();
    let script = format!("cat <<'END'\n{OUTPUT}END\nexit 1");
    assert_eq!(state.run(&["exec", "--run-id", "r", "--", "sh", "-c", &script]).status.code(), Some(1));
    state
}

#[test]
fn ranks_are_attributes_of_their_lines_which_are_shown_as_they_were_printed() {
    let state = failed_run();
    assert_eq!(printed(&state.run(&["logs", "r"])), OUTPUT);
    let json = printed(&state.run(&["logs", "r", "--grep", "epoch", "--json"]));
    let line: Value = json.lines().map(|line| serde_json::from_str(line).unwrap()).next().unwrap();
    assert_eq!(line["body"], "INFO:train:epoch 1");
    let attributes = &line["attributes"];
    assert_eq!((&attributes["ml.local_rank"], &attributes["ml.role"]), (&"0".into(), &"default".into()));
    assert_eq!(attributes["runlog.prefix"], "[default0]:");
}

#[test]
fn the_rank_that_failed_first_is_named_though_another_one_complained_before_it() {
    let state = failed_run();
    let shown = printed(&state.run(&["runs", "show", "r"]));
    let cause = shown.lines().find(|line| line.starts_with("cause ")).unwrap_or_else(|| panic!("{shown}"));
    assert!(cause.contains("rank 1, out of memory at "), "{cause}");
    assert!(cause.ends_with(": torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"), "{cause}");

    let run: Value = serde_json::from_str(&printed(&state.run(&["runs", "show", "r", "--json"]))).unwrap();
    let ranks = &run["receipts"][0]["sources"][0]["ranks"];
    let told = |nth: usize| (ranks[nth]["rank"].as_i64(), ranks[nth]["cause"].as_str().unwrap().to_owned());
    assert_eq!(told(0), (Some(0), "peer".to_owned()));
    assert_eq!(told(1), (Some(1), "out_of_memory".to_owned()));
    assert_eq!(told(2), (None, "ended".to_owned()));
}
