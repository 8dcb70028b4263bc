//! Logs of pods, as the kubelet and a runtime write and rotate them.

use super::{moving::compress, *};
use crate::{
    run::{Facts, Identity, RunId},
    source::kubernetes::{self, Pods},
};

const POD: &str = "ml_train-x7k2p_12345678-1234-1234-1234-123456789abc";

fn pods(folder: &Path) -> Box<dyn Owners> {
    all_but(folder, Vec::new())
}

fn all_but(folder: &Path, exclude: Vec<kubernetes::Choice>) -> Box<dyn Owners> {
    let config = kubernetes::Config {
        logs: Some(folder.join("pods")),
        scope: kubernetes::Scope::Node,
        include: Vec::new(),
        exclude,
        only_enabled: false,
        metadata: None,
        credentials: PathBuf::new(),
    };
    let tagging = crate::source::Tagging {
        run_id: RunId::new("agent-run").unwrap(),
        identity: Identity::default(),
        facts: Facts::default(),
        level: Severity::TRACE,
    };
    Box::new(Pods::new(&config, tagging, None, None).unwrap())
}

/// A source that follows the pods below its folder, and no other file.
fn reading() -> Reading {
    let mut reading = Reading::prepare();
    reading.config.paths.clear();
    reading.owners = Some(pods);
    fs::create_dir_all(reading.path(&log(""))).unwrap();
    reading.start();
    reading
}

fn log(name: &str) -> String {
    format!("pods/{POD}/trainer/{name}")
}

fn line(text: &str) -> String {
    format!("2026-11-24T05:44:23.5Z stdout F {text}\n")
}

#[test]
fn c5_a_log_that_was_renamed_back_since_it_could_not_be_reopened_goes_on() {
    let mut reading = reading();
    reading.append(&log("0.log"), &line("one"));
    reading.until_read(&[&line("one")]);
    for round in 0..3 {
        let rotated = reading.path(&log(&format!("0.log.20261124-05442{round}")));
        fs::rename(reading.path(&log("0.log")), &rotated).unwrap();
        fs::rename(&rotated, reading.path(&log("0.log"))).unwrap();
        reading.append(&log("0.log"), &line("more"));
    }
    let all = line("one") + &line("more").repeat(3);
    reading.until_read(&[&all]);
    reading.stop();
    assert_eq!((reading.texts().len(), reading.gaps.len()), (1, 0));
}

#[test]
fn c6_a_runtime_that_writes_on_into_a_removed_log_is_read_until_it_begins_another() {
    let mut reading = reading();
    let mut runtime = fs::File::create(reading.path(&log("0.log"))).unwrap();
    runtime.write_all(line("one").as_bytes()).unwrap();
    reading.until_read(&[&line("one")]);
    fs::remove_file(reading.path(&log("0.log"))).unwrap();
    // Longer than a file is read on that was rotated.
    std::thread::sleep(reading.config.rotate_grace * 4);
    runtime.write_all(line("two").as_bytes()).unwrap();
    let both = line("one") + &line("two");
    reading.until_read(&[&both]);
    // The kubelet noticed.
    reading.append(&log("0.log"), &line("three"));
    reading.until_read(&[&both, &line("three")]);
    let is_forgotten = |reading: &Reading| reading.positions.len() == 1;
    reading.until(is_forgotten);
    reading.stop();
}

#[test]
fn c8_logs_of_a_deleted_pod_are_read_to_their_ends_and_forgotten() {
    let mut reading = reading();
    reading.append(&log("0.log"), &line("one"));
    reading.until_read(&[&line("one")]);
    reading.append(&log("0.log"), &line("last words"));
    fs::remove_dir_all(reading.path("pods").join(POD)).unwrap();
    reading.until_read(&[&(line("one") + &line("last words"))]);
    reading.until(|reading| reading.positions.is_empty());
    reading.stop();
    assert_eq!(reading.gaps.len(), 0);
}

#[test]
fn c8_what_was_seen_of_a_pod_that_was_deleted_while_nobody_read_is_a_gap() {
    let mut reading = reading();
    reading.append(&log("0.log"), &line("one"));
    reading.until_read(&[&line("one")]);
    // Seen together with the position, and not read.
    reading.append(&log("0.log"), "2026-11-24T05:44:23.5Z stdout F half");
    reading.until(|reading| reading.texts()[0].ends_with("half"));
    let (key, bytes) = reading.positions.first_key_value().unwrap();
    let position = FilePosition::read(bytes).unwrap();
    assert_eq!(position.unread_bytes(), 0);
    let (handle, id) = RealDisk.open(&reading.path(&log("0.log"))).unwrap().unwrap();
    let bookmark = FileBookmark::new(id, Arc::from(position.path()), position.stream(), Arc::from(handle));
    let seen = bookmark.at(ReadTo::whole(line("one").len() as u64)).unwrap();
    let positions = BTreeMap::from([(key.clone(), seen)]);
    reading.stop();

    reading.positions = positions;
    fs::remove_dir_all(reading.path("pods").join(POD)).unwrap();
    reading.start();
    reading.until(|reading| reading.gaps.len() == 1 && reading.positions.is_empty());
    assert!(reading.gaps[0].starts_with("36 bytes of ml/train-x7k2p/trainer were removed"), "{:?}", reading.gaps);
    reading.stop();
}

#[test]
fn c4_generations_that_were_compressed_while_the_agent_was_away_are_read_once() {
    let mut reading = reading();
    // Compressed before anybody looked, and so before the first start.
    reading.append(&log("0.log.20261124-050000.gz"), "not text");
    reading.append(&log("0.log.20261124-051000"), &line("rotated before"));
    reading.append(&log("0.log"), &line("one"));
    let first = [line("one"), line("rotated before")];
    reading.until(|reading| reading.sorted() == first);
    reading.stop();
    reading.streams.clear();

    let rotate = |reading: &Reading, compressed: &str, rotated: &str| {
        let path = |name: &str| reading.path(&log(name));
        compress(&path(&format!("0.log.{compressed}")), "gz");
        fs::rename(path("0.log"), path(&format!("0.log.{rotated}"))).unwrap();
    };
    reading.append(&log("0.log"), &line("two"));
    rotate(&reading, "20261124-051000", "20261124-052000");
    reading.append(&log("0.log"), &line("three"));
    rotate(&reading, "20261124-052000", "20261124-053000");
    reading.append(&log("0.log"), &line("four"));
    rotate(&reading, "20261124-053000", "20261124-054000");
    reading.append(&log("0.log"), &line("five"));
    reading.start();
    let missed = [line("five"), line("four"), line("three"), line("two")];
    reading.until(|reading| reading.sorted() == missed);
    reading.stop();
    reading.streams.clear();
    reading.append(&log("0.log"), &line("six"));
    reading.start();
    reading.until_read(&[&line("six")]);
    reading.stop();
    assert_eq!((reading.texts(), reading.gaps.len()), (vec![line("six")], 0));
}

#[test]
fn a_second_name_of_a_log_does_not_lead_past_its_owner() {
    let without_ml: MakeOwners = |folder| all_but(folder, vec![kubernetes::Choice::new("ml").unwrap()]);
    for (owners, texts) in
        [(pods as MakeOwners, vec![line("one"), "a file\n".to_owned()]), (without_ml, vec!["a file\n".to_owned()])]
    {
        let mut reading = Reading::prepare();
        reading.owners = Some(owners);
        fs::create_dir_all(reading.path(&log(""))).unwrap();
        reading.append(&log("0.log"), &line("one"));
        std::os::unix::fs::symlink(reading.path(&log("0.log")), reading.path("a.log")).unwrap();
        reading.append("b.log", "a file\n");
        reading.start();
        reading.until(|reading| reading.texts().contains(&"a file\n".to_owned()));
        reading.stop();
        assert_eq!(reading.sorted(), texts);
        let of_pods = reading.ledger.sums().get(&SourceKind::Kubernetes).map_or(0, |sums| sums.bytes_read);
        assert_eq!(of_pods > 0, texts.len() == 2);
    }
}
