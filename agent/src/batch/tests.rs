use std::sync::Mutex;

use super::*;
use crate::record::{
    Bookmark, SourceKind, Tally,
    origin::Stream,
    wire::{Text, requests_resources},
};

#[derive(Debug, Default)]
struct Asked(Mutex<Vec<u64>>);

impl Bookmark for Asked {
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        self.0.lock().unwrap().push(read_to.offset);
        Some(read_to.offset.to_string().into_bytes())
    }
}

fn resource(run_id: &str) -> Arc<Resource> {
    Arc::new(Resource { run_id: run_id.into(), encoded: Vec::new() })
}

fn origin(key: &str, resource: &Arc<Resource>) -> Arc<Origin> {
    Origin::new(Stream {
        key: key.into(),
        kind: SourceKind::File,
        identity: &[key.as_bytes()],
        resource: Arc::clone(resource),
        attributes: Vec::new(),
        level: Severity::TRACE,
        tally: Tally::detached(SourceKind::File, key),
        bookmark: Arc::new(Asked::default()),
    })
}

fn fields(body: &str, severity: Severity, time: u64) -> Fields<'_> {
    Fields {
        time,
        observed: 99,
        severity,
        severity_text: Text::EMPTY,
        body: Text::new(body),
        attributes: [b"", b""],
        uid: (b"", 0),
        event_name: "",
    }
}

fn batcher(max_bytes: usize) -> Batcher {
    Batcher::new(Config { max_bytes, linger: Duration::from_secs(1) }).unwrap()
}

fn bodies(batch: &Batch) -> usize {
    let bytes = zstd::decode_all(&batch.payload[..]).unwrap();
    assert_eq!(bytes.len(), batch.meta.uncompressed_bytes as usize);
    requests_resources(&bytes)
        .map(|found| found.unwrap().scopes().map(|scope| scope.unwrap().records().count()).sum::<usize>())
        .sum()
}

#[test]
fn a_batch_says_what_is_in_it_and_how_far_its_streams_were_read() {
    let mut batcher = batcher(1 << 20);
    let run = resource("run");
    let (a, b) = (origin("a", &run), origin("b", &run));
    let now = Instant::now();

    let slot = batcher.slot(&a, now);
    assert_eq!(batcher.push(slot, Text::new(""), &fields("one", Severity::DEBUG, 20), Some(ReadTo::whole(4))), None);
    assert_eq!(batcher.push(slot, Text::new("log"), &fields("two", Severity::ERROR, 10), Some(ReadTo::whole(8))), None);
    let slot_b = batcher.slot(&b, now);
    assert_eq!(slot, slot_b, "streams of one run share a batch");
    batcher.advance(slot_b, ReadTo::whole(100));

    let batch = batcher.close(slot).unwrap().unwrap();
    assert_eq!(bodies(&batch), 2);
    assert_eq!(batch.meta.run_id, "run");
    assert_eq!(batch.meta.records, 2);
    assert_eq!((batch.meta.first_time_unix_nano, batch.meta.last_time_unix_nano), (10, 20));
    assert_eq!(batch.meta.records_by_range, [0, 0, 1, 0, 0, 1, 0]);
    let positions: Vec<_> = batch.positions.iter().map(|p| (p.key.as_str(), &p.bookmark[..])).collect();
    assert_eq!(positions, [("a", &b"8"[..]), ("b", b"100")]);
    assert_eq!(batcher.close(slot).unwrap(), None, "what was closed is not closed again");
}

#[test]
fn filtered_lines_move_positions_without_a_record() {
    let mut batcher = batcher(1 << 20);
    let a = origin("a", &resource("run"));
    let slot = batcher.slot(&a, Instant::now());
    batcher.advance(slot, ReadTo::whole(50));
    let batch = batcher.close(slot).unwrap().unwrap();
    assert!(batch.payload.is_empty());
    assert_eq!(batch.positions[0].bookmark, b"50");
}

#[test]
fn runs_do_not_share_a_batch() {
    let mut batcher = batcher(1 << 20);
    let now = Instant::now();
    let one = batcher.slot(&origin("a", &resource("one")), now);
    let two = batcher.slot(&origin("b", &resource("two")), now);
    assert_ne!(one, two);
}

#[test]
fn a_batch_is_due_soon_after_a_silence_and_else_a_linger_after_the_one_before() {
    let mut batcher = batcher(1 << 20);
    assert_eq!(batcher.next_due(), None);
    let now = Instant::now();
    let slot = batcher.slot(&origin("a", &resource("run")), now);
    assert_eq!(batcher.next_due(), Some(now + GATHER));
    assert_eq!(batcher.due(Due::At(now)), []);
    assert_eq!(batcher.due(Due::At(now + GATHER)), [slot]);
    assert_eq!(batcher.due(Due::All), [slot]);

    let before = Instant::now();
    batcher.close(slot).unwrap();
    let after = Instant::now();
    assert_eq!(batcher.next_due(), None);
    batcher.slot(&origin("a", &resource("run")), after);
    let linger = Duration::from_secs(1);
    assert!((before + linger..=after + linger).contains(&batcher.next_due().unwrap()));

    let later = after + 2 * linger;
    batcher.close(slot).unwrap();
    batcher.slot(&origin("a", &resource("run")), later);
    assert_eq!(batcher.next_due(), Some(later + GATHER));
}

#[test]
fn the_full_batch_is_named_and_of_many_open_ones_the_largest() {
    let mut batcher = batcher(1000);
    let now = Instant::now();
    let long = "x".repeat(1000);
    let slot = batcher.slot(&origin("a", &resource("full")), now);
    assert_eq!(
        batcher.push(slot, Text::new(""), &fields(&long, Severity::INFO, 1), Some(ReadTo::whole(1))),
        Some(slot)
    );
    batcher.close(slot).unwrap().unwrap();

    let short = "x".repeat(900);
    let shorter = "x".repeat(600);
    let largest = batcher.slot(&origin("b", &resource("largest")), now);
    assert_eq!(batcher.push(largest, Text::new(""), &fields(&short, Severity::INFO, 1), Some(ReadTo::whole(1))), None);
    let mut named = None;
    for n in 0..20 {
        let slot = batcher.slot(&origin("c", &resource(&n.to_string())), now);
        named = batcher.push(slot, Text::new(""), &fields(&shorter, Severity::INFO, 1), Some(ReadTo::whole(1)));
        if named.is_some() {
            break;
        }
    }
    assert_eq!(named, Some(largest));
}

#[test]
fn an_emptied_batch_of_an_ended_stream_is_forgotten() {
    let mut batcher = batcher(1000);
    let run = resource("run");
    let slot = batcher.slot(&origin("a", &run), Instant::now());
    batcher.advance(slot, ReadTo::whole(1));
    batcher.close(slot).unwrap();
    batcher.forget_idle();
    assert_eq!(batcher.open.len(), 1, "the run's resource is still in use");
    drop(run);
    batcher.forget_idle();
    assert_eq!(batcher.open.len(), 0);
}
