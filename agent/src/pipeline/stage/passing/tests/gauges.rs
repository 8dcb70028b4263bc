//! What events say of a run's metrics is passed on as gauges.

use opentelemetry_proto::tonic::metrics::v1::number_data_point;

use super::*;

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn metric(name: &str, time: u64, further: Vec<KeyValue>) -> LogRecord {
    let attributes = [vec![pair("ml.metric.name", any_value::Value::StringValue(name.into()))], further].concat();
    LogRecord { event_name: "ml.metric".into(), attributes, ..record(time, 9, name) }
}

/// A client's logs: a line among events of metrics, some of which have no place in a gauge.
fn logged() -> Vec<u8> {
    use any_value::Value::{BoolValue, DoubleValue, IntValue, StringValue};
    let value = |value| pair("ml.metric.value", value);
    let step = |step| pair("ml.step", IntValue(step));
    let records = vec![
        metric("loss", 7, vec![value(DoubleValue(0.5)), step(3), pair("ml.rank", IntValue(2))]),
        record(7, 9, "a line"),
        metric("count", 0, vec![value(IntValue(-4)), pair("ml.rank", IntValue(0))]),
        metric("ok", 8, vec![value(BoolValue(true))]),
        metric("nan", 8, vec![value(DoubleValue(f64::NAN)), step(4)]),
        metric("text", 8, vec![pair("ml.metric.text", StringValue("Red".into()))]),
        LogRecord { event_name: "ml.list".into(), ..metric("list", 8, vec![value(DoubleValue(1.0))]) },
        LogRecord { event_name: String::new(), ..metric("line", 8, vec![value(DoubleValue(1.0))]) },
        metric("token=hunter22hunter22", 9, vec![value(DoubleValue(2.0))]),
    ];
    request(vec![resource(Some("theirs"), records)])
}

/// Each point: the metric's name, the attributes, the value and the time.
fn points(bytes: &[u8]) -> Vec<String> {
    let found = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let of_run = &found.resource_metrics[0];
    let keys: Vec<_> = of_run.resource.iter().flat_map(|resource| &resource.attributes).map(|pair| &pair.key).collect();
    assert_eq!(keys, ["ml.run.id", "host.name"]);
    let mut told = Vec::new();
    for metric in of_run.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
        let Some(Data::Gauge(gauge)) = &metric.data else { panic!("{metric:?}") };
        for point in &gauge.data_points {
            let attributes = point.attributes.iter().map(|pair| match pair.value.as_ref().unwrap().value.as_ref() {
                Some(any_value::Value::StringValue(text)) => text.clone(),
                Some(any_value::Value::IntValue(number)) => format!("{}={number}", pair.key),
                other => panic!("{other:?}"),
            });
            let value = match point.value.unwrap() {
                number_data_point::Value::AsDouble(number) => format!("{number:?}"),
                number_data_point::Value::AsInt(number) => number.to_string(),
            };
            let attributes = attributes.collect::<Vec<_>>().join(" ");
            told.push(format!("{} {attributes}: {value} at {}", metric.name, point.time_unix_nano));
        }
    }
    told
}

#[tokio::test]
async fn numbers_that_a_run_logs_leave_as_gauges_of_the_run_and_stay_events() {
    let passed = pass_signals(Severity::ERROR, 1 << 20, &[(Signal::Logs, logged())], Counted::Here).await;
    assert_eq!(passed.answers, [Some(Kept::default())]);
    let [(meta, bytes)] = &passed.passed_on[..] else { panic!("{:?}", passed.passed_on) };
    let expected = [
        "ml.run.metric theirs loss ml.rank=2: 0.5 at 7",
        "ml.run.metric theirs count: -4 at 5",
        "ml.run.metric theirs ok: 1 at 8",
        "ml.run.metric theirs token=[redacted:token]: 2.0 at 9",
        "ml.run.step theirs loss ml.rank=2: 3 at 7",
    ];
    assert_eq!(points(bytes), expected);
    assert_eq!((&meta.run_id[..], meta.signal(), meta.records, meta.points), ("theirs", Signal::Metrics, 2, 5));
    assert_eq!(passed.items[0], (5, 0));
    let events = passed.bodies("theirs");
    assert_eq!(events[..3], ["loss", "count", "ok"], "the line is below the level");
}

#[tokio::test]
async fn what_another_runlog_sends_becomes_no_second_gauge() {
    let passed = pass_signals(Severity::INFO, 1 << 20, &[(Signal::Logs, logged())], Counted::Before).await;
    assert_eq!((passed.bodies("theirs").len(), passed.passed_on.len()), (9, 0));
}
