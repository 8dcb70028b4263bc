//! Rows J of the fault matrix.

use runlog_tests::{Line, UnitOutput, eventually};

use crate::{Site, gaps, printed};

/// Prints numbered lines.
struct Numbers {
    unit: UnitOutput,
    next: u64,
}

impl Numbers {
    fn print(&mut self, count: u64) {
        for number in self.next..self.next + count {
            self.unit.print(&line(number));
        }
        self.next += count;
    }
}

fn numbers(site: &Site) -> Numbers {
    Numbers { unit: site.journal.unit("train.service"), next: 0 }
}

fn line(number: u64) -> String {
    format!("step {number:07} {}", "loss 0.3141 lr 3.0e-4 grad_norm 1.27 ".repeat(8))
}

/// The numbers that are there, each of which has to be there once, as it was printed and in its order.
fn found(lines: &[Line]) -> Vec<u64> {
    let number = |body: &&str| {
        let number = body.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(**body, *line(number).trim_end(), "not as it was printed");
        number
    };
    let found: Vec<u64> = printed(lines).iter().map(number).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "lines are there twice or out of order");
    found
}

#[test]
fn j1_what_was_removed_while_the_agent_was_stopped_is_a_gap_and_all_else_is_there() {
    let mut site = Site::start(&[], "train");
    let mut train = numbers(&site);
    train.print(100);
    site.agent.eventually_stored("r", 100);
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    train.print(100);
    site.journal.eventually_ends_with(line(199).trim_end());
    site.journal.rotate();
    site.journal.vacuum();

    site.agent.start();
    train.print(100);
    site.agent.eventually_stored("r", 200);
    // The gap is the journal's as a whole, and in no batch of the unit's.
    let lines = eventually("the gap is told", || Some(site.agent.lines("r")).filter(|lines| !gaps(lines).is_empty()));
    assert_eq!(found(&lines), (0..100).chain(200..300).collect::<Vec<_>>());
    let [gap] = gaps(&lines)[..] else { panic!("{} gaps", gaps(&lines).len()) };
    // journald's own entries are counted as well.
    let at_most: u64 = gap.attribute("runlog.gap.entries").parse().unwrap();
    assert!((100..130).contains(&at_most), "{gap:?}");
    site.agent.is_live("r");
}

#[test]
fn j1_what_was_removed_under_the_reader_is_a_gap_and_all_else_is_there() {
    let site = Site::start(&["SystemMaxUse=8M", "SystemMaxFileSize=1M"], "train");
    let mut train = numbers(&site);
    train.print(100);
    site.agent.eventually_stored("r", 100);
    // The agent stands still, so its journalctl can write no more than a pipe holds.
    site.agent.signal("STOP");
    train.print(60_000);
    site.journal.eventually_ends_with(line(60_099).trim_end());
    site.agent.signal("CONT");
    train.print(1);
    let lines = eventually("the last line is stored", || {
        let lines = site.agent.lines("r");
        found(&lines).ends_with(&[60_100]).then_some(lines)
    });

    let missing = 60_101 - found(&lines).len() as u64;
    assert_ne!(missing, 0, "journald has removed nothing: the test proves nothing");
    eventually(&format!("the gaps are of at least {missing} entries"), || {
        let lines = site.agent.lines("r");
        let entries = gaps(&lines).iter().map(|gap| gap.attribute("runlog.gap.entries").parse::<u64>().unwrap()).sum();
        (missing <= entries).then_some(())
    });
    site.agent.is_live("r");
}

#[test]
fn j2_each_entry_is_there_once_through_rotations_and_kills() {
    let mut site = Site::start(&[], "train");
    let mut train = numbers(&site);
    let mut kills_in_their_midst = 0;
    let mut round = 0;
    // A kill may come when all is read, which proves nothing.
    while round < 12 || kills_in_their_midst == 0 && round < 60 {
        train.print(500);
        round += 1;
        if round % 3 == 0 {
            let printed = train.next;
            site.agent.kill();
            kills_in_their_midst += u64::from(site.agent.stored("r") < printed);
            site.journal.rotate();
            site.agent.start();
        } else {
            site.journal.rotate();
        }
    }
    site.agent.eventually_stored("r", train.next);
    assert_eq!(site.agent.terminate().status.code(), Some(0));
    let lines = site.agent.lines("r");
    assert_eq!(found(&lines), (0..train.next).collect::<Vec<_>>());
    assert_eq!(gaps(&lines).len(), 0);
    assert!(site.journal.files() > 12, "the journal was not rotated");
    assert_ne!(kills_in_their_midst, 0, "no kill found lines outstanding: it proved nothing");
}

#[test]
fn j3_what_journald_left_out_for_its_rate_is_a_gap_with_its_number() {
    let site = Site::start(&["RateLimitIntervalSec=2s", "RateLimitBurst=100"], "train");
    let mut train = numbers(&site);
    train.print(20_000);
    // When the interval is over, the next line makes journald tell. It is a later one than of these where they take longer.
    let (before, next) = eventually("journald has told, and a line has come behind that", || {
        train.print(1);
        let lines = site.agent.lines("r");
        let last_gap = lines.iter().rposition(|line| !line.is_printed())?;
        let next = *found(&lines[last_gap..]).first()?;
        Some((lines[..=last_gap].to_vec(), next))
    });
    let of_gap = |gap: &&Line| {
        let dropped: u64 = gap.attribute("runlog.gap.entries").parse().unwrap();
        assert_eq!(gap.body(), format!("Suppressed {dropped} messages from train.service"));
        dropped
    };
    let (there, dropped) = (found(&before).len() as u64, gaps(&before).iter().map(of_gap).sum::<u64>());
    assert!(
        dropped > 0 && there + dropped == next,
        "{there} are there before {next}, {dropped} are said to be missing"
    );
    let run: serde_json::Value =
        serde_json::from_slice(&site.agent.run(&["runs", "show", "r", "--json"]).stdout).unwrap();
    assert_ne!(run["complete"], true);
}
