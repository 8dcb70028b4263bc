//! The queue beside a plain list, with crashes as ordinary operations.

use proptest::prelude::*;

use super::*;
use crate::queue::storage::sim::{Fault, FaultKind};

const DESTINATIONS: [&str; 2] = ["left", "right"];

#[derive(Debug, Clone)]
enum Operation {
    Append {
        bytes: usize,
        key: u8,
    },
    Positions {
        key: u8,
        forget: bool,
    },
    Sync,
    ForgetFresh,
    Read {
        destination: usize,
    },
    Acknowledge {
        destination: usize,
        count: usize,
    },
    NewReader {
        destination: usize,
    },
    Fault(Fault),
    Kill,
    /// Once, or again while the queue is being opened: after so many operations of the disk.
    PowerCut {
        seed: u64,
        again_at: Option<u64>,
    },
    Restart,
    /// Somebody removes the directory, and the next commit notices.
    Remove,
}

fn operation() -> impl Strategy<Value = Operation> {
    let destination = 0..DESTINATIONS.len();
    let kind = prop_oneof![
        Just(FaultKind::Broken),
        Just(FaultKind::Full),
        Just(FaultKind::ReadOnly),
        Just(FaultKind::Interrupted),
        Just(FaultKind::Short)
    ];
    prop_oneof![
        12 => (1..700_usize, 0..4_u8).prop_map(|(bytes, key)| Operation::Append { bytes, key }),
        3 => (0..4_u8, any::<bool>()).prop_map(|(key, forget)| Operation::Positions { key, forget }),
        6 => Just(Operation::Sync),
        3 => Just(Operation::ForgetFresh),
        6 => destination.clone().prop_map(|destination| Operation::Read { destination }),
        6 => (destination.clone(), 1..4_usize)
            .prop_map(|(destination, count)| Operation::Acknowledge { destination, count }),
        1 => destination.prop_map(|destination| Operation::NewReader { destination }),
        3 => (0..8_u64, 1..4_u64, kind).prop_map(|(at, times, kind)| Operation::Fault(Fault { at, times, kind })),
        1 => Just(Operation::Kill),
        3 => (any::<u64>(), prop::option::of(0..150_u64))
            .prop_map(|(seed, again_at)| Operation::PowerCut { seed, again_at }),
        1 => Just(Operation::Restart),
        1 => Just(Operation::Remove),
    ]
}

#[derive(Debug, Clone)]
struct Appendix {
    body: Vec<u8>,
    key: String,
    position: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Cursor {
    acknowledged: u64,
    /// Acknowledged when the last sync succeeded.
    durably: u64,
    given: Vec<u64>,
}

#[derive(Default)]
struct Model {
    /// By seq, from 1.
    entries: Vec<Appendix>,
    durable: u64,
    cursors: [Cursor; 2],
    count: u64,
}

impl Model {
    fn positions(&self) -> BTreeMap<String, Vec<u8>> {
        let mut positions = BTreeMap::new();
        for entry in &self.entries {
            if entry.position.is_empty() {
                positions.remove(&entry.key);
            } else {
                positions.insert(entry.key.clone(), entry.position.clone());
            }
        }
        positions
    }

    fn after(&self, seq: u64) -> Vec<(u64, Vec<u8>)> {
        let numbered = (1..).zip(&self.entries);
        numbered
            .filter(|(number, entry)| *number > seq && !entry.body.is_empty())
            .map(|(number, entry)| (number, entry.body.clone()))
            .collect()
    }
}

struct Subject {
    sim: Sim,
    queue: Queue,
    readers: Vec<Reader>,
    model: Model,
    may_be_full: bool,
}

impl Subject {
    fn new() -> Self {
        let sim = Sim::default();
        let (queue, _) = open(&sim, &DESTINATIONS);
        let readers = DESTINATIONS.iter().map(|name| queue.reader(name).unwrap()).collect();
        Self { sim, queue, readers, model: Model::default(), may_be_full: false }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Append { bytes, key } => self.append(bytes, key, false),
            Operation::Positions { key, forget } => self.append(0, key, forget),
            Operation::Sync => self.sync(),
            Operation::ForgetFresh => forget_fresh(&self.queue),
            Operation::Read { destination } => self.read(destination),
            Operation::Acknowledge { destination, count } => self.acknowledge(destination, count),
            Operation::NewReader { destination } => {
                self.readers[destination] = self.queue.reader(DESTINATIONS[destination]).unwrap();
                self.model.cursors[destination].given.clear();
            }
            Operation::Fault(fault) => {
                self.may_be_full = fault.kind == FaultKind::Full;
                self.sim.fail(fault);
            }
            Operation::Kill => self.reopen(self.sim.killed()),
            Operation::PowerCut { seed, again_at } => {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut sim = self.sim.without_power(|below| random.usize(..below));
                if let Some(at) = again_at {
                    sim.fail(Fault { at, times: u64::MAX, kind: FaultKind::Broken });
                    let _ = open_with(&sim, &small(), &DESTINATIONS);
                    sim = sim.without_power(|below| random.usize(..below));
                }
                self.reopen(sim);
            }
            Operation::Remove => {
                self.heal();
                self.sim.remove_directory();
                self.sync();
            }
            Operation::Restart => {
                self.heal();
                self.sync();
                self.reopen(self.sim.killed());
            }
        }
    }

    fn append(&mut self, bytes: usize, key: u8, forget: bool) {
        self.model.count += 1;
        let count = self.model.count;
        let body: Vec<u8> = (0..bytes).map(|at| (at as u64 ^ count) as u8).collect();
        let key = format!("key {key}");
        let position = if forget { Vec::new() } else { count.to_le_bytes().to_vec() };
        let meta = count.to_le_bytes();
        let entry = Entry { meta: &meta, body: Bytes::from(body.clone()), positions: &[(&key, &position)] };
        match self.queue.append(&entry).unwrap() {
            Appended::At(seq) => {
                self.model.entries.push(Appendix { body, key, position });
                assert_eq!(seq.0, self.model.entries.len() as u64);
            }
            Appended::Full(full) => assert_eq!(full, Full::Disk),
        }
        assert_eq!(self.queue.positions(), self.model.positions());
    }

    fn heal(&mut self) {
        self.may_be_full = false;
        self.sim.heal();
    }

    fn sync(&mut self) {
        if let Ok(durable) = self.queue.sync() {
            assert_eq!(durable.0, self.model.entries.len() as u64);
            self.model.durable = durable.0;
            // A full disk may refuse the cursors, and the queue goes on without.
            if !self.may_be_full {
                for cursor in &mut self.model.cursors {
                    cursor.durably = cursor.acknowledged;
                }
            }
        }
    }

    fn read(&mut self, destination: usize) {
        if let Some(stored) = self.readers[destination].next_now() {
            let cursor = &mut self.model.cursors[destination];
            let seq = stored.seq.0;
            let last = cursor.given.last().copied().unwrap_or(cursor.acknowledged);
            let entry = &self.model.entries[seq as usize - 1];
            assert_eq!(stored.body, entry.body);
            assert!(seq > last);
            cursor.given.push(seq);
            self.model.durable = self.model.durable.max(seq);
            assert!(self.model.after(last).first().is_some_and(|(next, _)| *next == seq), "none is left out");
        }
    }

    fn acknowledge(&mut self, destination: usize, count: usize) {
        let cursor = &mut self.model.cursors[destination];
        let count = count.min(cursor.given.len());
        if let Some(seq) = cursor.given.drain(..count).next_back() {
            self.readers[destination].acknowledge(Seq(seq));
            cursor.acknowledged = seq;
        }
        let pending = self.model.after(self.model.cursors[destination].acknowledged).len() as u64;
        assert_eq!(self.queue.stats().destinations[DESTINATIONS[destination]].entries, pending);
    }

    fn reopen(&mut self, sim: Sim) {
        let (queue, recovery) = open(&sim, &DESTINATIONS);
        assert_eq!((recovery.corrupt_frames, recovery.lost_entries), (0, 0));
        let recovered = queue.stats().durable.0;
        assert!(recovered >= self.model.durable, "lost {recovered} < {}", self.model.durable);
        assert!(recovered <= self.model.entries.len() as u64);
        self.model.entries.truncate(recovered as usize);
        self.model.durable = recovered;
        assert_eq!(queue.positions(), self.model.positions());

        for (index, name) in DESTINATIONS.into_iter().enumerate() {
            let cursor = self.model.cursors[index].clone();
            let mut reader = queue.reader(name).unwrap();
            let given: Vec<_> =
                std::iter::from_fn(|| reader.next_now()).map(|stored| (stored.seq.0, stored.body.to_vec())).collect();
            let start = (cursor.durably..=cursor.acknowledged).find(|start| self.model.after(*start) == given);
            let start = start.expect("exactly what was not durably acknowledged is given again");
            self.model.cursors[index] = Cursor { acknowledged: start, durably: start, given: Vec::new() };
            assert_eq!(queue.stats().destinations[name].entries, given.len() as u64);
        }
        self.readers = DESTINATIONS.iter().map(|name| queue.reader(name).unwrap()).collect();
        self.queue = queue;
        self.sim = sim;
        self.heal();
    }
}

proptest! {
    #[test]
    fn q2_a_crash_anywhere_loses_nothing_durable_and_keeps_bodies_and_positions_together(
        operations in prop::collection::vec(operation(), 1..80)
    ) {
        let mut subject = Subject::new();
        for operation in operations {
            subject.run(operation);
        }
        subject.heal();
        subject.sync();
        subject.reopen(subject.sim.killed());
    }
}
