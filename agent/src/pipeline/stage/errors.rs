//! Errors are noted in the account of their source, by rank.

use crate::{
    enrich::Redactor,
    parse::{Prefix, cause, collective, error_file, headline, named_rank, root_cause},
    record::{Account, Cause, FirstError, RankErrors, UnixNanos},
};

/// Of so many errors of a chunk it is asked what they tell of: thousands a second say nothing that these do not.
const ASKED: u32 = 64;

/// Notes the errors of one chunk.
#[derive(Debug, Default)]
pub(super) struct Errors {
    noted: u32,
}

impl Errors {
    /// Notes a record of level error or above: the launcher's prefix, and what stands behind it.
    /// It is kept like a record, without secrets. Says what it tells of, if it was asked.
    pub(super) fn note(
        &mut self,
        account: &mut Account,
        time: UnixNanos,
        prefix: &Prefix<'_>,
        text: &[u8],
        redactor: &mut Redactor,
    ) -> Option<Cause> {
        let root = root_cause(text);
        let (rank, local_rank) = match &root {
            // What a launcher tells of is a rank, not its own.
            Some(root) => (Some(root.rank), root.local_rank),
            None => (prefix.rank.or_else(|| named_rank(text)), prefix.local_rank),
        };
        let (rank, local_rank) = (rank.map(i64::from), local_rank.map(i64::from));
        let is_asked = self.noted < ASKED && !account.knows_the_cause(rank, local_rank);
        if !is_asked && account.first_error.is_some() {
            return None;
        }
        let left = error_file(text);
        let time = left.as_ref().and_then(|left| left.time).unwrap_or(time);
        let line = match (&root, &left) {
            (Some(root), _) => root.text,
            (None, Some(left)) => left.message.as_bytes(),
            (None, None) => headline(text),
        };
        let masked = redactor.mask_again(line);
        let error = FirstError::new(time, masked.as_ref().map_or(line, |masked| &masked.text));
        if account.first_error.is_none() {
            account.first_error = Some(error.clone());
        }
        is_asked.then(|| {
            self.noted += 1;
            let cause = match (&root, &left) {
                (Some(root), _) => root.cause,
                (None, Some(left)) => cause(left.traceback.as_bytes()),
                (None, None) => cause(text),
            };
            let errors = RankErrors::new(rank, local_rank, cause, error);
            account.add_errors(RankErrors { collective: collective(text), ..errors });
            cause
        })
    }
}
