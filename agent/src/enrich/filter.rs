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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{NoBookmark, Resource, SourceKind, Tally, origin::Stream};

    #[test]
    fn what_is_below_the_level_is_left_out_and_counted_by_its_own() {
        let origin = Origin::new(Stream {
            key: String::new(),
            kind: SourceKind::File,
            identity: &[],
            resource: Arc::new(Resource { run_id: String::new(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::INFO,
            tally: Tally::detached(SourceKind::File, ""),
            bookmark: Arc::new(NoBookmark),
        });
        let cases = [
            (Severity::TRACE, false),
            (Severity::from_number(8), false),
            (Severity::INFO, true),
            (Severity::FATAL, true),
        ];
        for (severity, expected) in cases {
            assert_eq!(is_kept(severity, &origin), expected, "{severity}");
        }
        assert_eq!(origin.tally.counts().lines_filtered, [0, 1, 1, 0, 0, 0, 0]);
    }
}
