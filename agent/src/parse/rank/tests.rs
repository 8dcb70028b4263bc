use super::*;

/// (line, what follows the prefix, rank, local rank, role, process).
type Case = (&'static str, &'static str, Option<u32>, Option<u32>, &'static str, Option<u32>);

#[test]
fn what_each_launcher_puts_before_a_line_is_told_apart_from_the_line() {
    let cases: &[Case] = &[
        ("[default0]:epoch 1", "epoch 1", None, Some(0), "default", None),
        ("[trainer12]:  File \"a.py\"", "  File \"a.py\"", None, Some(12), "trainer", None),
        ("[rank3]: Traceback", "Traceback", Some(3), None, "", None),
        ("[rank3]:   File", "  File", Some(3), None, "", None),
        ("[rank3]:[E918 19:29:24.436 a.cpp:6] x", "[E918 19:29:24.436 a.cpp:6] x", Some(3), None, "", None),
        ("[rank3]:", "", Some(3), None, "", None),
        ("[default1]:[rank9]: KeyError: 'x'", "KeyError: 'x'", Some(9), Some(1), "default", None),
        ("[rank0]:[rank8]: late", "late", Some(8), None, "", None),
        ("[RANK 7] ready", "ready", Some(7), None, "", None),
        ("[Rank 0] ready", "ready", Some(0), None, "", None),
        ("[rank: 4] Global seed set to 42", "Global seed set to 42", Some(4), None, "", None),
        ("[rank 11]: ready", "ready", Some(11), None, "", None),
        ("[1,3]<stdout>:hello", "hello", Some(3), None, "", None),
        ("[1,3]<stderr>:  File", "  File", Some(3), None, "", None),
        ("[3]<stderr>:hello", "hello", Some(3), None, "", None),
        ("[prterun-node-1-42@1,5]<stdout>: hello", "hello", Some(5), None, "", None),
        ("(train_fn pid=4242) loss 0.1", "loss 0.1", None, None, "train_fn", Some(4242)),
        ("(RayTrainWorker pid=7, ip=10.0.0.7) x", "x", None, None, "RayTrainWorker", Some(7)),
        ("(Split(a, b) pid=7, ip=fe80::1) x", "x", None, None, "Split(a, b)", Some(7)),
        ("(pid=12) x", "x", None, None, "", Some(12)),
        ("\u{1b}[36m(f pid=12)\u{1b}[0m x", "x", None, None, "f", Some(12)),
        ("\u{1b}[2m\u{1b}[36m(f pid=12)\u{1b}[0m x", "x", None, None, "f", Some(12)),
        ("\u{1b}[33m(raylet, ip=10.0.0.7)\u{1b}[0m x", "x", None, None, "raylet", None),
        ("(VllmWorker rank=3 pid=12) INFO x", "INFO x", Some(3), None, "VllmWorker", Some(12)),
        ("(f pid=12) [rank3]: x", "x", Some(3), None, "f", Some(12)),
    ];
    for (line, after, rank, local_rank, role, pid) in cases {
        let prefix = prefix(line.as_bytes());
        assert_eq!(std::str::from_utf8(prefix.after(line.as_bytes())).unwrap(), *after, "{line}");
        let bytes = &line.as_bytes()[..line.len() - after.len()];
        let expected = Prefix { bytes, rank: *rank, local_rank: *local_rank, role: role.as_bytes(), pid: *pid };
        assert_eq!(prefix, expected, "{line}");
    }
}

#[test]
fn a_line_of_its_own_has_no_prefix() {
    for line in [
        "",
        "[",
        "[rank",
        "[rank3",
        "[rank3]x",
        "[ranking 3] x",
        "[rank12345678]: x",
        "[epoch1]: loss 0.3",
        "[default]: x",
        "[default0] x",
        "[2026-11-24 05:44:23,123] [INFO] x",
        "[1, 2, 3]",
        "[1,2]",
        "[1,2]<stdin>:x",
        "[0] NCCL INFO x",
        "[prterun-node",
        "3: x",
        "(pid=) x",
        "(see pid=12 below",
        "(raylet",
        "(f pid=12)x",
        "\u{1b}[32mINFO\u{1b}[0m: x",
        "\u{1b}[",
        "(a, b)",
    ] {
        assert_eq!(prefix(line.as_bytes()), Prefix::default(), "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_borne_and_its_prefix_lies_inside_it(line in "(\\[(rank|default)[0-9]{1,9}\\]:? ?|\\[1,[0-9]\\]<std|\\(f? ?pid=[0-9]+\\)|\u{1b}\\[36m|.){0,8}") {
        let prefix = prefix(line.as_bytes());
        proptest::prop_assert!(line.is_char_boundary(prefix.bytes.len()));
    }
}
