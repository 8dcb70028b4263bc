//! How a client that waits for an answer learns that its records are safe.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::oneshot;

/// What became of a request whose records are durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Records that were not taken because they cannot be passed on.
    pub rejected: u64,
    /// Why not the first of them.
    pub reason: String,
}

/// One share in a request. Clones are further shares: one for each batch that holds a part of it.
///
/// The client is answered once [`Receipt::durable`] was called on every share. A share that is dropped instead takes
/// the answer with it: the client then sends the request again.
#[derive(Debug)]
pub struct Receipt(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    open: AtomicUsize,
    kept: Mutex<Kept>,
    answer: Mutex<Option<oneshot::Sender<Kept>>>,
}

/// Makes the first share of a receipt, and the end at which the answer arrives; it fails if a share is lost.
#[must_use]
pub fn receipt() -> (Receipt, oneshot::Receiver<Kept>) {
    let (answer, answered) = oneshot::channel();
    let shared = Shared { open: AtomicUsize::new(1), kept: Mutex::default(), answer: Mutex::new(Some(answer)) };
    (Receipt(Arc::new(shared)), answered)
}

impl Receipt {
    /// Notes records that were not taken.
    pub fn reject(&self, count: u64, reason: &dyn std::fmt::Display) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.rejected == 0 {
            kept.reason = reason.to_string();
        }
        kept.rejected += count;
    }

    /// What this share stands for can no longer be lost.
    pub fn durable(self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let kept = std::mem::take(&mut *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(answer) = self.0.answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The client may have gone.
            let _ = answer.send(kept);
        }
    }

    /// Whether both are shares in the same request.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Clone for Receipt {
    fn clone(&self) -> Self {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_with_the_last_share_and_counts_what_was_rejected() {
        let (first, mut answered) = receipt();
        let second = first.clone();
        second.reject(2, &"too deep");
        second.reject(1, &"no text");
        first.durable();
        assert!(answered.try_recv().is_err());

        second.durable();

        assert_eq!(answered.try_recv(), Ok(Kept { rejected: 3, reason: "too deep".into() }));
    }

    #[test]
    fn a_lost_share_takes_the_answer_with_it() {
        let (first, mut answered) = receipt();
        drop(first.clone());
        first.durable();
        assert_eq!(answered.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
