//! Leaves out what is below the level that was asked for.

use std::sync::atomic::Ordering;

use crate::record::{Origin, Severity};

/// Whether a line of this level is kept. A line that is left out is counted here.
///
/// A line without a level counts as [`Severity::INFO`].
#[must_use]
pub fn is_kept(severity: Severity, origin: &Origin) -> bool {
    let kept = severity >= origin.level;
    if !kept {
        origin.tally.lines_filtered[severity.range()].fetch_add(1, Ordering::Relaxed);
    }
    kept
}
