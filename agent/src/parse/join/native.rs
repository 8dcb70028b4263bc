//! What the C and C++ libraries say before they abort a program.

use super::{Next, is_blank, is_indented};

/// Where in it the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    /// Behind `terminate called after throwing an instance of`.
    Terminate,
    /// Behind what was thrown.
    What,
    /// The same, behind an empty line.
    Gap,
    /// In the backtrace and the memory map of an older C library.
    Map,
}

/// What PyTorch's errors go on with.
const WHAT: [&[u8]; 6] = [
    b"CUDA kernel errors might be asynchronously reported",
    b"For debugging consider passing ",
    b"Compile with `TORCH_USE_CUDA_DSA`",
    b"Device-side assertion",
    b"Exception raised from ",
    b"frame #",
];

impl Native {
    pub fn next(&mut self, line: &[u8]) -> Next {
        let goes_on = || WHAT.iter().any(|start| line.starts_with(start));
        let (next, state) = match *self {
            Self::Terminate if line.starts_with(b"  what():") => (Next::Takes, Self::What),
            Self::What if is_blank(line) => (Next::May, Self::Gap),
            Self::What if is_indented(line) || goes_on() => (Next::Takes, Self::What),
            Self::Gap if goes_on() => (Next::Takes, Self::What),
            Self::Map if line.starts_with(b"=======") || is_mapping(line) => (Next::Takes, Self::Map),
            state => (Next::Not, state),
        };
        *self = state;
        next
    }
}

/// `/lib/libc.so.6(+0x777e5)[0x7f…]`, `./a.out[0x400571]`, `00400000-00401000 r-xp …`.
fn is_mapping(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    line.ends_with(b"]") && memchr::memmem::find(line, b"[0x").is_some()
        || digits >= 8 && line.get(digits) == Some(&b'-')
}
