//! Requests whose clients did not hear what became of them.
//!
//! A client that has waited for too long, or has lost its connection, sends the same bytes again, while those that came
//! first are on their way to the disk. So a request that was handed over and not answered is remembered by a hash, and
//! when it comes again it waits for what becomes of the first. It is remembered for one repetition only: whoever sends
//! the same bytes twice after an answer means two things, as OTLP has no ids.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    sync::oneshot::{Receiver, error::TryRecvError},
    time::Instant,
};

use crate::record::Kept;

/// How long a request is remembered. By then clients have given up.
const WINDOW: Duration = Duration::from_secs(600);

/// How many are remembered.
const MOST: usize = 1_024;

/// What a request's bytes are known by.
pub(super) type Print = u128;

/// What is remembered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Unanswered(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    print: Print,
    since: Instant,
    outcome: Receiver<Kept>,
}

impl Unanswered {
    /// Remembers a request that is on its way.
    pub(super) fn remember(&mut self, print: Print, outcome: Receiver<Kept>) {
        self.forget_old();
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Waiting { print, since: Instant::now(), outcome });
    }

    /// The outcome of a request that has come before, if it was not lost on its way.
    pub(super) fn again(&mut self, print: Print) -> Option<Result<Kept, Receiver<Kept>>> {
        self.forget_old();
        let at = self.0.iter().position(|waiting| waiting.print == print)?;
        let mut outcome = self.0.remove(at)?.outcome;
        match outcome.try_recv() {
            Ok(kept) => Some(Ok(kept)),
            Err(TryRecvError::Empty) => Some(Err(outcome)),
            Err(TryRecvError::Closed) => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn forget_old(&mut self) {
        while self.0.pop_front_if(|waiting| waiting.since.elapsed() >= WINDOW).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn r1_a_request_is_known_again_once_while_it_is_remembered() {
        let mut unanswered = Unanswered::default();
        let (sender, outcome) = oneshot::channel();
        unanswered.remember(1, outcome);
        assert!(unanswered.again(2).is_none());
        let Some(Err(outcome)) = unanswered.again(1) else { panic!("it is on its way") };
        assert!(unanswered.again(1).is_none(), "somebody waits for it");

        unanswered.remember(1, outcome);
        sender.send(Kept::default()).unwrap();
        assert_eq!(unanswered.again(1).unwrap().unwrap(), Kept::default());
        assert!(unanswered.again(1).is_none(), "it was answered");

        let (sender, outcome) = oneshot::channel();
        unanswered.remember(1, outcome);
        drop(sender);
        assert!(unanswered.again(1).is_none(), "it was lost on its way");

        let (_sender, outcome) = oneshot::channel();
        unanswered.remember(1, outcome);
        tokio::time::advance(WINDOW).await;
        assert!(unanswered.again(1).is_none(), "it is too long ago");
    }

    #[test]
    fn r1_only_so_many_are_remembered() {
        let mut unanswered = Unanswered::default();
        let senders: Vec<_> = (0..=MOST as Print)
            .map(|print| {
                let (sender, outcome) = oneshot::channel();
                unanswered.remember(print, outcome);
                sender
            })
            .collect();
        assert!(unanswered.again(0).is_none());
        assert!(unanswered.again(MOST as Print).is_some());
        assert_eq!(senders.len(), MOST + 1);
    }
}
