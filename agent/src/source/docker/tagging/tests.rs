use super::*;

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
