//! What the queue promises, on a simulated disk.

mod damage;
mod faults;
mod model;
mod room;

use std::{collections::BTreeSet, path::PathBuf};

use bytes::Bytes;

use super::{storage::sim::Sim, *};

/// Tests commit themselves; the committer never gets to it.
const NEVER: Duration = Duration::from_secs(24 * 3600);

fn dir() -> PathBuf {
    PathBuf::from("/state/queue")
}

fn small() -> Config {
    Config { max_bytes: 1024 * 1024, segment_bytes: 2048 }
}

fn open_with(sim: &Sim, config: &Config, destinations: &[&str]) -> Result<(Queue, Recovery), OpenError> {
    Queue::open(&dir(), config, destinations, Arc::new(sim.clone()), NEVER)
}

fn open(sim: &Sim, destinations: &[&str]) -> (Queue, Recovery) {
    open_with(sim, &small(), destinations).unwrap()
}

fn append(queue: &Queue, body: &[u8], positions: &[(&str, &[u8])]) -> Appended {
    queue.append(&Entry { meta: b"meta", body: Bytes::copy_from_slice(body), positions }).unwrap()
}

/// Makes readers read the disk, as those do that are far behind.
fn forget_fresh(queue: &Queue) {
    lock(&queue.handle.log.state).fresh.forget(Seq(u64::MAX));
}

fn bodies(reader: &mut Reader) -> Vec<Bytes> {
    std::iter::from_fn(|| reader.next_now()).map(|stored| stored.body).collect()
}

fn segments(sim: &Sim) -> BTreeSet<PathBuf> {
    sim.files().into_keys().collect()
}

#[test]
fn an_entry_is_given_only_when_it_is_durable() {
    let (queue, _) = open(&Sim::default(), &["otlp"]);
    let mut reader = queue.reader("otlp").unwrap();
    append(&queue, b"one", &[]);
    assert_eq!(reader.next_now(), None);

    assert_eq!(queue.sync().unwrap(), Seq(1));

    let stored = reader.next_now().unwrap();
    assert_eq!((stored.seq, &stored.meta[..], &stored.body[..]), (Seq(1), &b"meta"[..], &b"one"[..]));
    assert_eq!(reader.next_now(), None);
}

#[test]
fn each_destination_goes_on_after_its_own_last_acknowledgement() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["fast", "slow"]);
    for body in ["one", "two", "three"] {
        append(&queue, body.as_bytes(), &[]);
    }
    queue.sync().unwrap();
    let (mut fast, mut slow) = (queue.reader("fast").unwrap(), queue.reader("slow").unwrap());
    assert_eq!((bodies(&mut fast).len(), bodies(&mut slow).len()), (3, 3));
    fast.acknowledge(Seq(2));
    slow.acknowledge(Seq(1));
    drop((queue, fast, slow));

    let (queue, recovery) = open(&sim, &["fast", "slow"]);

    assert_eq!(recovery.entries, 3);
    assert_eq!(bodies(&mut queue.reader("fast").unwrap()), ["three"]);
    assert_eq!(bodies(&mut queue.reader("slow").unwrap()), ["two", "three"]);
    let stats = queue.stats();
    assert_eq!((stats.destinations["fast"].entries, stats.destinations["slow"].entries), (1, 2));
    assert!(stats.destinations["slow"].oldest_age > stats.destinations["fast"].oldest_age);
}

#[test]
fn what_was_not_given_cannot_be_acknowledged() {
    let (queue, _) = open(&Sim::default(), &["otlp"]);
    append(&queue, b"one", &[]);
    append(&queue, b"two", &[]);
    queue.sync().unwrap();
    let mut reader = queue.reader("otlp").unwrap();
    reader.next_now().unwrap();
    reader.acknowledge(Seq(2));
    assert_eq!(queue.stats().destinations["otlp"].entries, 1);
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()), ["two"]);
}

#[test]
fn positions_are_the_newest_of_each_key_and_an_empty_one_forgets() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    append(&queue, b"one", &[("a", b"1"), ("b", b"1")]);
    append(&queue, b"", &[("a", b"2"), ("c", b"1")]);
    append(&queue, b"", &[("b", b"")]);
    let expected = BTreeMap::from([("a".to_owned(), b"2".to_vec()), ("c".to_owned(), b"1".to_vec())]);
    assert_eq!(queue.positions(), expected);
    drop(queue);

    let (queue, recovery) = open(&sim, &["otlp"]);

    assert_eq!(queue.positions(), expected);
    assert_eq!(recovery.entries, 1, "what only moves positions is not counted");
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()), ["one"]);
}

#[test]
fn the_id_stays_and_seqs_go_on_after_a_restart() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["otlp"]);
    let id = queue.id();
    append(&queue, b"one", &[]);
    drop(queue);
    let (queue, _) = open(&sim, &["otlp"]);
    assert_eq!(queue.id(), id);
    assert_eq!(append(&queue, b"two", &[]), Appended::At(Seq(2)));
}

#[test]
fn a_destination_that_is_not_configured_any_more_holds_back_nothing() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["kept", "dropped"]);
    append(&queue, b"one", &[]);
    queue.sync().unwrap();
    let mut kept = queue.reader("kept").unwrap();
    kept.next_now().unwrap();
    kept.acknowledge(Seq(1));
    drop((queue, kept));
    let before = segments(&sim);

    let (queue, recovery) = open(&sim, &["kept"]);

    assert_eq!(recovery.removed_destinations, ["dropped"]);
    assert!(segments(&sim).is_disjoint(&before), "its entries are removed");
    assert!(queue.reader("dropped").is_err());
    drop(queue);
    assert_eq!(open(&sim, &["kept"]).1.removed_destinations, Vec::<String>::new(), "reported once");
}

#[test]
fn a_new_destination_begins_with_the_oldest_entry_that_is_there() {
    let sim = Sim::default();
    let (queue, _) = open(&sim, &["old"]);
    append(&queue, b"one", &[]);
    drop(queue);
    let (queue, _) = open(&sim, &["old", "new"]);
    assert_eq!(bodies(&mut queue.reader("new").unwrap()), ["one"]);
}

#[test]
fn the_second_opener_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Queue::open(dir.path(), &small(), &["otlp"], Arc::new(Disk), NEVER);
    let (queue, _) = open().unwrap();
    let reader = queue.reader("otlp").unwrap();
    drop(queue);
    match open() {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("opened twice: {:?}", other.map(|(_, recovery)| recovery)),
    }
    drop(reader);
    open().unwrap();
}

#[test]
fn entries_on_a_real_disk_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Queue::open(&dir.path().join("queue"), &small(), &["otlp"], Arc::new(Disk), NEVER).unwrap();
    let (queue, _) = open();
    for number in 0..100_u64 {
        append(&queue, &[number as u8; 100], &[("a", &number.to_le_bytes())]);
    }
    drop(queue);
    let (queue, recovery) = open();
    assert_eq!(recovery, Recovery { entries: 100, bytes: recovery.bytes, ..Recovery::default() });
    assert_eq!(queue.positions()["a"], 99_u64.to_le_bytes());
    let expected: Vec<Vec<u8>> = (0..100).map(|number| vec![number; 100]).collect();
    assert_eq!(bodies(&mut queue.reader("otlp").unwrap()), expected);
}

#[tokio::test]
async fn a_reader_waits_for_the_committer_and_ends_after_the_last_entry_of_a_closed_queue() {
    let storage = Arc::new(Sim::default());
    let (queue, _) = Queue::open(&dir(), &small(), &["otlp"], storage, Duration::from_millis(1)).unwrap();
    let mut reader = queue.reader("otlp").unwrap();
    let reading = tokio::spawn(async move {
        let first = reader.next().await.map(|stored| stored.body);
        let second = reader.next().await.map(|stored| stored.body);
        let end = reader.next().await;
        reader.acknowledge(Seq(2));
        (first, second, end, reader.is_drained())
    });
    append(&queue, b"one", &[]);
    append(&queue, b"two", &[]);
    queue.close();
    assert_eq!(
        queue.append(&Entry { meta: b"", body: Bytes::from_static(b"late"), positions: &[] }),
        Err(AppendError::Closed)
    );
    assert_eq!(reading.await.unwrap(), (Some("one".into()), Some("two".into()), None, true));
    assert!(queue.is_drained());
}

#[test]
fn s12_a_panic_of_the_queues_thread_is_noticed() {
    // A linger that no clock can reach is what makes the thread panic.
    let sim = Sim::default();
    let (queue, _) = Queue::open(&dir(), &small(), &["otlp"], Arc::new(sim), Duration::MAX).unwrap();
    assert!(!queue.has_failed());
    append(&queue, b"one", &[]);
    while !queue.has_failed() {
        std::thread::yield_now();
    }
    assert_eq!(queue.sync().unwrap(), Seq(1), "what it holds can still be made durable");
}
