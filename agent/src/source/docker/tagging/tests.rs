use std::path::PathBuf;

use super::*;
use crate::{
    config::Switch,
    record::{
        Severity,
        wire::{Value, attributes},
    },
};

pub fn container(labels: &[(&str, &str)], environment: &[&str]) -> Container {
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

fn config(include: &[&str], exclude: &[&str]) -> Config {
    let filters = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Config {
        collect: Switch::On,
        socket: PathBuf::new(),
        include: filters(include),
        exclude: filters(exclude),
        read_exited: true,
        files: crate::source::docker::Folder::None,
    }
}

#[test]
fn a_container_is_wanted_if_it_is_included_and_not_excluded_unless_its_label_says_otherwise() {
    let none: &[&str] = &[];
    let team = [("team", "vision")];
    let cases = [
        (&[][..], none, none, true),
        (&team, &["label=team"], none, true),
        (&team, &["label=team=speech", "label=team=vi*"], none, true),
        (&team, &["label=team=speech"], none, false),
        (&team, none, &["name=trainer"], false),
        (&team, &["label=team"], &["image=train:1"], false),
        (&team, &["label=team"], &["image=train:2"], true),
        (&[("runlog.enabled", " False ")], none, none, false),
        (&[("runlog.enabled", "true")], &["name=other"], &["name=trainer"], true),
        // What cannot be read counts as nothing said.
        (&[("runlog.enabled", "maybe")], &["name=other"], none, false),
        (&[("runlog.enabled", "maybe")], none, none, true),
        // Only those that ask for it.
        (&[("runlog.enabled", "true")], &["label=runlog.enabled=true"], none, true),
        (&team, &["label=runlog.enabled=true"], none, false),
        (&[("runlog.self", ""), ("runlog.enabled", "true")], none, none, false),
    ];
    for (labels, include, exclude, expected) in cases {
        let is = container(labels, &[]).is_wanted(&config(include, exclude), &OwnContainer::default());
        assert_eq!(is, expected, "{labels:?} of {include:?} without {exclude:?}");
    }
}

#[test]
fn the_last_assignment_of_a_variable_counts_and_a_prefix_is_another_variable() {
    let container = container(&[], &["RUN=1", "RUN_ID=2", "RUN=3=4"]);
    assert_eq!(container.variable("RUN").as_deref(), Some("3=4"));
    assert_eq!(container.variable("RU"), None);
}

#[test]
fn h26_a_run_is_named_by_the_label_else_by_the_environment_else_by_the_agent_and_it_is_told_by_which() {
    let tagging = Tagging {
        run_id: RunId::new("agent-run").unwrap(),
        identity: Identity { experiment: Some("agent-experiment".into()), ..Identity::default() },
        facts: Facts(vec![("host.name".into(), "gpu-1".into())]),
        level: Severity::INFO,
    };
    let cases = [
        (vec![], vec![], ("agent-run", "agent-experiment", "agent")),
        (vec![], vec!["MLFLOW_RUN_ID=env-run"], ("env-run", "agent-experiment", "container.environment")),
        (
            vec![("runlog.run-id", " label-run\n")],
            vec!["MLFLOW_RUN_ID=env-run"],
            ("label-run", "agent-experiment", "container.label"),
        ),
        (
            vec![("runlog.run-id", " ")],
            vec!["MLFLOW_RUN_ID=env-run"],
            ("env-run", "agent-experiment", "container.environment"),
        ),
        (vec![("runlog.experiment", " label-experiment ")], vec![], ("agent-run", "label-experiment", "agent")),
        (vec![("runlog.experiment", "")], vec![], ("agent-run", "agent-experiment", "agent")),
    ];
    for (labels, environment, (run_id, experiment, from)) in cases {
        let tags = tagging.tags(&container(&labels, &environment));
        let found: HashMap<String, String> = attributes(&tags.resource.encoded, 1)
            .filter_map(|pair| match pair.unwrap() {
                (key, Value::String(text)) => Some((key.to_owned(), text.to_owned())),
                _ => None,
            })
            .collect();
        let expected = [
            ("ml.run.id", run_id),
            ("runlog.run_id.from", from),
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
    for (text, level) in [(" debug ", Severity::DEBUG), ("loud", Severity::INFO)] {
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
