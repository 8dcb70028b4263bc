use std::{cell::Cell, fmt::Write};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::LogRecord,
};
use proptest::prelude::*;
use prost::Message;

use super::*;

const SECRETS: &str = include_str!("corpus/secrets.txt");
const ORDINARY: &str = include_str!("corpus/ordinary.txt");
/// How often the characters of each secret are drawn anew.
const ROUNDS: u64 = 20;

thread_local! {
    /// Bytes that were looked at closely.
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn count(bytes: usize) {
    LOOKED_AT.set(LOOKED_AT.get() + bytes);
}

fn redactor(patterns: &[&str]) -> Redactor {
    let patterns = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
    Redactor::new(Config { builtin: true, patterns }, Arc::default())
}

fn masked(redactor: &mut Redactor, line: &str) -> String {
    let masked = redactor.mask(line.as_bytes()).map(|masked| masked.text.to_vec());
    masked.map_or_else(|| line.to_owned(), |text| String::from_utf8(text).unwrap())
}

fn lines(corpus: &str) -> impl Iterator<Item = &str> {
    corpus.lines().filter(|line| !line.starts_with('#'))
}

/// `{A36}` becomes 36 letters and digits.
fn drawn(template: &str, random: &mut fastrand::Rng) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, (class, count, after))) = rest.split_once('{').and_then(|(before, inside)| {
        let (drawing, after) = inside.split_once('}')?;
        Some((before, (drawing.get(..1)?, drawing.get(1..)?.parse::<usize>().ok()?, after)))
    }) {
        text += before;
        let of = match class {
            "A" => format!("{LETTERS}0123456789"),
            "U" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".to_owned(),
            "W" => format!("{LETTERS}0123456789_-"),
            "B" => format!("{LETTERS}0123456789+/"),
            "X" => "0123456789abcdef".to_owned(),
            "L" => LETTERS.to_owned(),
            "D" => "0123456789".to_owned(),
            _ => panic!("{class} is no class"),
        };
        (0..count).for_each(|_| text.push(char::from(of.as_bytes()[random.usize(..of.len())])));
        rest = after;
    }
    // A brace that is no drawing ends them.
    text + rest
}

#[test]
fn secrets_of_the_corpus_are_masked_and_nothing_else_of_their_lines() {
    let (mut random, mut redactor) = (fastrand::Rng::with_seed(7), redactor(&[]));
    let (mut wrong, mut drawn_lines, mut found, mut known_misses) = (String::new(), 0, 0, 0);
    for round in 0..ROUNDS {
        for line in lines(SECRETS) {
            let (rule, template) = line.split_once('\t').unwrap();
            let (before, rest) = template.split_once('«').unwrap();
            let (secret, after) = rest.split_once('»').unwrap();
            let secret = drawn(secret, &mut random);
            let text = format!("{before}{secret}{after}");
            let masked = masked(&mut redactor, &text);
            drawn_lines += 1;
            found += u32::from(!masked.contains(&secret));
            if rule == "miss" {
                known_misses += 1;
                continue;
            }
            let expected = format!("{before}[redacted:{rule}]{after}");
            if masked != expected {
                writeln!(wrong, "round {round}\n  {text}\n  {masked}\n  {expected}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // docs/understanding.md has these figures.
    assert_eq!((drawn_lines, found, known_misses), (1640, 1580, 60));
}

#[test]
fn ordinary_lines_of_the_corpus_stay_as_they_are() {
    let mut redactor = redactor(&[]);
    let changed: Vec<_> =
        lines(ORDINARY).map(|line| (line, masked(&mut redactor, line))).filter(|(line, text)| line != text).collect();
    assert_eq!(changed, []);
}

#[test]
fn what_is_masked_has_nothing_more_to_mask() {
    let (mut random, mut redactor) = (fastrand::Rng::with_seed(8), redactor(&[]));
    for line in lines(SECRETS) {
        let text = drawn(&line.replace(['«', '»'], ""), &mut random);
        let once = masked(&mut redactor, &text);
        assert_eq!(masked(&mut redactor, &once), once);
    }
}

#[test]
fn secrets_are_counted_by_their_rules() {
    let mut redactor = redactor(&["badge=B-[0-9]+"]);
    let line = "password=hunter2 and B-17 and B-18 at https://u:hunter2@h/";
    let found = redactor.mask(line.as_bytes()).unwrap();
    let text = "password=[redacted:password] and [redacted:badge] and [redacted:badge] at https://u:[redacted:url-password]@h/";
    assert_eq!((&found.text[..], found.count), (text.as_bytes(), 4));
    let counts = [("badge", 2), ("password", 1), ("url-password", 1)];
    assert_eq!(redactor.ledger.redactions(), counts.map(|(rule, count)| (rule.to_owned(), count)).into());
}

#[test]
fn a_pattern_masks_its_first_group_or_all_that_it_matches() {
    let cases = [
        ("badge=B-[0-9]+", "from B-17 to B-2", "from [redacted:badge] to [redacted:badge]"),
        ("user=user=([a-z]+)", "user=ann host=b", "user=[redacted:user] host=b"),
        ("start=^x+", "xxx x", "[redacted:start] x"),
        // Half of a character is taken whole.
        ("cut=(?-u:\\xc3)", "caf\u{e9}", "caf[redacted:cut]\u{fffd}"),
        // What a known form has masked is not masked again.
        ("all=hunter2.*", "password=hunter2 rest", "password=[redacted:password] rest"),
    ];
    for (pattern, line, expected) in cases {
        assert_eq!(masked(&mut redactor(&[pattern]), line), expected, "{pattern}");
    }
}

#[test]
fn a_pattern_that_cannot_be_used_says_why() {
    let cases = [
        ("[0-9]+", "[0-9]+, which has no name"),
        ("a b=x", "a b=x, which has no name"),
        ("id=(", "id, which is not a regular expression: unclosed group"),
        (
            "id=x(?=y)",
            "id, which is not a regular expression: look-around, including look-ahead and look-behind, is not supported",
        ),
        ("id=x*", "id, which also matches an empty text"),
    ];
    for (pattern, message) in cases {
        assert_eq!(pattern.parse::<Pattern>().unwrap_err().to_string(), message);
    }
    let large = "id=[a-z]{1000}{1000}".parse::<Pattern>().unwrap_err().to_string();
    assert!(large.contains("size limit"), "{large}");
}

/// What stays of the lines of two streams.
fn masked_lines(redactor: &mut Redactor, lines: &[(Lane, &str)]) -> Vec<String> {
    let mask = |(lane, line): &(Lane, &str)| {
        let masked = redactor.mask_line(1, *lane, line.as_bytes());
        masked.map_or_else(|| (*line).to_owned(), |masked| String::from_utf8(masked.text).unwrap())
    };
    lines.iter().map(mask).collect()
}

#[test]
fn a_private_key_over_many_lines_is_masked_to_its_end_and_nothing_between_or_behind_it() {
    use Lane::{Stderr, Stdout};
    let body = "MIIEpAIBAAKCAQEA7bq0l1nYcM0u5cY8cO4o2m8vTqkJtq1";
    let lines = [
        (Stdout, "key:"),
        (Stdout, "-----BEGIN RSA PRIVATE KEY-----"),
        (Stderr, "epoch 1 loss 0.31"),
        (Stdout, body),
        (Stdout, "step 12 of 100"),
        (Stdout, "[rank0]: MIIEpAIBAAKCAQEA7bq0l1nYcM0u5cY8cO4o2m8vTqkJtq1"),
        (Stderr, body),
        (Stdout, "c2g="),
        (Stdout, "-----END RSA PRIVATE KEY----- password=hunter2"),
        (Stdout, body),
    ];
    let mask = "[redacted:private-key]";
    let rank = format!("[rank0]: {mask}");
    let end = format!("{mask} password=[redacted:password]");
    let expected = ["key:", mask, lines[2].1, mask, lines[4].1, &rank, body, mask, &end, body];
    assert_eq!(masked_lines(&mut redactor(&[]), &lines), expected);
}

#[test]
fn a_private_key_that_begins_in_a_line_that_is_left_out_is_masked_in_those_that_are_kept() {
    let mut redactor = redactor(&[]);
    redactor.pass_by(1, Lane::Bare, b"DEBUG key -----BEGIN PRIVATE KEY-----");
    let body = "MIIEpAIBAAKCAQEA7bq0l1nYcM0u5cY8cO4o2m8vTqkJtq1";
    let kept = masked_lines(
        &mut redactor,
        &[(Lane::Bare, body), (Lane::Bare, "-----END PRIVATE KEY-----"), (Lane::Bare, body)],
    );
    assert_eq!(kept, ["[redacted:private-key]", "[redacted:private-key]", body]);
}

#[test]
fn a_private_key_without_an_end_is_given_up() {
    let mut redactor = redactor(&[]);
    let body = "MIIEpAIBAAKCAQEA7bq0l1nYcM0u5cY8cO4o2m8vTqkJtq1";
    let mut lines = vec![(Lane::Bare, "-----BEGIN PRIVATE KEY-----")];
    lines.resize(400, (Lane::Bare, body));
    let left = masked_lines(&mut redactor, &lines).iter().filter(|line| *line == body).count();
    assert_eq!(left, 99);
}

#[test]
fn attributes_are_masked_by_their_names_and_by_what_they_hold() {
    let record = |values: [&str; 4]| {
        let names = ["db.password", "url", "pad_token", "http.request.header.authorization"];
        let any = |text: &str| AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) };
        let pair = |(name, value): (&str, &str)| KeyValue {
            key: name.to_owned(),
            value: Some(any(value)),
            ..KeyValue::default()
        };
        LogRecord {
            body: Some(any("hi")),
            attributes: names.into_iter().zip(values).map(pair).collect(),
            ..LogRecord::default()
        }
    };
    let mut redactor = redactor(&[]);
    let bytes = record(["hunter2", "https://u:p4ss@h/", "<pad>", "Bearer 0123456789abcdef0123"]).encode_to_vec();
    let found = redactor.mask_encoded(Signal::Logs, &bytes).unwrap().unwrap();
    let expected =
        ["[redacted:password]", "https://u:[redacted:url-password]@h/", "<pad>", "Bearer [redacted:authorization]"];
    assert_eq!((LogRecord::decode(&found.text[..]).unwrap(), found.count), (record(expected), 3));
    let clean = record(["", "https://h/", "<pad>", ""]).encode_to_vec();
    assert_eq!(redactor.mask_encoded(Signal::Logs, &clean).unwrap(), None);
}

#[test]
fn lines_made_to_be_slow_are_not_looked_through_again_and_again() {
    let mut redactor = redactor(&[]);
    let pieces = [
        "eyJ",
        "eyJ.",
        "sk-",
        "token=",
        "token='",
        "token=\\",
        "password ",
        "://",
        "8Q~",
        "&sig=",
        "Authorization: Digest <",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY",
        "Bearer ",
        "\u{1b}[0;",
        "m",
        "AKIA ",
        "--token ",
        "_key\"]=",
    ];
    for piece in pieces {
        let line = piece.repeat((32 << 10) / piece.len());
        LOOKED_AT.set(0);
        redactor.mask(line.as_bytes());
        // To look at the rest of the line for each piece would be some thousand times its length.
        assert!(LOOKED_AT.get() < 200 * line.len(), "{piece}: {}", LOOKED_AT.get() / line.len());
    }
}

#[test]
fn nothing_is_masked_that_was_not_asked_for() {
    let mut redactor = Redactor::new(Config::default(), Arc::default());
    assert_eq!(redactor.mask_line(1, Lane::Bare, b"password=hunter2"), None);
    assert_eq!(redactor.mask_encoded(Signal::Logs, b"\x1a\x10password=hunter2"), Ok(None));
}

proptest! {
    #[test]
    fn an_anchor_is_found_wherever_it_stands(
        texts in prop::collection::vec(prop_oneof![
            "[a-z_ =-]{0,9}", Just("_key".to_owned()), Just("password".to_owned()), Just("AKIA".to_owned()),
            Just("://".to_owned()), Just("-----BEGIN ".to_owned()), Just("Authorization".to_owned()),
        ], 0..6),
        from in 0_usize..4,
    ) {
        let text = texts.concat();
        let builtin = Builtin::new();
        let keys = keys::KEYS.iter().map(|key| key.anchor);
        let anchors: Vec<_> = keys.chain(named::ANCHORS.iter().map(|anchor| anchor.0)).chain([pem::ANCHOR]).collect();
        let mut from = from.min(text.len());
        let mut found = Vec::new();
        while let Some(hit) = builtin.anchors.find(text.as_bytes(), from) {
            prop_assert_eq!(&text[hit.at.clone()], anchors[hit.number]);
            prop_assert!(hit.at.start >= from);
            found.push(hit.at.clone());
            from = hit.at.end;
        }
        // What was not found lies in what was.
        for anchor in anchors {
            for (at, _) in text.match_indices(anchor).filter(|(at, _)| *at >= found.first().map_or(from, |hit| hit.start)) {
                let is_covered = found.iter().any(|hit| hit.start < at + anchor.len() && at < hit.end);
                prop_assert!(is_covered, "{anchor} at {at} in {text:?}");
            }
        }
    }
}
