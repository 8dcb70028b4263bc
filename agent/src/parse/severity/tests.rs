use super::*;

/// (line, number, the source's word, logger); number 0 where the line states no level.
const LINES: &[(&str, u8, &str, &str)] = &[
    // Python logging, its usual formats.
    ("WARNING:root:disk is slow", 13, "WARNING", "root"),
    ("DEBUG:sklearn.linear_model:alpha 0.1", 5, "DEBUG", "sklearn.linear_model"),
    ("WARNING:noisy.x:3", 13, "WARNING", "noisy.x"),
    ("WARNING:engine.py:88:slow", 13, "WARNING", ""),
    ("2026-11-24 05:44:23,123 - train.data - INFO - loaded 442 rows", 9, "INFO", "train.data"),
    ("2026-11-24 05:44:23,123 INFO train: epoch 1", 9, "INFO", "train"),
    ("2026-11-24 05:44:23,123 DEBUG urllib3.connectionpool: https://host:443", 5, "DEBUG", "urllib3.connectionpool"),
    ("2026-11-24 05:44:23,123 - ERROR - out of luck: no data", 17, "ERROR", ""),
    ("[2026-11-24 05:44:23,123][train][CRITICAL] stop", 21, "CRITICAL", "train"),
    ("[2026-11-24 05:44:23,123] [INFO] [engine.py:88:step] lr=0.1", 9, "INFO", ""),
    ("[INFO] plain bracket", 9, "INFO", ""),
    ("05:44:23 | WARNING  | loss grows", 13, "WARNING", ""),
    ("2026-11-24 05:44:23.123 | INFO     | __main__:main:12 - hello", 9, "INFO", "__main__"),
    ("2026-11-24 05:44:23.123 | SUCCESS  | __main__:main:12 - done", 12, "SUCCESS", "__main__"),
    ("2026-11-24 05:44:23,123 | DEBUG    | train.ridge | epoch 1", 5, "DEBUG", "train.ridge"),
    ("2026-11-24 05:44:23,123 | INFO | epoch 1 | loss 0.25", 9, "INFO", ""),
    ("2026-11-24 05:44:23,123 INFO epoch | loss 0.25", 9, "INFO", ""),
    ("Level 15:train.ridge:epoch 1", 8, "Level 15", "train.ridge"),
    ("INFO 2026-11-24 05:44:23 hello", 9, "INFO", ""),
    ("11/24/2026 05:44:23 - INFO - __main__ -   ***** Running training *****", 9, "INFO", ""),
    ("2026-11-24 05:44:23,123 Level 15 train verbose", 8, "Level 15", ""),
    ("ERROR something broke", 17, "ERROR", ""),
    ("CRITICAL: stop", 21, "CRITICAL", ""),
    ("warning: unused thing", 13, "warning", ""),
    ("\u{1b}[32mINFO\u{1b}[0m:     Started server process [1]", 9, "INFO", ""),
    // Other languages.
    ("2026-11-24T05:44:23.123456Z  WARN runlog::queue: full", 13, "WARN", "runlog::queue"),
    ("[2026-11-24T05:44:23Z DEBUG hyper::proto] read 12 bytes", 5, "DEBUG", ""),
    ("2026-11-24 05:44:23,123 [main] ERROR com.acme.Train - failed", 17, "ERROR", "com.acme.Train"),
    ("time=2026-11-24T05:44:23.123Z level=WARN msg=slow", 13, "WARN", ""),
    ("ts=1 lvl=debug msg=x", 5, "debug", ""),
    ("I1124 05:44:23.123456 12345 trainer.cc:12] step", 9, "I", ""),
    ("F1124 05:44:23.123456       1 main.go:3] dead", 21, "F", ""),
    ("[rank3]:[E918 19:29:24.436 ProcessGroupNCCL.cpp:689] [Rank 3] Watchdog", 17, "E", ""),
    ("[W1124 05:44:23.1234 socket.cpp:464] [c10d] retry", 13, "W", ""),
    ("node-1:4242:4250 [0] NCCL INFO Bootstrap : Using eth0", 9, "INFO", "NCCL"),
    ("[rank0]: 2026-11-24 05:44:23,123 INFO train: x", 9, "INFO", "train"),
    ("[default0]:WARNING:root:late", 13, "WARNING", "root"),
    ("(train_fn pid=12, ip=10.0.0.7) WARNING:root:late", 13, "WARNING", "root"),
    ("\u{1b}[36m(train_fn pid=12)\u{1b}[0m 2026-11-24 05:44:23,123 INFO train: x", 9, "INFO", "train"),
    ("[1,3]<stderr>:E1124 05:44:23.123456 12 a.cc:1] x", 17, "E", ""),
    ("2026/11/24 05:44:23 [error] 7#7: *1 open() failed", 17, "error", ""),
    ("/usr/lib/python3/site-packages/sklearn/x.py:12: ConvergenceWarning: no", 13, "ConvergenceWarning", "py.warnings"),
    ("2026-11-24 05:44:23,123 DEBG fd 6 closed", 5, "DEBG", ""),
    ("2026-11-24 05:44:23,123 CRIT running as root", 21, "CRIT", ""),
    ("*** SIGSEGV received at time=1764000000 on cpu 3 ***", 17, "", ""),
    ("[node-3:04242] *** Process received signal ***", 17, "", ""),
    ("***** Running training *****", 0, "", ""),
    ("*** done ***", 0, "", ""),
    (r"C:\a\b.py:12: UserWarning: no", 13, "UserWarning", "py.warnings"),
    // JSON.
    (r#"{"level":"info","msg":"x"}"#, 9, "info", ""),
    (r#"{"message": "level", "levelname": "WARNING", "name": "train"}"#, 13, "WARNING", "train"),
    (r#"{"level":50,"msg":"pino"}"#, 17, "50", ""),
    (r#"{"severity": "ERROR", "message": "a \"level\": \"debug\" b"}"#, 17, "ERROR", ""),
    (r#"{"name": "x", "log.level" : "warn", "logger_name":"train"}"#, 13, "warn", "train"),
    (r#"{"msg":"the \"level\":\"error\" of it","level":"debug"}"#, 5, "debug", ""),
    (r#"{"level":"high","severity":"INFO"}"#, 9, "INFO", ""),
    // No level is stated.
    ("x.level=info", 0, "", ""),
    ("C:\\a.py: 12: UserWarning: no", 0, "", ""),
    ("", 0, "", ""),
    ("   ", 0, "", ""),
    ("epoch 1 loss 0.31", 0, "", ""),
    ("alpha is 0.40, and mse is 3295.74", 0, "", ""),
    ("Training at DEBUG level now", 0, "", ""),
    ("Set INFO flag", 0, "", ""),
    ("Note: this is an INFO line", 0, "", ""),
    ("INFO=1 is set", 0, "", ""),
    ("  File \"train.py\", line 3, in <module>", 0, "", ""),
    ("ValueError: bad", 0, "", ""),
    ("{not json", 0, "", ""),
    ("100%|██████████| 10/10 [00:00<00:00, 99.9it/s]", 0, "", ""),
    ("tensor([[ 0.1, 0.2]])", 0, "", ""),
];

#[test]
fn each_line_has_the_level_that_its_author_gave_it() {
    let mut wrong = Vec::new();
    for (line, number, text, logger) in LINES {
        let seen = detect(line.as_bytes()).map_or((0, "", ""), |found| {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            (found.severity.number(), text(found.text), text(found.logger))
        });
        if seen != (*number, *text, *logger) {
            wrong.push(format!("{line:?}: {seen:?}, expected {:?}", (number, text, logger)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_borne(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = detect(&line);
    }

    #[test]
    fn pieces_of_heads_are_borne(line in "[\\[{IWE:\\-|\"= a-z0-9]{0,60}") {
        let _ = detect(line.as_bytes());
    }
}
