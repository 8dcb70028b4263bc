//! An engine with as much of the API as runlog uses, and with faults on request.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path as InPath, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::UnixListener, sync::watch, task::JoinHandle};

use crate::record::{Clock, SystemClock};

const START: u64 = 1_700_000_000_000_000_000;

/// The engine: its containers, and a socket on which it answers.
pub(super) struct FakeEngine {
    model: watch::Sender<Model>,
    folder: tempfile::TempDir,
    server: Option<(JoinHandle<()>, watch::Sender<bool>)>,
}

#[derive(Default)]
struct Model {
    containers: HashMap<String, FakeContainer>,
    events: Vec<Value>,
    /// After how many bytes the next connections break.
    cuts: VecDeque<usize>,
    errors: VecDeque<String>,
    /// After how many entries the next connection that follows says nothing more.
    stall: Option<usize>,
    /// How often the newest entry was asked for.
    questions: usize,
    connections: usize,
    /// Whether events were asked for: earlier ones are not told.
    watched: bool,
    /// Whether the engine keeps its events to itself.
    mute: bool,
    /// Whether it tells them only to who asks for those of the past.
    late: bool,
    /// Whether it answers no question about a container, and how often it was asked.
    is_slow: bool,
    inspections: usize,
    /// Whether `since` hides each entry that is older, as older engines do, and not only those at the start.
    hides_each: bool,
}

#[derive(Clone)]
pub(super) struct FakeContainer {
    state: &'static str,
    tty: bool,
    starts: u32,
    disorder: bool,
    is_ghost: bool,
    /// How far its clock was set back.
    set_back: u64,
    entries: Vec<(u8, u64, Vec<u8>)>,
}

impl FakeContainer {
    const fn new(state: &'static str, starts: u32) -> Self {
        Self { state, tty: false, starts, disorder: false, is_ghost: false, set_back: 0, entries: Vec::new() }
    }

    pub(super) const fn running() -> Self {
        Self::new("running", 1)
    }

    pub(super) const fn ended() -> Self {
        Self::new("exited", 1)
    }

    pub(super) const fn created() -> Self {
        Self::new("created", 0)
    }

    pub(super) const fn terminal(mut self) -> Self {
        self.tty = true;
        self
    }

    /// It stands in lists, and is gone whenever it is asked for.
    pub(super) const fn ghost(mut self) -> Self {
        self.is_ghost = true;
        self
    }

    /// Every third and every fifth entry has a time before the one before it.
    pub(super) const fn times_go_back(mut self) -> Self {
        self.disorder = true;
        self
    }

    pub(super) fn line(mut self, stream: &str, text: &str) -> Self {
        let n = self.entries.len() as u64;
        let ordered = (n % 5) * 1_000_000;
        let step = if self.disorder { [0, 1_000_000, 1, 3_000_000, 2_000_000][(n % 5) as usize] } else { ordered };
        let time = START + (n - n % 5) * 1_000_000 + step - self.set_back;
        self.entries.push((if stream == "stderr" { 2 } else { 1 }, time, text.as_bytes().to_vec()));
        self
    }

    fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// The first entry from `next` on that is shown; the beginning is where `since` leads.
    fn next(&self, next: Option<usize>, since: u64, hides_each: bool) -> Option<usize> {
        let from = next.unwrap_or(0);
        let filters = hides_each || next.is_none();
        (from..self.entries.len()).find(|at| !filters || self.entries[*at].1 >= since)
    }

    fn encode(&self, entry: usize) -> Bytes {
        let (kind, time, payload) = &self.entries[entry];
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(*time)).unwrap();
        let text = [format!("{stamp:.9} ").as_bytes(), payload].concat();
        if self.tty {
            return text.into();
        }
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[*kind, 0, 0, 0], length.as_slice(), &text].concat().into()
    }
}

impl FakeEngine {
    pub(super) fn start() -> Self {
        let (model, _) = watch::channel(Model::default());
        let mut engine = Self { model, folder: tempfile::tempdir().unwrap(), server: None };
        engine.start_listening();
        engine
    }

    pub(super) fn socket(&self) -> &Path {
        // The folder outlives every use of the path in a test.
        Box::leak(self.path().into_boxed_path())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    pub(super) fn start_listening(&mut self) {
        let listener = UnixListener::bind(self.path()).unwrap();
        let (alive, dead) = watch::channel(true);
        let state = (self.model.clone(), dead.clone());
        let router = Router::new()
            .route("/_ping", get(ping))
            .route("/containers/json", get(list))
            .route("/containers/{id}/json", get(inspect))
            .route("/containers/{id}/logs", get(logs))
            .route("/events", get(events))
            .with_state(state);
        let mut killed = dead;
        let server = tokio::spawn(async move {
            tokio::select! {
                _ = killed.wait_for(|alive| !*alive) => {}
                served = axum::serve(listener, router).into_future() => served.unwrap(),
            }
        });
        self.server = Some((server, alive));
    }

    /// All connections break, and nobody listens any more.
    pub(super) async fn kill(&mut self) {
        let (server, alive) = self.server.take().unwrap();
        alive.send_replace(false);
        server.await.unwrap();
        std::fs::remove_file(self.path()).unwrap();
    }

    pub(super) fn add(&self, id: &str, container: FakeContainer) {
        let state = container.state;
        self.model.send_modify(|model| {
            model.containers.insert(id.to_owned(), container);
            if state != "created" {
                model.event(id, "start");
            }
            if state == "exited" {
                model.event(id, "die");
            }
        });
    }

    fn change(&self, id: &str, action: Option<&str>, change: impl FnOnce(&mut FakeContainer)) {
        self.model.send_modify(|model| {
            change(model.containers.get_mut(id).unwrap());
            if let Some(action) = action {
                model.event(id, action);
            }
        });
    }

    pub(super) fn line(&self, id: &str, stream: &str, text: &str) {
        self.change(id, None, |container| *container = container.clone().line(stream, text));
    }

    /// Sets the clock back by an hour.
    pub(super) fn set_clock_back(&self, id: &str) {
        self.change(id, None, |container| container.set_back = 3_600_000_000_000);
    }

    pub(super) fn hide_each_older_line(&self) {
        self.model.send_modify(|model| model.hides_each = true);
    }

    pub(super) fn end(&self, id: &str) {
        self.change(id, Some("die"), |container| container.state = "exited");
    }

    pub(super) fn start_again(&self, id: &str) {
        self.change(id, Some("start"), |container| {
            container.state = "running";
            container.starts += 1;
        });
    }

    pub(super) fn remove(&self, id: &str) {
        self.model.send_modify(|model| {
            model.containers.remove(id);
            model.event(id, "destroy");
        });
    }

    pub(super) fn cut_connections_at(&self, cuts: Vec<usize>) {
        self.model.send_modify(|model| model.cuts = cuts.into());
    }

    /// The next connection that follows falls silent after so many entries, and stays open.
    pub(super) fn stall_after(&self, entries: usize) {
        self.model.send_modify(|model| model.stall = Some(entries));
    }

    /// Waits until the newest entry was asked for so often.
    pub(super) async fn is_asked_for_the_newest(&self, times: usize) {
        self.model.subscribe().wait_for(|model| model.questions >= times).await.unwrap();
    }

    pub(super) fn error_in_next_answer(&self, text: &str) {
        self.model.send_modify(|model| model.errors.push_back(text.to_owned()));
    }

    /// Tells of a container that started and ended long ago, as an engine does that is asked for events of the past.
    pub(super) fn recall(&self, id: &str) {
        self.model.send_modify(|model| ["start", "die"].iter().for_each(|action| model.event_at(id, action, START)));
    }

    /// Tells nothing of what happens from now on.
    pub(super) fn drop_events(&self) {
        self.model.send_modify(|model| model.mute = true);
    }

    /// Tells what happens from now on only to who asks for what has happened.
    pub(super) fn delay_events(&self) {
        self.model.send_modify(|model| model.late = true);
    }

    /// Gives no answer about containers until [`Self::answer`], and then how they were when it was asked.
    pub(super) fn hesitate(&self) {
        self.model.send_modify(|model| model.is_slow = true);
    }

    /// Waits until it was asked about containers so often.
    pub(super) async fn is_asked(&self, times: usize) {
        self.model.subscribe().wait_for(|model| model.inspections >= times).await.unwrap();
    }

    pub(super) fn answer(&self) {
        self.model.send_modify(|model| model.is_slow = false);
    }

    /// A container came and went before anybody could ask for it.
    pub(super) async fn comes_and_goes(&self, id: &str) {
        self.model.subscribe().wait_for(|model| model.watched).await.unwrap();
        self.model.send_modify(|model| ["start", "die", "destroy"].iter().for_each(|action| model.event(id, action)));
    }

    /// Something happens to a container that changes nothing about it.
    pub(super) fn tell(&self, id: &str, action: &str) {
        self.change(id, Some(action), |_| {});
    }

    /// How often logs were asked for.
    pub(super) fn connections(&self) -> usize {
        self.model.borrow().connections
    }
}

impl Model {
    fn event(&mut self, id: &str, action: &str) {
        if !self.watched || self.mute {
            return;
        }
        self.event_at(id, action, SystemClock.now());
    }

    fn event_at(&mut self, id: &str, action: &str, time: u64) {
        self.events.push(json!({
            "Type": "container", "Action": action, "time": time / 1_000_000_000, "timeNano": time,
            "Actor": {"ID": id, "Attributes": {"name": id, "image": "train:1", "exitCode": "3"}},
        }));
    }
}

type Shared = State<(watch::Sender<Model>, watch::Receiver<bool>)>;

/// As Go's servers, it wants to be called by a name.
async fn ping(headers: HeaderMap) -> StatusCode {
    if headers.contains_key(header::HOST) { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

async fn list(State((model, _)): Shared) -> Json<Value> {
    let model = model.borrow();
    let list = model
        .containers
        .iter()
        .map(|(id, container)| json!({"Id": id, "Names": [format!("/{id}")], "State": container.state}));
    Json(list.collect())
}

async fn inspect(State((model, _)): Shared, InPath(id): InPath<String>) -> Response {
    let found = model.borrow().containers.get(&id).filter(|container| !container.is_ghost).cloned();
    model.send_modify(|model| model.inspections += 1);
    let _ = model.subscribe().wait_for(|model| !model.is_slow).await;
    let Some(container) = found else {
        return (StatusCode::NOT_FOUND, Json(json!({"message": "no such container"}))).into_response();
    };
    Json(json!({
        "Id": id,
        "Name": format!("/{id}"),
        "Config": {"Tty": container.tty, "Image": "train:1"},
        "State": {
            "Running": container.is_running(),
            "StartedAt": format!("{:04}-01-01T00:00:00Z", if container.starts > 0 { 2000 + container.starts } else { 1 }),
            "FinishedAt": "2026-01-01T00:00:00Z",
            "ExitCode": 3,
        },
    }))
    .into_response()
}

async fn events(State((model, dead)): Shared, Query(query): Query<HashMap<String, String>>) -> Response {
    model.send_modify(|model| model.watched = true);
    let model = model.subscribe();
    let (since, until) = (nanos(&query["since"]), query.get("until").map(|text| nanos(text)));
    let is_told = move |event: &Value| until.is_none() || event["timeNano"].as_u64() >= Some(since);
    let lines = stream::unfold((model, 0), move |(mut model, told)| async move {
        let line = {
            let has_more = |model: &Model| model.events.len() > told && !model.late;
            let known = model.wait_for(|model| has_more(model) || until.is_some()).await.ok()?;
            let line = known.events.get(told)?;
            if is_told(line) { format!("{line}\n") } else { String::new() }
        };
        Some((Ok::<_, io::Error>(Bytes::from(line)), (model, told + 1)))
    });
    answer(lines.boxed(), dead)
}

fn nanos(text: &str) -> u64 {
    let (seconds, nanos) = text.split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos.parse::<u64>().unwrap()
}

async fn logs(
    State((model, dead)): Shared,
    InPath(id): InPath<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if !model.borrow().containers.contains_key(&id) {
        return (StatusCode::NOT_FOUND, Json(json!({"message": "no such container"}))).into_response();
    }
    if query.contains_key("tail") {
        model.send_modify(|model| model.questions += 1);
        let model = model.borrow();
        let container = &model.containers[&id];
        return container
            .entries
            .len()
            .checked_sub(1)
            .map(|last| container.encode(last))
            .unwrap_or_default()
            .into_response();
    }
    let follow = query["follow"] == "1";
    let (mut cut, mut error, mut stall) = (None, None, None);
    model.send_modify(|model| {
        model.connections += 1;
        stall = model.stall.take_if(|_| follow);
        cut = model.cuts.pop_front();
        error = model.errors.pop_front();
    });
    if let Some(text) = error {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        return [&[3, 0, 0, 0], length.as_slice(), text.as_bytes()].concat().into_response();
    }
    let since = query.get("since").map_or(0, |text| nanos(text));
    let state = (model.subscribe(), id, None, cut);
    let entries = stream::unfold(state, move |(mut model, id, next, cut)| async move {
        if stall.is_some_and(|stall| next.unwrap_or(0) >= stall) {
            std::future::pending::<()>().await;
        }
        let entry = {
            let known = model
                .wait_for(|model| {
                    let Some(container) = model.containers.get(&id) else { return true };
                    let shown = || container.next(next, since, model.hides_each);
                    !follow || !container.is_running() || shown().is_some()
                })
                .await
                .ok()?;
            let container = known.containers.get(&id)?;
            let next = container.next(next, since, known.hides_each)?;
            (container.encode(next), next + 1)
        };
        let (bytes, next) = entry;
        match cut {
            Some(0) => Some((Err(io::Error::other("cut")), (model, id, Some(next), cut))),
            Some(left) if left < bytes.len() => Some((Ok(bytes.slice(..left)), (model, id, Some(next - 1), Some(0)))),
            _ => {
                let left = cut.map(|left| left - bytes.len());
                Some((Ok(bytes), (model, id, Some(next), left)))
            }
        }
    });
    answer(entries.boxed(), dead)
}

/// Breaks the answer when the engine is killed.
fn answer(bytes: stream::BoxStream<'static, io::Result<Bytes>>, dead: watch::Receiver<bool>) -> Response {
    let death = stream::once(async move {
        let mut dead = dead;
        let _ = dead.wait_for(|alive| !*alive).await;
        Err::<Bytes, _>(io::Error::other("killed"))
    });
    // The first to end ends the answer, as the engine closes it.
    let ended = bytes.map(Some).chain(stream::once(async { None }));
    let merged = stream::select(ended, death.map(Some)).take_while(|item| {
        let goes_on = item.is_some();
        async move { goes_on }
    });
    let body = merged.filter_map(|item| async move { item });
    Response::new(Body::from_stream(body))
}
