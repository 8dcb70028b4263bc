//! What a line says about itself stands in the line.

use fastrand::Rng;
use runlog::parse::{
    LocalZone, cause, collective, detect, headline, named_rank, prefix, root_cause, scalars, timestamp,
};

pub fn marks(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let patterns = ["*", "loss"].map(|pattern| glob::Pattern::new(pattern).unwrap());
    let mut zone = LocalZone::system();
    let mut seen = Vec::new();
    // A part of a line may begin anywhere.
    let from = random.usize(..=input.len().min(8));
    for line in input[from..].split(|byte| *byte == b'\n') {
        let within = |part: &[u8]| {
            let (line, part) = (line.as_ptr_range(), part.as_ptr_range());
            part.is_empty() || line.start <= part.start && part.end <= line.end
        };
        let found = detect(line);
        if let Some(found) = &found {
            // Both may be words that are told for others: `Warning` of `py.warnings` for a `UserWarning`.
            let are_texts = [found.text, found.logger].iter().all(|word| std::str::from_utf8(word).is_ok());
            assert!(std::str::from_utf8(line).is_err() || are_texts, "half a character of a word");
            assert!((1..=24).contains(&found.severity.number()), "a level is none: {}", found.severity.number());
        }
        let prefix = prefix(line);
        assert!(line.starts_with(prefix.bytes), "a prefix is not before its line");
        let numbers = scalars(line, &patterns);
        let mut end = 0;
        for number in &numbers.found {
            assert!(number.at >= end && line[number.at..].starts_with(number.name.as_bytes()), "a name is elsewhere");
            end = number.at + number.name.len();
        }
        assert!(scalars(line, &[]).found.is_empty(), "a number that nobody asked for");
        let time = timestamp(line, &mut zone);
        assert!(within(headline(line)), "a headline is not in its text");
        let told = (cause(line) as i32, collective(line).is_some(), named_rank(line).is_some());
        let level = found.map(|found| (found.severity.number(), found.text.len()));
        let numbers = (numbers.found.len(), numbers.step.is_some());
        seen.push((level, prefix.rank.is_some(), prefix.local_rank.is_some(), numbers, time.is_some(), told));
    }
    if let Some(root) = root_cause(input) {
        let (all, part) = (input.as_ptr_range(), root.text.as_ptr_range());
        assert!(root.text.is_empty() || all.start <= part.start && part.end <= all.end, "a root cause is elsewhere");
    }
    seen.sort();
    seen.dedup();
    seen
}
