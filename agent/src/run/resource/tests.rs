use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    logs::v1::LogRecord,
    resource::v1,
};
use prost::Message;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/attributes.md");

fn fact(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn read(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let count = attributes.len();
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("neither text nor number: {other:?}"),
    };
    let read: BTreeMap<_, _> = attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect();
    assert_eq!(read.len(), count, "keys are unique");
    read
}

fn attributes(run_id: &str, identity: &Identity, facts: &Facts) -> BTreeMap<String, String> {
    let made = resource(&RunId::new(run_id).unwrap(), identity, facts);
    assert_eq!(made.run_id, run_id);
    read(v1::Resource::decode(made.encoded.as_slice()).unwrap().attributes)
}

fn full() -> Identity {
    Identity {
        run_id: RunId::new("r1").ok(),
        platform: Some("azureml"),
        aliases: vec![("slurm", "7".to_owned())],
        parent_id: Some("p".to_owned()),
        root_id: Some("t".to_owned()),
        name: Some("ridge".to_owned()),
        experiment: Some("diabetes".to_owned()),
        experiment_id: Some("e1".to_owned()),
        project: Some("ws".to_owned()),
        attempt: Some("2".to_owned()),
        rank: Some(9),
        local_rank: Some(1),
        world_size: Some(16),
        node_rank: Some(1),
        restart: Some(0),
    }
}

#[test]
fn a_resource_says_everything_that_is_known_of_the_run() {
    let facts = Facts(vec![fact("host.name", "node-1"), fact("container.name", "trainer"), fact("container.id", "")]);
    let found = attributes("r1", &full(), &facts);
    let expected = [
        ("container.name", "trainer"),
        ("host.name", "node-1"),
        ("ml.experiment.id", "e1"),
        ("ml.experiment.name", "diabetes"),
        ("ml.node.rank", "1"),
        ("ml.platform", "azureml"),
        ("ml.run.alias.slurm", "7"),
        ("ml.run.attempt", "2"),
        ("ml.run.id", "r1"),
        ("ml.run.name", "ridge"),
        ("ml.run.parent.id", "p"),
        ("ml.run.root.id", "t"),
        ("service.instance.id", found["service.instance.id"].as_str()),
        ("service.name", "diabetes"),
        ("service.namespace", "ws"),
    ];
    assert_eq!(found, expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
}

#[test]
fn ranks_are_attributes_of_the_record() {
    let record = LogRecord::decode(record_attributes(&full()).as_slice()).unwrap();
    let expected = [("ml.local_rank", "1"), ("ml.rank", "9"), ("ml.run.restart", "0"), ("ml.world_size", "16")];
    assert_eq!(
        read(record.attributes),
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    );
    assert!(record_attributes(&Identity::default()).is_empty());
}

#[test]
fn a_service_always_has_a_name() {
    let identity = Identity { experiment: Some("e".to_owned()), ..Identity::default() };
    let container = Facts(vec![fact("container.name", "trainer")]);
    let mut chosen = container.clone();
    chosen.choose(&[fact("service.name", "from attributes")], Some("from its own variable"));
    assert_eq!(attributes("r", &Identity::default(), &Facts::default())["service.name"], "runlog");
    assert_eq!(attributes("r", &Identity::default(), &container)["service.name"], "trainer");
    assert_eq!(attributes("r", &identity, &container)["service.name"], "e");
    assert_eq!(attributes("r", &identity, &chosen)["service.name"], "from its own variable");
}

#[test]
fn an_operators_attribute_replaces_what_was_found_but_not_the_run() {
    let mut facts = Facts(vec![fact("host.name", "node-1")]);
    let chosen = [("host.name", "chosen"), ("ml.run.id", "other"), ("ml.platform", "other"), ("team", "vision")];
    facts.choose(&chosen.map(|(key, value)| fact(key, value)), None);
    let found = attributes("r1", &Identity::default(), &facts);
    assert!(!found.contains_key("ml.platform"));
    assert_eq!(found["host.name"], "chosen");
    assert_eq!(found["ml.run.id"], "r1");
    assert_eq!(found["team"], "vision");
}

#[test]
fn an_instance_is_one_attempt_of_one_run_on_one_node() {
    let instance = |run: &str, attempt: Option<&str>, node: Option<u32>, host: &str| {
        let identity = Identity { attempt: attempt.map(str::to_owned), node_rank: node, ..Identity::default() };
        let facts = Facts(vec![fact("host.name", host)]);
        attributes(run, &identity, &facts)["service.instance.id"].clone()
    };
    let first = instance("r", None, None, "h");
    assert_eq!(first, instance("r", None, None, "h"));
    assert_eq!(Uuid::parse_str(&first).unwrap().get_version_num(), 5);
    let different = [
        first,
        instance("r2", None, None, "h"),
        instance("r", Some("1"), None, "h"),
        instance("r", None, Some(1), "h"),
        instance("r", None, None, "h2"),
    ];
    assert_eq!(different.iter().collect::<BTreeSet<_>>().len(), different.len());
}

#[test]
fn every_name_is_in_the_document() {
    let resource = attributes("r", &full(), &Facts::default());
    let record = read(LogRecord::decode(record_attributes(&full()).as_slice()).unwrap().attributes);
    for name in resource.keys().chain(record.keys()) {
        let name = name.replace("ml.run.alias.slurm", "ml.run.alias.<platform>");
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name} is not in docs/attributes.md");
    }
}

#[test]
fn this_host_has_a_name() {
    assert!(host_name().is_some_and(|name| !name.contains('\n')));
}
