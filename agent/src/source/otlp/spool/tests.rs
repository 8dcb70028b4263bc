use std::{
    fs,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use super::*;
use crate::{
    record::{Input, Ledger, SourceKind, SystemClock},
    source::{Context, Received, StopSwitch, intake, otlp::tests::gate, stop_switch},
};

/// A spool that is looked at, and what came through the door.
struct Site {
    folder: tempfile::TempDir,
    ledger: Arc<Ledger>,
    switch: StopSwitch,
    /// The requests whose clients were answered, each before its client is.
    taken: mpsc::Receiver<Vec<u8>>,
    is_answering: Arc<Mutex<bool>>,
    collecting: task::JoinHandle<()>,
}

impl Site {
    fn open(folder: tempfile::TempDir) -> Self {
        let (intake, outlet) = intake(1 << 20);
        let (switch, stop) = stop_switch();
        let ledger = Arc::new(Ledger::default());
        let context = Context {
            intake,
            stop: stop.clone(),
            ledger: Arc::clone(&ledger),
            positions: Arc::default(),
            clock: Arc::new(SystemClock),
        };
        let gate = gate("spool", 1 << 10, &context);
        drop(context);
        let (sender, taken) = mpsc::channel();
        let is_answering = Arc::new(Mutex::new(true));
        let answers = Arc::clone(&is_answering);
        thread::spawn(move || {
            while let Received::Input(Input::Pushed(pushed)) =
                outlet.receive(std::time::Instant::now() + Duration::from_secs(60))
            {
                if *answers.lock().unwrap() {
                    let _ = sender.send(pushed.request.clone());
                    pushed.receipt.durable();
                }
            }
        });
        let collecting = tokio::spawn(collect(folder.path().to_owned(), || gate, stop));
        Self { folder, ledger, switch, taken, is_answering, collecting }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Stops it, and gives the bodies of what it took.
    async fn stop(self) -> (Vec<String>, tempfile::TempDir) {
        self.switch.throw();
        self.collecting.await.unwrap();
        let text = |request: Vec<u8>| String::from_utf8_lossy(&request).split("body-").nth(1).unwrap()[..1].to_owned();
        (self.taken.try_iter().map(text).collect(), self.folder)
    }

    fn bytes_lost(&self) -> u64 {
        self.ledger.sums()[&SourceKind::Otlp].bytes_lost
    }
}

fn request(name: &str) -> String {
    let record = format!(r#"{{"body":{{"stringValue":"body-{name}"}}}}"#);
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#) + "\n"
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn files_are_taken_once_their_writer_has_gone_and_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.jsonl"), request("a") + "\n" + &request("b")).unwrap();
    fs::write(folder.path().join(".2.jsonl"), request("x")).unwrap();
    fs::write(folder.path().join("notes.txt"), request("x")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("3.jsonl")).unwrap();
    let writer = File::create(folder.path().join("4.jsonl")).unwrap();
    flock(&writer, FlockOperation::LockExclusive).unwrap();
    fs::write(folder.path().join("4.jsonl"), request("c")).unwrap();

    let site = Site::open(folder);
    eventually("the first file is removed", || !site.path("1.jsonl").exists()).await;
    assert!(site.path("4.jsonl").exists(), "it is its writer's");
    drop(writer);
    eventually("the second one is removed", || !site.path("4.jsonl").exists()).await;

    assert_eq!(site.bytes_lost(), 0);
    let (taken, folder) = site.stop().await;
    assert_eq!(taken, ["a", "b", "c"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[tokio::test]
async fn what_is_no_request_is_counted_as_lost_and_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (too_long, torn) = ("x".repeat(3000) + "\n", "{\"resourceLogs\":[");
    let text = [&request("a"), "nonsense\n", &too_long, &request("b"), torn].concat();
    fs::write(folder.path().join("1.jsonl"), text).unwrap();

    let site = Site::open(folder);
    eventually("the file is removed", || !site.path("1.jsonl").exists()).await;
    assert_eq!(site.bytes_lost(), ("nonsense\n".len() + too_long.len() + torn.len()) as u64);
    assert_eq!(site.stop().await.0, ["a", "b"]);
}

#[tokio::test]
async fn a_file_stays_until_all_of_it_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.jsonl"), request("a")).unwrap();
    let site = Site::open(folder);
    *site.is_answering.lock().unwrap() = false;
    // Written after that, so that nobody was answered before.
    fs::write(site.path("2.jsonl"), request("b")).unwrap();
    eventually("the first look was taken", || !site.path("1.jsonl").exists() || !site.taken.try_iter().any(|_| true))
        .await;
    let (_, folder) = site.stop().await;
    assert!(folder.path().join("2.jsonl").exists());

    let site = Site::open(folder);
    eventually("it is removed", || !site.path("2.jsonl").exists()).await;
    assert!(site.stop().await.0.contains(&"b".to_owned()));
}
