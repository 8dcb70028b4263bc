//! Where lines are not joined, they have the level of what they belong to all the same.

use crate::{parse::Prefixes, record::Severity};

use super::{
    Grammar, Next,
    opening::{Certainty, opening},
};

/// Follows one stream and tells which of its lines belong to an exception.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Follower(Option<(Vec<u8>, Grammar)>);

impl Follower {
    /// Whether nothing has begun.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// A line that states a level ends what has begun.
    pub fn interrupt(&mut self) {
        self.0 = None;
    }

    /// The level of the next line, which states none, if it belongs to an exception.
    pub fn level(&mut self, line: &[u8], prefixes: &Prefixes) -> Option<Severity> {
        let (before, text) = line.split_at(prefixes.length(line));
        let key = before.trim_ascii_end();
        if let Some((known, grammar)) = &mut self.0
            && known == key
        {
            match grammar.next(text, |line| crate::parse::detect(line).is_some(), false) {
                Next::Takes | Next::May => return Some(Severity::ERROR),
                Next::Aside => return None,
                Next::Ends => {
                    self.0 = None;
                    return Some(Severity::ERROR);
                }
                Next::Not => self.0 = None,
            }
        }
        let found = opening(text)?;
        match found.certainty {
            Certainty::Certain => self.0 = Some((key.to_vec(), found.grammar)),
            Certainty::IfFollowed => return None,
            Certainty::Alone => {}
        }
        Some(found.grammar.family().severity(text))
    }
}
