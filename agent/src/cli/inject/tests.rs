use insta::assert_snapshot;

use super::{
    tree::{Node, Value},
    *,
};

const MANIFESTS: [(&str, &str); 7] = [
    ("job.yaml", include_str!("manifests/job.yaml")),
    ("cron.json", include_str!("manifests/cron.json")),
    ("deployment.yaml", include_str!("manifests/deployment.yaml")),
    ("pytorchjob.yaml", include_str!("manifests/pytorchjob.yaml")),
    ("jobset.yaml", include_str!("manifests/jobset.yaml")),
    ("ray.yaml", include_str!("manifests/ray.yaml")),
    ("pod.yaml", include_str!("manifests/pod.yaml")),
];

fn wanted() -> Wanted {
    Wanted {
        image: "runlog:1".into(),
        endpoint: "http://collector:4318".into(),
        headers: None,
        level: None,
        run_id: None,
        experiment: None,
        mode: None,
        containers: Vec::new(),
    }
}

fn injected(text: &str) -> String {
    changed(text, Some(&wanted())).unwrap()
}

fn removed(text: &str) -> String {
    changed(text, None).unwrap()
}

fn refused(text: &str, wanted: &Wanted) -> String {
    let faults = changed(text, Some(wanted)).unwrap_err();
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// All words of a text in order, but those that are in the nodes left out.
fn words(node: &Node, is_left_out: &dyn Fn(&Node) -> bool, out: &mut Vec<String>) {
    match &node.value {
        _ if is_left_out(node) => {}
        Value::Text(word, _) => out.push(word.clone()),
        Value::List(items, _) => items.iter().for_each(|item| words(item, is_left_out, out)),
        Value::Map(entries, _) => entries.iter().for_each(|(key, value)| {
            out.push(key.text().unwrap().to_owned());
            words(value, is_left_out, out);
        }),
        Value::Alias => out.push("*".into()),
    }
}

fn all_words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    tree::read(text).unwrap().iter().for_each(|document| words(document, &|_| false, &mut all));
    all
}

/// The pods of a text, each with its containers' commands, and the names in its lists.
fn pods_of(text: &str) -> Vec<(Vec<String>, Vec<String>, Vec<String>)> {
    let documents = tree::read(text).unwrap();
    let pods = documents.iter().flat_map(|document| kinds::pods(document).unwrap());
    let told = |pod: kinds::Pod<'_>| {
        let names = |key| {
            let items = pod.spec.get(key).map(Node::items).unwrap_or_default();
            items.iter().map(|item| item.word("name").to_owned()).collect::<Vec<_>>()
        };
        let command = |container: &Node| {
            let command = container.get("command").map(Node::items).unwrap_or_default();
            command.iter().filter_map(Node::text).collect::<Vec<_>>().join(" ")
        };
        let commands = pod.spec.get("containers").unwrap().items().iter().map(command).collect();
        (commands, names("initContainers"), names("volumes"))
    };
    pods.map(told).collect()
}

#[test]
fn a_job_with_the_sidecar_is_as_it_was_read_and_approved() {
    assert_snapshot!("job", injected(MANIFESTS[0].1));
    assert_snapshot!("ray", injected(MANIFESTS[5].1));
}

#[test]
fn what_is_taken_out_again_leaves_every_byte_as_it_was() {
    for (name, text) in MANIFESTS {
        let crlf = text.replace('\n', "\r\n");
        let open = text.trim_end();
        for text in [text, &crlf, open] {
            assert_eq!(removed(&injected(text)), text, "{name}");
            assert_eq!(removed(text), text, "{name}");
        }
    }
}

#[test]
fn lines_end_as_those_of_the_manifest_do() {
    for (name, text) in MANIFESTS {
        let with = injected(&text.replace('\n', "\r\n"));
        assert!(!with.replace("\r\n", "").contains('\n'), "{name}");
    }
}

#[test]
fn the_pods_of_every_kind_are_found() {
    let counts = MANIFESTS.map(|(_, text)| injected(text).matches("name: runlog-furnish").count());
    let in_json = injected(MANIFESTS[1].1).matches("\"runlog-furnish\"").count();
    // Of the StatefulSet in brackets the name is in quotes as well.
    assert_eq!((counts, in_json), ([1, 0, 1, 2, 2, 4, 1], 1));
}

#[test]
fn the_second_time_changes_nothing_and_another_wish_replaces_the_first() {
    let other = Wanted { image: "runlog:2".into(), level: Some("debug".into()), ..wanted() };
    for (name, text) in MANIFESTS {
        let once = injected(text);
        assert_eq!(injected(&once), once, "{name}");
        assert_eq!(changed(&once, Some(&other)), changed(text, Some(&other)), "{name}");
    }
}

#[test]
fn nothing_but_the_sidecar_is_added_wherever_pods_are_written() {
    for (name, text) in MANIFESTS {
        let (before, after) = (all_words(text), all_words(&injected(text)));
        let mut rest = after.iter();
        assert!(before.iter().all(|word| rest.any(|other| other == word)), "{name}: {after:?}");
        let pods = pods_of(&injected(text));
        let expected = pods_of(text);
        assert_eq!(pods.len(), expected.len());
        for ((commands, first, volumes), (old_commands, old_first, old_volumes)) in pods.iter().zip(&expected) {
            for (command, old) in commands.iter().zip(old_commands) {
                let wrapped = format!("/mnt/runlog/bin/runlog exec --quiet -- {old}");
                let is_ray = name.starts_with("ray");
                assert_eq!(*command, if is_ray { old.clone() } else { wrapped }, "{name}");
            }
            let ours = |ours: [&str; 2], old: &[String]| {
                ours.iter().map(|name| (*name).to_owned()).chain(old.iter().cloned()).collect::<Vec<_>>()
            };
            assert_eq!(*first, ours(["runlog-furnish", "runlog"], old_first), "{name}");
            assert_eq!(*volumes, ours(["runlog", "runlog-state"], old_volumes), "{name}");
        }
    }
}

#[test]
fn variables_that_the_manifest_sets_itself_stay_its_own() {
    let text = injected(MANIFESTS[0].1);
    let documents = tree::read(&text).unwrap();
    let pods = kinds::pods(&documents[0]).unwrap();
    let container = &pods[0].spec.get("containers").unwrap().items()[0];
    let names: Vec<_> = container.get("env").unwrap().items().iter().map(|item| item.word("name")).collect();
    let expected = [
        "RUNLOG_STATE_DIR",
        "POD_NAMESPACE",
        "POD_UID",
        "NODE_NAME",
        "K8S_JOB_NAME",
        "RUNLOG_EXPORT_COMPRESSION",
        "RUNLOG_EXPORT_ENDPOINT",
        "POD_NAME",
        "ANSWER",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_secret_the_run_and_the_level_are_told_to_those_who_need_them() {
    let wanted = Wanted {
        headers: Some(("otlp".into(), "headers".into())),
        level: Some("debug".into()),
        run_id: Some("r-1".into()),
        experiment: Some("e: 1".into()),
        ..wanted()
    };
    let text = changed(MANIFESTS[6].1, Some(&wanted)).unwrap();
    let count = |part: &str| text.matches(part).count();
    assert_eq!((count("RUNLOG_EXPORT_HEADERS"), count("secretKeyRef"), count("value: debug")), (1, 1, 2), "{text}");
    assert_eq!((count("value: r-1"), count("value: \"e: 1\"")), (2, 2), "{text}");
    assert_eq!(removed(&text), MANIFESTS[6].1);
}

#[test]
fn only_the_containers_that_were_named_are_wrapped() {
    let wanted = Wanted { containers: vec!["proxy".into()], ..wanted() };
    let text = MANIFESTS[2].1.split("...").next().unwrap();
    let pods = pods_of(&changed(text, Some(&wanted)).unwrap());
    assert_eq!(pods[0].0, ["python serve.py", "/mnt/runlog/bin/runlog exec --quiet -- proxy"]);
    let wanted = Wanted { containers: vec!["trainer".into()], ..wanted };
    assert_eq!(refused(text, &wanted), "23: there is no container trainer in this pod");
}

#[test]
fn with_files_a_container_needs_no_command() {
    let text = MANIFESTS[6].1.replace("command: [\"true\"]\n    ", "");
    let wanted = Wanted { mode: Some(Mode::Files), ..wanted() };
    let with = changed(&text, Some(&wanted)).unwrap();
    assert_eq!((with.contains("- exec"), with.matches("mountPath: /mnt/runlog").count()), (false, 3), "{with}");
    assert_eq!(removed(&with), text);
}

#[test]
fn what_is_not_understood_is_told_with_its_line_and_nothing_is_changed() {
    let pod = |rest: &str| format!("kind: Pod\nspec:\n{rest}");
    let one = "  containers:\n  - {name: one, command: [a]}\n";
    let cases = [
        ("a: [".to_owned(), "2: while parsing a node, did not find expected node content"),
        ("a: 1\na: 2\n".to_owned(), "2: a stands there twice"),
        ("- 1\n".to_owned(), "1: this is no manifest"),
        ("kind: Service\n".to_owned(), "1: there is no pod in these manifests"),
        ("kind: Job\n".to_owned(), "1: this Job has no spec.template.spec"),
        (
            "kind: Rollout\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n".to_owned(),
            "5: Rollout has containers, and runlog does not know what is made of them; it knows Pod, Job, CronJob,",
        ),
        (pod("  containers: []\n"), "3: this pod has no list of containers"),
        (pod(&format!("  hostNetwork: true\n{one}")), "3: hostNetwork: the sidecar's ports would be those of the node"),
        (pod("  containers:\n  - {image: a, command: [a]}\n"), "4: this container has no name"),
        (pod("  containers:\n  - {name: one}\n"), "4: container one has no command: what its image starts"),
        (pod("  containers:\n  - {name: one, args: [a]}\n"), "4: container one has no command"),
        (pod("  containers:\n  - {name: one, command: a}\n"), "4: container one has no command"),
        (pod("  containers:\n  - {name: runlog, command: [a]}\n"), "4: runlog is a name that the sidecar needs"),
        (pod(&format!("{one}  volumes: [{{name: runlog}}]\n")), "5: runlog is a name that the sidecar needs"),
        (pod(&format!("{one}  volumes:\n")), "5: volumes is no list; take the line out if it is empty"),
        (
            pod("  containers:\n  - {name: one, command: [a], env: [{name: RUNLOG_EXPORT_ENDPOINT, value: b}]}\n"),
            "4: container one sets RUNLOG_EXPORT_ENDPOINT",
        ),
        (
            pod("  containers:\n  - {name: one, command: [a], volumeMounts: [{name: b, mountPath: /mnt/runlog/}]}\n"),
            "4: container one has /mnt/runlog on a volume",
        ),
        (format!("a: &c [x]\n{}", pod("  containers:\n  - name: one\n    command: *c\n")), "this stands elsewhere"),
        (
            pod("  containers:\n  - <<: {image: a}\n    name: one\n    command: [a]\n"),
            "a part of this stands elsewhere",
        ),
    ];
    for (text, told) in cases {
        let refused = refused(&text, &wanted());
        assert!(refused.contains(told), "{text}{refused}");
    }
}

/// What is said of flags that the pods' runlogs would be given.
fn checked(flags: &[&str]) -> String {
    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: InjectArgs,
    }
    let typed = [&["inject"], flags].concat();
    let args = <Typed as clap::Parser>::parse_from(typed).args;
    check(&args).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn what_a_runlog_in_the_pod_would_refuse_is_refused_before_it_is_there() {
    assert_snapshot!(checked(&["--endpoint", "collector:4318", "--level", "verbos", "--run-id", "a\nb"]), @r#"
    --level=verbos is not a level (command line)
    use one of: trace, debug, info, warn, error, fatal

    --run-id=a�b cannot be a run id (command line)
    use 1 to 256 characters without control characters

    --endpoint=collector:4318 has no scheme (command line)
    write http://host:port, or https://host:port for TLS
    "#);
    let endpoint = ["--endpoint", "http://collector:4318"];
    let given = |flags: &[&str]| checked(&[&endpoint, flags].concat());
    assert_eq!(given(&["--level", "WARNING", "--run-id", "ridge-7", "--experiment", "ridge"]), "");
    // What Kubernetes fills in cannot be checked here.
    assert_eq!(given(&["--run-id", "$(POD_NAME)", "--level", "$(LEVEL)"]), "");
    assert_eq!(checked(&["--endpoint", "http://$(HOST_IP):4318"]), "");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "kind: Pod\nspec:\n  hostNetwork: true\n  containers:\n  - name: one\n  - name: two\n";
    let lines: Vec<_> =
        refused(text, &wanted()).lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["3", "5", "6"]);
}

#[test]
fn the_program_is_put_into_the_shared_folder_with_a_place_for_logs() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        furnish(folder.path()).unwrap();
    }
    let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin/runlog"), mode("logs"), mode("bin")), (0o755, 0o1777, 0o755));
    let own = fs::metadata("/proc/self/exe").unwrap().len();
    assert_eq!(fs::metadata(folder.path().join("bin/runlog")).unwrap().len(), own);
    assert_eq!(fs::read_dir(folder.path().join("bin")).unwrap().count(), 1);
}
