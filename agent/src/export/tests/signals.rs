//! Metrics and traces on their way to a destination, under paused time.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
};

use super::*;

/// A metric for each name, with two points.
fn metrics(seq: u64, names: &[&str]) -> Waiting {
    let metric = |name: &&str| {
        let gauge = Gauge { data_points: vec![NumberDataPoint::default(); 2] };
        Metric { name: (*name).to_owned(), data: Some(Data::Gauge(gauge)), ..Metric::default() }
    };
    let scope = ScopeMetrics { metrics: names.iter().map(metric).collect(), ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    let records = u32::try_from(names.len()).unwrap();
    let meta = BatchMeta {
        run_id: "run-1".into(),
        records,
        points: 2 * records,
        uncompressed_bytes: u32::try_from(request.len()).unwrap(),
        signal: Signal::Metrics.into(),
        ..BatchMeta::default()
    };
    Waiting { seq, meta: meta.encode_to_vec().into(), body: zstd::bulk::compress(&request, 1).unwrap().into() }
}

fn names(body: &[u8]) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(&zstd::stream::decode_all(body).unwrap()[..]).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name).collect()
}

/// Answers each request for metrics as it is told, and takes all logs. Remembers the metrics that it has taken.
struct Backend<F> {
    answer: F,
    given: Arc<Mutex<Vec<Vec<String>>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl<F: Fn(usize, &[String]) -> Delivery + Send + Sync> Backend<F> {
    fn new(answer: F) -> Self {
        Self { answer, given: Arc::default(), taken: Arc::default() }
    }
}

impl<F: Fn(usize, &[String]) -> Delivery + Send + Sync> Deliver for Backend<F> {
    async fn deliver(&self, _seq: u64, meta: &BatchMeta, body: &Bytes) -> Delivery {
        if meta.signal() == Signal::Logs {
            return accepted();
        }
        let names = names(body);
        assert_eq!((meta.records as usize, meta.points as usize), (names.len(), 2 * names.len()));
        let before = self.given.lock().unwrap().len();
        self.given.lock().unwrap().push(names.clone());
        let delivery = (self.answer)(before, &names);
        if matches!(delivery, Delivery::Accepted { .. }) {
            self.taken.lock().unwrap().extend(names);
        }
        delivery
    }

    fn address(&self) -> &str {
        "http://backend:4318/v1/logs"
    }
}

fn unserved() -> Delivery {
    Delivery::Unserved { reason: "answered 404 Not Found".into() }
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_has_no_place_is_counted_and_holds_up_no_logs() {
    let bench = Bench::new();
    let backend = Backend::new(|_, _: &[String]| unserved());
    let given = Arc::clone(&backend.given);
    let batches = [metrics(1, &["a"]), waiting(2, &lines(3)), metrics(3, &["b", "c"]), waiting(4, &lines(1))];
    bench.deliver(backend, batches).await;

    assert_eq!(bench.acknowledged(), [1, 2, 3, 4]);
    // A proxy may say so for a moment.
    assert_eq!(*given.lock().unwrap(), [vec!["a"], vec!["a"], vec!["a"], vec!["b", "c"]]);
    let counts = bench.stats.counts();
    assert_eq!((counts.records, counts.rejected_records, counts.passed), (4, 0, [(0, 6), (0, 0)]));
    assert!(bench.letters(".json").is_empty(), "they would push out letters of logs");
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_had_no_place_for_a_moment_is_taken_whole() {
    let bench = Bench::new();
    let backend =
        Backend::new(|before, _: &[String]| if matches!(before, 0 | 1 | 3 | 4) { unserved() } else { accepted() });
    let taken = Arc::clone(&backend.taken);
    bench.deliver(backend, [metrics(1, &["a"]), metrics(2, &["b"])]).await;
    assert_eq!(*taken.lock().unwrap(), ["a", "b"]);
    assert_eq!(bench.stats.counts().passed, [(4, 0), (0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn x7_x9_metrics_are_cut_to_single_ones_and_counted_by_their_points() {
    let bench = Bench::new();
    let backend = Backend::new(|_, names: &[String]| match names {
        [_, _, _, ..] => Delivery::TooLarge { reason: "answered 413 Payload Too Large".into() },
        names if names.iter().any(|name| name == "poison") => refused(),
        _ => accepted(),
    });
    let taken = Arc::clone(&backend.taken);
    bench.deliver(backend, [metrics(1, &["a", "b", "c", "poison", "d"])]).await;
    assert_eq!(*taken.lock().unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(bench.stats.counts().passed, [(8, 2), (0, 0)]);
    assert_eq!(names(&bench.letters(".otlp.zst")[0]), ["poison"]);
    let why: serde_json::Value = serde_json::from_slice(&bench.letters(".json")[0]).unwrap();
    assert_eq!((why["signal"].as_str(), why["records"].as_u64()), (Some("metrics"), Some(2)));
}
