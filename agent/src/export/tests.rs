//! Whole deliveries: the destination's task with a scripted delivery under paused time, and real requests to
//! servers that follow a script.

mod connections;
mod destination;
mod grpc;
mod http;
mod outage;
mod poison;
mod proxy;
mod rotation;
mod server;
mod signals;
mod tls;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value};
use prost::Message;
use tempfile::TempDir;
use tokio::sync::watch;
use url::Url;

use crate::record::{
    BatchMeta, Severity, Signal, SystemClock, wire,
    wire::{Fields, RequestWriter, Text},
};

use super::*;

/// A batch of records whose bodies are given.
fn batch(bodies: &[String]) -> (BatchMeta, Bytes) {
    let mut resource = Vec::new();
    wire::resource_attribute(&mut resource, "ml.run.id", wire::Value::String("run-1"));
    let mut writer = RequestWriter::new(&resource, "", 1024);
    for (number, body) in (1..).zip(bodies) {
        let fields = Fields {
            time: number,
            observed: number,
            severity: Severity::INFO,
            severity_text: Text::new("INFO"),
            body: Text::new(body),
            attributes: [&[], &[]],
            uid: (&[], 0),
            event_name: "",
        };
        writer.record(Text::new("train"), &fields);
    }
    let request = writer.finish();
    let meta = BatchMeta {
        run_id: "run-1".into(),
        records: u32::try_from(bodies.len()).unwrap(),
        uncompressed_bytes: u32::try_from(request.len()).unwrap(),
        ..BatchMeta::default()
    };
    (meta, zstd::bulk::compress(request, 1).unwrap().into())
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("epoch 1 step {line} loss 0.{line:04}")).collect()
}

fn waiting(seq: u64, bodies: &[String]) -> Waiting {
    let (meta, body) = batch(bodies);
    Waiting { seq, meta: meta.encode_to_vec().into(), body }
}

/// The same of another run.
fn waiting_of(run_id: &str, seq: u64, bodies: &[String]) -> Waiting {
    let (meta, body) = batch(bodies);
    let meta = BatchMeta { run_id: run_id.into(), ..meta };
    Waiting { seq, meta: meta.encode_to_vec().into(), body }
}

/// The bodies of the records in an uncompressed request.
fn bodies(request: &[u8]) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(request).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    scopes
        .flat_map(|scope| scope.log_records)
        .map(|record| match record.body.unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            other => panic!("{other:?} is no line"),
        })
        .collect()
}

/// The bodies of the records in a batch, or in a dead letter.
fn unpacked(body: &[u8]) -> Vec<String> {
    bodies(&zstd::stream::decode_all(body).unwrap())
}

/// Answers by what it is given: the number of deliveries before, and the bodies. Remembers what it has taken.
#[derive(Clone)]
struct Judge<F> {
    answer: F,
    given: Arc<Mutex<usize>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl<F: Fn(usize, &[String]) -> Delivery + Send + Sync> Judge<F> {
    fn new(answer: F) -> Self {
        Self { answer, given: Arc::default(), taken: Arc::default() }
    }

    fn given(&self) -> usize {
        *self.given.lock().unwrap()
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

impl<F: Fn(usize, &[String]) -> Delivery + Send + Sync> Deliver for Judge<F> {
    async fn deliver(&self, _seq: u64, _meta: &BatchMeta, body: &Bytes) -> Delivery {
        let bodies = unpacked(body);
        let before = {
            let mut given = self.given.lock().unwrap();
            *given += 1;
            *given - 1
        };
        let delivery = (self.answer)(before, &bodies);
        if matches!(delivery, Delivery::Accepted { .. }) {
            self.taken.lock().unwrap().extend(bodies);
        }
        delivery
    }

    fn address(&self) -> &str {
        "http://backend:4318/v1/logs"
    }
}

fn accepted() -> Delivery {
    Delivery::Accepted { rejected: 0, message: String::new() }
}

fn refused() -> Delivery {
    Delivery::Refused { reason: "answered 400 Bad Request: no".into() }
}

fn failing() -> Delivery {
    Delivery::Failed { reason: "answered 500 Internal Server Error".into() }
}

/// Batches that are given one after the other, and then no more.
struct Backlog {
    batches: VecDeque<Waiting>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
}

impl super::Backlog for Backlog {
    async fn next(&mut self) -> Option<Waiting> {
        self.batches.pop_front()
    }

    fn acknowledge(&mut self, seq: u64) {
        self.acknowledged.lock().unwrap().push(seq);
    }

    fn waiting_bytes(&self) -> u64 {
        self.batches.iter().map(|waiting| waiting.body.len() as u64).sum()
    }
}

/// A destination on its own, and what can be seen of it.
struct Bench {
    dir: TempDir,
    stats: Arc<ExportStats>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    route: Route,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            stats: Arc::default(),
            acknowledged: Arc::default(),
            route: Route {
                name: "default".into(),
                max_request_bytes: 1 << 20,
                min_backoff: Duration::from_secs(1),
                max_backoff: Duration::from_secs(60),
                concurrency: 4,
                bisect: true,
            },
        }
    }

    fn destination<D: Deliver>(
        &self,
        deliver: D,
        batches: impl IntoIterator<Item = Waiting>,
    ) -> Destination<Backlog, D> {
        let backlog = Backlog { batches: batches.into_iter().collect(), acknowledged: Arc::clone(&self.acknowledged) };
        Destination::new(self.route.clone(), backlog, deliver, self.shared(), fastrand::Rng::with_seed(1))
    }

    fn shared(&self) -> Shared {
        Shared {
            dead_letters: Arc::new(DeadLetters::open(self.dir.path(), DEAD_LETTER_BYTES).unwrap()),
            stats: Arc::clone(&self.stats),
            clock: Arc::new(SystemClock),
        }
    }

    /// Delivers all batches without anybody asking to stop.
    async fn deliver<D: Deliver>(&self, deliver: D, batches: impl IntoIterator<Item = Waiting>) {
        let (_stop, never) = watch::channel(None);
        assert_eq!(self.destination(deliver, batches).run(never).await, Ended::Delivered);
    }

    fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// The files in the folder of dead letters with that ending, oldest first.
    fn letters(&self, ending: &str) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = self.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let paths = paths.iter().filter(|path| path.to_str().unwrap().ends_with(ending));
        paths.map(|path| std::fs::read(path).unwrap()).collect()
    }
}

/// Settings with short pauses.
fn config(endpoint: &str, protocol: Protocol, compression: Compression) -> Config {
    Config {
        name: "default".into(),
        endpoint: Url::parse(endpoint).unwrap(),
        protocol,
        compression,
        headers: Headers(vec![("x-scope-orgid".into(), "team".into())]),
        headers_file: None,
        timeout: Duration::from_secs(60),
        max_request_bytes: 1 << 20,
        min_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        concurrency: 4,
        bisect: true,
        certificate: None,
        client_identity: None,
        proxy: Proxy::default(),
    }
}

fn otlp(config: &Config) -> Otlp {
    Otlp::new(config, Arc::new(SystemClock)).unwrap()
}

/// One delivery without the task around it.
async fn deliver_once(config: &Config, bodies: &[String]) -> Delivery {
    let (meta, body) = batch(bodies);
    otlp(config).deliver(1, &meta, &body).await
}
