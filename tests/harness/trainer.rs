//! A training run that prints numbered lines.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
};

use crate::eventually;

/// What is written at once: lines do not end where a buffer does.
const PIECE_BYTES: usize = 997;

/// Prints into one file, on a thread of its own.
#[derive(Debug)]
pub struct Trainer {
    name: String,
    path: PathBuf,
    orders: Sender<Order>,
    ordered: u64,
    printed: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

enum Order {
    Print(u64),
    /// Rename the file, print so many lines into it as a trainer does that has not noticed, then begin a new one.
    RotateInto(PathBuf, u64),
}

impl Trainer {
    /// Begins a file and prints nothing yet.
    #[must_use]
    pub fn start(path: PathBuf, name: &str) -> Self {
        let (orders, received) = channel();
        let printed = Arc::new(AtomicU64::new(0));
        let mut printer =
            Printer { name: name.to_owned(), file: append_to(&path), next: 0, printed: Arc::clone(&printed) };
        let own_path = path.clone();
        // Joined by `finish`; ends when there can be no more orders.
        let thread = thread::spawn(move || {
            for order in received {
                match order {
                    Order::Print(lines) => printer.print(lines),
                    Order::RotateInto(rotated, late_lines) => {
                        fs::rename(&own_path, rotated).unwrap();
                        printer.print(late_lines);
                        printer.file = append_to(&own_path);
                    }
                }
            }
        });
        Self { name: name.to_owned(), path, orders, ordered: 0, printed, thread }
    }

    /// Has so many more lines printed, in its own time.
    pub fn print(&mut self, lines: u64) {
        self.order(Order::Print(lines), lines);
    }

    /// Has the file renamed, so many lines still printed into it, and a new one begun.
    pub fn rotate_into(&mut self, rotated: PathBuf, late_lines: u64) {
        self.order(Order::RotateInto(rotated, late_lines), late_lines);
    }

    /// Copies the file aside and empties it, once all that was ordered is printed.
    pub fn copy_and_truncate(&self) {
        self.eventually_has_printed(self.ordered);
        fs::copy(&self.path, self.path.with_extension("copy")).unwrap();
        OpenOptions::new().write(true).open(&self.path).unwrap().set_len(0).unwrap();
    }

    /// How many lines are whole in the file.
    #[must_use]
    pub fn printed(&self) -> u64 {
        self.printed.load(Ordering::SeqCst)
    }

    /// Waits until so many lines are printed. Does not sleep, so that it is over at once.
    pub fn busily_wait_for(&self, lines: u64) {
        while self.printed() < lines && !self.thread.is_finished() {
            thread::yield_now();
        }
    }

    /// Waits until so many lines are printed.
    pub fn eventually_has_printed(&self, lines: u64) {
        eventually("the trainer has printed", || (self.printed() >= lines).then_some(()));
    }

    /// Prints what was ordered, ends, and says what it has printed.
    #[must_use]
    pub fn finish(self) -> Printed {
        drop(self.orders);
        self.thread.join().unwrap();
        assert_eq!(self.printed.load(Ordering::SeqCst), self.ordered);
        Printed { name: self.name, lines: self.ordered }
    }

    fn order(&mut self, order: Order, lines: u64) {
        self.ordered += lines;
        self.orders.send(order).unwrap();
    }
}

struct Printer {
    name: String,
    file: File,
    next: u64,
    printed: Arc<AtomicU64>,
}

impl Printer {
    fn print(&mut self, lines: u64) {
        let numbers = self.next..self.next + lines;
        self.next = numbers.end;
        let text: String = numbers.map(|number| line(&self.name, number) + "\n").collect();
        for piece in text.as_bytes().chunks(PIECE_BYTES) {
            self.file.write_all(piece).unwrap();
            let ends = piece.iter().filter(|byte| **byte == b'\n').count();
            self.printed.fetch_add(ends as u64, Ordering::SeqCst);
        }
    }
}

/// What a trainer has printed.
#[derive(Debug)]
pub struct Printed {
    name: String,
    /// So many lines.
    pub lines: u64,
}

impl Printed {
    /// Fails unless each line is among `bodies` once, as it was printed, and in the order of printing.
    pub fn is_there_once_and_in_order<'a>(&self, bodies: impl Iterator<Item = &'a str>) {
        let numbers = self.numbers(bodies);
        self.misses_nothing(&numbers);
        assert_eq!(numbers.len() as u64, self.lines, "lines of {} are there twice", self.name);
        let first_astray = numbers.iter().zip(0..).find(|(number, place)| *number != place);
        assert_eq!(first_astray, None, "lines of {} are not in order", self.name);
    }

    fn misses_nothing(&self, numbers: &[u64]) {
        let there: BTreeSet<u64> = numbers.iter().copied().collect();
        let missing: Vec<u64> = (0..self.lines).filter(|number| !there.contains(number)).collect();
        let first: Vec<_> = missing.iter().take(20).collect();
        assert!(
            missing.is_empty(),
            "{} of {} lines of {} are missing: {first:?}",
            missing.len(),
            self.lines,
            self.name
        );
    }

    /// The numbers of those bodies that are this trainer's. Each has to be a whole line.
    fn numbers<'a>(&self, bodies: impl Iterator<Item = &'a str>) -> Vec<u64> {
        let own = format!(" train.{}: step ", self.name);
        let of_body = |body: &str| {
            let (_, rest) = body.split_once(&own)?;
            let number = rest.split(' ').next().and_then(|number| number.parse().ok());
            let is_whole = number.is_some_and(|number| line(&self.name, number) == body);
            assert!(is_whole, "not as it was printed: {body:?}");
            number
        };
        bodies.filter_map(of_body).collect()
    }
}

fn line(name: &str, number: u64) -> String {
    format!("2026-03-01 12:00:00,000 INFO train.{name}: step {number:06} loss 0.3141 lr 3.0e-4 grad_norm 1.27 eta 0:12")
}

fn append_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}
