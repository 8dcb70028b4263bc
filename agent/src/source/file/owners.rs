//! Those whose logs stand in a folder of their own: containers of an engine, pods of a node.

use std::{os::fd::OwnedFd, path::Path, sync::Arc};

use crate::{
    record::{Format, Input, SourceKind},
    source::{Tags, docker},
};

/// Whether a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is.
    Wanted,
    /// It is not, and will not be.
    Unwanted,
    /// It is not now. It is asked again at the next look.
    NotNow,
    /// What decides, or what its lines are tagged with, will be known in a moment.
    Undecided,
}

/// Says of the files below one folder which are read, and whose lines stand in them.
pub trait Owners: Send {
    /// What kind of source they are.
    fn kind(&self) -> SourceKind;
    /// What is wrapped around each line.
    fn format(&self) -> Format;
    /// Globs that lead to their logs.
    fn patterns(&self) -> Vec<String>;
    /// Whether the globs are others than before, or some of what they led to is gone.
    fn has_moved(&mut self) -> bool {
        false
    }
    /// Whether what was undecided may be decided now.
    fn may_have_decided(&mut self) -> bool {
        true
    }
    /// Says what to ring when one of these two may be.
    fn ring(&mut self, _: Arc<OwnedFd>) {}
    /// Begins a look at all logs.
    fn look(&mut self) {}
    /// Ends a look at all logs.
    fn looked(&mut self) {}
    /// Whether it is a path of one of their logs.
    fn has(&self, path: &Path) -> bool;
    /// Whether it is a path of one of their logs, and its owner has been removed with all that it had.
    fn is_removed(&self, path: &Path) -> bool;
    /// Notes that the log at that path was read before this process.
    fn was_read(&mut self, _: &Path) {}
    /// The log at that path is open: all that it has will be read.
    fn opened(&mut self, _: &Path) {}
    /// A folder came to that path and was gone before anybody could look.
    fn came_and_went(&self, _: &Path) {}
    /// What stands at that path, which may be what is known of one of them, has been written.
    fn written(&mut self, _: &Path) {}
    /// What is to be told of them.
    fn news(&mut self) -> Vec<Input> {
        Vec::new()
    }
    /// The ids of those that have ended and of which that was not told yet.
    fn ending(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether the one of that id was removed.
    fn is_gone(&self, _: &str) -> bool {
        false
    }
    /// Whether it is a path of a log of the one of that id.
    fn is_of(&self, _: &Path, _: &str) -> bool {
        false
    }
    /// All that the one of that id has printed was handed over: what is told then.
    fn ended(&mut self, _: &str) -> Vec<Input> {
        Vec::new()
    }
    /// Whether the log at that path is read.
    fn claim(&mut self, path: &Path) -> Claim;
    /// What the lines of the log at that path are tagged with. `None` if that is not known.
    fn tags(&mut self, path: &Path) -> Option<Tags>;
    /// Whether that log would be tagged otherwise now.
    fn has_news(&self, _: &Path) -> bool {
        false
    }
    /// Whether a log that was removed may still be written by somebody who has it open.
    fn may_be_written(&self, _: &Path) -> bool {
        false
    }
}

impl Owners for docker::Files {
    fn kind(&self) -> SourceKind {
        SourceKind::Docker
    }

    fn format(&self) -> Format {
        Format::Docker
    }

    fn patterns(&self) -> Vec<String> {
        Self::patterns(self)
    }

    fn has_moved(&mut self) -> bool {
        Self::has_moved(self)
    }

    fn may_have_decided(&mut self) -> bool {
        Self::may_have_decided(self)
    }

    fn ring(&mut self, bell: Arc<OwnedFd>) {
        Self::ring(self, bell);
    }

    fn look(&mut self) {
        Self::look(self);
    }

    fn looked(&mut self) {
        Self::looked(self);
    }

    fn has(&self, path: &Path) -> bool {
        Self::has(self, path)
    }

    fn is_removed(&self, path: &Path) -> bool {
        Self::is_removed(self, path)
    }

    fn was_read(&mut self, path: &Path) {
        Self::was_read(self, path);
    }

    fn opened(&mut self, path: &Path) {
        Self::opened(self, path);
    }

    fn came_and_went(&self, path: &Path) {
        Self::came_and_went(self, path);
    }

    fn written(&mut self, path: &Path) {
        Self::written(self, path);
    }

    fn news(&mut self) -> Vec<Input> {
        Self::news(self)
    }

    fn ending(&self) -> Vec<String> {
        Self::ending(self)
    }

    fn is_gone(&self, id: &str) -> bool {
        Self::is_gone(self, id)
    }

    fn is_of(&self, path: &Path, id: &str) -> bool {
        Self::is_of(self, path, id)
    }

    fn ended(&mut self, id: &str) -> Vec<Input> {
        Self::ended(self, id)
    }

    fn claim(&mut self, path: &Path) -> Claim {
        Self::claim(self, path)
    }

    fn tags(&mut self, path: &Path) -> Option<Tags> {
        Self::tags(self, path)
    }
}
