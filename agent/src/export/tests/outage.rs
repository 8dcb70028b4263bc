//! Long outages and slow backends, under paused time.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::time::{Instant, sleep};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn away() -> Delivery {
    Delivery::Retry { after: None, reason: "Connection refused (os error 111)".into() }
}

/// A batch every ten seconds; counts how many were given and not acknowledged.
struct Steady {
    left: u64,
    seq: u64,
    body: Waiting,
    next_at: Instant,
    held: usize,
    most_held: Arc<AtomicUsize>,
}

impl super::super::Backlog for Steady {
    async fn next(&mut self) -> Option<Waiting> {
        if self.left == 0 {
            return None;
        }
        tokio::time::sleep_until(self.next_at).await;
        self.next_at += Duration::from_secs(10);
        self.left -= 1;
        self.seq += 1;
        self.held += 1;
        self.most_held.fetch_max(self.held, Relaxed);
        Some(Waiting { seq: self.seq, ..self.body.clone() })
    }

    fn acknowledge(&mut self, _seq: u64) {
        self.held -= 1;
    }

    fn waiting_bytes(&self) -> u64 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn x3_after_a_day_without_a_backend_everything_arrives_and_little_was_held_in_memory() {
    let bench = Bench::new();
    let started = Instant::now();
    let backend = Judge::new(move |_, _: &[String]| if started.elapsed() < 24 * HOUR { away() } else { accepted() });
    let most_held = Arc::new(AtomicUsize::new(0));
    let (batches, next_at) = (24 * 360 + 60, Instant::now());
    let body = waiting(0, &lines(1));
    let backlog = Steady { left: batches, seq: 0, body, next_at, held: 0, most_held: Arc::clone(&most_held) };
    let (_stop, never) = watch::channel(None);
    let random = fastrand::Rng::with_seed(1);
    let destination = Destination::new(bench.route.clone(), backlog, backend.clone(), bench.shared(), random);
    assert_eq!(destination.run(never).await, Ended::Delivered);

    assert_eq!(backend.taken().len() as u64, batches);
    assert_eq!(bench.letters(""), [[0; 0]; 0]);
    let tries = backend.given() as u64 - batches;
    assert!((1440..6000).contains(&tries), "{tries} tries in a day");
    assert!(most_held.load(Relaxed) <= bench.route.concurrency, "{most_held:?} batches in memory");
}

/// Answers after a while. Remembers how many requests were under way at once, and of one run at once.
#[derive(Clone, Default)]
struct Far {
    under_way: Arc<Mutex<Vec<String>>>,
    most: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Deliver for Far {
    async fn deliver(&self, seq: u64, meta: &BatchMeta, _body: &Bytes) -> Delivery {
        {
            let mut under_way = self.under_way.lock().unwrap();
            assert!(!under_way.contains(&meta.run_id), "two batches of {} at once", meta.run_id);
            under_way.push(meta.run_id.clone());
            self.most.fetch_max(under_way.len(), Relaxed);
        }
        // Later batches are answered sooner, so that order would show.
        sleep(Duration::from_millis(100 + 50 / seq)).await;
        self.under_way.lock().unwrap().retain(|run_id| *run_id != meta.run_id);
        self.taken.lock().unwrap().push((meta.run_id.clone(), seq));
        accepted()
    }

    fn address(&self) -> &str {
        "http://backend:4318/v1/logs"
    }
}

#[tokio::test(start_paused = true)]
async fn x15_a_far_backend_is_sent_several_batches_at_once_but_of_one_run_one_after_the_other() {
    let took = async |runs: u64, concurrency| {
        let mut bench = Bench::new();
        bench.route.concurrency = concurrency;
        let far = Far::default();
        let started = Instant::now();
        let batches: Vec<_> = (1..=100).map(|seq| waiting_of(&format!("run {}", seq % runs), seq, &lines(1))).collect();
        bench.deliver(far.clone(), batches).await;

        assert_eq!(bench.acknowledged(), (1..=100).collect::<Vec<_>>());
        for run in 0..runs {
            let name = format!("run {run}");
            let taken: Vec<u64> =
                far.taken.lock().unwrap().iter().filter(|(of, _)| *of == name).map(|(_, seq)| *seq).collect();
            assert!(taken.is_sorted(), "{name} was taken in another order: {taken:?}");
        }
        (started.elapsed(), far.most.load(Relaxed))
    };
    let (alone, most) = took(50, 1).await;
    assert_eq!(most, 1);
    let (together, most) = took(50, 4).await;
    assert_eq!(most, 4);
    assert!(together * 3 < alone, "{together:?} instead of {alone:?}");
    let (one_run, most) = took(1, 4).await;
    assert_eq!(most, 1);
    assert!(one_run >= alone);
}

#[tokio::test(start_paused = true)]
async fn x15_no_batch_is_acknowledged_before_those_ahead_of_it() {
    let bench = Bench::new();
    // The first batch fails once all others of the window are taken.
    let started = Instant::now();
    let backend = Judge::new(
        move |_, bodies: &[String]| {
            if bodies == ["first"] && started.elapsed() < HOUR { away() } else { accepted() }
        },
    );
    let (stop, stopping) = watch::channel(None);
    let mut batches = vec![waiting_of("a", 1, &lines(1)), waiting_of("b", 2, &["first".to_owned()])];
    batches.extend((3..=9).map(|seq| waiting_of(&format!("run {seq}"), seq, &lines(1))));
    let task = tokio::spawn(bench.destination(backend.clone(), batches).run(stopping));
    sleep(HOUR / 2).await;
    let taken = backend.taken().len();
    assert_eq!(bench.acknowledged(), [1]);
    assert_eq!(task.await.unwrap(), Ended::Delivered);
    drop(stop);
    assert!(taken > 0, "something was taken before the failure");
    assert_eq!(bench.acknowledged(), (1..=9).collect::<Vec<_>>());
}

/// A hundred agents, and a backend that can answer 25 requests a second once it is back.
#[tokio::test(start_paused = true)]
async fn x21_agents_that_waited_for_a_backend_do_not_come_back_all_at_once() {
    const AGENTS: usize = 100;
    let started = Instant::now();
    let outage = HOUR;
    let seconds = Arc::new(Mutex::new(vec![0_usize; 5 * 3600]));
    let mut tasks = Vec::new();
    let benches: Vec<_> = (0..AGENTS).map(|_| Bench::new()).collect();
    for (agent, bench) in benches.iter().enumerate() {
        let seconds = Arc::clone(&seconds);
        let backend = Judge::new(move |_, _: &[String]| {
            let second = usize::try_from(started.elapsed().as_secs()).unwrap();
            let mut seconds = seconds.lock().unwrap();
            seconds[second] += 1;
            if started.elapsed() < outage || seconds[second] > 25 { away() } else { accepted() }
        });
        let batches = (1..=10).map(|seq| waiting(seq, &lines(1))).collect::<VecDeque<_>>();
        let backlog = Backlog { batches, acknowledged: Arc::default() };
        let (stop, never) = watch::channel(None);
        let random = fastrand::Rng::with_seed(agent as u64);
        let destination = Destination::new(bench.route.clone(), backlog, backend, bench.shared(), random);
        tasks.push(tokio::spawn(async move { (destination.run(never).await, stop) }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().0, Ended::Delivered);
    }

    let seconds = seconds.lock().unwrap();
    let during = &seconds[60..3600];
    let most_during = *during.iter().max().unwrap();
    assert!(most_during <= 15, "{most_during} requests in a second of the outage");
    assert!(during.iter().sum::<usize>() > AGENTS * 60, "each asks at least once a minute");
    let most_after = *seconds[3600..].iter().max().unwrap();
    assert!(most_after <= 50, "{most_after} requests in a second after the outage");
}
