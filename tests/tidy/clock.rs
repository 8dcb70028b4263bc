//! Who asks the machine for the time of day. All else is given a clock, so that tests and simulations can own it.

use crate::{
    code,
    tree::{Fault, Tree},
};

const ASKING: [&str; 5] = ["SystemTime::now", "Utc::now", "Timestamp::now", "Zoned::now", "OffsetDateTime::now"];

/// Files that may, each with its reason.
const MAY_ASK: [(&str, &str); 2] = [
    ("agent/src/record/clock.rs", "the one clock"),
    ("agent/src/queue/storage.rs", "imports nothing of ours; time is part of its own trait, which tests replace"),
];

/// Where anybody else asks.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, code) in tree.product().iter().filter(|(file, _)| MAY_ASK.iter().all(|(path, _)| *path != file.path)) {
        for asking in ASKING {
            let asked = code.text.match_indices(asking).filter(|(at, _)| {
                let after = code.text.as_bytes().get(at + asking.len());
                let before = at.checked_sub(1).and_then(|at| code.text.as_bytes().get(at));
                !after.into_iter().chain(before).any(|byte| code::is_word(*byte))
            });
            faults.extend(asked.map(|(at, _)| {
                file.fault(
                    code::line(&code.text, at),
                    format!("{asking} hides a clock; take a record::Clock from the caller"),
                )
            }));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::places;

    #[test]
    fn hidden_clock_is_found_outside_tests_and_the_clock_itself() {
        let tree = Tree::with(&[
            ("agent/src/record/clock.rs", "fn now() { SystemTime::now() }"),
            (
                "agent/src/store/a.rs",
                "// SystemTime::now\nlet a = std::time::SystemTime::now();\nlet b = FakeUtc::now();",
            ),
            (
                "agent/src/store/b.rs",
                "#[cfg(test)]\nmod tests { fn a() { SystemTime::now() } }\nlet b = jiff::Zoned::now();",
            ),
        ]);
        assert_eq!(places(&faults(&tree)), [("agent/src/store/a.rs", 2), ("agent/src/store/b.rs", 3)]);
    }
}
