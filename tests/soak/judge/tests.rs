use super::*;
use crate::writer::letter_of;

/// Of a line of one character.
const LINE_BYTES: u64 = 4 + MARK_END.len() as u64 + 2;

const SILENT: Known<'_> = Known { is_told: &|_| false, looked: true };
const TELLING: Known<'_> = Known { is_told: &|_| true, looked: true };

fn printed(lines: &[&[u8]]) -> Generation {
    let mut generation = Generation {
        stream: 0,
        path: "w0.log".into(),
        bytes: Vec::new(),
        numbers: Vec::new(),
        torn: Vec::new(),
        fate: Fate::IsThere,
        seen_bytes: 0,
    };
    for (number, line) in (0..).zip(lines) {
        generation.numbers.push((number, generation.bytes.len() as u64));
        generation.bytes.extend_from_slice(
            &[format!("{}{number}s0{MARK_END}", letter_of(number)).as_bytes(), line, b"\n"].concat(),
        );
    }
    generation
}

fn taken(at: u64, body: impl Into<String>) -> Taken {
    Taken { uid: format!("{:016x}{at:016x}", 7), body: body.into(), original: None, part: None, is_set_aside: false }
}

/// Each line as a record.
fn all_of(generation: &Generation) -> Vec<Taken> {
    let mut at = 0;
    let lines = generation.bytes.split_inclusive(|byte| *byte == b'\n');
    let record = |line: &[u8]| {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
        let record = taken(at, text.strip_suffix('\r').unwrap_or(&text));
        at += line.len() as u64;
        record
    };
    lines.map(record).collect()
}

fn violations(generation: &Generation, taken: &[Taken]) -> Vec<Violation> {
    judge(std::slice::from_ref(generation), taken, &SILENT).violations
}

#[test]
fn lines_that_all_came_in_order_are_no_violation() {
    let mut generation = printed(&[b"a", b"", b"windows\r", b"b\xff\xe2\x82 c", b"nul \0"]);
    generation.bytes.extend_from_slice(b"\n\nno newline at the end");
    let account = judge(&[generation.clone()], &all_of(&generation), &SILENT);
    assert_eq!(account.violations, []);
    assert_eq!((account.records, account.printed_bytes), (8, generation.bytes.len() as u64));
}

#[test]
fn a_line_that_is_missing_anywhere_is_lost() {
    let generation = printed(&[b"a", b"b", b"c"]);
    for missing in 0..3 {
        let mut taken = all_of(&generation);
        taken.remove(missing);
        let violations = violations(&generation, &taken);
        assert!(matches!(violations[..], [Violation::Lost(_)]), "{missing}: {violations:?}");
    }
    assert!(matches!(violations(&generation, &[])[..], [Violation::Lost(_)]));
}

#[test]
fn a_line_that_came_under_two_uids_came_twice() {
    let generation = printed(&[b"a", b"b"]);
    let mut taken = all_of(&generation);
    let again = Taken { uid: format!("{:016x}{:016x}", 8, 0), ..taken[0].clone() };
    taken.push(again);
    assert!(matches!(violations(&generation, &taken)[..], [Violation::Twice(_)]));
}

#[test]
fn lines_of_one_stream_that_changed_places_are_out_of_order() {
    let generation = printed(&[b"a", b"b"]);
    let mut taken = all_of(&generation);
    taken.reverse();
    assert!(matches!(violations(&generation, &taken)[..], [Violation::Order(_)]));
}

#[test]
fn a_line_that_was_changed_joined_or_made_up_is_found() {
    let generation = printed(&[b"a", b"b"]);
    let whole = all_of(&generation);
    let second = whole[1].body.clone();
    let changed = [vec![whole[0].clone(), taken(LINE_BYTES, format!("{second}!"))], {
        let mut joined = whole.clone();
        joined[0].body += &second;
        joined
    }];
    for taken in changed {
        let violations = violations(&generation, &taken);
        assert!(matches!(violations[..], [Violation::Changed(_), ..]), "{violations:?}");
    }
    let made_up = Taken { uid: format!("{:016x}{:016x}", 9, 0), ..taken(0, "made up") };
    let found = violations(&generation, &[&whole[..], &[made_up]].concat());
    assert!(matches!(found[..], [Violation::Changed(_)]), "{found:?}");
}

#[test]
fn bytes_that_are_no_text_are_compared_where_the_destination_has_them() {
    let generation = printed(&[b"\xff"]);
    let mut records = all_of(&generation);
    records[0].original = Some(generation.bytes[..generation.bytes.len() - 1].to_vec());
    assert_eq!(violations(&generation, &records), []);
    records[0].original = Some(b"\xfe".to_vec());
    assert!(matches!(violations(&generation, &records)[..], [Violation::Changed(_), ..]));
}

#[test]
fn a_line_is_torn_only_where_it_is_a_part_or_its_writer_paused() {
    const AT: usize = LINE_BYTES as usize - 1;
    let mut generation = printed(&[b"abcdef"]);
    let whole = &all_of(&generation)[0].body;
    let (first, rest) = whole.split_at(AT);
    let mut halves = [taken(0, first), taken(AT as u64, rest)];
    assert!(matches!(violations(&generation, &halves)[..], [Violation::Changed(_), ..]));
    generation.torn = vec![AT as u64];
    assert_eq!(violations(&generation, &halves), []);
    generation.torn.clear();
    halves[0].part = Some(0);
    assert_eq!(violations(&generation, &halves), []);
}

#[test]
fn what_was_destroyed_may_be_missing_at_its_end_if_the_agent_says_so() {
    let mut generation = printed(&[b"a", b"b", b"c"]);
    (generation.fate, generation.seen_bytes) = (Fate::Removed, LINE_BYTES + 1);
    let all = all_of(&generation);
    let told = judge(std::slice::from_ref(&generation), &all[..1], &TELLING);
    assert_eq!((&told.violations[..], told.destroyed_bytes), (&[][..], 2 * LINE_BYTES));
    assert!(matches!(violations(&generation, &all[..1])[..], [Violation::Untold(_)]));
    // A hole before what was read was not made by the one who destroyed the rest.
    let hole = judge(std::slice::from_ref(&generation), &[all[0].clone(), all[2].clone()], &TELLING);
    assert!(matches!(hole.violations[..], [Violation::Lost(_)]));
}

#[test]
fn what_was_there_for_a_moment_may_never_have_been_seen() {
    let mut generation = printed(&[b"a", b"b"]);
    let all = &all_of(&generation);
    generation.fate = Fate::Removed;
    for (seen_bytes, taken, unseen_bytes) in [(0, &all[..0], 2 * LINE_BYTES), (LINE_BYTES, &all[..1], LINE_BYTES)] {
        generation.seen_bytes = seen_bytes;
        let account = judge(std::slice::from_ref(&generation), taken, &SILENT);
        assert_eq!((account.violations, account.unseen_bytes), (vec![], unseen_bytes));
    }
    generation.seen_bytes = LINE_BYTES + 1;
    assert!(matches!(violations(&generation, &all[..1])[..], [Violation::Untold(_)]));
    let held_up = Known { looked: false, ..SILENT };
    assert_eq!(judge(&[generation], &all[..1], &held_up).violations, []);
}

#[test]
fn a_file_that_was_set_aside_is_read_to_its_end_if_it_was_seen_at_all() {
    let mut generation = printed(&[b"a", b"b"]);
    let all = &all_of(&generation);
    for fate in [Fate::Renamed(Aside::OutsideTheGlobs), Fate::Copied(Aside::OutsideTheGlobs)] {
        (generation.fate, generation.seen_bytes) = (fate, 0);
        let account = judge(std::slice::from_ref(&generation), &[], &SILENT);
        assert_eq!((account.violations, account.unseen_bytes), (vec![], 2 * LINE_BYTES));
        assert!(matches!(violations(&generation, &all[..1])[..], [Violation::Lost(_)]));
        generation.seen_bytes = 1;
        assert!(matches!(violations(&generation, &[])[..], [Violation::Lost(_)]));
    }
    (generation.fate, generation.seen_bytes) = (Fate::Renamed(Aside::InsideTheGlobs), 0);
    assert!(matches!(violations(&generation, &[])[..], [Violation::Lost(_)]));
}

#[test]
fn a_newline_that_came_after_its_line_was_given_out_is_an_empty_record() {
    let mut generation = printed(&[b"a", b"b"]);
    let mut taken = all_of(&generation);
    taken.insert(1, super::tests::taken(LINE_BYTES - 1, ""));
    assert!(matches!(violations(&generation, &taken)[..], [Violation::Changed(_), ..]));
    generation.torn = vec![LINE_BYTES - 1];
    assert_eq!(violations(&generation, &taken), []);
}

#[test]
fn the_last_line_before_what_was_destroyed_may_be_torn_inside_of_a_character() {
    let mut generation = printed(&["ü".as_bytes(), b"b"]);
    (generation.fate, generation.torn) = (Fate::Emptied, vec![LINE_BYTES - 1]);
    let torn = String::from_utf8_lossy(&generation.bytes[..LINE_BYTES as usize - 1]).into_owned();
    assert!(torn.ends_with(char::REPLACEMENT_CHARACTER));
    let account = judge(&[generation.clone()], &[taken(0, torn)], &TELLING);
    assert_eq!((account.violations, account.destroyed_bytes), (vec![], LINE_BYTES + 2));
}

#[test]
fn the_rest_of_a_torn_line_is_not_taken_for_one_with_a_shorter_number() {
    let mut generation = printed(&vec![b"loss".as_slice(); 234]);
    let torn_at = generation.numbers[233].1 + 1;
    generation.torn = vec![torn_at];
    // Of line z233 the first byte came alone, and "233s0" could be line 33.
    let mut records = all_of(&generation);
    let last = records.pop().unwrap();
    records.push(taken(torn_at - 1, &last.body[..1]));
    records.push(taken(torn_at, &last.body[1..]));
    assert_eq!(violations(&generation, &records[233..]).len(), 1, "all others are lost, and nothing else is wrong");
}
