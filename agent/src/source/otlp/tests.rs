use std::{
    net::SocketAddr,
    sync::{Arc, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, Version, body::Incoming};
use hyper_util::{
    client::legacy::{Client, Error},
    rt::TokioExecutor,
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
    task::JoinHandle,
};

use super::{
    end::{Desk, Gate},
    listen::{Listener, bind, serve},
    *,
};
use crate::{
    record::{Input, Ledger, Pushed, Resource, SourceKind, SystemClock},
    source::{Outlet, Received, StopSwitch, intake, stop_switch},
};

/// A receiver on a port of its own, and the pipeline's end of it.
struct Site {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    switch: StopSwitch,
    pushed: mpsc::Receiver<Pushed>,
    serving: JoinHandle<()>,
    gate: Weak<Gate>,
}

/// An end that lets requests of that size in, under the run `r`.
pub(super) fn gate(name: &str, max_request_bytes: usize, context: &Context) -> Gate {
    let resource = Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() });
    let config = Config { listen: Vec::new(), spool: PathBuf::new(), max_request_bytes, token: None, tls: None };
    let tagging = Tagging { resource, level: Severity::INFO, passes_on: false };
    Gate::new(name, &config, None, Desk::new(context), &tagging)
}

impl Site {
    async fn open(is_held_up: bool) -> Self {
        let (intake, outlet) = intake(1 << 20);
        outlet.held_up().set(is_held_up);
        let (switch, stop) = stop_switch();
        let ledger = Arc::new(Ledger::default());
        let context = Context {
            intake,
            stop: stop.clone(),
            ledger: Arc::clone(&ledger),
            positions: Arc::default(),
            clock: Arc::new(SystemClock),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(gate(&address.to_string(), 1 << 20, &context));
        let weak = Arc::downgrade(&gate);
        let serving = tokio::spawn(serve(listener, gate, None, None, stop));
        Self { address, ledger, switch, pushed: receive(outlet), serving, gate: weak }
    }

    /// The next request, which its client waits for.
    async fn next(self) -> (Self, Pushed) {
        tokio::task::spawn_blocking(move || {
            let pushed = self.pushed.recv_timeout(Duration::from_secs(60)).unwrap();
            (self, pushed)
        })
        .await
        .unwrap()
    }
}

/// What comes through the door, until all sources have finished.
fn receive(outlet: Outlet) -> mpsc::Receiver<Pushed> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        loop {
            match outlet.receive(Instant::now() + Duration::from_secs(60)) {
                Received::Input(Input::Pushed(pushed)) => sender.send(pushed).unwrap(),
                Received::Finished => return,
                other => panic!("{other:?}"),
            }
        }
    });
    receiver
}

fn message() -> Vec<u8> {
    let scope = ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

async fn post(address: SocketAddr) -> Result<Response<Incoming>, Error> {
    let request = Request::post(format!("http://{address}/v1/logs")).header("content-type", "application/x-protobuf");
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    client.request(request.body(Full::from(message())).unwrap()).await
}

async fn call(address: SocketAddr) -> Response<Incoming> {
    let path = "opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let request = Request::post(format!("http://{address}/{path}"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let message = message();
    let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    client.request(request.body(Full::from(framed)).unwrap()).await.unwrap()
}

#[tokio::test]
async fn r2_both_protocols_are_spoken_on_one_address_and_answered_when_the_records_are_durable() {
    let mut site = Site::open(false).await;
    for is_grpc in [false, true] {
        let address = site.address;
        let client =
            tokio::spawn(async move { if is_grpc { call(address).await } else { post(address).await.unwrap() } });
        let pushed;
        (site, pushed) = site.next().await;
        assert_eq!((&pushed.request, &pushed.origin.resource.run_id[..]), (&message(), "r"));
        assert!(!client.is_finished(), "it was answered too soon");
        pushed.receipt.durable();
        let response = client.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().and_then(|trailers| trailers.get("grpc-status")).is_some(), is_grpc);
    }
    let names: Vec<_> = site.ledger.streams().iter().map(|tally| (tally.kind, tally.name.clone())).collect();
    assert_eq!(names, [(SourceKind::Otlp, site.address.to_string())]);
}

#[tokio::test]
async fn r3_clients_are_asked_to_come_again_when_the_queue_is_full_or_their_records_are_lost() {
    let site = Site::open(true).await;
    assert_eq!(post(site.address).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(call(site.address).await.headers()["grpc-status"], "14");
    assert!(site.pushed.try_recv().is_err(), "what was refused is kept nevertheless");

    let site = Site::open(false).await;
    let client = tokio::spawn(post(site.address));
    let (_site, pushed) = site.next().await;
    drop(pushed);
    assert_eq!(client.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_then_nobody_listens() {
    let site = Site::open(false).await;
    let address = site.address;
    let client = tokio::spawn(post(address));
    let (site, pushed) = site.next().await;
    site.switch.throw();
    assert!(!client.is_finished() && !site.serving.is_finished());
    pushed.receipt.durable();
    assert_eq!(client.await.unwrap().unwrap().status(), StatusCode::OK);
    site.serving.await.unwrap();
    assert!(post(address).await.is_err());
    assert!(site.ledger.streams().is_empty());
    assert_eq!(site.pushed.recv_timeout(Duration::from_secs(60)).err(), Some(mpsc::RecvTimeoutError::Disconnected));
}

#[tokio::test(start_paused = true)]
async fn an_address_in_use_is_told_and_taken_when_it_is_free() {
    // Nobody else can take the port when it is free.
    let [kept, other] = [(); 2].map(|()| TcpSocket::new_v4().unwrap());
    kept.set_reuseaddr(true).unwrap();
    kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = kept.local_addr().unwrap();
    other.set_reuseaddr(true).unwrap();
    other.bind(address).unwrap();
    let other = other.listen(1).unwrap();
    let (sender, mut trouble) = watch::channel(Trouble::new());
    let asked_for = Address::from(address);
    let binding = tokio::spawn({
        let asked_for = asked_for.clone();
        async move { bind(&asked_for, &sender).await }
    });
    let told = trouble.wait_for(|trouble| !trouble.is_empty()).await.unwrap()[&asked_for].clone();
    assert!(told.contains("in use"), "{told}");
    drop(other);
    let Listener::Port(listener) = binding.await.unwrap() else { panic!("a port was asked for") };
    assert_eq!(listener.local_addr().unwrap(), address);
    assert!(trouble.borrow().is_empty());
}

#[tokio::test]
async fn r1_a_request_that_comes_again_without_an_answer_is_one_request() {
    let site = Site::open(false).await;
    let address = site.address;
    let first = tokio::spawn(post(address));
    let (site, pushed) = site.next().await;
    // The client loses its connection while its records are on their way.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    while site.gate.upgrade().unwrap().remembered() == 0 {
        tokio::task::yield_now().await;
    }
    pushed.receipt.reject(1, &"a reason");
    let second = tokio::spawn(post(address));
    pushed.receipt.durable();
    let answer = second.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let kept = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(kept.ends_with(b"a reason"), "the answer is that of the first");
    assert!(site.pushed.try_recv().is_err(), "the records were taken twice");

    // Once it has been answered, the same bytes mean something else.
    let third = tokio::spawn(post(address));
    let (_site, pushed) = site.next().await;
    pushed.receipt.durable();
    assert_eq!(third.await.unwrap().unwrap().status(), StatusCode::OK);
}
