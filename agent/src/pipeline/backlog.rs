//! The queue as a destination sees it.

use std::collections::VecDeque;

use crate::{
    export::{Backlog, Waiting},
    queue::{Queue, Reader, Seq, UnknownDestination},
};

/// One destination's end of the queue.
pub struct QueueBacklog {
    queue: Queue,
    reader: Reader,
    destination: String,
    /// The batches that were given and are not acknowledged.
    given: VecDeque<Seq>,
}

impl QueueBacklog {
    /// The backlog of the destination of that name.
    ///
    /// # Errors
    /// If the queue was not opened with it.
    pub fn new(queue: &Queue, destination: &str) -> Result<Self, UnknownDestination> {
        let reader = queue.reader(destination)?;
        Ok(Self { queue: queue.clone(), reader, destination: destination.to_owned(), given: VecDeque::new() })
    }
}

impl Backlog for QueueBacklog {
    async fn next(&mut self) -> Option<Waiting> {
        let stored = self.reader.next().await?;
        self.given.push_back(stored.seq);
        Some(Waiting { seq: stored.seq.get(), meta: stored.meta, body: stored.body })
    }

    fn acknowledge(&mut self, seq: u64) {
        // Destinations acknowledge what they were given, and all of it before at once.
        let mut last = None;
        while let Some(given) = self.given.pop_front_if(|given| given.get() <= seq) {
            last = Some(given);
        }
        if let Some(last) = last {
            self.reader.acknowledge(last);
        }
    }

    fn waiting_bytes(&self) -> u64 {
        self.queue.stats().destinations.get(&self.destination).map_or(0, |waiting| waiting.bytes)
    }
}
