//! Batches with records that the destination does not take, under paused time.

use tokio::time::Instant;

use super::*;

/// Bodies of which some hold the word that the backend does not like.
fn poisoned(count: usize, bad: &[usize]) -> Vec<String> {
    let mut bodies = lines(count);
    bad.iter().for_each(|at| bodies[*at] = format!("poison {at}"));
    bodies
}

fn is_bad(bodies: &[String]) -> bool {
    bodies.iter().any(|body| body.starts_with("poison"))
}

fn good(bodies: &[String]) -> Vec<String> {
    bodies.iter().filter(|body| !body.starts_with("poison")).cloned().collect()
}

/// The bodies of all dead letters, oldest first.
fn set_aside(bench: &Bench) -> Vec<String> {
    bench.letters(".otlp.zst").iter().flat_map(|letter| unpacked(letter)).collect()
}

#[tokio::test(start_paused = true)]
async fn x7_a_refused_record_is_found_and_set_aside_alone_and_the_others_arrive_in_order() {
    for bad in [&[0][..], &[617], &[999], &[3, 4, 700]] {
        let bench = Bench::new();
        let bodies = poisoned(1000, bad);
        let backend = Judge::new(|_, bodies: &[String]| if is_bad(bodies) { refused() } else { accepted() });
        bench.deliver(backend.clone(), [waiting(7, &bodies), waiting(8, &lines(1))]).await;

        assert_eq!(backend.taken(), [good(&bodies), lines(1)].concat());
        assert_eq!(set_aside(&bench), bad.iter().map(|at| format!("poison {at}")).collect::<Vec<_>>());
        assert_eq!(bench.acknowledged(), [7, 8]);
        let most = 2 + bad.len() * 2 * 10;
        assert!((3..=most).contains(&backend.given()), "{} requests for {bad:?}", backend.given());

        let why: serde_json::Value = serde_json::from_slice(&bench.letters(".json")[0]).unwrap();
        assert_eq!(
            (why["seq"].as_u64(), why["records"].as_u64(), why["reason"].as_str()),
            (Some(7), Some(1), Some("answered 400 Bad Request: no"))
        );
        let counts = bench.stats.counts();
        let bad = bad.len() as u64;
        assert_eq!((counts.records, counts.rejected_records, counts.dead_lettered), (1001 - bad, bad, bad));
        assert_eq!(counts.state, ExportState::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn x7_without_bisecting_a_refused_batch_is_set_aside_whole_and_the_next_goes_on() {
    let mut bench = Bench::new();
    bench.route.bisect = false;
    let bodies = poisoned(100, &[50]);
    let backend = Judge::new(|_, bodies: &[String]| if is_bad(bodies) { refused() } else { accepted() });
    let whole = waiting(7, &bodies);
    bench.deliver(backend.clone(), [whole.clone(), waiting(8, &lines(1))]).await;

    assert_eq!((backend.given(), backend.taken()), (2, lines(1)));
    assert_eq!(bench.letters(".otlp.zst"), [whole.body.to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn x7_a_backend_that_refuses_everything_gets_few_requests_and_slowly() {
    let bench = Bench::new();
    let backend = Judge::new(|_, _: &[String]| refused());
    let batches: Vec<_> = (1..=8).map(|seq| waiting(seq, &lines(500))).collect();
    let started = Instant::now();
    bench.deliver(backend.clone(), batches).await;

    let each = backend.given() / 8;
    assert!(each <= 60, "{each} requests for each batch");
    let letters = bench.letters(".otlp.zst");
    assert!(letters.len() <= 8 * 30, "{} letters", letters.len());
    assert_eq!(letters.iter().map(|letter| unpacked(letter).len()).sum::<usize>(), 8 * 500, "nothing is gone");
    // A backlog is not turned into dead letters before somebody could have noticed.
    assert!(started.elapsed() > Duration::from_secs(60), "after {:?}", started.elapsed());
    assert_eq!(bench.stats.counts().state, ExportState::Misconfigured);
}

#[tokio::test(start_paused = true)]
async fn x18_records_that_are_too_old_for_the_backend_are_set_aside_and_newer_ones_arrive() {
    let bench = Bench::new();
    let is_old = |body: &String| body.starts_with("old");
    let backend = Judge::new(move |_, bodies: &[String]| match bodies.iter().filter(|body| is_old(body)).count() {
        0 => accepted(),
        _ => Delivery::Refused { reason: "answered 400 Bad Request: entry too far behind".into() },
    });
    let mixed: Vec<String> = (0..8).map(|line| format!("old {line}")).chain(lines(500)).collect();
    bench.deliver(backend.clone(), [waiting(1, &mixed), waiting(2, &lines(3))]).await;

    assert_eq!(backend.taken(), [lines(500), lines(3)].concat());
    assert_eq!(set_aside(&bench), mixed[..8]);
    assert_eq!(bench.stats.counts().rejected_records, 8);
}

#[tokio::test(start_paused = true)]
async fn x7_a_record_that_the_backend_always_fails_over_is_set_aside_alone() {
    for bad in [&[0][..], &[321], &[999], &[0, 1, 2, 500]] {
        let bench = Bench::new();
        let bodies = poisoned(1000, bad);
        let backend = Judge::new(|_, bodies: &[String]| if is_bad(bodies) { failing() } else { accepted() });
        let started = Instant::now();
        bench.deliver(backend.clone(), [waiting(1, &bodies), waiting(2, &lines(1))]).await;

        assert_eq!(backend.taken(), [good(&bodies), lines(1)].concat());
        assert_eq!(set_aside(&bench), bad.iter().map(|at| format!("poison {at}")).collect::<Vec<_>>());
        assert_eq!(bench.acknowledged(), [1, 2]);
        let most = Duration::from_secs(600 * bad.len() as u64);
        assert!(started.elapsed() < most, "{bad:?} held up the rest for {:?}", started.elapsed());
    }
}

/// The batch that holds nothing else can tell nothing; what comes after it can.
#[tokio::test(start_paused = true)]
async fn x7_a_lone_record_that_the_backend_always_fails_over_is_told_from_an_outage_by_the_next_batches() {
    for concurrency in [1, 4] {
        let mut bench = Bench::new();
        bench.route.concurrency = concurrency;
        let backend = Judge::new(|_, bodies: &[String]| if is_bad(bodies) { failing() } else { accepted() });
        let batches = [poisoned(1, &[0]), poisoned(1, &[0]), lines(3), lines(2)];
        let batches = (1..).zip(&batches).map(|(seq, bodies)| waiting(seq, bodies));
        bench.deliver(backend.clone(), batches.collect::<Vec<_>>()).await;

        assert_eq!(backend.taken(), [lines(3), lines(2)].concat());
        assert_eq!(set_aside(&bench), ["poison 0", "poison 0"]);
        assert_eq!(bench.acknowledged(), [1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn x4_a_backend_that_fails_over_everything_for_hours_costs_nothing() {
    let bench = Bench::new();
    let started = Instant::now();
    let outage = Duration::from_secs(6 * 3600);
    let backend = Judge::new(move |_, _: &[String]| if started.elapsed() < outage { failing() } else { accepted() });
    let batches: Vec<_> = (1..=50).map(|seq| waiting(seq, &lines(if seq == 1 { 1 } else { 100 }))).collect();
    bench.deliver(backend.clone(), batches).await;

    assert!(backend.given() > 100, "it was tried {} times", backend.given());
    assert_eq!(bench.letters(""), [[0; 0]; 0]);
    assert_eq!(backend.taken(), [vec![lines(1)], vec![lines(100); 49]].concat().concat(), "in order, too");
    assert_eq!(bench.acknowledged(), (1..=50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn x4_a_backend_that_fails_over_every_other_request_costs_nothing() {
    let bench = Bench::new();
    let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(5)));
    let failures = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&failures);
    let backend = Judge::new(move |_, _: &[String]| {
        let fails = random.lock().unwrap().bool();
        *counted.lock().unwrap() += usize::from(fails);
        if fails { failing() } else { accepted() }
    });
    let batches: Vec<_> = (1..=300).map(|seq| waiting(seq, &lines(20))).collect();
    bench.deliver(backend.clone(), batches).await;

    assert!(*failures.lock().unwrap() > 200);
    assert_eq!(bench.letters(""), [[0; 0]; 0]);
    assert_eq!(backend.taken().len(), 300 * 20);
}
