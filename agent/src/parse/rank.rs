//! What a launcher puts before the lines of its ranks.
//!
//! | launcher | prefix | says |
//! |---|---|---|
//! | torchrun with `--tee` | `[default0]:` | role, rank on its node |
//! | PyTorch, of an exception in a process group and of its C++ | `[rank3]: `, `[rank3]:` | rank |
//! | accelerate, DeepSpeed, Lightning and many a `print` | `[RANK 3] `, `[Rank 3] `, `[rank: 3] ` | rank |
//! | Open MPI and Horovod, `--tag-output` | `[1,3]<stderr>:` | rank |
//! | Ray | `(train_fn pid=12, ip=10.0.0.7) `, with colour or without | what runs, process |
//! | vLLM | `(VllmWorker rank=3 pid=12) ` | what runs, rank, process |
//!
//! They may stand one behind the other: `[default0]:[rank8]: Traceback …`. `3: ` of `srun --label` and `[3] ` of Intel MPI
//! are taken for prefixes only where a [`Template`] says so, since lines of their own begin so.

mod template;

pub use template::{Prefixes, Template, UnusableTemplate};

/// How many prefixes may stand one behind the other.
const MAX_NESTED: usize = 4;
/// How long what runs may be called between the parentheses of Ray's.
const MAX_NAME_BYTES: usize = 120;
/// No run has more ranks than have so many digits.
const MAX_RANK_DIGITS: usize = 7;

/// Roles that are seen in torchrun's prefix. Other words with a number in brackets may be anything: `[epoch1]: …`.
const ROLES: [&[u8]; 3] = [b"default", b"trainer", b"worker"];

/// All prefixes before a line, taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// What they are; empty if there are none.
    pub bytes: &'a [u8],
    /// The global rank.
    pub rank: Option<u32>,
    /// The rank on its node.
    pub local_rank: Option<u32>,
    /// torchrun's role, or what Ray runs, in ASCII; empty if nothing is said.
    pub role: &'a [u8],
    /// The process.
    pub pid: Option<u32>,
}

impl<'a> Prefix<'a> {
    /// The line without it.
    #[must_use]
    pub fn after<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        &line[self.bytes.len()..]
    }

    /// Whether it says which rank printed the line.
    #[must_use]
    pub const fn names_a_rank(&self) -> bool {
        self.rank.is_some() || self.local_rank.is_some()
    }

    /// The same with another one behind it, both of which `line` begins with. What the inner one says counts, which is
    /// nearer to the rank.
    fn around(self, inner: Self, line: &'a [u8]) -> Self {
        Self {
            bytes: &line[..self.bytes.len() + inner.bytes.len()],
            rank: inner.rank.or(self.rank),
            local_rank: inner.local_rank.or(self.local_rank),
            role: if inner.role.is_empty() { self.role } else { inner.role },
            pid: inner.pid.or(self.pid),
        }
    }
}

/// What launchers have put before a line.
#[must_use]
#[inline]
pub fn prefix(line: &[u8]) -> Prefix<'_> {
    // Asked of each line, and nearly all end here: 35 instead of 86 instructions.
    if matches!(line.first(), Some(b'[' | b'(' | 0x1b)) { nested(line) } else { Prefix::default() }
}

fn nested(line: &[u8]) -> Prefix<'_> {
    let mut all = Prefix::default();
    for _ in 0..MAX_NESTED {
        let Some(next) = one(all.after(line)) else { break };
        all = all.around(next, line);
    }
    all
}

fn one(line: &[u8]) -> Option<Prefix<'_>> {
    match line {
        [b'[', inside @ ..] => in_brackets(line, inside),
        [b'(', ..] | [0x1b, b'[', ..] => ray(line),
        _ => None,
    }
}

fn in_brackets<'a>(line: &'a [u8], inside: &'a [u8]) -> Option<Prefix<'a>> {
    let up_to = |rest: &[u8]| &line[..line.len() - rest.len()];
    match inside.first()? {
        b'r' | b'R' if inside.get(..4)?.eq_ignore_ascii_case(b"rank") => {
            let inside = inside[4..].strip_prefix(b":").unwrap_or(&inside[4..]);
            let (rank, rest) = number(inside.strip_prefix(b" ").unwrap_or(inside))?;
            let rest = rest.strip_prefix(b"]")?;
            let is_ended = matches!(rest.first(), Some(b':' | b' ') | None);
            let rest = rest.strip_prefix(b":").unwrap_or(rest);
            let rest = rest.strip_prefix(b" ").unwrap_or(rest);
            is_ended.then(|| Prefix { bytes: up_to(rest), rank: Some(rank), ..Prefix::default() })
        }
        b'0'..=b'9' | b'p' => open_mpi(line, inside),
        b'd' | b't' | b'w' => {
            let role = ROLES.iter().find(|role| inside.starts_with(role))?;
            let (role, rest) = inside.split_at(role.len());
            let (local_rank, rest) = number(rest)?;
            let rest = rest.strip_prefix(b"]:")?;
            Some(Prefix { bytes: up_to(rest), local_rank: Some(local_rank), role, ..Prefix::default() })
        }
        _ => None,
    }
}

/// `[1,3]<stdout>:`, in newer ones `[prterun-node1-77@1,3]<stdout>: `, from Horovod `[3]<stdout>:`.
fn open_mpi<'a>(line: &'a [u8], inside: &'a [u8]) -> Option<Prefix<'a>> {
    let is_named = inside[0] == b'p';
    let inside = if is_named {
        let named =
            inside.starts_with(b"prte").then(|| memchr::memchr(b'@', &inside[..inside.len().min(MAX_NAME_BYTES)]));
        &inside[named.flatten()? + 1..]
    } else {
        inside
    };
    let (first, rest) = number(inside)?;
    let (rank, rest) = match rest.strip_prefix(b",") {
        Some(rest) => number(rest)?,
        None => (first, rest),
    };
    let rest = rest.strip_prefix(b"]<std")?;
    let rest = [b"out>:".as_slice(), b"err>:", b"diag>:"].iter().find_map(|end| rest.strip_prefix(*end))?;
    let rest = if is_named { rest.strip_prefix(b" ").unwrap_or(rest) } else { rest };
    Some(Prefix { bytes: &line[..line.len() - rest.len()], rank: Some(rank), ..Prefix::default() })
}

/// `(name pid=12, ip=10.0.0.7) `, `(name rank=3 pid=12) `, `(pid=12) `, and `(raylet) ` or `(raylet, ip=10.0.0.7) `.
fn ray(line: &[u8]) -> Option<Prefix<'_>> {
    let inside = without_escapes(line).strip_prefix(b"(")?;
    let head = &inside[..inside.len().min(MAX_NAME_BYTES)];
    if let Some(rest) = inside.strip_prefix(b"raylet") {
        return ray_end(line, rest).map(|bytes| Prefix { bytes, role: b"raylet", ..Prefix::default() });
    }
    let pid_at = memchr::memmem::find(head, b"pid=")?;
    let (pid, rest) = number(&inside[pid_at + 4..])?;
    let bytes = ray_end(line, rest)?;
    let (mut name, mut rank) = (inside[..pid_at].strip_suffix(b" ").unwrap_or(&inside[..pid_at]), None);
    if let Some(at) = memchr::memmem::find(name, b" rank=")
        && let Some((number, b"")) = number(&name[at + 6..])
    {
        (name, rank) = (&name[..at], Some(number));
    }
    name.is_ascii().then_some(Prefix { bytes, rank, local_rank: None, role: name, pid: Some(pid) })
}

/// The prefix of a line of which this is left.
fn ray_end<'a>(line: &'a [u8], mut rest: &'a [u8]) -> Option<&'a [u8]> {
    if let Some(address) = rest.strip_prefix(b", ip=") {
        let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        rest = &address[address.iter().position(|byte| !is_address(byte))?..];
    }
    let rest = without_escapes(rest.strip_prefix(b")")?).strip_prefix(b" ")?;
    Some(&line[..line.len() - rest.len()])
}

fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let fits = (1..=MAX_RANK_DIGITS).contains(&digits);
    fits.then(|| (number.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')), rest))
}

/// Passes over the colour that stands before everything else.
pub(super) fn without_escapes(mut line: &[u8]) -> &[u8] {
    while let [0x1b, b'[', rest @ ..] = line {
        let Some(end) = rest.iter().position(u8::is_ascii_alphabetic) else { break };
        line = &rest[end + 1..];
    }
    line
}

#[cfg(test)]
mod tests;
