use super::*;
use crate::record::wire::{Value, attributes};

fn container(labels: &[(&str, &str)], environment: &[&str]) -> Container {
    Container {
        id: "abc".into(),
        name: "trainer".into(),
        image: "train:1".into(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        environment: environment.iter().map(|pair| (*pair).to_owned()).collect(),
        framing: Framing::Multiplexed,
        running: true,
        started_at: String::new(),
        exit: None,
    }
}

#[test]
fn labels_decide_which_containers_are_wanted() {
    let label = |key: &str, value: Option<&str>| Label { key: key.into(), value: value.map(str::to_owned) };
    let cases = [
        (vec![], vec![], true),
        (vec![("runlog.enabled", "False")], vec![], false),
        (vec![("runlog.enabled", "true")], vec![], true),
        (vec![("runlog.self", "")], vec![], false),
        (vec![("team", "vision")], vec![label("team", None)], true),
        (vec![("team", "vision")], vec![label("team", Some("vision"))], true),
        (vec![("team", "vision")], vec![label("team", Some("speech"))], false),
        (vec![("team", "vision")], vec![label("team", None), label("gpu", None)], false),
    ];
    for (labels, wanted, expected) in cases {
        let is = container(&labels, &[]).is_wanted(&wanted, &OwnContainer::default());
        assert_eq!(is, expected, "{labels:?} for {wanted:?}");
    }
}

#[test]
fn the_last_assignment_of_a_variable_counts_and_a_prefix_is_another_variable() {
    let container = container(&[], &["RUN=1", "RUN_ID=2", "RUN=3=4"]);
    assert_eq!(container.variable("RUN").as_deref(), Some("3=4"));
    assert_eq!(container.variable("RU"), None);
}

#[test]
fn a_run_is_named_by_the_label_else_by_the_environment_else_by_the_agent() {
    let tagging = Tagging {
        run_id: RunId::new("agent-run").unwrap(),
        identity: Identity { experiment: Some("agent-experiment".into()), ..Identity::default() },
        facts: Facts(vec![("host.name".into(), "gpu-1".into())]),
        level: Severity::INFO,
    };
    let cases = [
        (vec![], vec![], ("agent-run", "agent-experiment")),
        (vec![], vec!["MLFLOW_RUN_ID=env-run"], ("env-run", "agent-experiment")),
        (vec![("runlog.run-id", "label-run")], vec!["MLFLOW_RUN_ID=env-run"], ("label-run", "agent-experiment")),
        (vec![("runlog.run-id", " ")], vec!["MLFLOW_RUN_ID=env-run"], ("env-run", "agent-experiment")),
        (vec![("runlog.experiment", "label-experiment")], vec![], ("agent-run", "label-experiment")),
    ];
    for (labels, environment, (run_id, experiment)) in cases {
        let tags = tagging.tags(&container(&labels, &environment));
        let found: HashMap<String, String> = attributes(&tags.resource.encoded, 1)
            .filter_map(|pair| match pair.unwrap() {
                (key, Value::String(text)) => Some((key.to_owned(), text.to_owned())),
                _ => None,
            })
            .collect();
        let expected = [
            ("ml.run.id", run_id),
            ("ml.experiment.name", experiment),
            ("container.id", "abc"),
            ("container.name", "trainer"),
            ("container.image.name", "train:1"),
            ("container.runtime.name", "docker"),
            ("host.name", "gpu-1"),
        ];
        for (key, value) in expected {
            assert_eq!(found.get(key).map(String::as_str), Some(value), "{key} of {labels:?} {environment:?}");
        }
        assert_eq!(tags.resource.run_id, run_id);
    }
}

#[test]
fn a_label_sets_the_level_and_a_bad_one_leaves_it() {
    let tagging = Tagging {
        run_id: RunId::new("agent-run").unwrap(),
        identity: Identity::default(),
        facts: Facts::default(),
        level: Severity::INFO,
    };
    for (text, level) in [("debug", Severity::DEBUG), ("loud", Severity::INFO)] {
        assert_eq!(tagging.tags(&container(&[("runlog.level", text)], &[])).level, level);
    }
}

// The label once replaced the platform's id without a trace, and left its parent to another run.
#[test]
fn the_platforms_id_stays_as_an_alias_of_the_labelled_run() {
    let tagging = Tagging {
        run_id: RunId::new("agent-run").unwrap(),
        identity: Identity::default(),
        facts: Facts::default(),
        level: Severity::INFO,
    };
    let tags = tagging.tags(&container(&[("runlog.run-id", "label-run")], &["MLFLOW_RUN_ID=env-run"]));
    let alias = attributes(&tags.resource.encoded, 1).find_map(|pair| match pair.unwrap() {
        ("ml.run.alias.mlflow", Value::String(text)) => Some(text.to_owned()),
        _ => None,
    });
    assert_eq!(alias.as_deref(), Some("env-run"));
}
