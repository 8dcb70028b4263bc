//! The calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::common::v1::any_value;
use runlog_proto::{
    ENDED,
    v1::{self, Value},
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};
use uuid::Uuid;

use crate::{
    receive::Sink,
    record::{Clock, Severity, Signal, UnixNanos},
    run::RunId,
    store::{FindError, Reader, Store},
};

use super::{
    check::{check_length, check_name, moment, parse_key, run_id},
    entry::{Entries, check_value, note_event},
    event::{Event, Telemetry, string},
    known::{Head, Known, KnownRuns},
    problem::{Problem, Reason},
};

/// Entries of one call.
const MAX_ENTRIES: usize = 10_000;

/// Children that one call makes.
const MAX_CHILDREN: u32 = 1_000;

const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const MAX_DETAILS_BYTES: usize = 256 * 1024;

/// How long a run is looked for that was started before this process, and may be on its way to the store.
const LOOK_FOR: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until the store has what was answered before, or not for much longer.
pub type Settle = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What the Run API works with.
pub struct Parts {
    /// Where events go.
    pub sink: Arc<dyn Sink>,
    /// Where they are found again; `None` where nothing is stored.
    pub store: Option<Arc<Store>>,
    /// How the store is waited for.
    pub settle: Settle,
    /// The run that this process collects for, which needs no start.
    pub own: Option<RunId>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// The Run API. Clones are the same.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    sink: RwLock<Option<Arc<dyn Sink>>>,
    store: Option<Arc<Store>>,
    settle: Settle,
    own: Option<RunId>,
    clock: Arc<dyn Clock>,
    known: KnownRuns,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did what it was to do.
    Complete,
    /// It did not.
    Fail,
    /// Somebody wanted it to end.
    Cancel,
}

impl End {
    const fn result(self) -> &'static str {
        match self {
            Self::Complete => "success",
            Self::Fail => "failure",
            Self::Cancel => "cancellation",
        }
    }

    const fn status(self) -> &'static str {
        match self {
            Self::Complete => "completed",
            Self::Fail => "failed",
            Self::Cancel => "canceled",
        }
    }

    const fn severity(self) -> Severity {
        match self {
            Self::Complete => Severity::INFO,
            Self::Fail => Severity::FATAL,
            Self::Cancel => Severity::WARN,
        }
    }
}

impl Api {
    /// An API on these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { sink, store, settle, own, clock } = parts;
        let known = KnownRuns::default();
        Self(Arc::new(Inner { sink: RwLock::new(Some(sink)), store, settle, own, clock, known }))
    }

    /// Takes no more calls. Those under way are answered.
    pub fn close(&self) {
        *self.0.sink.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The store.
    ///
    /// # Errors
    /// If there is none.
    pub fn store(&self) -> Result<&Arc<Store>, Problem> {
        self.0.store.as_ref().ok_or_else(Problem::no_store)
    }

    /// A reader of the store, once that has what was answered.
    ///
    /// # Errors
    /// If there is none.
    pub async fn reader(&self) -> Result<Reader, Problem> {
        let reader = self.store()?.reader();
        self.settled().await;
        Ok(reader)
    }

    /// Waits until the store has what was answered, or not for much longer.
    pub async fn settled(&self) {
        (self.0.settle)().await;
    }

    /// Starts a run, or makes sure that it is there.
    ///
    /// # Errors
    /// If it cannot be.
    pub async fn start(&self, request: v1::StartRunRequest) -> Result<v1::Run, Problem> {
        let key = key_of(&request.key)?;
        let id = match &request.run_id[..] {
            "" => RunId::new(&key.hyphenated().to_string())
                .map_err(|fault| Problem::new(Reason::Failed, fault.to_string()))?,
            given => run_id("run_id", given)?,
        };
        for (field, name) in [("experiment", &request.experiment), ("name", &request.name)] {
            if !name.is_empty() {
                check_name(field, name)?;
            }
        }
        if !request.parent_run_id.is_empty() {
            run_id("parent_run_id", &request.parent_run_id)?;
        }
        if let Some(run) = self.find(id.as_str()).await? {
            self.0.known.put(id.as_str(), Known { head: Head::from(&run), ..Known::default() });
            return Ok(run);
        }
        let mut head = Head { experiment: request.experiment, name: request.name, parent: request.parent_run_id };
        if head.experiment.is_empty()
            && let Some(parent) = self.find(&head.parent).await?
        {
            head.experiment = parent.experiment;
        }
        let notes = Notes { tags: request.tags, parameters: request.parameters, properties: request.properties };
        let birth = Birth { id, head, status: request.status, notes, key, time: request.time };
        self.bear(birth).await
    }

    /// Starts children of a run.
    ///
    /// # Errors
    /// If it is not known, or they cannot be started.
    pub async fn start_children(
        &self,
        parent: &str,
        request: v1::CreateChildrenRequest,
    ) -> Result<Vec<v1::Run>, Problem> {
        let parent = run_id("run_id", parent)?;
        let known = self.known(parent.as_str()).await?;
        let head = lock(&known).head.clone();
        let count = request.count.max(1);
        if count > MAX_CHILDREN {
            return Err(Problem::invalid("count", format!("{count} children are too many"), "1 to 1000"));
        }
        let key = key_of(&request.key)?;
        let mut runs = Vec::new();
        for number in 1..=count {
            let own = Uuid::new_v5(&key, &number.to_be_bytes());
            let id = RunId::new(&own.hyphenated().to_string());
            let name = match (count, &request.name[..]) {
                (_, "") => String::new(),
                (1, name) => name.to_owned(),
                (_, name) => format!("{name}-{number}"),
            };
            let head = Head { experiment: head.experiment.clone(), name, parent: parent.to_string() };
            let notes = Notes {
                tags: request.tags.clone(),
                parameters: request.parameters.clone(),
                properties: request.properties.clone(),
            };
            let id = id.map_err(|fault| Problem::new(Reason::Failed, fault.to_string()))?;
            let birth = Birth { id, head, status: request.status.clone(), notes, key: own, time: request.time.clone() };
            runs.push(self.bear(birth).await?);
        }
        Ok(runs)
    }

    async fn bear(&self, birth: Birth) -> Result<v1::Run, Problem> {
        let Birth { id, head, status, notes, key, time } = birth;
        let now = self.0.clock.now();
        let time = moment(&time, now)?.unwrap_or(now);
        let status = if status.is_empty() { "running" } else { &status };
        check_status(status, &["queued", "preparing", "starting", "running"])?;
        let mut events = vec![status_event(status, time)];
        notes.write(time, &mut events)?;
        let mut telemetry = Telemetry::of(id.as_str(), &head, now);
        for (place, event) in events.into_iter().enumerate() {
            telemetry.put(event, &key, place);
        }
        self.send(telemetry).await?;
        self.0.known.put(id.as_str(), Known { head: head.clone(), ..Known::default() });
        let born = v1::Run {
            run_id: id.to_string(),
            experiment: head.experiment,
            name: head.name,
            parent_run_id: head.parent,
            status: status.to_owned(),
            start_time_unix_nano: if status == "running" { time } else { 0 },
            tags: notes.tags,
            parameters: notes.parameters,
            properties: notes.properties,
            ..v1::Run::default()
        };
        self.told(born).await
    }

    /// Says where a run stands.
    ///
    /// # Errors
    /// If the run is not known, or the status is not one.
    pub async fn set_status(&self, run: &str, request: v1::SetStatusRequest) -> Result<v1::Run, Problem> {
        let known = self.known(run_id("run_id", run)?.as_str()).await?;
        check_status(&request.status, &["queued", "preparing", "starting", "running", "finalizing"])?;
        let now = self.0.clock.now();
        let time = moment(&request.time, now)?.unwrap_or(now);
        let event = if self.find(run).await?.is_some_and(|run| run.end_time_unix_nano > 0) {
            // The start of one that was canceled before would not take it up again.
            plain_status_event(&request.status, time)
        } else {
            status_event(&request.status, time)
        };
        self.send_one(run, &known, event, key_of(&request.key)?).await?;
        lock(&known).has_ended = false;
        let head = lock(&known).head.clone();
        self.told(v1::Run { status: request.status, ..run_of(run, head) }).await
    }

    /// Ends a run.
    ///
    /// # Errors
    /// If it is not known, or has ended otherwise.
    pub async fn end(&self, run: &str, end: End, request: v1::EndRunRequest) -> Result<v1::Run, Problem> {
        let run = run_id("run_id", run)?;
        let known = self.known(run.as_str()).await?;
        if self.has_ended(run.as_str(), &known).await?
            && let Some(found) = self.find(run.as_str()).await?
        {
            if found.status == end.status() {
                return Ok(found);
            }
            let message = format!("the run is {} already", found.status);
            return Err(Problem::new(Reason::RunEnded, message).at("run_id"));
        }
        if !request.error_code.is_empty() {
            check_name("error_code", &request.error_code)?;
        }
        check_length("error_message", &request.error_message, MAX_MESSAGE_BYTES)?;
        check_length("details", &request.details, MAX_DETAILS_BYTES)?;
        let now = self.0.clock.now();
        let time = moment(&request.time, now)?.unwrap_or(now);
        let body = match &request.error_message[..] {
            "" => format!("run {}", end.status()),
            message => format!("run {}: {message}", end.status()),
        };
        let mut event = Event::new("ml.run.end", time, body)
            .with("ml.run.result", string(end.result()))
            .with_text("error.type", &request.error_code)
            .with_text("exception.message", &request.error_message)
            .with_text("exception.stacktrace", &request.details);
        event.severity = end.severity();
        self.send_one(run.as_str(), &known, event, key_of(&request.key)?).await?;
        lock(&known).has_ended = true;
        let head = lock(&known).head.clone();
        let ended = v1::Run {
            status: end.status().to_owned(),
            end_time_unix_nano: time,
            error_code: request.error_code,
            error_message: request.error_message,
            ..run_of(run.as_str(), head)
        };
        self.told(ended).await
    }

    /// Takes what a run logs. `entries` holds each as it was read, or what is wrong with it.
    ///
    /// # Errors
    /// If nothing of it can be kept.
    pub async fn log(
        &self,
        run: &str,
        key: &str,
        time: &str,
        entries: Vec<Result<v1::Entry, Problem>>,
    ) -> Result<v1::LogResponse, Problem> {
        let run = run_id("run_id", run)?;
        let key = key_of(key)?;
        let now = self.0.clock.now();
        let time = moment(time, now)?.unwrap_or(now);
        if entries.len() > MAX_ENTRIES {
            let message = format!("{} entries are too many for one call", entries.len());
            return Err(Problem::new(Reason::TooLarge, message).at("entries").instead("up to 10000"));
        }
        let known = self.known(run.as_str()).await?;
        let has_ended = self.has_ended(run.as_str(), &known).await?;
        let (telemetry, answer, first) = {
            let mut known = lock(&known);
            let mut telemetry = Telemetry::of(run.as_str(), &known.head, now);
            let has_rows = &mut known.has_rows;
            let writer = Entries { telemetry: &mut telemetry, key, place: 0, time, now, has_ended, has_rows };
            let (answer, first) = write_all(writer, entries);
            known.trim();
            (telemetry, answer, first)
        };
        if let Some(problem) = first.filter(|_| answer.accepted == 0) {
            return Err(problem);
        }
        self.send(telemetry).await?;
        Ok(answer)
    }

    /// Removes a run with all that it logged.
    ///
    /// # Errors
    /// If it is not known, or goes on.
    pub async fn delete(&self, run: &str) -> Result<(), Problem> {
        let store = Arc::clone(self.store()?);
        let Some(found) = self.find(run).await? else { return Err(Problem::unknown_run(run)) };
        if !ENDED.contains(&&found.status[..]) {
            let message = format!("the run is {}", found.status);
            return Err(Problem::new(Reason::NotEnded, message).at("run_id").instead("a run that has ended"));
        }
        let deleted = spawn_blocking(move || store.delete(&found.run_id)).await;
        self.0.known.forget(run);
        deleted.map_err(|_| Problem::busy())?.map_err(|fault| {
            tracing::warn!(error = %fault, cause = std::error::Error::source(&fault), "a run could not be deleted");
            Problem::new(Reason::Failed, fault.to_string())
        })
    }

    /// The run with that very id, if it is stored.
    async fn find(&self, id: &str) -> Result<Option<v1::Run>, Problem> {
        if id.is_empty() || self.0.store.is_none() {
            return Ok(None);
        }
        let reader = self.reader().await?;
        let word = id.to_owned();
        let found = spawn_blocking(move || reader.find(&word)).await.map_err(|_| Problem::busy())?;
        match found {
            Ok(run) => Ok((run.run_id == id).then_some(run)),
            Err(FindError::Unknown(_) | FindError::Ambiguous { .. }) => Ok(None),
            Err(FindError::Read(fault)) => Err(fault.into()),
        }
    }

    /// What is known of a run that somebody has started.
    async fn known(&self, id: &str) -> Result<Arc<Mutex<Known>>, Problem> {
        if let Some(known) = self.0.known.get(id) {
            return Ok(known);
        }
        let since = Instant::now();
        loop {
            if let Some(run) = self.find(id).await? {
                return self.remember(&run).await;
            }
            // Without a store nobody can know.
            if self.0.store.is_none() || self.0.own.as_ref().is_some_and(|own| own.as_str() == id) {
                return Ok(self.0.known.put(id, Known::default()));
            }
            if since.elapsed() >= LOOK_FOR {
                return Err(Problem::unknown_run(id));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn remember(&self, run: &v1::Run) -> Result<Arc<Mutex<Known>>, Problem> {
        let (reader, id) = (self.store()?.reader(), run.run_id.clone());
        let has_rows = spawn_blocking(move || reader.metric_names(&id)).await.map_err(|_| Problem::busy())??;
        let has_ended = run.end_time_unix_nano > 0;
        Ok(self.0.known.put(&run.run_id, Known { head: Head::from(run), has_ended, has_rows }))
    }

    /// Whether a run has ended. One that has may have been taken up by somebody else since.
    async fn has_ended(&self, id: &str, known: &Mutex<Known>) -> Result<bool, Problem> {
        if !lock(known).has_ended {
            return Ok(false);
        }
        let has_ended = self.find(id).await?.is_none_or(|run| run.end_time_unix_nano > 0);
        lock(known).has_ended = has_ended;
        Ok(has_ended)
    }

    /// The run as the store has it; as it is given where nothing is stored.
    async fn told(&self, run: v1::Run) -> Result<v1::Run, Problem> {
        Ok(self.find(&run.run_id).await?.unwrap_or(run))
    }

    async fn send_one(&self, run: &str, known: &Mutex<Known>, event: Event, key: Uuid) -> Result<(), Problem> {
        let mut telemetry = Telemetry::of(run, &lock(known).head, self.0.clock.now());
        telemetry.put(event, &key, 0);
        self.send(telemetry).await
    }

    /// Sends what a call has become. It is durable when this returns.
    async fn send(&self, mut telemetry: Telemetry) -> Result<(), Problem> {
        let sink = self.0.sink.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(Problem::busy)?;
        for request in telemetry.logs() {
            let kept = sink.put(Signal::Logs, request).await?;
            if kept.rejected > 0 {
                return Err(Problem::new(Reason::Failed, kept.reason));
            }
        }
        Ok(())
    }
}

struct Birth {
    id: RunId,
    head: Head,
    status: String,
    notes: Notes,
    key: Uuid,
    time: String,
}

struct Notes {
    tags: BTreeMap<String, Value>,
    parameters: BTreeMap<String, Value>,
    properties: BTreeMap<String, Value>,
}

impl Notes {
    fn write(&self, time: UnixNanos, events: &mut Vec<Event>) -> Result<(), Problem> {
        let all = [
            ("tags", "ml.run.tag", &self.tags),
            ("parameters", "ml.run.param", &self.parameters),
            ("properties", "ml.run.property", &self.properties),
        ];
        for (field, name, notes) in all {
            for (key, value) in notes {
                let field = format!("{field}.{key}");
                check_name(&field, key)?;
                check_value(&field, value)?;
                events.push(note_event(name, time, key, value));
            }
        }
        Ok(())
    }
}

/// Writes all entries, and tells what became of them, with the first problem.
fn write_all(mut writer: Entries<'_>, entries: Vec<Result<v1::Entry, Problem>>) -> (v1::LogResponse, Option<Problem>) {
    let (mut answer, mut first) = (v1::LogResponse::default(), None);
    for (place, entry) in (0..).zip(entries) {
        match entry.and_then(|entry| writer.write(&entry)) {
            Ok(remark) => {
                answer.accepted += 1;
                answer.warnings.extend(remark.map(|(field, message)| v1::Remark {
                    entry: place,
                    field: field.to_owned(),
                    message,
                    reason: String::new(),
                }));
            }
            Err(problem) => {
                answer.rejected.push(v1::Remark {
                    entry: place,
                    field: problem.field.clone(),
                    message: problem.message.clone(),
                    reason: problem.reason.as_str().to_owned(),
                });
                let field = match &problem.field[..] {
                    "" => format!("entries[{place}]"),
                    field => format!("entries[{place}].{field}"),
                };
                first = first.or(Some(problem.at(&field)));
            }
        }
    }
    (answer, first)
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(text: &str) -> Result<Uuid, Problem> {
    if text.is_empty() { Ok(Uuid::now_v7()) } else { parse_key(text) }
}

fn run_of(run: &str, head: Head) -> v1::Run {
    let Head { experiment, name, parent } = head;
    v1::Run { run_id: run.to_owned(), experiment, name, parent_run_id: parent, ..v1::Run::default() }
}

fn check_status(status: &str, accepted: &[&str]) -> Result<(), Problem> {
    if accepted.contains(&status) {
        return Ok(());
    }
    Err(Problem::invalid("status", format!("{status:?} cannot be set"), &accepted.join(", ")))
}

fn status_event(status: &str, time: UnixNanos) -> Event {
    if status == "running" {
        return Event::new("ml.run.start", time, "run started".to_owned());
    }
    plain_status_event(status, time)
}

fn plain_status_event(status: &str, time: UnixNanos) -> Event {
    let status = any_value::Value::StringValue(status.to_owned());
    Event::new("ml.run.status", time, "run status".to_owned()).with("ml.run.status", status)
}
