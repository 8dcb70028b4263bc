//! What a launcher puts before the lines of its ranks.
//!
//! | launcher | prefix | says |
//! |---|---|---|
//! | torchrun with `--tee` | `[default0]:` | role, rank on its node |
//! | PyTorch, of an exception in a process group and of its C++ | `[rank3]: `, `[rank3]:` | rank |
//! | accelerate, DeepSpeed and many a `print` | `[RANK 3] `, `[Rank 3] ` | rank |
//! | Open MPI and Horovod, `--tag-output` | `[1,3]<stderr>:` | rank |
//! | Ray | `(train_fn pid=12, ip=10.0.0.7) `, with colour or without | what runs, process |
//! | vLLM | `(VllmWorker rank=3 pid=12) ` | what runs, rank, process |
//!
//! They may stand one behind the other: `[default0]:[rank8]: Traceback …`. `3: ` of `srun --label` and `[3] ` of Intel MPI
//! are not taken for prefixes, since lines of their own begin so.

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
    /// How many bytes they are; zero if there are none.
    pub length: usize,
    /// The global rank.
    pub rank: Option<u32>,
    /// The rank on its node.
    pub local_rank: Option<u32>,
    /// torchrun's role, or what Ray runs, in ASCII; empty if nothing is said.
    pub role: &'a [u8],
    /// The process.
    pub pid: Option<u32>,
}

impl Prefix<'_> {
    /// The line without it.
    #[must_use]
    pub fn after<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        &line[self.length..]
    }
}

/// What launchers have put before a line. Where two say the same, the inner one counts, which is nearer to the rank.
#[must_use]
pub fn prefix(line: &[u8]) -> Prefix<'_> {
    let mut all = Prefix::default();
    for _ in 0..MAX_NESTED {
        let Some(next) = one(&line[all.length..]) else { break };
        all = Prefix {
            length: all.length + next.length,
            rank: next.rank.or(all.rank),
            local_rank: next.local_rank.or(all.local_rank),
            role: if next.role.is_empty() { all.role } else { next.role },
            pid: next.pid.or(all.pid),
        };
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
    let length_to = |rest: &[u8]| line.len() - rest.len();
    match inside.first()? {
        b'r' | b'R' if inside.get(..4)?.eq_ignore_ascii_case(b"rank") => {
            let inside = &inside[4..];
            let (rank, rest) = number(inside.strip_prefix(b" ").unwrap_or(inside))?;
            let rest = rest.strip_prefix(b"]")?;
            let is_ended = matches!(rest.first(), Some(b':' | b' ') | None);
            let rest = rest.strip_prefix(b":").unwrap_or(rest);
            let rest = rest.strip_prefix(b" ").unwrap_or(rest);
            is_ended.then(|| Prefix { length: length_to(rest), rank: Some(rank), ..Prefix::default() })
        }
        b'0'..=b'9' | b'p' => open_mpi(line, inside),
        b'd' | b't' | b'w' => {
            let role = ROLES.iter().find(|role| inside.starts_with(role))?;
            let (role, rest) = inside.split_at(role.len());
            let (local_rank, rest) = number(rest)?;
            let rest = rest.strip_prefix(b"]:")?;
            Some(Prefix { length: length_to(rest), local_rank: Some(local_rank), role, ..Prefix::default() })
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
    Some(Prefix { length: line.len() - rest.len(), rank: Some(rank), ..Prefix::default() })
}

/// `(name pid=12, ip=10.0.0.7) `, `(name rank=3 pid=12) `, `(pid=12) `, and `(raylet) ` or `(raylet, ip=10.0.0.7) `.
fn ray(line: &[u8]) -> Option<Prefix<'_>> {
    let inside = without_escapes(line).strip_prefix(b"(")?;
    let head = &inside[..inside.len().min(MAX_NAME_BYTES)];
    if let Some(rest) = inside.strip_prefix(b"raylet") {
        return ray_end(line, rest).map(|length| Prefix { length, role: b"raylet", ..Prefix::default() });
    }
    let pid_at = memchr::memmem::find(head, b"pid=")?;
    let (pid, rest) = number(&inside[pid_at + 4..])?;
    let length = ray_end(line, rest)?;
    let (mut name, mut rank) = (inside[..pid_at].strip_suffix(b" ").unwrap_or(&inside[..pid_at]), None);
    if let Some(at) = memchr::memmem::find(name, b" rank=")
        && let Some((number, b"")) = number(&name[at + 6..])
    {
        (name, rank) = (&name[..at], Some(number));
    }
    name.is_ascii().then_some(Prefix { length, rank, local_rank: None, role: name, pid: Some(pid) })
}

/// How long the prefix is of which this is left.
fn ray_end(line: &[u8], mut rest: &[u8]) -> Option<usize> {
    if let Some(address) = rest.strip_prefix(b", ip=") {
        let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        rest = &address[address.iter().position(|byte| !is_address(byte))?..];
    }
    let rest = without_escapes(rest.strip_prefix(b")")?).strip_prefix(b" ")?;
    Some(line.len() - rest.len())
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
