//! The accounts of runs: what each source gave to each, from one receipt of the run to the next.
//!
//! An account goes into the queue in the entry of the batch that it counts, as a position does, so that after a kill it
//! says what the queue has, no more and no less. It leaves the queue in the entry that has the receipt.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use prost::Message;
use tracing::warn;

use crate::{
    parse::Prefix,
    record::{
        self, Account, End, Event, NoBookmark, Origin, PositionUpdate, RankErrors, Resource, Severity, SourceKind,
        Tally, UnixNanos,
        origin::Stream,
        wire::{RecordView, Value, record_attribute},
    },
    run::{self, Facts, Identity, RunId},
};

/// Keys of accounts in the queue's positions start so.
const KEY_PREFIX: &str = "account:";

/// Keys of the ends of runs' processes and containers in the queue's positions start so.
const ENDS_PREFIX: &str = "ends:";

/// Beyond so many sources, further ones of a run are counted as one.
const MAX_SOURCES: usize = 1_000;

/// What the others are called.
const OTHERS: &str = "(others)";

/// Beyond so many, further ends of a run's processes and containers are only told as events.
const MAX_ENDS: usize = 200;

/// Ends that the receipt's sentence tells of.
const TOLD_ENDS: usize = 3;

/// Beyond so many runs, further ones have no accounts and no receipts.
const MAX_RUNS: usize = 1_000;

/// All accounts that are open.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    runs: BTreeMap<String, Run>,
}

/// The account of a run.
#[derive(Debug, Default)]
struct Run {
    /// What its receipt is filed under, once a source of this process has brought something.
    resource: Option<Arc<Resource>>,
    sources: BTreeMap<Source, Account>,
    /// How its processes and containers have ended.
    ends: Vec<End>,
    /// Whether the queue does not have all of them.
    has_new_ends: bool,
    /// Streams of containers that have not ended, and containers themselves, for as long as anybody reads them.
    open: BTreeMap<u64, Weak<Origin>>,
    /// Whether all of its sources are containers, with which it ends.
    is_of_containers: bool,
}

/// A source by its kind's word and its name.
type Source = (String, String);

/// What one entry of the queue changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    run_id: String,
    sources: BTreeMap<Source, Account>,
    ends: Option<Vec<u8>>,
}

/// What the queue keeps of them. A protobuf message of our own; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
struct Ends {
    #[prost(message, repeated, tag = "1")]
    ends: Vec<End>,
}

impl Change {
    /// The positions to put into the entry.
    pub(super) fn positions(&self) -> impl Iterator<Item = PositionUpdate> {
        let update = |(source, account): (&Source, &Account)| (key(&self.run_id, source), account.encode_to_vec());
        let ends = self.ends.iter().map(|ends| (ends_key(&self.run_id), ends.clone()));
        self.sources.iter().map(update).chain(ends).map(|(key, bookmark)| PositionUpdate { key, bookmark })
    }

    /// The same where no entry is made of it.
    pub(super) fn unwritten(self) -> Self {
        Self { ends: None, ..self }
    }
}

impl Accounts {
    /// Goes on with what the queue has.
    pub(super) fn resume(positions: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut accounts = Self::default();
        for (key, bytes) in positions {
            if let Some(run_id) = key.strip_prefix(ENDS_PREFIX) {
                match Ends::decode(&bytes[..]) {
                    Ok(Ends { ends }) => accounts.runs.entry(run_id.to_owned()).or_default().ends = ends,
                    Err(error) => warn!(key, %error, "how a run's containers ended cannot be read"),
                }
                continue;
            }
            let Some((run_id, source)) = key.strip_prefix(KEY_PREFIX).and_then(split_key) else { continue };
            match Account::decode(&bytes[..]) {
                Ok(account) => {
                    accounts.runs.entry(run_id).or_default().sources.insert(source, account);
                }
                Err(error) => warn!(key, %error, "the account of a source cannot be read, it begins anew"),
            }
        }
        accounts
    }

    /// What the accounts of a run are with what a batch counts. Nothing is changed before [`Accounts::commit`].
    pub(super) fn with(&mut self, run_id: &str, counted: &[(Arc<Origin>, Account)]) -> Change {
        let mut change = Change { run_id: run_id.to_owned(), ..Change::default() };
        let known = if counted.is_empty() { self.runs.get_mut(run_id) } else { self.run(run_id) };
        let Some(run) = known else { return change };
        change.ends = run.has_new_ends.then(|| Ends { ends: run.ends.clone() }.encode_to_vec());
        for (origin, account) in counted {
            run.know(origin, run_id);
            let source = run.source(origin);
            let before = || match run.sources.get(&source) {
                Some(account) => account.clone(),
                None => Account { rank: rank(origin), ..Account::default() },
            };
            change.sources.entry(source.clone()).or_insert_with(before).add(account);
        }
        change
    }

    /// The entry is in the queue.
    pub(super) fn commit(&mut self, change: Change) {
        if let Some(run) = self.runs.get_mut(&change.run_id) {
            run.sources.extend(change.sources);
            run.has_new_ends &= change.ends.is_none();
        }
    }

    /// The accounts of a run, unless there are too many.
    fn run(&mut self, run_id: &str) -> Option<&mut Run> {
        if self.runs.len() >= MAX_RUNS && !self.runs.contains_key(run_id) {
            return None;
        }
        Some(self.runs.entry(run_id.to_owned()).or_default())
    }

    /// A container, or a stream of one, is there, whether or not anything of it counts: its run ends with it.
    pub(super) fn opened(&mut self, origin: &Arc<Origin>) {
        let run_id = &origin.resource.run_id;
        if let Some(run) = self.run(run_id) {
            run.know(origin, run_id);
        }
    }

    /// A process or a container of a run has ended. It is in the next entry of the run, and in its receipt.
    pub(super) fn ended(&mut self, run_id: &str, end: End) {
        let Some(run) = self.run(run_id) else { return };
        // After a kill an end may be told again that is in the queue already.
        if run.ends.len() < MAX_ENDS && !run.ends.contains(&end) {
            run.ends.push(end);
            run.has_new_ends = true;
        }
    }

    /// A stream has ended. True if its run has ended with it.
    pub(super) fn closed(&mut self, origin: &Origin) -> bool {
        let Some(run) = self.runs.get_mut(&origin.resource.run_id) else { return false };
        let was_open = run.open.remove(&origin.id).is_some();
        run.forget_lost();
        let is_over = was_open && run.open.is_empty() && run.is_of_containers;
        if is_over && run.has_nothing() {
            self.runs.remove(&origin.resource.run_id);
            return false;
        }
        is_over
    }

    /// Forgets runs of which nothing is open and nothing was counted.
    pub(super) fn forget_idle(&mut self) {
        self.runs.retain(|_, run| {
            run.forget_lost();
            !run.has_nothing() || !run.open.is_empty()
        });
    }

    /// The runs that have accounts.
    pub(super) fn runs(&self) -> Vec<String> {
        self.runs.keys().cloned().collect()
    }

    /// What the receipt of a run is filed under, if the run has accounts.
    pub(super) fn origin(&self, run_id: &str) -> Option<Arc<Origin>> {
        Some(self.runs.get(run_id)?.origin(run_id))
    }

    /// The receipt of a run, as the event that tells it.
    pub(super) fn receipt(&self, run_id: &str, origin: Arc<Origin>, time: UnixNanos) -> Option<Event> {
        let run = self.runs.get(run_id).filter(|run| !run.has_nothing())?;
        let mut sum = Account::default();
        run.sources.values().for_each(|account| sum.add(account));
        let culprit = culprit(&run.sources);
        let body = sentence(&sum, run, culprit.as_ref());
        let is_complete = sum.is_complete();
        Some(Event {
            origin,
            name: "runlog.receipt",
            time,
            severity: if is_complete { Severity::INFO } else { Severity::WARN },
            body,
            attributes: attributes(&sum, run, culprit.as_ref()),
        })
    }

    /// Ends the accounts of a run, whose receipt is in the entry that takes these positions.
    pub(super) fn settle(&mut self, run_id: &str) -> Vec<PositionUpdate> {
        let Some(run) = self.runs.remove(run_id) else { return Vec::new() };
        let forgotten = |source| PositionUpdate { key: key(run_id, source), bookmark: Vec::new() };
        let mut settled: Vec<_> = run.sources.keys().map(forgotten).collect();
        if !run.ends.is_empty() {
            settled.push(PositionUpdate { key: ends_key(run_id), bookmark: Vec::new() });
        }
        settled
    }
}

impl Run {
    fn know(&mut self, origin: &Arc<Origin>, run_id: &str) {
        let is_container = origin.kind.is_of_container();
        self.is_of_containers = is_container && (self.is_of_containers || self.resource.is_none());
        // What stands in for a stream does not end.
        if is_container && !origin.is_stand_in {
            self.open.entry(origin.id).or_insert_with(|| Arc::downgrade(origin));
        }
        // A program that sends OTLP may name another run than the agent's.
        if self.resource.is_none() {
            let is_its_own = origin.resource.run_id == run_id;
            self.resource = Some(if is_its_own { Arc::clone(&origin.resource) } else { bare_resource(run_id) });
        }
    }

    /// Streams that nobody reads any more do not end.
    fn forget_lost(&mut self) {
        self.open.retain(|_, origin| origin.strong_count() > 0);
    }

    fn has_nothing(&self) -> bool {
        self.sources.is_empty() && self.ends.is_empty()
    }

    fn source(&self, origin: &Origin) -> Source {
        let source = (origin.kind.as_str().to_owned(), origin.tally.name.clone());
        if self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source) {
            source
        } else {
            (source.0, OTHERS.to_owned())
        }
    }

    fn origin(&self, run_id: &str) -> Arc<Origin> {
        let kind = SourceKind::File;
        Origin::new(Stream {
            key: String::new(),
            kind,
            identity: &[],
            resource: self.resource.clone().unwrap_or_else(|| bare_resource(run_id)),
            attributes: Vec::new(),
            level: Severity::UNSPECIFIED,
            tally: Tally::detached(kind, ""),
            bookmark: Arc::new(NoBookmark),
        })
    }
}

/// For a run of which nothing but its id is known here.
fn bare_resource(run_id: &str) -> Arc<Resource> {
    match RunId::new(run_id) {
        Ok(id) => run::resource(&id, &Identity::default(), &Facts::default()),
        Err(_) => Arc::new(Resource { run_id: run_id.to_owned(), encoded: Vec::new() }),
    }
}

/// The `ml.rank` that each record of a stream has.
pub(super) fn rank(origin: &Origin) -> Option<i64> {
    number(origin, "ml.rank")
}

/// What stands before a line, with the local rank of its stream where neither the line nor the stream names another one:
/// that of torchrun's folders.
pub(super) fn of_stream<'a>(prefix: Prefix<'a>, origin: &Origin) -> Prefix<'a> {
    if prefix.names_a_rank() || rank(origin).is_some() {
        return prefix;
    }
    let local_rank = number(origin, "ml.local_rank").and_then(|rank| u32::try_from(rank).ok());
    Prefix { local_rank, ..prefix }
}

fn number(origin: &Origin, name: &str) -> Option<i64> {
    let record = RecordView::read(&origin.attributes).ok()?;
    record.attributes().find_map(|attribute| match attribute {
        Ok((key, Value::Int(number))) if key == name => Some(number),
        _ => None,
    })
}

/// Run ids, kinds and names may hold anything, so their lengths are told.
fn key(run_id: &str, (kind, name): &Source) -> String {
    format!("{KEY_PREFIX}{}:{run_id}:{kind}:{name}", run_id.len())
}

fn ends_key(run_id: &str) -> String {
    format!("{ENDS_PREFIX}{run_id}")
}

fn split_key(key: &str) -> Option<(String, Source)> {
    let (length, rest) = key.split_once(':')?;
    let (run_id, rest) = rest.split_at_checked(length.parse().ok()?)?;
    let (kind, name) = rest.strip_prefix(':')?.split_once(':')?;
    Some((run_id.to_owned(), (kind.to_owned(), name.to_owned())))
}

fn sentence(sum: &Account, run: &Run, culprit: Option<&RankErrors>) -> String {
    let many = |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let mut text = format!(
        "{} of {} read: {} kept, {} below the level",
        many(sum.lines_read, "line"),
        many(run.sources.len() as u64, "source"),
        sum.lines_kept,
        sum.left_out(),
    );
    if sum.lines_replayed > 0 {
        text += &format!(", {} replayed", many(sum.lines_replayed, "line"));
    }
    if sum.lines_limited > 0 {
        text += &format!(", {} over the limit", sum.lines_limited);
    }
    if sum.lines_lost > 0 {
        text += &format!(", {} lost", many(sum.lines_lost, "line"));
    }
    if sum.bytes_lost > 0 {
        text += &format!(", {} lost", many(sum.bytes_lost, "byte"));
    }
    if sum.gaps > 0 {
        text += &format!(", {}", many(sum.gaps, "gap"));
    }
    if sum.scalars_nonfinite > 0 {
        text += &format!(", {} of metrics not finite", many(sum.scalars_nonfinite, "value"));
    }
    for end in run.ends.iter().filter(|end| !end.is_well()).take(TOLD_ENDS) {
        text += &format!("; {} ended: {}", end.name, end.words());
    }
    if let Some(culprit) = culprit {
        let who = match (culprit.rank, culprit.local_rank) {
            (Some(rank), _) => format!("rank {rank}"),
            (None, Some(local_rank)) => format!("local rank {local_rank}"),
            (None, None) => return text,
        };
        text += &format!("; {who} failed first: {}", culprit.cause().meaning());
    }
    text
}

/// The rank that failed first, of all sources. A source of one rank says so once, for all of its lines.
fn culprit(sources: &BTreeMap<Source, Account>) -> Option<RankErrors> {
    let ranks: Vec<RankErrors> = sources.values().flat_map(Account::errors_by_rank).collect();
    record::culprit(ranks.iter())
}

/// One source in `runlog.receipt.sources`.
#[derive(serde::Serialize)]
struct Line<'a> {
    kind: &'a str,
    name: &'a str,
    #[serde(flatten)]
    account: &'a Account,
}

fn attributes(sum: &Account, run: &Run, culprit: Option<&RankErrors>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record_attribute(&mut bytes, "runlog.receipt.complete", Value::Bool(sum.is_complete()));
    for (key, count) in [
        ("runlog.receipt.lines_read", sum.lines_read),
        ("runlog.receipt.lines_kept", sum.lines_kept),
        ("runlog.receipt.lines_filtered", sum.lines_filtered),
        ("runlog.receipt.lines_replayed", sum.lines_replayed),
        ("runlog.receipt.lines_lost", sum.lines_lost),
        ("runlog.receipt.bytes_lost", sum.bytes_lost),
        ("runlog.receipt.gaps", sum.gaps),
        ("runlog.receipt.states_folded", sum.states_folded),
    ] {
        record_attribute(&mut bytes, key, Value::Int(i64::try_from(count).unwrap_or(i64::MAX)));
    }
    for (key, count) in [
        ("runlog.receipt.lines_limited", sum.lines_limited),
        ("runlog.receipt.scalars", sum.scalars),
        ("runlog.receipt.scalars_nonfinite", sum.scalars_nonfinite),
    ] {
        if count > 0 {
            record_attribute(&mut bytes, key, Value::Int(i64::try_from(count).unwrap_or(i64::MAX)));
        }
    }
    if let Some(culprit) = culprit {
        record_attribute(&mut bytes, "runlog.receipt.cause", Value::String(culprit.cause().as_str()));
        let ranks =
            [("runlog.receipt.cause.rank", culprit.rank), ("runlog.receipt.cause.local_rank", culprit.local_rank)];
        for (key, rank) in ranks {
            if let Some(rank) = rank {
                record_attribute(&mut bytes, key, Value::Int(rank));
            }
        }
        if let Some(error) = culprit.most_telling() {
            record_attribute(&mut bytes, "runlog.receipt.cause.line", Value::String(&error.body));
        }
    }
    if !run.ends.is_empty() {
        match serde_json::to_string(&run.ends) {
            Ok(text) => record_attribute(&mut bytes, "runlog.receipt.ends", Value::String(&text)),
            Err(error) => warn!(%error, "the ends in a receipt cannot be written as JSON"),
        }
    }
    let lines: Vec<_> = run.sources.iter().map(|((kind, name), account)| Line { kind, name, account }).collect();
    match serde_json::to_string(&lines) {
        Ok(text) => record_attribute(&mut bytes, "runlog.receipt.sources", Value::String(&text)),
        Err(error) => warn!(%error, "the sources of a receipt cannot be written as JSON"),
    }
    bytes
}

#[cfg(test)]
mod tests;
