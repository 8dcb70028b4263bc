//! Whether what came out is what was printed: every byte, once, in order.
//!
//! A uid is a hash of a stream and an offset in it, so records of one stream can be laid over the bytes of the file
//! that they came from. There they have to lie end to end, and nothing may be left over. This needs no line to be
//! known by its text, be it empty, torn, in parts or no text at all; lines with a number say which file it was.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use crate::{
    plan::Aside,
    writer::{Fate, Generation, MARK_END, letter_of},
};

/// A write becomes visible page by page.
const PAGE_BYTES: usize = 4096;
/// How much of a text is shown.
const SHOWN_CHARS: usize = 90;

/// One record as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// `log.record.uid`.
    pub uid: String,
    /// The body.
    pub body: String,
    /// The bytes as they were printed where they are no text, if the destination can give them.
    pub original: Option<Vec<u8>>,
    /// Which part of a longer line it is said to be.
    pub part: Option<u64>,
    /// Whether it was refused and set aside, out of the order of others.
    pub is_set_aside: bool,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A record that is no part of what was printed, or not as it was printed.
    Changed(String),
    /// Bytes that came out twice.
    Twice(String),
    /// Lines of one file that came out in another order.
    Order(String),
    /// Bytes that did not come out and that nobody destroyed.
    Lost(String),
    /// Bytes that were destroyed before they were read, and the agent does not say so.
    Untold(String),
}

/// What was found of what was printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes that were printed.
    pub printed_bytes: u64,
    /// Bytes that were destroyed before the agent could read them, as it says.
    pub destroyed_bytes: u64,
    /// Bytes that were destroyed, or set aside in a file of which nothing was read and where the agent does not look,
    /// before it could see them.
    pub unseen_bytes: u64,
    /// Records that were laid over them.
    pub records: u64,
    /// For each generation, whether all of it came out.
    pub is_whole: Vec<bool>,
    /// What must not be.
    pub violations: Vec<Violation>,
}

/// What the agent could know.
pub struct Known<'a> {
    /// Whether it has told of a loss in the files of a stream.
    pub is_told: &'a dyn Fn(usize) -> bool,
    /// Whether nothing held up its reading, so that it looked at files whenever it ran.
    pub looked: bool,
}

/// Compares what was printed with what came out, each record once and in the order in which it came.
pub fn judge(printed: &[Generation], taken: &[Taken], known: &Known<'_>) -> Account {
    let mut sheets = Sheets::of(printed);
    let mut origins = BTreeMap::<&str, Vec<(u64, &Taken)>>::new();
    for record in taken {
        match split(&record.uid) {
            Some((origin, offset)) => origins.entry(origin).or_default().push((offset, record)),
            None => sheets.violations.push(Violation::Changed(format!("a uid {:?}", record.uid))),
        }
    }
    let mut unknown = Vec::new();
    for records in origins.values_mut() {
        let came: Vec<_> = records.iter().filter(|(_, record)| !record.is_set_aside).collect();
        if let Some(pair) = came.windows(2).find(|pair| pair[0].0 > pair[1].0) {
            let places = format!("{} after {}: {}", pair[1].0, pair[0].0, shown(&pair[1].1.body));
            sheets.violations.push(Violation::Order(places));
        }
        records.sort_by_key(|(offset, _)| *offset);
        match sheets.place_of(records) {
            Some((sheet, shift)) => sheets.lay(sheet, shift, records),
            None => unknown.push(records),
        }
    }
    // Without a number in them: torn heads of lines.
    for records in unknown {
        match (0..printed.len()).find(|sheet| sheets.fits(*sheet, records)) {
            Some(sheet) => sheets.lay(sheet, 0, records),
            None => {
                let first = format!("nobody printed {}", shown(&records[0].1.body));
                sheets.violations.push(Violation::Changed(first));
            }
        }
    }
    sheets.account(taken.len() as u64, known)
}

/// What was printed, and which parts of it are covered.
struct Sheets<'a> {
    printed: &'a [Generation],
    covered: Vec<Vec<Range<u64>>>,
    by_number: HashMap<(usize, u64), (usize, u64)>,
    violations: Vec<Violation>,
}

impl<'a> Sheets<'a> {
    fn of(printed: &'a [Generation]) -> Self {
        let numbered = printed.iter().enumerate().flat_map(|(sheet, generation)| {
            let of_line = move |(number, offset): &(u64, u64)| ((generation.stream, *number), (sheet, *offset));
            generation.numbers.iter().map(of_line)
        });
        let by_number = numbered.collect();
        Self { printed, covered: vec![Vec::new(); printed.len()], by_number, violations: Vec::new() }
    }

    /// The generation that records are of, and where in it their offset 0 is.
    fn place_of(&self, records: &[(u64, &Taken)]) -> Option<(usize, i64)> {
        let (at, (sheet, offset)) = records.iter().find_map(|(at, record)| {
            let place = self.by_number.get(&number_of(&record.body)?)?;
            Some((*at, *place))
        })?;
        Some((sheet, offset as i64 - at as i64))
    }

    fn fits(&self, sheet: usize, records: &[(u64, &Taken)]) -> bool {
        self.covered[sheet].is_empty()
            && records.iter().all(|(at, record)| self.printed[sheet].cover(*at, u64::MAX, record).is_ok())
    }

    fn lay(&mut self, sheet: usize, shift: i64, records: &[(u64, &Taken)]) {
        let generation = &self.printed[sheet];
        let place = |at: u64| at.checked_add_signed(shift).unwrap_or(u64::MAX);
        for (index, (at, record)) in records.iter().enumerate() {
            let next = records.get(index + 1).map_or(u64::MAX, |(next, _)| place(*next));
            match generation.cover(place(*at), next, record) {
                Ok(range) => self.covered[sheet].push(range),
                Err(what) => {
                    let file = generation.path.display();
                    self.violations.push(Violation::Changed(format!("{file} at byte {at}: {what}")));
                }
            }
        }
    }

    fn account(mut self, records: u64, known: &Known<'_>) -> Account {
        let mut account = Account { records, ..Account::default() };
        for (generation, covered) in self.printed.iter().zip(&mut self.covered) {
            let file = generation.path.display();
            covered.sort_by_key(|range| range.start);
            let mut end = 0;
            let mut holes = Vec::new();
            for range in covered.iter() {
                if range.start < end {
                    let twice = format!("{file}: bytes {} to {}, {:?}", range.start, end, generation.fate);
                    self.violations.push(Violation::Twice(twice));
                } else if range.start > end {
                    holes.push(end..range.start);
                }
                end = end.max(range.end);
            }
            let length = generation.bytes.len() as u64;
            if end < length {
                holes.push(end..length);
            }
            account.printed_bytes += length;
            account.is_whole.push(holes.is_empty());
            for hole in holes {
                let what = format!("{file}: bytes {} to {} of {length}, {:?}", hole.start, hole.end, generation.fate);
                let (hole_bytes, is_rest) = (hole.end - hole.start, hole.end == length);
                let is_unseen = !known.looked || hole.start >= generation.seen_bytes;
                match generation.fate {
                    Fate::Emptied | Fate::Removed if is_rest && (known.is_told)(generation.stream) => {
                        account.destroyed_bytes += hole_bytes;
                    }
                    Fate::Emptied | Fate::Removed if is_rest && is_unseen => account.unseen_bytes += hole_bytes,
                    Fate::Emptied | Fate::Removed if is_rest => self.violations.push(Violation::Untold(what)),
                    Fate::Renamed(Aside::OutsideTheGlobs) | Fate::Copied(Aside::OutsideTheGlobs)
                        if hole_bytes == length && is_unseen =>
                    {
                        account.unseen_bytes += hole_bytes;
                    }
                    _ => self.violations.push(Violation::Lost(what)),
                }
            }
        }
        account.violations = self.violations;
        account
    }
}

impl Generation {
    /// The bytes that a record at `at` covers, its line's end among them, if the next one begins at `next`.
    fn cover(&self, at: u64, next: u64, record: &Taken) -> Result<Range<u64>, String> {
        let start = usize::try_from(at).ok().filter(|start| *start < self.bytes.len());
        let start = start.ok_or_else(|| format!("there is nothing, but {}", shown(&record.body)))?;
        let rest = &self.bytes[start..];
        let line_end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let newline = usize::from(line_end < rest.len());
        let whole = at + (line_end + newline) as u64;
        let after = self
            .torn
            .iter()
            .copied()
            .chain((0..whole).step_by(PAGE_BYTES))
            .filter(|torn| (at + 1..whole).contains(torn));
        let mut ends: Vec<u64> = if next < whole { vec![next] } else { std::iter::once(whole).chain(after).collect() };
        // What had been read of a line when the rest of it was destroyed ends anywhere.
        let is_cut = next == u64::MAX && matches!(self.fate, Fate::Emptied | Fate::Removed);
        if (record.part.is_some() || is_cut) && next >= whole {
            ends.push(at + record.body.len() as u64);
        }
        let shows = |end: &u64| {
            let length = usize::try_from(end - at).map_or(line_end, |length| length.min(line_end));
            self.is_shown(&rest[..length], record)
        };
        let Some(end) = ends.iter().find(|end| shows(end).is_ok()) else {
            return Err(shows(&ends[0]).err().unwrap_or_default());
        };
        let may_be_torn = self.torn.contains(end) || end.is_multiple_of(PAGE_BYTES as u64);
        if *end < whole && record.part.is_none() && !is_cut && !may_be_torn {
            return Err(format!("torn without a reason after {} bytes: {}", end - at, shown(&record.body)));
        }
        Ok(at..*end)
    }

    fn is_shown(&self, bytes: &[u8], record: &Taken) -> Result<(), String> {
        let bytes = bytes.strip_suffix(b"\r").filter(|_| !record.body.ends_with('\r')).unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        if text != record.body {
            let same = text.bytes().zip(record.body.bytes()).take_while(|(printed, came)| printed == came).count();
            let (printed, came) = (shown_from(&text, same), shown_from(&record.body, same));
            return Err(format!("{}: from {same} on printed {printed}, came as {came}", shown(&record.body)));
        }
        match &record.original {
            Some(original) if original != bytes => Err(format!("the bytes of {} are others", shown(&text))),
            _ => Ok(()),
        }
    }
}

/// A uid's stream and offset.
fn split(uid: &str) -> Option<(&str, u64)> {
    let (origin, offset) = uid.split_at_checked(16)?;
    Some((origin, u64::from_str_radix(offset, 16).ok()?))
}

/// Stream and number of a line that has them.
fn number_of(body: &str) -> Option<(usize, u64)> {
    let (number, rest) = body.get(1..)?.split_once('s')?;
    let (stream, _) = rest.split_once(MARK_END)?;
    let (stream, number) = (stream.parse().ok()?, number.parse().ok()?);
    // The rest of a torn line may begin with a shorter number.
    body.starts_with(letter_of(number)).then_some((stream, number))
}

/// What stands at a byte, from the character that it is in.
fn shown_from(text: &str, at: usize) -> String {
    shown(&text[text.floor_char_boundary(at)..])
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown += &format!("... of {} bytes", text.len());
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests;
