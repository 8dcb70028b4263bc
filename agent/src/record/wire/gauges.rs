//! The writing of gauges: what a run's lines and its `ml.metric` events say of its metrics, as OTLP metrics.
//!
//! `docs/run-api.md` has their form: one gauge for all values and one for their steps, told apart by an attribute.

use crate::record::UnixNanos;

use super::{
    Malformed, RecordView, Value,
    read::messages,
    write::{PADDED, patch_length, put_bytes, put_fixed, put_key_value, put_varint, varint_len},
};

// Tags are `field number << 3 | wire type`.
const REQUEST_RESOURCE_METRICS: u8 = 1 << 3 | 2;
const RESOURCE_METRICS_RESOURCE: u8 = 1 << 3 | 2;
const RESOURCE_METRICS_SCOPE_METRICS: u8 = 2 << 3 | 2;
const RESOURCE_METRICS_SCHEMA_URL: u8 = 3 << 3 | 2;
const SCOPE_METRICS_METRIC: u8 = 2 << 3 | 2;
const METRIC_NAME: u8 = 1 << 3 | 2;
const METRIC_GAUGE: u8 = 5 << 3 | 2;
const GAUGE_POINT: u8 = 1 << 3 | 2;
const POINT_TIME: u8 = 3 << 3 | 1;
const POINT_DOUBLE: u8 = 4 << 3 | 1;
const POINT_INT: u8 = 6 << 3 | 1;
const POINT_ATTRIBUTE: u8 = 7 << 3 | 2;

/// A field of eight bytes with its tag.
const FIXED_BYTES: usize = 9;
/// A metric of more bytes is ended and another one begun, so that a request can be cut between them.
const METRIC_BYTES: usize = 32 << 10;

/// A value of a run's metric.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// What the metric is called.
    pub name: &'a str,
    /// Its value.
    pub value: Number,
    /// Where it belongs on the axis.
    pub step: Option<i64>,
    /// The rank that logged it.
    pub rank: Option<i64>,
    /// When.
    pub time: UnixNanos,
}

/// A number that has a place in a gauge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole one, or a truth.
    Int(i64),
    /// One that is finite.
    Double(f64),
}

impl<'a> Sample<'a> {
    /// What a `LogRecord` says, if it is the event of a scalar whose value has a place in a gauge. An event without any
    /// time has happened then.
    ///
    /// # Errors
    /// If it is no protobuf message.
    pub fn of_event(record: &'a [u8], observed: UnixNanos) -> Result<Option<Self>, Malformed> {
        let event = RecordView::read(record)?;
        if event.event_name != "ml.metric" {
            return Ok(None);
        }
        let (mut name, mut value, mut step, mut rank) = ("", None, None, None);
        for attribute in event.attributes() {
            match attribute? {
                ("ml.metric.name", Value::String(text)) => name = text,
                ("ml.metric.value", Value::Double(number)) => {
                    value = number.is_finite().then_some(Number::Double(number));
                }
                ("ml.metric.value", Value::Int(number)) => value = Some(Number::Int(number)),
                ("ml.metric.value", Value::Bool(truth)) => value = Some(Number::Int(truth.into())),
                ("ml.step", Value::Int(number)) => step = Some(number),
                ("ml.rank", Value::Int(number)) => rank = Some(number),
                _ => {}
            }
        }
        let time = if event.best_time() == 0 { observed } else { event.best_time() };
        Ok(value.filter(|_| !name.is_empty()).map(|value| Self { name, value, step, rank, time }))
    }
}

/// Gathers the gauges of one run.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Metrics that are complete.
    metrics: Vec<u8>,
    count: u32,
    /// Points of the values, then of the steps.
    open: [Vec<u8>; 2],
    points: u32,
    times: Option<(UnixNanos, UnixNanos)>,
    /// Used again for the attributes of the next points.
    attributes: Vec<u8>,
}

/// What was gathered.
#[derive(Debug)]
pub struct Gathered {
    /// The request.
    pub request: Vec<u8>,
    /// How many metrics it has.
    pub metrics: u32,
    /// How many points.
    pub points: u32,
    /// The times of the first and the last of them.
    pub times: (UnixNanos, UnixNanos),
}

impl Gauges {
    const NAMES: [&str; 2] = ["ml.run.metric", "ml.run.step"];

    /// Adds a value of that run.
    pub fn add(&mut self, run_id: &str, sample: &Sample<'_>) {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        put_key_value(&mut attributes, POINT_ATTRIBUTE, "ml.run.id", Value::String(run_id));
        put_key_value(&mut attributes, POINT_ATTRIBUTE, "ml.metric.name", Value::String(sample.name));
        if let Some(rank) = sample.rank.filter(|rank| *rank != 0) {
            put_key_value(&mut attributes, POINT_ATTRIBUTE, "ml.rank", Value::Int(rank));
        }
        let value = Some(match sample.value {
            Number::Int(number) => (POINT_INT, number.cast_unsigned()),
            Number::Double(number) => (POINT_DOUBLE, number.to_bits()),
        });
        let step = sample.step.map(|step| (POINT_INT, step.cast_unsigned()));
        for (place, (tag, number)) in [value, step].into_iter().enumerate().filter_map(|(at, one)| Some((at, one?))) {
            let open = &mut self.open[place];
            open.push(GAUGE_POINT);
            put_varint(open, (2 * FIXED_BYTES + attributes.len()) as u64);
            put_fixed(open, POINT_TIME, sample.time);
            put_fixed(open, tag, number);
            open.extend_from_slice(&attributes);
            self.points += 1;
            if self.open[place].len() >= METRIC_BYTES {
                self.end_metric(place);
            }
        }
        self.attributes = attributes;
        let (first, last) = self.times.unwrap_or((sample.time, sample.time));
        self.times = Some((first.min(sample.time), last.max(sample.time)));
    }

    /// All that was gathered, under that encoded `Resource`; nothing is there afterwards. `None` if there is nothing.
    pub fn take(&mut self, resource: &[u8], schema_url: &str) -> Option<Gathered> {
        let times = self.times?;
        (0..self.open.len()).for_each(|place| self.end_metric(place));
        let mut request = vec![REQUEST_RESOURCE_METRICS];
        request.extend_from_slice(&[0; PADDED]);
        put_bytes(&mut request, RESOURCE_METRICS_RESOURCE, resource);
        put_bytes(&mut request, RESOURCE_METRICS_SCOPE_METRICS, &self.metrics);
        if !schema_url.is_empty() {
            put_bytes(&mut request, RESOURCE_METRICS_SCHEMA_URL, schema_url.as_bytes());
        }
        let length = request.len() - 1 - PADDED;
        patch_length(&mut request, 1, length);
        let Self { count, points, .. } = std::mem::take(self);
        Some(Gathered { request, metrics: count, points, times })
    }

    /// Each metric that was gathered, encoded; nothing is there afterwards.
    pub fn take_metrics(&mut self) -> Vec<Vec<u8>> {
        (0..self.open.len()).for_each(|place| self.end_metric(place));
        let Self { metrics, .. } = std::mem::take(self);
        // They are written above.
        messages(&metrics, u32::from(SCOPE_METRICS_METRIC >> 3)).filter_map(Result::ok).map(<[u8]>::to_vec).collect()
    }

    fn end_metric(&mut self, place: usize) {
        let (name, points) = (Self::NAMES[place], &mut self.open[place]);
        if points.is_empty() {
            return;
        }
        let gauge = 1 + varint_len(points.len()) + points.len();
        self.metrics.push(SCOPE_METRICS_METRIC);
        put_varint(&mut self.metrics, (1 + varint_len(name.len()) + name.len() + gauge) as u64);
        put_bytes(&mut self.metrics, METRIC_NAME, name.as_bytes());
        put_bytes(&mut self.metrics, METRIC_GAUGE, points);
        points.clear();
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::any_value,
        metrics::v1::{NumberDataPoint, metric, number_data_point},
    };
    use prost::Message;

    use super::*;
    use crate::record::wire::{check_metric, points_in, resource_attribute, split};

    fn attribute<'a>(point: &'a NumberDataPoint, key: &str) -> Option<&'a any_value::Value> {
        point.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
    }

    #[test]
    fn values_and_steps_are_gauges_that_any_decoder_reads() {
        let mut resource = Vec::new();
        resource_attribute(&mut resource, "service.name", Value::String("mnist"));
        let mut gauges = Gauges::default();
        gauges.add("r", &Sample { name: "loss", value: Number::Double(0.5), step: Some(-7), rank: Some(3), time: 20 });
        gauges.add("r", &Sample { name: "lr", value: Number::Double(3e-4), step: None, rank: Some(0), time: 10 });
        let gathered = gauges.take(&resource, "url").unwrap();
        assert_eq!((gathered.metrics, gathered.points, gathered.times), (2, 3, (10, 20)));
        assert!(gauges.take(&resource, "url").is_none());

        let request = ExportMetricsServiceRequest::decode(&gathered.request[..]).unwrap();
        let of_resource = &request.resource_metrics[0];
        assert_eq!(of_resource.resource.as_ref().unwrap().attributes[0].key, "service.name");
        assert_eq!(of_resource.schema_url, "url");
        let mut told = Vec::new();
        for metric in &of_resource.scope_metrics[0].metrics {
            check_metric(&metric.encode_to_vec()).unwrap();
            let Some(metric::Data::Gauge(gauge)) = &metric.data else { panic!("{metric:?}") };
            for point in &gauge.data_points {
                assert_eq!(attribute(point, "ml.run.id"), Some(&any_value::Value::StringValue("r".into())));
                let Some(any_value::Value::StringValue(name)) = attribute(point, "ml.metric.name") else { panic!() };
                let value = match point.value {
                    Some(number_data_point::Value::AsDouble(number)) => format!("{number}"),
                    Some(number_data_point::Value::AsInt(number)) => format!("int {number}"),
                    None => panic!(),
                };
                let rank = attribute(point, "ml.rank").cloned();
                told.push((metric.name.as_str(), name.as_str(), value, point.time_unix_nano, rank));
            }
        }
        let three = Some(any_value::Value::IntValue(3));
        let expected = [
            ("ml.run.metric", "loss", "0.5".to_owned(), 20, three.clone()),
            ("ml.run.metric", "lr", "0.0003".to_owned(), 10, None),
            ("ml.run.step", "loss", "int -7".to_owned(), 20, three),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn many_values_can_be_cut_into_requests() {
        let mut gauges = Gauges::default();
        for time in 0..2_000 {
            gauges.add("r", &Sample { name: "loss", value: Number::Double(0.5), step: Some(1), rank: None, time });
        }
        let gathered = gauges.take(&[], "").unwrap();
        let parts = split(&gathered.request, 2 * METRIC_BYTES).unwrap();
        assert!(parts.len() > 2 && parts.iter().all(|part| part.bytes.len() <= 2 * METRIC_BYTES));
        assert_eq!(parts.iter().map(|part| points_in(&part.bytes).unwrap()).sum::<u32>(), 4_000);
    }
}
