//! Errors are noted in the account of their source, by rank.

use crate::{
    enrich::Redactor,
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
    /// It is kept like a record, without secrets.
    pub(super) fn note(
        &mut self,
        account: &mut Account,
        time: UnixNanos,
        prefix: &Prefix<'_>,
        text: &[u8],
        redactor: &mut Redactor,
    ) {
        let rank = prefix.rank.or_else(|| named_rank(text)).map(i64::from);
        let local_rank = prefix.local_rank.map(i64::from);
        let is_asked = self.noted < ASKED && !account.knows_the_cause(rank, local_rank);
        if !is_asked && account.first_error.is_some() {
            return;
        }
        let line = headline(text);
        let masked = redactor.mask_again(line);
        let error = FirstError::new(time, masked.as_ref().map_or(line, |masked| &masked.text));
        if account.first_error.is_none() {
            account.first_error = Some(error.clone());
        }
        if is_asked {
            self.noted += 1;
            account.add_errors(RankErrors::new(rank, local_rank, cause(text), error));
        }
    }
}
