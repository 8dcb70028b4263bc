//! How far a stream has been given out, where a container runtime wove two of them together.

/// A share of a stream whose lines go on from each other, whatever stands between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// Lines that nothing is wrapped around.
    #[default]
    Bare,
    /// What a container printed to its standard output.
    Stdout,
    /// What a container printed to its standard error.
    Stderr,
}

impl Lane {
    /// How many there are; a lane as a number is below this.
    pub const COUNT: usize = 3;
}

/// What a container runtime wrapped around each line of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Told by each line.
    Auto,
    /// Nothing.
    #[default]
    Plain,
    /// An object of Docker's `json-file` driver.
    Docker,
    /// The head of the container runtime interface: time, stream, tag.
    Cri,
}

/// How far the lines of a stream have been given out.
///
/// The beginning of a line that waits for its end in one lane does not keep back the lines of another. So reading
/// starts again at the earliest byte that waits, and what the other lanes have given out behind it is left out then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadTo {
    /// Where reading has to start again.
    pub offset: u64,
    /// For each lane, the offset below which all of it is given out. Not below `offset`.
    pub lanes: [u64; Lane::COUNT],
}

impl ReadTo {
    /// All before that offset is given out, and nothing after it.
    #[must_use]
    pub const fn whole(offset: u64) -> Self {
        Self { offset, lanes: [offset; Lane::COUNT] }
    }

    /// Up to where bytes are known to be behind a line that was given out.
    #[must_use]
    pub fn furthest(&self) -> u64 {
        self.lanes.iter().copied().fold(self.offset, u64::max)
    }
}
