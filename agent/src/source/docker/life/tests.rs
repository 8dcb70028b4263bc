use std::collections::HashMap;

use super::{super::tagging::tests::container, *};
use crate::record::wire::RecordView;

const STARTED: &str = "2026-01-01T00:00:00Z";
const STARTED_NANOS: u64 = 1_767_225_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
const NOW: u64 = STARTED_NANOS + 1_000 * SECOND;

fn tags(run_id: &str) -> Tags {
    let resource = Arc::new(Resource { run_id: run_id.into(), encoded: vec![7] });
    Tags { name: "trainer".into(), resource, attributes: Vec::new(), level: Severity::INFO, is_joined: true }
}

fn life(stored: Option<&[u8]>) -> Life {
    Life::new("abc", tags("r"), &RunId::new("of-the-agent").unwrap(), stored)
}

fn running(started_at: &str) -> Container {
    Container { started_at: started_at.into(), ..container(&[], &[]) }
}

fn exit(code: i64, after: u64) -> Exit {
    Exit { code, is_oom_killed: false, finished: Some(STARTED_NANOS + after * SECOND) }
}

/// The names of events, and the last position among what was told.
fn told(inputs: Vec<Input>) -> (Vec<&'static str>, Option<Vec<u8>>) {
    let (mut names, mut position) = (Vec::new(), None);
    for input in inputs {
        match input {
            Input::Event(event) => names.push(event.name),
            // It lives for as long.
            Input::Chunk(chunk) if chunk.origin.key.is_empty() => {}
            Input::Chunk(chunk) => {
                assert_eq!(chunk.origin.key, "docker/abc/life");
                position = chunk.origin.bookmark.at(ReadTo::whole(0));
            }
            Input::Entries(_) | Input::Pushed(_) | Input::Settle(_) => panic!("a life pushes nothing"),
        }
    }
    (names, position)
}

fn event(inputs: Vec<Input>) -> Event {
    inputs.into_iter().find_map(|input| if let Input::Event(event) = input { Some(event) } else { None }).unwrap()
}

#[test]
fn an_end_says_how_long_it_took_and_whether_memory_was_short() {
    let cases = [
        (0, false, "container trainer of run r ended with exit code 0", Severity::INFO, "success"),
        (3, false, "container trainer of run r ended with exit code 3", Severity::FATAL, "failure"),
        (
            137,
            true,
            "container trainer of run r ended with exit code 137, killed for want of memory",
            Severity::FATAL,
            "failure",
        ),
    ];
    for (code, is_oom_killed, body, severity, result) in cases {
        let mut life = life(None);
        assert_eq!(told(life.seen(&running(STARTED), None, NOW)).0, ["ml.run.start"]);
        let event = event(life.ended(Some(&Exit { is_oom_killed, ..exit(code, 90) }), NOW));
        let time = STARTED_NANOS + 90 * SECOND;
        assert_eq!((event.body.as_str(), event.severity, event.time), (body, severity, time));
        let record = RecordView::read(&event.attributes).unwrap();
        let found: HashMap<_, _> = record.attributes().map(Result::unwrap).collect();
        assert!(matches!(found["ml.run.result"], Value::String(found) if found == result));
        assert!(matches!(found["process.exit.code"], Value::Int(found) if found == code));
        assert!(matches!(found["ml.run.duration"], Value::Double(90.0)));
        assert_eq!(found.contains_key("runlog.oom_killed"), is_oom_killed);
    }
}

#[test]
fn what_was_told_is_not_told_again_after_a_restart_of_the_agent() {
    let mut first = life(None);
    let (names, started) = told(first.seen(&running(STARTED), None, NOW));
    assert_eq!(names, ["ml.run.start"]);

    let mut second = life(started.as_deref());
    assert!(second.is_open());
    assert_eq!(told(second.seen(&running(STARTED), None, NOW)).0, [""; 0]);
    let (names, ended) = told(second.ended(Some(&exit(0, 1)), NOW));
    assert_eq!(names, ["ml.run.end"]);

    let mut third = life(ended.as_deref());
    assert!(!third.is_open());
    assert_eq!(told(third.seen(&running(STARTED), None, NOW)).0, [""; 0]);
    assert_eq!(told(third.ended(Some(&exit(0, 1)), NOW)).0, [""; 0]);
}

#[test]
fn each_life_has_its_start_and_its_end() {
    let mut life = life(None);
    let _ = life.seen(&running(STARTED), None, NOW);
    // Between two lives the engine says how the last one has ended.
    let restarting = Container { exit: Some(exit(3, 1)), ..running(STARTED) };
    assert_eq!(told(life.seen(&restarting, None, NOW)).0, ["ml.run.end"]);
    assert_eq!(told(life.seen(&running("2026-01-01T00:00:02Z"), None, NOW)).0, ["ml.run.start"]);
    // It was started again before anybody looked: what was heard of the end counts, if it is of that life.
    let both = life.seen(&running("2026-01-01T00:00:04Z"), Some(exit(5, 3)), NOW);
    let Input::Event(end) = &both[0] else { panic!("{both:?}") };
    assert!(end.body.ends_with("exit code 5"), "{}", end.body);
    assert_eq!(told(both).0, ["ml.run.end", "ml.run.start"]);
    let end = event(life.seen(&running("2026-01-01T00:00:06Z"), Some(exit(7, 7)), NOW));
    assert_eq!(
        (end.body.as_str(), end.time),
        ("container trainer of run r has ended, how is not known", STARTED_NANOS + 6 * SECOND)
    );
}

#[test]
fn the_agents_own_run_neither_begins_nor_ends_with_a_container() {
    let mut life = Life::new("abc", tags("of-the-agent"), &RunId::new("of-the-agent").unwrap(), None);
    assert_eq!(told(life.seen(&running(STARTED), None, NOW)).0, [""; 0]);
    assert_eq!(told(life.ended(Some(&exit(0, 1)), NOW)).0, [""; 0]);
    assert_eq!(told(life.gone(None, NOW)), (Vec::new(), Some(Vec::new())), "and its position is forgotten");
}

#[test]
fn the_agents_own_run_has_a_gap_for_a_container_that_is_gone_unless_it_was_read_to_its_end() {
    let agents_run = RunId::new("of-the-agent").unwrap();
    for (is_ended, expected) in [(false, &["runlog.gap"][..]), (true, &[])] {
        let mut life = Life::new("abc", tags("of-the-agent"), &agents_run, None);
        let (_, mut stored) = told(life.seen(&running(STARTED), None, NOW));
        if is_ended {
            stored = told(life.ended(Some(&exit(0, 1)), NOW)).1;
        }
        let positions = BTreeMap::from([("docker/abc/life".to_owned(), stored.unwrap())]);
        let vanished = left_behind(&positions).flat_map(|(_, life)| life.vanished(None, NOW)).collect();
        assert_eq!(told(vanished), (expected.to_vec(), Some(Vec::new())));
    }
}

#[test]
fn a_container_that_is_gone_is_ended_by_what_the_queue_knows_of_it() {
    let (_, stored) = told(life(None).seen(&running(STARTED), None, NOW));
    let positions =
        BTreeMap::from([("docker/abc/life".to_owned(), stored.unwrap()), ("docker/x/stdout".into(), vec![1])]);
    let mut left: Vec<_> = left_behind(&positions).collect();
    assert_eq!(left.len(), 1);
    let (id, mut life) = left.remove(0);
    assert_eq!((id, life.tags.resource.as_ref()), ("abc", tags("r").resource.as_ref()));
    let (names, position) = told(life.gone(None, NOW));
    assert_eq!((names, position), (vec!["ml.run.end"], Some(Vec::new())), "and its position is forgotten");
    let vanished = left_behind(&positions).flat_map(|(_, life)| life.vanished(None, NOW)).collect();
    assert_eq!(told(vanished).0, ["runlog.gap", "ml.run.end"]);
}
