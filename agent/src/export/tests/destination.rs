//! The task's decisions, under paused time.

use tokio::time::Instant;

use super::*;

/// Gives one outcome after the other, then accepts everything. Remembers what it was given, and when.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Delivery>>>,
    given: Arc<Mutex<Vec<(Instant, BatchMeta, Bytes)>>>,
    /// Requests above this are too large, before the script is asked.
    limit: Option<u32>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Delivery>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() }
    }

    /// The lines of each delivery.
    fn given(&self) -> Vec<Vec<String>> {
        let given = self.given.lock().unwrap();
        given.iter().map(|(_, _, body)| unpacked(body)).collect()
    }

    /// Seconds between deliveries.
    fn pauses(&self) -> Vec<f64> {
        let given = self.given.lock().unwrap();
        given.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
    }
}

impl Deliver for Scripted {
    async fn deliver(&self, _seq: u64, meta: &BatchMeta, body: &Bytes) -> Delivery {
        self.given.lock().unwrap().push((Instant::now(), meta.clone(), body.clone()));
        if self.limit.is_some_and(|limit| meta.uncompressed_bytes > limit) {
            return Delivery::TooLarge { reason: "answered 413 Payload Too Large".into() };
        }
        self.script.lock().unwrap().pop_front().unwrap_or_else(accepted)
    }

    fn address(&self) -> &str {
        "http://backend:4318/v1/logs"
    }
}

fn retry(after: Option<u64>) -> Delivery {
    Delivery::Retry { after: after.map(Duration::from_secs), reason: "answered 503 Service Unavailable".into() }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_again_until_it_is_accepted_and_only_then_acknowledged() {
    let bench = Bench::new();
    let deliver = Scripted::new([retry(None), retry(None), retry(None)]);
    bench.deliver(deliver.clone(), [waiting(1, &lines(2)), waiting(2, &lines(3))]).await;

    assert_eq!(deliver.given(), [lines(2), lines(2), lines(2), lines(2), lines(3)]);
    assert_eq!(bench.acknowledged(), [1, 2]);
    let counts = bench.stats.counts();
    assert_eq!((counts.batches, counts.records, counts.retries), (2, 5, 3));
    assert_eq!(counts.state, ExportState::Ok);
    assert_eq!(counts.last_error.as_deref(), Some("answered 503 Service Unavailable"));
    assert!(counts.last_success > 0);
}

#[tokio::test(start_paused = true)]
async fn x4_a_destination_that_asks_for_time_gets_it_but_not_for_ever() {
    let bench = Bench::new();
    let deliver = Scripted::new([retry(Some(30)), retry(Some(86_400))]);
    bench.deliver(deliver.clone(), [waiting(1, &lines(1))]).await;

    let pauses = deliver.pauses();
    assert!((30.0..31.1).contains(&pauses[0]), "{pauses:?}");
    assert!((600.0..601.1).contains(&pauses[1]), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn x8_wrong_settings_keep_the_batch_and_are_tried_slowly() {
    let bench = Bench::new();
    let wrong = || Delivery::Misconfigured { reason: "answered 401 Unauthorized".into() };
    let deliver = Scripted::new([wrong(), wrong()]);
    let (stop, stopping) = watch::channel(None);
    let task = tokio::spawn(bench.destination(deliver.clone(), [waiting(1, &lines(1))]).run(stopping));
    while deliver.given().len() < 2 {
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    assert_eq!(bench.stats.counts().state, ExportState::Misconfigured);
    assert_eq!(bench.acknowledged(), [0; 0]);
    assert_eq!(task.await.unwrap(), Ended::Delivered);
    drop(stop);

    assert!(deliver.pauses().iter().all(|pause| (25.0..66.0).contains(pause)), "{:?}", deliver.pauses());
    assert_eq!(bench.acknowledged(), [1]);
    assert_eq!(bench.letters(""), [[0; 0]; 0]);
}

#[tokio::test(start_paused = true)]
async fn x6_a_partial_success_is_counted_and_never_sent_again() {
    let bench = Bench::new();
    let deliver = Scripted::new([
        Delivery::Accepted { rejected: 2, message: "too old".into() },
        Delivery::Accepted { rejected: 0, message: "mind the gap".into() },
    ]);
    bench.deliver(deliver.clone(), [waiting(1, &lines(5)), waiting(2, &lines(1))]).await;

    assert_eq!(deliver.given().len(), 2);
    assert_eq!(bench.acknowledged(), [1, 2]);
    let counts = bench.stats.counts();
    assert_eq!((counts.records, counts.rejected_records, counts.dead_lettered), (4, 2, 0));
    assert_eq!(bench.letters(".otlp.zst"), [[0; 0]; 0]);
    let why = String::from_utf8(bench.letters(".json").concat()).unwrap();
    assert!(why.contains("too old") && !why.contains("mind the gap"), "{why}");
}

/// What can be compared with what the backend shows.
#[tokio::test(start_paused = true)]
async fn x23_what_a_backend_has_acknowledged_is_counted_in_records_whatever_it_took_to_get_there() {
    let bench = Bench::new();
    let partly = Delivery::Accepted { rejected: 2, message: "too old".into() };
    let deliver = Scripted::new([retry(None), partly, retry(None), refused(), accepted(), refused()]);
    bench.deliver(deliver.clone(), [waiting(1, &lines(7)), waiting(2, &lines(2)), waiting(3, &lines(3))]).await;

    let counts = bench.stats.counts();
    assert_eq!((counts.records, counts.rejected_records), (5 + 1 + 3, 2 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_is_cut_and_its_accepted_parts_are_not_sent_again() {
    let mut bench = Bench::new();
    bench.route.max_request_bytes = 600;
    let deliver = Scripted::new([accepted(), retry(None), accepted()]);
    bench.deliver(deliver.clone(), [waiting(1, &lines(30))]).await;

    let given = deliver.given();
    assert!(given.len() > 3, "{} deliveries", given.len());
    assert_eq!(given[1], given[2], "the part that failed is sent again");
    let once = [&given[..1], &given[2..]].concat();
    assert_eq!(once.concat(), lines(30), "each other part is sent once, in order");
    let sizes: Vec<_> = deliver.given.lock().unwrap().iter().map(|(_, meta, _)| meta.uncompressed_bytes).collect();
    assert!(sizes.iter().all(|size| *size <= 600), "{sizes:?}");
    assert_eq!(bench.acknowledged(), [1], "once, after all parts");
    assert_eq!(bench.stats.counts().records, 30);
}

#[tokio::test(start_paused = true)]
async fn x9_a_destination_that_takes_less_is_found_out_once() {
    let bench = Bench::new();
    let deliver = Scripted { limit: Some(40_000), ..Scripted::default() };
    bench.deliver(deliver.clone(), [waiting(1, &lines(2000)), waiting(2, &lines(2000))]).await;

    let taken = |(_, meta, _): &&(Instant, BatchMeta, Bytes)| meta.uncompressed_bytes <= 40_000;
    let given = deliver.given.lock().unwrap().clone();
    let refused = given.iter().filter(|delivery| !taken(delivery)).count();
    assert!(refused <= 3, "{refused} requests for nothing");
    let delivered: Vec<_> = given.iter().filter(taken).flat_map(|(_, _, body)| unpacked(body)).collect();
    assert_eq!(delivered, [lines(2000), lines(2000)].concat());
}

#[tokio::test(start_paused = true)]
async fn x9_a_single_record_that_is_too_large_is_set_aside_and_its_neighbours_arrive() {
    let bench = Bench::new();
    let mut bodies = lines(20);
    bodies[7] = "x".repeat(5000);
    let deliver = Scripted { limit: Some(2000), ..Scripted::default() };
    bench.deliver(deliver.clone(), [waiting(1, &bodies)]).await;

    let counts = bench.stats.counts();
    assert_eq!((counts.records, counts.rejected_records, counts.dead_lettered), (19, 1, 1));
    assert_eq!(bench.acknowledged(), [1]);
}

#[tokio::test(start_paused = true)]
async fn batches_that_cannot_be_opened_are_set_aside() {
    let mut bench = Bench::new();
    bench.route.max_request_bytes = 100;
    let strange_meta = Waiting { meta: Bytes::from_static(b"\xff"), ..waiting(1, &lines(1)) };
    let strange_body = Waiting { body: Bytes::from_static(b"no zstd"), ..waiting(2, &lines(9)) };
    let deliver = Scripted::default();
    bench.deliver(deliver.clone(), [strange_meta, strange_body, waiting(3, &lines(1))]).await;

    assert_eq!(deliver.given(), [lines(1)]);
    assert_eq!(bench.acknowledged(), [1, 2, 3]);
    assert_eq!(bench.letters(".otlp.zst").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn stopping_shortens_the_pauses_so_that_a_backend_that_comes_back_gets_the_rest() {
    let bench = Bench::new();
    let deliver = Scripted::new([retry(Some(600)), retry(Some(600)), retry(Some(600))]);
    let (stop, stopping) = watch::channel(None);
    let task = tokio::spawn(bench.destination(deliver.clone(), [waiting(1, &lines(1))]).run(stopping));
    while deliver.given().is_empty() {
        tokio::task::yield_now().await;
    }
    let asked = Instant::now();
    stop.send_replace(Some(asked + Duration::from_secs(25)));

    assert_eq!(task.await.unwrap(), Ended::Delivered);
    assert!(asked.elapsed() <= Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!(bench.acknowledged(), [1]);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_what_is_left_stays_unacknowledged() {
    let bench = Bench::new();
    let deliver = Scripted::new((0..1000).map(|_| retry(None)));
    let started = Instant::now();
    let (stop, stopping) = watch::channel(Some(started + Duration::from_secs(25)));
    let ended = bench.destination(deliver.clone(), [waiting(1, &lines(1))]).run(stopping).await;
    drop(stop);

    assert_eq!(ended, Ended::Late);
    assert_eq!(started.elapsed(), Duration::from_secs(25));
    assert!(deliver.given().len() > 20, "tried {} times", deliver.given().len());
    assert_eq!(bench.acknowledged(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_also_ends_a_wait_for_more() {
    struct Endless;
    impl super::super::Backlog for Endless {
        async fn next(&mut self) -> Option<Waiting> {
            std::future::pending().await
        }
        fn acknowledge(&mut self, _seq: u64) {}
        fn waiting_bytes(&self) -> u64 {
            0
        }
    }
    let bench = Bench::new();
    let destination = Destination::new(
        bench.route.clone(),
        Endless,
        Scripted::default(),
        bench.shared(),
        fastrand::Rng::with_seed(1),
    );
    let (stop, stopping) = watch::channel(None);
    let task = tokio::spawn(destination.run(stopping));
    let start = Instant::now();
    stop.send_replace(Some(start + Duration::from_secs(60)));
    tokio::task::yield_now().await;
    stop.send_replace(Some(start + Duration::from_secs(2)));

    assert_eq!(task.await.unwrap(), Ended::Late);
    assert_eq!(start.elapsed(), Duration::from_secs(2), "the newer deadline counts");
}
