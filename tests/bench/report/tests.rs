use super::{
    samples::{outcome, sample, series},
    *,
};

#[test]
fn median_is_the_middle_whatever_the_order() {
    assert_eq!(Spread::of([9.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 9.0 });
    assert_eq!(Spread::of([9.0, 1.0, 2.0, 4.0]).median, 3.0);
    assert_eq!(Spread::of([]).median, 0.0);
}

#[test]
fn ratio_is_taken_within_each_round() {
    // The second round was disturbed, and both took twice as long.
    let (ours, theirs) = (series("ours", [500, 1000, 500]), series("theirs", [2000, 4000, 2000]));
    let ratio = ours.ratio_to(&theirs, Aspect::Throughput.main());
    assert_eq!(ratio, Spread { median: 4.0, least: 4.0, most: 4.0 });
}

#[test]
fn table_shows_each_agent_with_its_ratio() {
    let all = vec![series("runlog", [500, 400, 625]), series("collector", [2000, 2000, 2500])];
    let program = Program { name: "runlog", settings: "zstd", version: "1.2".to_owned(), bytes: 12_340_000 };
    let expected = "\
### Throughput

| scenario | agent     | lines/CPU-s |     least |      most | ratio | peak RSS MiB | B/line | wall s | sink us/line | missing | repeated |
|----------|-----------|------------:|----------:|----------:|------:|-------------:|-------:|-------:|-------------:|--------:|---------:|
| python   | runlog    |   2,000,000 | 1,600,000 | 2,500,000 |  4.00 |         30.0 |   40.0 |   2.00 |         0.30 |       0 |        0 |
| python   | collector |     500,000 |   400,000 |   500,000 |  1.00 |         30.0 |   40.0 |   2.00 |         0.30 |       0 |        0 |

### Programs

| agent  |   MB | version | settings |
|--------|-----:|--------:|----------|
| runlog | 12.3 |     1.2 | zstd     |
";
    assert_eq!(tables(&[outcome("python", all)], &[program], "collector"), expected);
}

#[test]
fn figure_that_there_is_not_is_a_dash() {
    assert_eq!(grouped(f64::NAN, 1), "-");
    assert_eq!(grouped(1234.56, 1), "1,234.6");
    assert_eq!(grouped(0.054, 3), "0.054");
}

#[test]
fn series_with_a_missing_line_is_not_exact() {
    let mut lossy = series("lossy", [500; 3]);
    assert!(lossy.is_exact());
    lossy.samples[1] = sample(500, 999_999);
    assert!(!lossy.is_exact());
    let json = json(&Place::here(None), &[outcome("python", vec![lossy])], &[], "collector");
    assert_eq!(json["outcomes"][0]["peers"][0]["samples"][1]["missing"], 1);
}
