//! Lines that are one thing: tracebacks, panics, aborts, warnings with their source line.
//!
//! A [`Grammar`] says of each line whether it belongs to what was begun, by its form alone. What is not certain is not
//! joined: a line more is better than a line hidden in another's record. A [`Joiner`] holds the lines of one lane back
//! until it is known what they belong to, the ranks in it apart by their prefix. [`Exception::read`] tells from the text
//! what was raised.

mod exception;
mod follow;
mod go;
mod held;
mod java;
mod joiner;
mod native;
mod node;
mod opening;
mod python;
mod rust;

pub use exception::Exception;
pub use follow::Follower;
pub use joiner::{Given, Joined, Joiner, Seen, Single, Taken};

use go::Go;
use java::Java;
use native::Native;
use node::Node;
use opening::opening;
use python::Python;
use rust::Rust;

/// What joins are made, and how long they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether lines are joined at all.
    pub is_on: bool,
    /// How long what was begun waits for its next line.
    pub wait: std::time::Duration,
    /// What is longer is given out in parts.
    pub max_bytes: usize,
}

impl Default for Config {
    /// For tests, which have no settings.
    fn default() -> Self {
        Self { is_on: true, wait: std::time::Duration::from_secs(1), max_bytes: 256 << 10 }
    }
}

/// Whose way of speaking a joined record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A Python traceback.
    Python,
    /// A warning of Python with its source line.
    Warning,
    /// A dump of Python's `faulthandler`.
    Dump,
    /// An exception of Java.
    Java,
    /// An error of Node.
    Node,
    /// A panic of Go.
    Go,
    /// A panic of Rust.
    Rust,
    /// What the C and C++ libraries say before they abort.
    Native,
}

impl Family {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Python, Self::Warning, Self::Dump, Self::Java, Self::Node, Self::Go, Self::Rust, Self::Native];
}

/// What a line is to that which is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It belongs to it, and so do the lines before it that may.
    Takes,
    /// The same, and it is the last line.
    Ends,
    /// It belongs to it if a later line says so.
    May,
    /// It does not, but more may come behind it.
    Aside,
    /// It does not belong to it, which has ended before.
    Not,
}

/// Where in its form something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grammar {
    /// Behind a line of level error or above, which may have an exception behind it.
    Head,
    /// Behind a warning of Python, which may have its source line behind it.
    Warned,
    Python(Python),
    Java(Java),
    Node(Node),
    Go(Go),
    Rust(Rust),
    Native(Native),
}

/// Whether a line states a level of its own, so that it belongs to nothing before it.
type StatesLevel = fn(&[u8]) -> bool;

impl Grammar {
    /// Takes the next line of the same rank. `is_marked` says that a prefix is put only before what belongs to an
    /// exception, as PyTorch's `[rank3]: ` is.
    fn next(&mut self, line: &[u8], states_level: StatesLevel, is_marked: bool) -> Next {
        match self {
            Self::Head => self.behind_head(line),
            Self::Warned if line.starts_with(b"  ") && line.len() > 2 => Next::Ends,
            Self::Warned => Next::Not,
            Self::Python(python) => python.next(line, states_level, is_marked),
            Self::Java(java) => {
                let next = java.next(line, states_level);
                if *java == Java::IsNode {
                    *self = Self::Node(Node::Trace);
                } else if *java == Java::IsPython {
                    *self = Self::Python(Python::Quoted);
                }
                next
            }
            Self::Node(node) => node.next(line, states_level),
            Self::Go(go) => go.next(line, states_level),
            Self::Rust(rust) => rust.next(line, states_level),
            Self::Native(native) => native.next(line),
        }
    }

    fn behind_head(&mut self, line: &[u8]) -> Next {
        if line.starts_with(b"future: <") {
            // asyncio says whose exception it is between the head and the traceback.
            return Next::May;
        }
        let Some(found) = opening(line) else { return Next::Not };
        let behind = match found.grammar {
            Self::Python(Python::Frames | Python::Boxed | Python::Group) => Next::Takes,
            // A name alone: frames have to follow.
            Self::Java(Java::Name(_)) => Next::May,
            _ => return Next::Not,
        };
        *self = found.grammar;
        behind
    }

    const fn family(self) -> Family {
        match self {
            Self::Warned => Family::Warning,
            Self::Python(Python::Dump | Python::FatalDump) => Family::Dump,
            Self::Head | Self::Python(_) => Family::Python,
            Self::Java(_) => Family::Java,
            Self::Node(_) => Family::Node,
            Self::Go(_) => Family::Go,
            Self::Rust(_) => Family::Rust,
            Self::Native(_) => Family::Native,
        }
    }
}

/// Whether nothing stands in a line.
fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// Whether a line is indented.
fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(line, part).is_some()
}

#[cfg(test)]
mod tests;
