//! Reads the journal to its end, over as many journalctls as it takes.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::{
    record::{Entries, Entry, Input, Origin, Tally, UnixNanos},
    source::{Closed, Context, Stop, backoff::Backoff, gap::gap},
};

use super::{
    Config, KEY, Others, Tagging,
    cursor::{Cursor, Standing},
    entry::JournalEntry,
    journalctl::{self, Journalctl, Start, Until},
    own::Own,
    place::{Place, Resumed},
    streams::Streams,
};

/// How long the journal may be silent before it is asked whether it is.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// How long journalctl gives out nothing once it has given out what there is.
const SETTLED: Duration = Duration::from_secs(1);

/// How long what was just written may be on its way.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// How often a position is kept that only moves over entries that are not wanted.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// How often it is asked whether entries were removed, where numbers are missing between entries: those of journals
/// that we may not read have numbers as well.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Bytes of entries that are handed over at once.
const MUCH: usize = 64 * 1024;

/// Messages of journalctl that are not told again.
const TOLD: usize = 32;

/// The reader.
pub(super) struct Reader {
    config: Config,
    context: Context,
    others: Others,
    own: Own,
    place: Arc<Place>,
    streams: Streams,
    /// What is about the journal as a whole.
    whole: Arc<Origin>,
    /// The entry that was read last.
    last: Option<Cursor>,
    /// The number of the next one that is handed over.
    number: u64,
    group: Option<Group>,
    /// When the position was kept last, and whether it has moved since.
    kept: Instant,
    has_moved: bool,
    asked: Option<Instant>,
    told: VecDeque<String>,
}

/// Entries of one stream that wait for company.
struct Group {
    stream: Arc<str>,
    origin: Arc<Origin>,
    entries: Vec<Entry>,
    bytes: usize,
}

/// How a journalctl ended.
enum Ending {
    /// It has given out all that it was asked for.
    Complete,
    /// The stop was thrown.
    Stopped,
    /// It does not give out what there is.
    Stalled,
    Broken(String),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        let missing = "journalctl is not there; install it, or take back journal.units";
        Self::Broken(if error.kind() == io::ErrorKind::NotFound { missing.to_owned() } else { error.to_string() })
    }
}

impl Reader {
    pub(super) fn new(config: Config, context: Context, tagging: Tagging, others: Others) -> Self {
        let resumed = Resumed::of(context.positions.get(KEY).map(Vec::as_slice));
        let last = resumed.cursor.clone();
        let place = Place::resumed(resumed);
        let streams = Streams::new(tagging, context.clone(), Arc::clone(&place));
        let own = Own::find(others.invocation_id.clone());
        Self {
            config,
            whole: streams.whole(),
            context,
            others,
            own,
            place,
            streams,
            last,
            number: 0,
            group: None,
            kept: Instant::now(),
            has_moved: false,
            asked: None,
            told: VecDeque::new(),
        }
    }

    /// Reads until the stop is thrown, and then what is left.
    pub(super) async fn run(mut self) {
        if let Some(unit) = self.own.unit() {
            info!(unit, "journal entries of runlog's own unit are left out");
        }
        let mut stop = self.context.stop.clone();
        let mut backoff = Backoff::new();
        loop {
            let is_last = stop.is_thrown();
            let until = if is_last { Until::End } else { Until::Killed };
            let before = self.last.clone();
            let Ok(ending) = self.read(until, &mut stop).await else { break };
            match &ending {
                Ending::Complete | Ending::Stopped => {}
                Ending::Stalled => warn!("journalctl has stopped to give out entries, starting it again"),
                Ending::Broken(reason) => {
                    self.whole.tally.failed(reason);
                    self.tallies().for_each(|tally| tally.lost_sight());
                    self.tell(format!("cannot read the journal: {reason}"));
                }
            }
            if is_last {
                break;
            }
            if self.last != before {
                backoff.reset();
            }
            if !matches!(ending, Ending::Stopped) {
                backoff.pause(&mut stop).await;
            }
        }
        // If the pipeline has ended there is nobody left to tell.
        let _ = self.keep_position().await;
        self.streams.close();
        self.context.ledger.close(&self.whole.tally);
    }

    /// Reads through one journalctl.
    async fn read(&mut self, until: Until, stop: &mut Stop) -> Result<Ending, Closed> {
        let last = self.last.clone();
        let from = last.as_ref().map_or(Start::Boot, Start::Cursor);
        let mut journalctl = match Journalctl::start(&self.config, from, until) {
            Ok(journalctl) => journalctl,
            Err(error) => return Ok(error.into()),
        };
        // What it begins with is known, unless that was removed.
        let mut resumed_at = last;
        loop {
            let read = tokio::select! {
                biased;
                () = stop.thrown(), if until == Until::Killed => return Ok(Ending::Stopped),
                read = async {
                    match timeout(SETTLED, journalctl.entries()).await {
                        Ok(read) => Ok(read),
                        Err(_elapsed) => {
                            self.tallies().for_each(|tally| tally.caught_up());
                            timeout(SILENCE - SETTLED, journalctl.entries()).await
                        }
                    }
                } => read,
            };
            for message in journalctl.said() {
                self.tell(format!("journalctl says: {message}"));
            }
            let entries = match read {
                Ok(Ok(entries)) => entries,
                Ok(Err(error)) => return Ok(Ending::Broken(error.to_string())),
                Err(_elapsed) => {
                    self.keep_position().await?;
                    if self.has_unread(&mut journalctl, &mut resumed_at).await? {
                        return Ok(Ending::Stalled);
                    }
                    continue;
                }
            };
            if entries.is_empty() {
                let (status, said) = journalctl.end().await;
                if until == Until::End && status.is_some_and(|status| status.success()) {
                    return Ok(Ending::Complete);
                }
                let status =
                    status.map_or_else(|| "it has ended".to_owned(), |status| format!("it ended with {status}"));
                return Ok(Ending::Broken(said.last().map_or(status.clone(), |said| format!("{status}: {said}"))));
            }
            self.take_all(entries, &mut resumed_at).await?;
            if self.kept.elapsed() >= KEEP_EVERY {
                self.keep_position().await?;
            }
        }
    }

    /// After a long silence: whether the journal has an entry that journalctl does not give out.
    async fn has_unread(
        &mut self,
        journalctl: &mut Journalctl,
        resumed_at: &mut Option<Cursor>,
    ) -> Result<bool, Closed> {
        let Ok(Some(newest)) = journalctl::cursor(&self.config, Start::Newest).await else { return Ok(false) };
        let is_read = |last: &Option<Cursor>| {
            // Before the first entry of this boot has come, the newest may be of another one.
            last.as_ref().is_none_or(|last| newest.standing(last) == Standing::NotLater)
        };
        if is_read(&self.last) {
            return Ok(false);
        }
        if let Ok(Ok(entries)) = timeout(LAST_CHANCE, journalctl.entries()).await {
            self.take_all(entries, resumed_at).await?;
            return Ok(false);
        }
        Ok(!is_read(&self.last))
    }

    async fn take_all(&mut self, entries: Vec<JournalEntry>, resumed_at: &mut Option<Cursor>) -> Result<(), Closed> {
        for entry in entries {
            self.take(entry, resumed_at).await?;
        }
        self.hand_over().await
    }

    async fn take(&mut self, entry: JournalEntry, resumed_at: &mut Option<Cursor>) -> Result<(), Closed> {
        if let Some(last) = &self.last {
            match (entry.cursor.standing(last), &resumed_at) {
                // It begins with the one that is known; journalctl may also give out one again after a rotation.
                (Standing::NotLater, _) => {
                    if entry.cursor == *last {
                        *resumed_at = None;
                    }
                    return Ok(());
                }
                (Standing::Next, _) => {}
                // The entry that was read last is not there any more.
                (Standing::Later(between), Some(_)) => self.missing(last.time(), entry.time, between).await?,
                (Standing::Later(Some(between)), None) => {
                    let before = last.clone();
                    if self.are_removed_behind(&before).await {
                        self.missing(before.time(), entry.time, Some(between)).await?;
                    }
                }
                // Another boot.
                (Standing::Later(None), None) => {}
            }
        }
        *resumed_at = None;
        self.last = Some(entry.cursor.clone());
        self.sort(entry).await
    }

    /// Whether the oldest entry that there is was written behind the one after that one.
    async fn are_removed_behind(&mut self, before: &Cursor) -> bool {
        if self.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return false;
        }
        self.asked = Some(Instant::now());
        let oldest = journalctl::cursor(&self.config, Start::Oldest).await;
        matches!(oldest, Ok(Some(oldest)) if matches!(oldest.standing(before), Standing::Later(_)))
    }

    /// Tells that entries were removed before they were read.
    async fn missing(&mut self, from: UnixNanos, to: UnixNanos, at_most: Option<u64>) -> Result<(), Closed> {
        warn!(at_most, "journald has removed entries before they were read");
        let how_many = at_most.map_or_else(String::new, |count| format!(", {count} at most"));
        let body = format!("entries of the journal are missing{how_many}: journald removed them before they were read");
        let mut attributes = vec![("runlog.gap.from_unix_nano", from), ("runlog.gap.to_unix_nano", to)];
        attributes.extend(at_most.map(|count| ("runlog.gap.entries", count)));
        self.hand_over().await?;
        self.context.intake.send(Input::Event(gap(Arc::clone(&self.whole), to, body, &attributes))).await
    }

    /// Takes an entry into its stream, if it is wanted.
    async fn sort(&mut self, entry: JournalEntry) -> Result<(), Closed> {
        let is_of_others = entry.container.is_some() && self.others.are_containers_read;
        if is_of_others || self.own.wrote(&entry) || !self.config.wants(entry.unit.as_deref()) {
            self.pass(entry.cursor);
            return Ok(());
        }
        let (stream, origin) = self.streams.of(&entry);
        for tally in [&origin.tally, &self.whole.tally] {
            tally.read_to(0, entry.time);
        }
        if self.place.is_known(&entry.cursor, &stream) {
            self.pass(entry.cursor);
            return Ok(());
        }
        if self.group.as_ref().is_some_and(|group| group.stream != stream || group.bytes >= MUCH) {
            self.hand_over().await?;
        }
        origin.tally.bytes_read.fetch_add(entry.text.len() as u64, Ordering::Relaxed);
        origin.tally.bytes_lost.fetch_add(entry.cut_bytes, Ordering::Relaxed);
        if let Some(count) = entry.dropped {
            // What journald says of it is what the gap says.
            self.hand_over().await?;
            let body = String::from_utf8_lossy(&entry.text).into_owned();
            let attributes = [("runlog.gap.to_unix_nano", entry.time), ("runlog.gap.entries", count)];
            self.pass(entry.cursor);
            return self.context.intake.send(Input::Event(gap(origin, entry.time, body, &attributes))).await;
        }
        let number = self.number;
        self.number += 1;
        self.place.read(entry.cursor.clone(), number, &stream);
        let group = self.group.get_or_insert_with(|| Group { stream, origin, entries: Vec::new(), bytes: 0 });
        group.bytes += entry.text.len() + entry.attributes.len();
        group.entries.push(Entry {
            number,
            at: entry.cursor.place(),
            bytes: entry.text,
            time: entry.time,
            level: entry.level,
            logger: entry.logger,
            attributes: entry.attributes,
        });
        Ok(())
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.streams.tallies().chain([&*self.whole.tally])
    }

    fn pass(&mut self, cursor: Cursor) {
        self.place.pass(cursor);
        self.has_moved = true;
    }

    async fn hand_over(&mut self) -> Result<(), Closed> {
        let Some(Group { origin, entries, .. }) = self.group.take() else { return Ok(()) };
        self.send(origin, entries).await
    }

    async fn send(&self, origin: Arc<Origin>, entries: Vec<Entry>) -> Result<(), Closed> {
        let (read_to, observed) = (self.number, self.context.clock.now());
        self.context.intake.send(Input::Entries(Entries { origin, entries, read_to, observed, permit: None })).await
    }

    /// Lets the queue have the position, although nothing that is wanted has come.
    async fn keep_position(&mut self) -> Result<(), Closed> {
        self.kept = Instant::now();
        if !mem::take(&mut self.has_moved) {
            return Ok(());
        }
        self.send(Arc::clone(&self.whole), Vec::new()).await
    }

    /// Tells the operator, unless that was told already.
    fn tell(&mut self, message: String) {
        if self.told.contains(&message) {
            debug!("{message}");
            return;
        }
        warn!("{message}");
        self.told.truncate(TOLD - 1);
        self.told.push_front(message);
    }
}
