//! Errors are noted in the account of their source, by rank.

use crate::{
    parse::{Prefix, cause, headline, named_rank},
    record::{Account, FirstError, RankErrors, UnixNanos},
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
    pub(super) fn note(&mut self, account: &mut Account, time: UnixNanos, prefix: &Prefix<'_>, text: &[u8]) {
        if account.first_error.is_none() {
            account.first_error = Some(FirstError::new(time, headline(text)));
        }
        let rank = prefix.rank.or_else(|| named_rank(text)).map(i64::from);
        let local_rank = prefix.local_rank.map(i64::from);
        if self.noted == ASKED || account.knows_the_cause(rank, local_rank) {
            return;
        }
        self.noted += 1;
        let error = FirstError::new(time, headline(text));
        account.add_errors(RankErrors::new(rank, local_rank, cause(text), error));
    }
}
