//! Answers to clients that wait until what they sent is durable.

use tokio::sync::mpsc;

use crate::{queue::Queue, record::Receipt};

use super::stage::Awaited;

/// Entries that are waited for at the same time; with more, the stage waits as well.
pub const MAX_AWAITED: usize = 256;

/// Answers in the order of the entries, until the stage has ended and all of its entries are durable.
pub async fn answer(queue: Queue, mut awaited: mpsc::Receiver<Awaited>) {
    while let Some((seq, receipts)) = awaited.recv().await {
        queue.until_durable(seq).await;
        receipts.into_iter().for_each(Receipt::durable);
    }
}
