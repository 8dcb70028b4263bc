//! What an episode is made of, drawn from its seed and from nothing else.

use std::time::Duration;

use fastrand::Rng;

/// What writers may do to their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Empty them, with and without a copy, as well.
    MayBeEmptied,
    /// Rename and remove them.
    KeepTheirBytes,
}

/// An episode that has not happened yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// Where the agent's lines go.
    pub destination: Destination,
    /// How large the file system of the state directory is, where it has one of its own.
    pub small_disk_bytes: Option<u64>,
    /// Variables of the agent's environment.
    pub settings: Vec<(&'static str, String)>,
    /// What each writer does, in turn.
    pub writers: Vec<Vec<Act>>,
    /// What happens to the agent, in turn, each after a pause.
    pub faults: Vec<(Duration, Fault)>,
    /// How the backend behaves, in turn, and for how long. Well before and after that.
    pub moods: Vec<(Mood, Duration)>,
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The embedded store.
    Store,
    /// A backend over OTLP/HTTP.
    Backend,
}

/// What a writer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Prints lines, short ones and odd ones, with breaths between them.
    Print(u32),
    /// Prints as much as fills a queue, as fast as it goes.
    Flood,
    /// Waits.
    Pause(Duration),
    /// Prints the first half of a line, waits, prints the rest.
    HalfALine(Duration),
    /// Renames the file, prints so many lines into it that has not noticed, and begins a new one.
    Rename(Aside, u32),
    /// Empties the file, perhaps after it was copied.
    Truncate(Option<Aside>),
    /// Removes the file, prints so many lines into it that has not noticed, and begins a new one.
    Delete(u32),
    /// Makes so many files of a line each.
    ManyFiles(u32),
}

/// Where a file goes that is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// Where the globs of the agent lead.
    InsideTheGlobs,
    /// Where they do not.
    OutsideTheGlobs,
}

/// What happens to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a start after a while.
    Kill(Duration),
    /// SIGTERM with that grace, and a start after a while.
    Stop { grace: Duration, away: Duration },
    /// SIGTERM, and `kill -9` so soon after it that it may not have ended.
    StopAndKill(Duration),
    /// SIGSTOP, and SIGCONT after a while.
    Freeze(Duration),
    /// The disk of its state is full for a while.
    FillDisk(Duration),
    /// The disk of its state is full, and it is killed and started meanwhile.
    FillDiskAndKill(Duration),
    /// The time of day is another for a while, by so many seconds.
    StepClock(i64, Duration),
}

/// How a backend treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes it.
    Well,
    /// Takes no connections.
    Away,
    /// Answers with a status, perhaps with `Retry-After`, and takes nothing.
    Answers(u16, Option<&'static str>),
    /// Takes it and never answers.
    Hangs,
    /// Takes it and closes the connection.
    TakesAndDrops,
    /// Closes the connection before it has read all.
    Drops,
    /// Takes it and says that it has rejected one record.
    RejectsOne,
    /// Takes it after a while.
    Slow(Duration),
}

impl Plan {
    /// The one episode of that seed.
    #[must_use]
    pub fn of(seed: u64, files: Files) -> Self {
        let random = &mut Rng::with_seed(seed);
        let destination = if random.u8(..3) == 0 { Destination::Store } else { Destination::Backend };
        let small_disk_bytes = one_in(random, 5).then(|| random.u64(12..=32) << 20);
        let is_flooded = destination == Destination::Backend && one_in(random, 8);
        let moods = match destination {
            Destination::Store => Vec::new(),
            Destination::Backend if is_flooded => vec![(stubborn(random), millis(random, 1500..2500))],
            Destination::Backend => some(random, 0..4, |random| (mood(random), millis(random, 50..700))),
        };
        let mut writers: Vec<Vec<Act>> = some(random, 1..7, |random| {
            let scheme = scheme(random, files);
            some(random, 4..14, |random| act(random, scheme, files))
        });
        if is_flooded {
            writers[0].insert(0, Act::Flood);
        }
        let faults = some(random, 1..5, |random| (millis(random, 30..500), fault(random, small_disk_bytes.is_some())));
        let mut settings = settings(random);
        if is_flooded {
            // What fills a queue takes long enough to deliver without being compressed anew.
            settings.extend(
                [("RUNLOG_EXPORT_COMPRESSION", "zstd"), ("RUNLOG_EXPORT_MAX_REQUEST_BYTES", "1MiB")]
                    .map(|(name, value)| (name, value.to_owned())),
            );
        }
        Self { seed, destination, small_disk_bytes, settings, writers, faults, moods }
    }

    /// How often a line can have been given out in two.
    #[must_use]
    pub fn interruptions(&self) -> u64 {
        ((self.faults.len() + 1) * self.writers.len()) as u64
    }

    /// Whether the queue may be full for a while, so that the agent does not look at files.
    #[must_use]
    pub fn holds_up(&self) -> bool {
        self.small_disk_bytes.is_some() || self.writers.iter().flatten().any(|act| *act == Act::Flood)
    }
}

/// Small bounds, so that their edges are met often.
fn settings(random: &mut Rng) -> Vec<(&'static str, String)> {
    let linger = ["5ms", "40ms", "180ms"][random.usize(..3)];
    let memory = ["1MiB", "16MiB"][random.usize(..2)];
    let longest_line = ["4KiB", "16KiB", "64KiB"][random.usize(..3)];
    let batch = ["64KiB", "768KiB"][random.usize(..2)];
    let compression = ["zstd", "gzip", "none"][random.usize(..3)];
    let request = ["64KiB", "1MiB"][random.usize(..2)];
    [
        ("RUNLOG_QUEUE_MAX_BYTES", "8MiB"),
        ("RUNLOG_QUEUE_SEGMENT_BYTES", "1MiB"),
        ("RUNLOG_BATCH_LINGER", linger),
        ("RUNLOG_BATCH_MAX_BYTES", batch),
        ("RUNLOG_MEMORY_MAX_BYTES", memory),
        ("RUNLOG_PARSE_MAX_LINE_BYTES", longest_line),
        ("RUNLOG_EXPORT_COMPRESSION", compression),
        ("RUNLOG_EXPORT_MAX_REQUEST_BYTES", request),
        ("RUNLOG_EXPORT_TIMEOUT", "600ms"),
        ("RUNLOG_EXPORT_MIN_BACKOFF", "20ms"),
        ("RUNLOG_EXPORT_MAX_BACKOFF", "300ms"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// How a writer's file is rotated. One does not do it in two ways: a copy of what was then renamed could be told from
/// a file of its own by nobody.
#[derive(Debug, Clone, Copy)]
enum Scheme {
    Rename,
    Copy(Aside),
    Destroy,
}

fn scheme(random: &mut Rng, files: Files) -> Scheme {
    match random.u8(..4) {
        0 | 1 => Scheme::Rename,
        2 if files == Files::KeepTheirBytes => Scheme::Rename,
        2 => Scheme::Copy(aside(random)),
        _ => Scheme::Destroy,
    }
}

fn act(random: &mut Rng, scheme: Scheme, files: Files) -> Act {
    match (random.u8(..20), scheme) {
        (0..8, _) => Act::Print(random.u32(1..300)),
        (8..11, _) => Act::Pause(millis(random, 1..250)),
        (11..13, _) => Act::HalfALine(millis(random, 1..200)),
        (13, _) => Act::ManyFiles(random.u32(1..80)),
        (_, Scheme::Rename) => Act::Rename(aside(random), random.u32(..60)),
        (_, Scheme::Copy(aside)) => Act::Truncate(Some(aside)),
        (_, Scheme::Destroy) if random.bool() && files == Files::MayBeEmptied => Act::Truncate(None),
        (_, Scheme::Destroy) => Act::Delete(random.u32(..60)),
    }
}

fn aside(random: &mut Rng) -> Aside {
    if random.bool() { Aside::InsideTheGlobs } else { Aside::OutsideTheGlobs }
}

fn fault(random: &mut Rng, has_small_disk: bool) -> Fault {
    let away = if random.bool() { Duration::ZERO } else { millis(random, 1..400) };
    if has_small_disk && random.bool() {
        let full = millis(random, 100..900);
        return if one_in(random, 3) { Fault::FillDiskAndKill(full) } else { Fault::FillDisk(full) };
    }
    match random.u8(..10) {
        0..4 => Fault::Kill(away),
        4..6 => Fault::Stop { grace: [Duration::from_secs(5), millis(random, 1..150)][random.usize(..2)], away },
        6 => Fault::StopAndKill(millis(random, 0..60)),
        7 | 8 => Fault::Freeze(millis(random, 50..700)),
        _ => {
            let seconds = [5, 3600, 366 * 86_400][random.usize(..3)];
            let seconds = if random.bool() { seconds } else { -seconds };
            Fault::StepClock(seconds, millis(random, 100..600))
        }
    }
}

fn mood(random: &mut Rng) -> Mood {
    let wish = [None, Some("0"), Some("1"), Some("soon"), Some("Mon, 01 Jan 2024 00:00:00 GMT")][random.usize(..5)];
    match random.u8(..10) {
        0 => Mood::Away,
        1 => Mood::Answers(503, wish),
        2 => Mood::Answers(429, wish),
        3 => Mood::Answers(502, None),
        4 => Mood::Answers(500, None),
        5 => Mood::Hangs,
        6 => Mood::TakesAndDrops,
        7 => Mood::Drops,
        8 => Mood::RejectsOne,
        _ => Mood::Slow(millis(random, 5..200)),
    }
}

/// One in which nothing leaves the queue.
fn stubborn(random: &mut Rng) -> Mood {
    [Mood::Away, Mood::Answers(503, None), Mood::Drops][random.usize(..3)]
}

fn some<T>(random: &mut Rng, count: std::ops::Range<usize>, mut draw: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..random.usize(count)).map(|_| draw(random)).collect()
}

fn millis(random: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(range))
}

fn one_in(random: &mut Rng, count: u8) -> bool {
    random.u8(..count) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_all_of_an_episode() {
        let of = |seed| Plan::of(seed, Files::MayBeEmptied);
        assert!((0..200).all(|seed| of(seed) == of(seed)));
        assert_ne!(of(1).writers, of(2).writers);
        let kept = (0..200).flat_map(|seed| Plan::of(seed, Files::KeepTheirBytes).writers).flatten();
        assert!(!kept.into_iter().any(|act| matches!(act, Act::Truncate(_))));
    }
}
