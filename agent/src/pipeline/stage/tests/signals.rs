//! What lines say of a run beside their text.

use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};

use super::*;
use crate::record::{Entries, Entry};

fn with_scalars(names: &[&str]) -> parse::Config {
    let scalars = names.iter().map(|name| glob::Pattern::new(name).unwrap()).collect();
    parse::Config { scalars, ..parse::Config::default() }
}

/// An attribute as it is shown in tests.
fn shown(record: &LogRecord, key: &str) -> String {
    let value = record.attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.as_ref());
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        _ => String::new(),
    }
}

/// The events of that name, each as those attributes.
fn events<const N: usize>(ran: &Ran, name: &str, keys: [&str; N]) -> Vec<[String; N]> {
    let named = ran.records.iter().filter(|record| record.event_name == name);
    named.map(|record| keys.map(|key| shown(record, key))).collect()
}

/// The values of the gauge of that name.
fn gauge(ran: &Ran, name: &str) -> Vec<String> {
    let resources = ran.metrics.iter().flat_map(|request| &request.resource_metrics);
    let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
    let points = metrics.filter(|metric| metric.name == name).flat_map(|metric| match &metric.data {
        Some(metric::Data::Gauge(gauge)) => &gauge.data_points[..],
        other => panic!("{other:?}"),
    });
    let value = |value: number_data_point::Value| match value {
        number_data_point::Value::AsDouble(number) => number.to_string(),
        number_data_point::Value::AsInt(number) => number.to_string(),
    };
    points.map(|point| value(point.value.unwrap())).collect()
}

const METRIC: [&str; 4] = ["ml.metric.name", "ml.metric.value", "ml.step", "ml.rank"];

#[tokio::test]
async fn numbers_that_are_asked_for_are_metrics_in_the_entry_of_their_line_which_stays() {
    let text = "[rank1]: step=5 loss=0.5 lr=3e-4 other=1\nepoch 1\n{'loss': 0.25}\n";
    let ran = run_with(with_scalars(&["loss", "l?"]), vec![chunk(&origin("file", None), 0, text.as_bytes())]).await;
    let expected = [["loss", "0.5", "5", "1"], ["lr", "0.0003", "5", "1"], ["loss", "0.25", "", ""]];
    assert_eq!(events(&ran, "ml.metric", METRIC), expected.map(|event| event.map(str::to_owned)));
    assert_eq!(gauge(&ran, "ml.run.metric"), ["0.5", "0.0003", "0.25"]);
    assert_eq!(gauge(&ran, "ml.run.step"), ["5", "5"]);
    // The gauges are there before their lines are, and the receipt comes last.
    assert_eq!(ran.signals, [Signal::Metrics, Signal::Logs, Signal::Logs]);
    let lines: Vec<_> = ran.records.iter().filter(|record| record.event_name.is_empty()).map(body).collect();
    assert_eq!(lines, ["step=5 loss=0.5 lr=3e-4 other=1", "epoch 1", "{'loss': 0.25}"]);
    let uids: BTreeSet<_> = ran.records.iter().map(|record| shown(record, "log.record.uid")).collect();
    assert_eq!(uids.len(), ran.records.len());
    let receipt = ran.records.last().unwrap();
    assert_eq!(shown(receipt, "runlog.receipt.scalars"), "3");
    assert_eq!(body(receipt), "3 lines of 1 source read: 3 kept, 0 below the level");
}

#[tokio::test]
async fn numbers_at_the_same_place_of_two_streams_have_uids_of_their_own() {
    let (a, mut b) = (origin("a", None), origin("b", None));
    Arc::get_mut(&mut b).unwrap().uid_prefix = crate::record::wire::uid_prefix(&[b"another stream"]);
    let chunks = vec![chunk(&a, 0, b"loss=0.5\n"), chunk(&b, 0, b"loss=0.5\n"), chunk(&a, 9, b"loss=0.5\n")];
    let ran = run_with(with_scalars(&["loss"]), chunks).await;
    let uids: BTreeSet<_> = events(&ran, "ml.metric", ["log.record.uid"]).into_iter().collect();
    assert_eq!(uids.len(), 3);
}

#[tokio::test]
async fn what_is_not_finite_is_an_event_that_warns_and_is_in_the_receipt_but_in_no_gauge() {
    let text = "loss=nan step=1\nloss=-inf step=2\nloss=0.5 step=3\n";
    let ran = run_with(with_scalars(&["loss"]), vec![chunk(&origin("file", None), 0, text.as_bytes())]).await;
    let told = events(&ran, "ml.metric", ["ml.metric.value", "ml.metric.nonfinite"]);
    assert_eq!(told, [["NaN", "true"], ["-inf", "true"], ["0.5", ""]].map(|event| event.map(str::to_owned)));
    let severities: Vec<_> = ran.records.iter().filter(|record| record.event_name == "ml.metric").collect();
    assert_eq!(severities.iter().map(|record| record.severity_number).collect::<Vec<_>>(), [13, 13, 9]);
    assert_eq!(gauge(&ran, "ml.run.metric"), ["0.5"]);
    let receipt = ran.records.last().unwrap();
    assert_eq!(shown(receipt, "runlog.receipt.scalars_nonfinite"), "2");
    assert!(body(receipt).ends_with(", 2 values of metrics not finite"), "{}", body(receipt));
}

#[tokio::test]
async fn nothing_is_read_out_of_lines_unless_it_is_asked_for() {
    let ran = run(vec![chunk(&origin("file", None), 0, b"loss=0.5 step=1\n")]).await;
    assert_eq!((ran.records.len(), ran.metrics.len()), (2, 0));
}

fn alike(repeats: u64, ranks: u64) -> parse::Config {
    let wait = |seconds| Some(Duration::from_secs(seconds)).filter(|wait| !wait.is_zero());
    let alike = parse::AlikeConfig { repeats: wait(repeats), ranks: wait(ranks) };
    parse::Config { alike, ..parse::Config::default() }
}

/// The lines, each with those attributes.
fn lines<const N: usize>(ran: &Ran, keys: [&str; N]) -> Vec<(String, [String; N])> {
    let lines = ran.records.iter().filter(|record| record.event_name.is_empty());
    lines.map(|record| (body(record).to_owned(), keys.map(|key| shown(record, key)))).collect()
}

#[tokio::test]
async fn a_line_that_is_repeated_is_there_at_once_and_then_once_more_with_how_often() {
    let file = origin("file", None);
    let text = format!("before\n{}after\n", "WARN again\n".repeat(413));
    let ran = run_with(alike(3600, 0), vec![chunk(&file, 0, text.as_bytes())]).await;
    let expected = [("before", ""), ("WARN again", ""), ("WARN again", "412"), ("after", "")];
    let told = lines(&ran, ["runlog.repeats"]);
    assert_eq!(told, expected.map(|(line, count)| (line.to_owned(), [count.to_owned()])));
    let repeated = &ran.records[2];
    assert_eq!(repeated.severity_number, 13);
    assert_eq!(shown(repeated, "runlog.repeats.from_unix_nano"), "1");
    let receipt = body(ran.records.last().unwrap());
    assert_eq!(receipt, "415 lines of 1 source read: 415 kept, 0 below the level");
    assert_eq!(ran.positions, [("file".to_owned(), text.len().to_string())]);
}

#[tokio::test]
async fn a_position_does_not_pass_what_is_repeated_before_it_is_told() {
    let file = origin("file", None);
    let text = "again\nagain\nagain\n";
    let ran = run_with(alike(3600, 0), vec![chunk(&file, 0, text.as_bytes())]).await;
    assert_eq!(ran.settled, [("file".to_owned(), "6".to_owned())]);
    assert_eq!(ran.positions, [("file".to_owned(), "18".to_owned())]);
    // A kill before the end reads the repetitions again, and counts them once.
    assert_eq!(lines(&ran, ["runlog.repeats"])[1].1, ["2"]);
}

#[tokio::test]
async fn repetitions_are_told_after_their_time_although_nothing_else_comes() {
    let file = origin("file", None);
    let mut parse = alike(3600, 0);
    parse.alike.repeats = Some(Duration::from_millis(1));
    let is_told = |positions: &[(String, String)]| positions.iter().any(|(_, position)| position == "12");
    let ran = run_until(parse, vec![chunk(&file, 0, b"again\nagain\n")], is_told).await;
    assert_eq!(lines(&ran, ["runlog.repeats"]).len(), 2);
}

#[tokio::test]
async fn what_all_ranks_print_is_one_record_with_the_ranks_and_their_errors_are_their_own() {
    let file = origin("file", None);
    let mut text = String::new();
    for line in ["loading", "WARN slow", "ERROR bad", "done"] {
        for rank in [2, 0, 1, 7] {
            text += &format!("[default{rank}]:{line}\n");
        }
    }
    let ran = run_with(alike(0, 3600), vec![chunk(&file, 0, text.as_bytes())]).await;
    let told = lines(&ran, ["ml.local_ranks", "ml.local_rank"]);
    let expected = [
        ("loading", "0-2,7", "2"),
        ("WARN slow", "0-2,7", "2"),
        ("ERROR bad", "", "2"),
        ("ERROR bad", "", "0"),
        ("ERROR bad", "", "1"),
        ("ERROR bad", "", "7"),
        ("done", "0-2,7", "2"),
    ];
    let expected = expected.map(|(line, ranks, rank)| (line.to_owned(), [ranks.to_owned(), rank.to_owned()]));
    assert_eq!(told, expected);
    assert!(body(ran.records.last().unwrap()).starts_with("16 lines of 1 source read: 16 kept, 0 below the level"));
    assert_eq!(ran.positions, [("file".to_owned(), text.len().to_string())]);
}

#[tokio::test]
async fn a_number_of_each_rank_is_kept_where_it_is_a_metric() {
    let file = origin("file", None);
    let parse = parse::Config { alike: alike(0, 3600).alike, ..with_scalars(&["loss"]) };
    let ran = run_with(parse, vec![chunk(&file, 0, b"[rank0]: loss=1\n[rank1]: loss=1\n")]).await;
    assert_eq!(events(&ran, "ml.metric", ["ml.rank"]), [["0".to_owned()], ["1".to_owned()]]);
    assert_eq!(lines(&ran, ["ml.ranks"]).len(), 2);
}

#[tokio::test]
async fn what_is_over_the_limit_is_counted_and_errors_pass() {
    let file = origin("file", None);
    let text: String = (0..20).map(|at| format!("line {at}\nERROR {at}\n")).collect();
    let parse = parse::Config { lines_per_second: std::num::NonZeroU32::new(5), ..parse::Config::default() };
    let chunk = chunk(&file, 0, text.as_bytes());
    let tally = Arc::clone(&file.tally);
    let ran = run_with(parse, vec![chunk]).await;
    assert_eq!(lines(&ran, []).len(), 25);
    assert_eq!((tally.counts().lines_limited, tally.counts().lines_read, tally.counts().records_kept), (15, 40, 25));
    let receipt = ran.records.last().unwrap();
    assert!(body(receipt).starts_with("40 lines of 1 source read: 25 kept, 0 below the level, 15 over the limit"));
    assert_eq!(shown(receipt, "runlog.receipt.lines_limited"), "15");
    assert_eq!(shown(receipt, "runlog.receipt.complete"), "true");
}

#[tokio::test]
async fn memory_that_is_used_up_is_an_alert_once_for_each_rank_without_its_secrets() {
    let file = origin("file", None);
    let of_rank = |rank: u32| format!("[rank{rank}]: ERROR CUDA out of memory, password=hunter2horse\n");
    let text = format!("{}{}{}ERROR other\n", of_rank(0), of_rank(3), of_rank(3));
    let chunks = vec![chunk(&file, 0, text.as_bytes()), chunk(&file, text.len() as u64, of_rank(3).as_bytes())];
    let ran = run_as(chunks, |mut stage| {
        // Each chunk is counted by itself then.
        stage.parse.join.is_on = false;
        stage.redacting(redact::Config { builtin: true, patterns: Vec::new() })
    });
    let ran = ran.await;
    let told = events(&ran, "ml.alert", ["ml.alert.kind", "ml.rank"]);
    assert_eq!(told, [["out_of_memory", "0"], ["out_of_memory", "3"]].map(|alert| alert.map(str::to_owned)));
    let alert = ran.records.iter().find(|record| record.event_name == "ml.alert").unwrap();
    let sentence = "rank 0: out of memory: ERROR CUDA out of memory, password=[redacted:password]";
    assert_eq!((body(alert), alert.severity_number), (sentence, 17));
}

#[tokio::test]
async fn where_all_ranks_wait_the_receipt_names_the_one_that_did_not_come() {
    let file = origin("file", None);
    let timed_out = |rank: u32| {
        format!(
            "[rank{rank}]:[E918 19:29:24.436 ProcessGroupNCCL.cpp:632] [Rank {rank}] Watchdog caught collective operation \
             timeout: WorkNCCL(SeqNum=9, OpType=ALLREDUCE, NumelIn=1) ran for 600029 milliseconds before timing out.\n\
             [rank{rank}]:[E918 19:29:24.437 ProcessGroupNCCL.cpp:1785] [PG ID 0 Rank {rank}] Exception detected by \
             watchdog at work: 9, last enqueued NCCL work: 9, last completed NCCL work: 8.\n"
        )
    };
    let late = "[rank2]:[E918 19:29:25.437 ProcessGroupNCCL.cpp:1785] [PG ID 0 Rank 2] Received a dump signal, last \
                enqueued NCCL work: 8, last completed NCCL work: 8.\n";
    let text = format!("{}{}{late}", timed_out(0), timed_out(1));
    let ran = run(vec![chunk(&file, 0, text.as_bytes())]).await;
    let receipt = ran.records.last().unwrap();
    assert_eq!(shown(receipt, "runlog.receipt.cause.rank"), "2");
    assert_eq!(shown(receipt, "runlog.receipt.cause"), "out_of_step");
}

#[tokio::test]
async fn torchruns_report_is_one_record_and_names_the_rank_that_printed_nothing() {
    let file = origin("file", None);
    let (ruler, thin) = ("=".repeat(60), "-".repeat(60));
    let report = format!(
        "Traceback (most recent call last):\n  File \"/usr/bin/torchrun\", line 8, in <module>\n    sys.exit(main())\n\
         torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n{ruler}\ntrain.py FAILED\n{thin}\n\
         Failures:\n  <NO_OTHER_FAILURES>\n{thin}\nRoot Cause (first observed failure):\n[0]:\n  \
         time      : 2026-11-24_05:44:23\n  host      : node-1\n  rank      : 3 (local_rank: 3)\n  \
         exitcode  : -9 (pid: 42)\n  error_file: <N/A>\n  traceback : Signal 9 (SIGKILL) received by PID 42\n{ruler}"
    );
    let ran = run(vec![chunk(&file, 0, format!("{report}\nafter\n").as_bytes())]).await;
    assert_eq!(told(&ran).0, [&report[..], "after"]);
    let receipt = ran.records.last().unwrap();
    assert_eq!(shown(receipt, "runlog.receipt.cause.rank"), "3");
    assert!(shown(receipt, "runlog.receipt.cause.line").starts_with("exitcode  : -9 (pid: 42)"), "{}", body(receipt));
}

#[tokio::test]
async fn a_line_of_megabytes_is_parts_that_say_so_and_are_all_there() {
    let file = origin("file", None);
    let long: String = (0..700_000).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    let text = format!("before\n{long}\nafter\n");
    let parse = parse::Config { max_line_bytes: 256 << 10, ..alike(3600, 3600) };
    let ran = run_with(parse, vec![chunk(&file, 0, text.as_bytes())]).await;
    let told = lines(&ran, ["runlog.part.index", "runlog.part.count"]);
    let marks: Vec<_> = told.iter().map(|(_, marks)| [&*marks[0], &*marks[1]]).collect();
    assert_eq!(marks, [["", ""], ["0", ""], ["1", ""], ["2", "3"], ["", ""]]);
    let ids: BTreeSet<_> = ran.records[1..4].iter().map(|record| shown(record, "runlog.part.id")).collect();
    assert_eq!(ids.len(), 1);
    let whole: String = told[1..4].iter().map(|(body, _)| body.as_str()).collect();
    assert_eq!(whole, long);
    assert!(body(ran.records.last().unwrap()).starts_with("3 lines of 1 source read: 3 kept"));
}

#[tokio::test]
async fn a_line_that_waits_behind_a_traceback_for_other_ranks_does_not_bring_the_traceback_again() {
    let file = origin("file", None);
    // Position and records would disagree after a kill: the traceback is in the queue, and its stream is read again.
    let traceback = format!("[rank0]: {}\n", TRACEBACK.replace('\n', "\n[rank0]: "));
    let text = format!("{traceback}[rank1]: loading\n[rank0]: 2026-11-24 05:44:23,000 INFO a: b\n");
    let ran = run_with(alike(0, 3600), vec![chunk(&file, 0, text.as_bytes())]).await;
    assert_eq!(ran.settled, [("file".to_owned(), traceback.len().to_string())]);
    assert_eq!(told(&ran).0, [TRACEBACK, "loading", "2026-11-24 05:44:23,000 INFO a: b"]);
}

#[tokio::test]
async fn a_line_in_the_midst_of_a_traceback_waits_for_no_other_rank() {
    let file = origin("file", None);
    let mut lines = TRACEBACK.lines();
    let mut text = format!("[rank0]: {}\n[rank1]: loading\n", lines.next().unwrap());
    lines.for_each(|line| text += &format!("[rank0]: {line}\n"));
    text += "[rank0]: 2026-11-24 05:44:23,000 INFO a: b\n";
    let ran = run_with(alike(0, 3600), vec![chunk(&file, 0, text.as_bytes())]).await;
    // No position lies between it and the traceback around it.
    let last = text.len() - text.lines().last().unwrap().len() - 1;
    assert_eq!(ran.settled, [("file".to_owned(), last.to_string())]);
    assert_eq!(told(&ran).0[..2], [TRACEBACK, "loading"]);
}

#[tokio::test]
async fn a_number_that_is_a_metric_is_kept_as_often_as_it_is_printed() {
    let parse = parse::Config { alike: alike(3600, 0).alike, ..with_scalars(&["loss"]) };
    let ran = run_with(parse, vec![chunk(&origin("file", None), 0, b"loss=1\nloss=1\nloss=1\nx\nx\n")]).await;
    assert_eq!(gauge(&ran, "ml.run.metric"), ["1", "1", "1"]);
    assert_eq!(lines(&ran, ["runlog.repeats"]).last().unwrap().1, ["1"]);
}

#[tokio::test]
async fn a_long_line_that_is_over_the_limit_is_left_out_with_all_of_its_parts() {
    let text = format!("one\n{}\n", "x".repeat(100));
    let lines_per_second = std::num::NonZeroU32::new(1);
    let parse = parse::Config { lines_per_second, max_line_bytes: 40, ..parse::Config::default() };
    let ran = run_with(parse, vec![chunk(&origin("file", None), 0, text.as_bytes())]).await;
    let (lines, receipt) = told(&ran);
    assert_eq!(lines, ["one"]);
    assert_eq!(receipt, "2 lines of 1 source read: 1 kept, 0 below the level, 1 over the limit");
    assert_eq!(ran.positions, [("file".to_owned(), text.len().to_string())]);
}

#[tokio::test]
async fn ranks_of_a_template_are_kept_apart_and_their_levels_and_exceptions_are_known() {
    let parse = parse::Config { rank_prefix: "${rank}: ".parse().unwrap(), ..parse::Config::default() };
    let woven = TRACEBACK.lines().flat_map(|line| [0, 12].map(|rank| format!("{rank:2}: {line}\n")));
    let text: String = woven.chain([" 0: WARNING:train:slow\n".to_owned(), "12: rest\n".to_owned()]).collect();
    let ran = run_with(parse, vec![chunk(&origin("file", None), 0, text.as_bytes())]).await;
    let told = lines(&ran, ["runlog.prefix", "exception.type", "ml.rank"]);
    let expected = [
        (TRACEBACK, [" 0: ", "KeyError", "0"]),
        (TRACEBACK, ["12: ", "KeyError", "12"]),
        ("WARNING:train:slow", [" 0: ", "", "0"]),
        ("rest", ["12: ", "", "12"]),
    ];
    assert_eq!(told, expected.map(|(line, shown)| (line.to_owned(), shown.map(str::to_owned))));
    assert_eq!(ran.records.iter().map(|record| record.severity_number).collect::<Vec<_>>()[..4], [17, 17, 13, 9]);
}

/// What `@record` of torchelastic leaves, written at that second.
fn left(class: &str, second: u64) -> String {
    let stack = format!(r#"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n{class}: bad\n"#);
    format!(
        r#"{{"message": {{"message": "{class}: bad", "extraInfo": {{"py_callstack": "{stack}", "timestamp": "{second}"}}}}}}"#
    )
}

/// The stream of a file of that rank on its node.
fn of_local_rank(key: &str, local_rank: u32) -> Arc<Origin> {
    let mut attributes = Vec::new();
    crate::record::wire::record_attribute(
        &mut attributes,
        "ml.local_rank",
        crate::record::wire::Value::Int(local_rank.into()),
    );
    let loud = origin(key, None);
    Origin::new(origin::Stream {
        key: key.into(),
        kind: SourceKind::File,
        identity: &[key.as_bytes()],
        resource: Arc::clone(&loud.resource),
        attributes,
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, key),
        bookmark: Arc::new(Offset),
    })
}

#[tokio::test]
async fn what_ranks_leave_of_their_exceptions_names_the_one_that_failed_first() {
    // No newline ends such a file, so it is given out when no more comes of it.
    let (first, second) = (of_local_rank("a", 3), of_local_rank("b", 1));
    let ran = run(vec![
        chunk(&second, 0, left("RuntimeError", 1_764_000_009).as_bytes()),
        Chunk::stopping(Arc::clone(&second), left("RuntimeError", 1_764_000_009).len() as u64, 1),
        chunk(&first, 0, left("KeyError", 1_764_000_003).as_bytes()),
        Chunk::stopping(Arc::clone(&first), left("KeyError", 1_764_000_003).len() as u64, 1),
    ])
    .await;
    let told = lines(&ran, ["exception.type", "exception.message", "ml.local_rank"]);
    let told: Vec<_> = told.iter().map(|(_, shown)| shown.each_ref().map(String::as_str)).collect();
    assert_eq!(told, [["RuntimeError", "bad", "1"], ["KeyError", "bad", "3"]]);
    assert_eq!(ran.records[0].severity_number, 17);
    let receipt = ran.records.last().unwrap();
    let cause = ["runlog.receipt.cause.local_rank", "runlog.receipt.cause", "runlog.receipt.cause.line"];
    assert_eq!(cause.map(|key| shown(receipt, key)), ["3", "exception", "KeyError: bad"]);
}

#[tokio::test]
async fn an_entry_of_the_journal_that_tells_of_memory_is_an_alert_as_a_line_is() {
    let unit = origin("unit", None);
    let entry = |number: u64| Entry {
        number,
        at: number << Entry::PART_BITS,
        bytes: b"[rank3]: ERROR CUDA out of memory".to_vec(),
        time: 1,
        level: None,
        logger: String::new(),
        attributes: Vec::new(),
    };
    let (entries, observed) = (vec![entry(0), entry(1)], 1);
    let entries = Input::Entries(Entries { origin: unit, entries, read_to: 2, observed, permit: None });
    let ran = run_inputs(parse::Config::default(), vec![entries], |stage| stage, |_| true).await;
    let told = events(&ran, "ml.alert", ["ml.alert.kind", "ml.rank"]);
    assert_eq!(told, [["out_of_memory", "3"]].map(|alert| alert.map(str::to_owned)));
}
