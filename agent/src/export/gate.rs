//! Which of the batches under way may be sent now.
//!
//! - Of one run, one batch at a time: the order of its lines stays.
//! - After a failure one batch is sent alone, the oldest. Each that is taken then lets one more go, up to the most that
//!   the route allows; so many agents come back slowly.
//! - A batch that stands aside lets one behind it pass each time that the destination has failed over it: only what
//!   becomes of others can tell whose fault that is. It is tried first, so that at the end of an outage the order stays.

use std::collections::VecDeque;

use tokio::sync::watch;

/// So many batches may stand aside at once; then it is the destination that fails.
const MOST_ASIDE: usize = 16;

/// Lets batches go in their order.
#[derive(Debug)]
pub(super) struct Gate {
    now: watch::Sender<Now>,
    /// Apart from `now`, so that whoever takes batches wakes up for nothing else.
    aside: watch::Sender<usize>,
    most: usize,
}

#[derive(Debug)]
struct Now {
    /// Oldest first.
    batches: VecDeque<Batch>,
    /// How many may be sent at once.
    width: usize,
    /// Whether one may pass a batch that stands aside.
    lets_pass: bool,
    /// How often something was taken.
    taken: u64,
}

#[derive(Debug)]
struct Batch {
    seq: u64,
    run_id: String,
    stands_aside: bool,
}

/// A batch's place among those under way; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    gate: &'a Gate,
    seq: u64,
}

impl Now {
    fn may_send(&self, seq: u64) -> bool {
        let Some(at) = self.batches.iter().position(|batch| batch.seq == seq) else { return true };
        let run_id = &self.batches[at].run_id;
        let (aside, ahead): (Vec<_>, Vec<_>) = self.batches.iter().take(at).partition(|batch| batch.stands_aside);
        (self.lets_pass || aside.is_empty())
            && ahead.len() < self.width
            && ahead.iter().all(|batch| batch.run_id != *run_id)
    }

    /// Whether the batch may be sent now. If it passes one that stands aside, the next may not.
    fn send(&mut self, seq: u64) -> bool {
        let may_send = self.may_send(seq);
        let passes = self.batches.iter().take_while(|batch| batch.seq != seq).any(|batch| batch.stands_aside);
        self.lets_pass &= !(may_send && passes);
        may_send
    }
}

impl Gate {
    /// Lets at most so many go at once. The first goes alone.
    pub(super) fn new(most: usize) -> Self {
        let now = Now { batches: VecDeque::new(), width: 1, lets_pass: false, taken: 0 };
        Self { now: watch::Sender::new(now), aside: watch::Sender::new(0), most: most.max(1) }
    }

    /// How many batches there is room for.
    pub(super) fn room(&self) -> usize {
        self.most + (*self.aside.borrow()).min(MOST_ASIDE)
    }

    /// Tells when [`Gate::room`] changes.
    pub(super) fn room_changes(&self) -> watch::Receiver<usize> {
        self.aside.subscribe()
    }

    /// Puts a batch behind all others.
    pub(super) fn enter(&self, seq: u64, run_id: &str) -> Turn<'_> {
        let batch = Batch { seq, run_id: run_id.to_owned(), stands_aside: false };
        self.now.send_modify(|now| now.batches.push_back(batch));
        Turn { gate: self, seq }
    }

    /// The destination took something.
    pub(super) fn taken(&self) {
        self.now.send_modify(|now| {
            now.taken += 1;
            now.width = (now.width + 1).min(self.most);
        });
    }

    /// How often it did.
    pub(super) fn times_taken(&self) -> u64 {
        self.now.borrow().taken
    }

    /// The destination takes nothing now.
    pub(super) fn narrow(&self) {
        self.now.send_modify(|now| now.width = 1);
    }
}

impl Turn<'_> {
    /// Ends when the batch may be sent.
    pub(super) async fn comes(&self) {
        let mut now = self.gate.now.subscribe();
        loop {
            // The sender lives as long as the gate.
            let _ = now.wait_for(|now| now.may_send(self.seq)).await;
            let mut is_sent = false;
            self.gate.now.send_if_modified(|now| {
                let let_pass = now.lets_pass;
                is_sent = now.send(self.seq);
                now.lets_pass != let_pass
            });
            if is_sent {
                return;
            }
        }
    }

    /// Lets one of those behind pass.
    pub(super) fn stand_aside(&self) {
        let mut stood_aside = true;
        self.gate.now.send_modify(|now| {
            if let Some(batch) = now.batches.iter_mut().find(|batch| batch.seq == self.seq) {
                stood_aside = std::mem::replace(&mut batch.stands_aside, true);
                now.lets_pass = true;
            }
        });
        if !stood_aside {
            self.gate.aside.send_modify(|aside| *aside += 1);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut stood_aside = false;
        self.gate.now.send_modify(|now| {
            if let Some(at) = now.batches.iter().position(|batch| batch.seq == self.seq) {
                stood_aside = now.batches.remove(at).is_some_and(|batch| batch.stands_aside);
            }
        });
        if stood_aside {
            self.gate.aside.send_modify(|aside| *aside -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of those that may be sent.
    fn free(gate: &Gate) -> Vec<u64> {
        let now = gate.now.borrow();
        now.batches.iter().map(|batch| batch.seq).filter(|seq| now.may_send(*seq)).collect()
    }

    #[test]
    fn each_success_lets_one_more_go_and_a_failure_only_the_oldest() {
        let gate = Gate::new(3);
        let turns = [(1, "a"), (2, "b"), (3, "c"), (4, "d")].map(|(seq, run)| gate.enter(seq, run));
        assert_eq!(free(&gate), [1]);
        gate.taken();
        assert_eq!(free(&gate), [1, 2]);
        (0..5).for_each(|_| gate.taken());
        assert_eq!(free(&gate), [1, 2, 3]);
        gate.narrow();
        assert_eq!(free(&gate), [1]);
        let [first, ..] = turns;
        drop(first);
        assert_eq!(free(&gate), [2]);
    }

    #[test]
    fn of_one_run_one_batch_goes_at_a_time() {
        let gate = Gate::new(4);
        (0..4).for_each(|_| gate.taken());
        let turns = [(1, "a"), (2, "a"), (3, "b"), (4, "a")].map(|(seq, run)| gate.enter(seq, run));
        assert_eq!(free(&gate), [1, 3]);
        let [first, ..] = turns;
        drop(first);
        assert_eq!(free(&gate), [2, 3]);
    }

    #[test]
    fn a_batch_that_stands_aside_makes_room_and_lets_one_pass_each_time() {
        let gate = Gate::new(1);
        let first = gate.enter(1, "a");
        let (_second, _third) = (gate.enter(2, "a"), gate.enter(3, "a"));
        assert_eq!((free(&gate), gate.room()), (vec![1], 1));
        for _ in 0..2 {
            first.stand_aside();
            assert_eq!((free(&gate), gate.room()), (vec![1, 2], 2));
            assert!(gate.now.borrow().may_send(2));
            gate.now.send_modify(|now| assert!(now.send(2) && !now.send(2)));
            assert_eq!(free(&gate), [1], "one has passed");
        }
        drop(first);
        assert_eq!((free(&gate), gate.room()), (vec![2], 1));
    }
}
