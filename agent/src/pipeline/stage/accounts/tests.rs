use super::*;
use crate::record::{Cause, FirstError, wire::resource_attribute};

fn stream(kind: SourceKind, name: &str) -> Stream<'static> {
    Stream {
        key: name.to_owned(),
        kind,
        identity: &[],
        resource: Arc::new(Resource { run_id: String::new(), encoded: Vec::new() }),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(kind, name),
        bookmark: Arc::new(NoBookmark),
    }
}

fn origin(kind: SourceKind, run_id: &str, name: &str) -> Arc<Origin> {
    let mut encoded = Vec::new();
    resource_attribute(&mut encoded, "ml.run.id", Value::String(run_id));
    let mut attributes = Vec::new();
    record_attribute(&mut attributes, "ml.rank", Value::Int(3));
    let resource = Arc::new(Resource { run_id: run_id.to_owned(), encoded });
    Origin::new(Stream { resource, attributes, ..stream(kind, name) })
}

fn lines(count: u64) -> Account {
    Account { lines_read: count, lines_kept: count, records_kept: count, ..Account::default() }
}

/// What the queue holds after changes were committed, as positions.
#[derive(Debug, Default)]
struct Held(BTreeMap<String, Vec<u8>>);

impl Held {
    fn take(&mut self, updates: impl IntoIterator<Item = PositionUpdate>) {
        for PositionUpdate { key, bookmark } in updates {
            if bookmark.is_empty() {
                self.0.remove(&key);
            } else {
                self.0.insert(key, bookmark);
            }
        }
    }
}

fn count(accounts: &mut Accounts, held: &mut Held, origin: &Arc<Origin>, account: Account) {
    let change = accounts.with(&origin.resource.run_id, &[(Arc::clone(origin), account)]);
    held.take(change.positions());
    accounts.commit(change);
}

fn told(accounts: &Accounts, run_id: &str) -> Option<(String, Severity)> {
    let event = accounts.receipt(run_id, accounts.origin(run_id)?, 7)?;
    Some((event.body, event.severity))
}

#[test]
fn accounts_go_on_after_a_restart_with_what_the_queue_has_and_end_with_the_receipt() {
    let (mut accounts, mut held) = (Accounts::default(), Held::default());
    let (a, b) = (origin(SourceKind::File, "a:1:r", "/logs/a:b.log"), origin(SourceKind::File, "a:1:r", "b"));
    count(&mut accounts, &mut held, &a, lines(2));
    count(&mut accounts, &mut held, &b, Account { lines_filtered: 1, lines_read: 1, ..Account::default() });
    // Counted for an entry that the kill left out of the queue.
    drop(accounts.with("a:1:r", &[(Arc::clone(&a), lines(9))]));

    let mut accounts = Accounts::resume(&held.0);
    count(&mut accounts, &mut held, &a, lines(3));
    let expected = "6 lines of 2 sources read: 5 kept, 1 below the level".to_owned();
    assert_eq!(told(&accounts, "a:1:r"), Some((expected, Severity::INFO)));

    held.take(accounts.settle("a:1:r"));
    assert_eq!(held.0, BTreeMap::new());
    assert_eq!(accounts.runs(), Vec::<String>::new());
    assert_eq!(told(&accounts, "a:1:r"), None);
}

#[test]
fn a_receipt_says_what_is_missing_and_names_each_source_with_its_rank_and_first_error() {
    let (mut accounts, mut held) = (Accounts::default(), Held::default());
    let a = origin(SourceKind::Process, "r", "stderr");
    let error = Some(FirstError::new(5, b"boom"));
    let account = Account { lines_lost: 1, bytes_lost: 20, gaps: 2, first_error: error, ..lines(4) };
    count(&mut accounts, &mut held, &a, account);

    let event = accounts.receipt("r", accounts.origin("r").unwrap(), 7).unwrap();
    assert_eq!(
        (event.body.as_str(), event.severity),
        ("4 lines of 1 source read: 4 kept, 0 below the level, 1 line lost, 20 bytes lost, 2 gaps", Severity::WARN)
    );
    let record = RecordView::read(&event.attributes).unwrap();
    let attributes: BTreeMap<_, _> = record.attributes().map(Result::unwrap).collect();
    assert!(matches!(attributes["runlog.receipt.complete"], Value::Bool(false)));
    let Value::String(sources) = attributes["runlog.receipt.sources"] else { panic!("{attributes:?}") };
    let sources: serde_json::Value = serde_json::from_str(sources).unwrap();
    assert_eq!((&sources[0]["name"], &sources[0]["rank"]), (&"stderr".into(), &3.into()));
    assert_eq!(sources[0]["first_error"]["body"], "boom");
}

#[test]
fn a_receipt_names_the_rank_whose_failure_the_others_followed() {
    let (mut accounts, mut held) = (Accounts::default(), Held::default());
    let of = |rank, local_rank, cause, time, line: &str| Account {
        ranks: vec![RankErrors::new(rank, local_rank, cause, FirstError::new(time, line.as_bytes()))],
        ..lines(1)
    };
    let a = origin(SourceKind::File, "r", "torchrun.log");
    count(&mut accounts, &mut held, &a, of(Some(0), None, Cause::Peer, 10, "Watchdog caught"));
    count(&mut accounts, &mut held, &a, of(Some(5), None, Cause::Other, 20, "ERROR could not read"));
    count(&mut accounts, &mut held, &a, of(Some(5), None, Cause::OutOfMemory, 30, "CUDA out of memory"));
    // The accounts go on after a restart.
    let mut accounts = Accounts::resume(&held.0);
    // A source of one rank: its lines have no prefix.
    let b = origin(SourceKind::Process, "r", "stderr");
    count(&mut accounts, &mut held, &b, of(None, None, Cause::Ended, 5, "closing signal SIGTERM"));

    let event = accounts.receipt("r", accounts.origin("r").unwrap(), 7).unwrap();
    assert!(event.body.ends_with("0 below the level; rank 5 failed first: out of memory"), "{}", event.body);
    let record = RecordView::read(&event.attributes).unwrap();
    let attributes: BTreeMap<_, _> = record.attributes().map(Result::unwrap).collect();
    assert_eq!(attributes["runlog.receipt.cause"], Value::String("out_of_memory"));
    assert_eq!(attributes["runlog.receipt.cause.rank"], Value::Int(5));
    assert_eq!(attributes["runlog.receipt.cause.line"], Value::String("CUDA out of memory"));
    let Value::String(sources) = attributes["runlog.receipt.sources"] else { panic!("{attributes:?}") };
    let sources: serde_json::Value = serde_json::from_str(sources).unwrap();
    let ranks = &sources[0]["ranks"];
    assert_eq!((&ranks[1]["rank"], &ranks[1]["cause"]), (&5.into(), &"out_of_memory".into()));
    assert_eq!(ranks[1]["first"]["body"], "ERROR could not read");
    assert_eq!(ranks[1]["telling"]["body"], "CUDA out of memory");
}

#[test]
fn a_run_of_containers_ends_with_the_last_of_their_streams() {
    for kind in [SourceKind::Docker, SourceKind::Kubernetes] {
        let (mut accounts, mut held) = (Accounts::default(), Held::default());
        let [out, err] = ["c/stdout", "c/stderr"].map(|name| origin(kind, "r", name));
        count(&mut accounts, &mut held, &out, lines(1));
        count(&mut accounts, &mut held, &err, lines(1));
        assert_eq!((accounts.closed(&out), accounts.closed(&out), accounts.closed(&err)), (false, false, true));

        // A run that has files as well ends with the agent.
        count(&mut accounts, &mut held, &out, lines(1));
        count(&mut accounts, &mut held, &origin(SourceKind::File, "r", "f"), lines(1));
        assert!(!accounts.closed(&out));
    }
}

#[test]
fn a_run_ends_with_the_last_of_its_streams_whether_or_not_anything_of_it_has_counted_yet() {
    // A joined head of the second stream is held back, so nothing counts of it before its end.
    let (mut accounts, mut held) = (Accounts::default(), Held::default());
    let [life, out, err] = ["", "c/stdout", "c/stderr"].map(|name| origin(SourceKind::Docker, "r", name));
    [&life, &out, &err].into_iter().for_each(|stream| accounts.opened(stream));
    count(&mut accounts, &mut held, &out, lines(1));
    assert!(!accounts.closed(&out) && !accounts.closed(&life));
    count(&mut accounts, &mut held, &err, lines(1));
    assert!(accounts.closed(&err));
    drop(accounts.settle("r"));

    // One that was left without a word is not waited for, and a run of which nothing counts has no receipt.
    accounts.opened(&out);
    accounts.opened(&origin(SourceKind::Docker, "r", "lost"));
    accounts
        .opened(&Origin::beside(Stream { resource: Arc::clone(&out.resource), ..stream(SourceKind::Docker, "told") }));
    assert!(!accounts.closed(&out));
    assert_eq!(accounts.runs(), Vec::<String>::new());
    accounts.opened(&origin(SourceKind::Docker, "r", "lost"));
    accounts.forget_idle();
    assert_eq!(accounts.runs(), Vec::<String>::new());
}

#[test]
fn a_receipt_says_how_the_containers_of_its_run_have_ended_also_after_a_restart() {
    let (mut accounts, mut held) = (Accounts::default(), Held::default());
    let out = origin(SourceKind::Docker, "r", "c/stdout");
    let well = End { name: "server".into(), time_unix_nano: 1, exit_code: Some(0), ..End::default() };
    let killed =
        End { name: "worker".into(), time_unix_nano: 2, exit_code: Some(137), oom_killed: true, ..End::default() };
    count(&mut accounts, &mut held, &out, lines(1));
    accounts.ended("r", well);
    accounts.ended("r", killed.clone());
    // An entry was to be made and was not: the next one has them.
    let change = accounts.with("r", &[]).unwritten();
    accounts.commit(change);
    count(&mut accounts, &mut held, &out, lines(1));
    assert_eq!(held.0.len(), 2, "{held:?}");

    let mut accounts = Accounts::resume(&held.0);
    // Told again, since what was told of it was not in the queue.
    accounts.ended("r", killed);
    let event = accounts.receipt("r", accounts.origin("r").unwrap(), 7).unwrap();
    assert!(
        event.body.ends_with("below the level; worker ended: exit code 137, killed for want of memory"),
        "{}",
        event.body
    );
    let record = RecordView::read(&event.attributes).unwrap();
    let attributes: BTreeMap<_, _> = record.attributes().map(Result::unwrap).collect();
    let Value::String(ends) = attributes["runlog.receipt.ends"] else { panic!("{attributes:?}") };
    let ends: Vec<runlog_proto::v1::End> = serde_json::from_str(ends).unwrap();
    let ends: Vec<_> = ends.iter().map(|end| (end.name.as_str(), end.exit_code, end.oom_killed)).collect();
    assert_eq!(ends, [("server", Some(0), false), ("worker", Some(137), true)]);
    held.take(accounts.settle("r"));
    assert_eq!(held.0, BTreeMap::new());
}

#[test]
fn sources_and_runs_beyond_their_bounds_are_counted_together_or_not_at_all() {
    let mut accounts = Accounts::default();
    let mut held = Held::default();
    for number in 0..MAX_SOURCES + 20 {
        count(&mut accounts, &mut held, &origin(SourceKind::File, "r", &number.to_string()), lines(1));
    }
    assert_eq!(held.0.len(), MAX_SOURCES + 1);
    let (body, _) = told(&accounts, "r").unwrap();
    assert!(body.starts_with("1020 lines of 1001 sources read: 1020 kept"), "{body}");
    for number in 0..MAX_RUNS + 20 {
        count(&mut accounts, &mut held, &origin(SourceKind::Otlp, &format!("run {number}"), "o"), lines(1));
    }
    assert_eq!(accounts.runs().len(), MAX_RUNS);
}
