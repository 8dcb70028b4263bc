//! Delivery into the embedded store.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    record::{BatchMeta, Signal},
    store::{Appended, Store, StoreError, Writer},
};

use super::{Deliver, Delivery, Route};

/// The pause after a try that failed, at first and at most: the disk is this machine's own.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The embedded store as a destination: each batch arrives there exactly once.
#[derive(Debug, Clone)]
pub struct Local {
    store: Arc<Store>,
    writer: Writer,
}

impl Local {
    /// Delivers the batches of the queue that has that id.
    #[must_use]
    pub const fn new(store: Arc<Store>, writer: Writer) -> Self {
        Self { store, writer }
    }

    /// How the store is treated as a destination of that name: batches are never split for it.
    #[must_use]
    pub fn route(name: &str) -> Route {
        Route {
            name: name.to_owned(),
            max_request_bytes: usize::MAX,
            min_backoff: PAUSES.0,
            max_backoff: PAUSES.1,
            concurrency: 1,
            bisect: false,
        }
    }

    /// Stores one batch; it is durable when this returns. Batches are delivered in ascending order of `seq`.
    ///
    /// # Errors
    /// The batch is not stored, and is to be delivered again: soon if [`StoreError::is_passing`], else once
    /// somebody has put the store in order. Cancelling leaves open whether it was stored; delivering it again is
    /// right either way.
    pub async fn append(&self, seq: u64, meta: &BatchMeta, body: Bytes) -> Result<Appended, StoreError> {
        let (store, writer, meta) = (Arc::clone(&self.store), self.writer, meta.clone());
        tokio::task::spawn_blocking(move || store.append(writer, &[(seq, &meta, &body)]))
            .await
            .unwrap_or(Err(StoreError::Interrupted))
    }
}

impl Deliver for Local {
    async fn deliver(&self, seq: u64, meta: &BatchMeta, body: &Bytes) -> Delivery {
        match self.append(seq, meta, body.clone()).await {
            Ok(_) => Delivery::Accepted { rejected: 0, message: String::new() },
            Err(error) if error.is_passing() => Delivery::Retry { after: None, reason: error.to_string() },
            Err(error) => Delivery::Misconfigured { reason: error.to_string() },
        }
    }

    fn address(&self) -> &'static str {
        "the embedded store"
    }

    fn serves(&self, signal: Signal) -> bool {
        signal == Signal::Logs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Severity,
        store::{Query, samples},
    };

    #[tokio::test]
    async fn a_batch_that_is_delivered_twice_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let local = Local::new(Arc::clone(&store), samples::WRITER);
        let (meta, payload) = samples::batch("r", &[samples::line(1, Severity::INFO, "epoch 1")]);

        local.append(4, &meta, payload.clone().into()).await.unwrap();
        local.append(4, &meta, payload.into()).await.unwrap();

        assert_eq!(store.reader().logs(&Query::of("r")).unwrap().lines.len(), 1);
    }
}
