//! Which containers are collected, and which run their lines belong to.

use runlog_tests::{Containers, Line, eventually};
use serde_json::Value;

#[test]
fn the_run_and_the_rank_are_found_in_the_containers_environment() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let _own = containers
        .run(&["--env", "RUNLOG_RUN_ID=by-environment", "--env", "RANK=3", "--env", "WORLD_SIZE=8"], "echo a");
    let _mlflow =
        containers.run(&["--env", "MLFLOW_RUN_ID=0123456789abcdef", "--env", "MLFLOW_EXPERIMENT_NAME=ridge"], "echo b");
    let _unnamed = containers.run(&["--name", &format!("unnamed-{}", std::process::id())], "echo c");

    let line = &agent.eventually_lines("by-environment", 1)[0];
    assert_eq!((line.body(), line.attribute("ml.rank"), line.attribute("ml.world_size")), ("a", "3", "8"));
    assert_eq!(agent.eventually_lines("0123456789abcdef", 1)[0].body(), "b");
    let ours = agent.eventually_lines("r", 1);
    assert_eq!(ours.iter().map(Line::body).collect::<Vec<_>>(), ["c"], "the agent's own run has the rest");
    let runs = String::from_utf8(agent.run(&["runs", "--json"]).stdout).unwrap();
    assert!(
        runs.lines().any(|run| run.contains("0123456789abcdef") && run.contains("\"experiment\":\"ridge\"")),
        "{runs}"
    );
}

#[test]
fn the_receipt_of_a_containers_run_comes_with_its_end() {
    let containers = Containers::new();
    let agent = containers.agent().set("RUNLOG_LEVEL", "INFO").start();
    let script = "echo INFO:a:out; echo DEBUG:a:small; echo ERROR:a:bad >&2";
    let _ended = containers.run_to_end(&["--label", "runlog.run-id=ended"], script);

    let run = eventually("the run has a receipt", || {
        let shown = agent.run(&["runs", "show", "ended", "--json"]);
        let run: Value = serde_json::from_slice(&shown.stdout).ok()?;
        (run["complete"] == true && run["status"] == "completed").then_some(run)
    });
    // One for both streams, although the end of the second is what gives out its last line.
    let receipts = run["receipts"].as_array().unwrap();
    assert_eq!(receipts.len(), 1, "{receipts:?}");
    let mut sources: Vec<_> = receipts[0]["sources"].as_array().unwrap().iter().collect();
    sources.sort_by_key(|source| source["name"].to_string());
    let counts = sources.iter().map(|source| {
        let stream = source["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (stream, source["lines_read"].as_u64().unwrap(), source["lines_filtered"].as_u64().unwrap())
    });
    assert_eq!(counts.collect::<Vec<_>>(), [("stderr".to_owned(), 1, 0), ("stdout".to_owned(), 2, 1)]);
    assert_eq!(sources[0]["first_error"]["body"], "ERROR:a:bad");
    assert_eq!(run["exit_code"], 0);
}

#[test]
fn a_label_leaves_the_lines_of_a_traceback_records_of_their_own() {
    for files in ["off", "auto"] {
        let containers = Containers::new();
        let agent = containers.agent().set("RUNLOG_DOCKER_FILES", files).start();
        let traceback = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: bad\n";
        let script = format!("printf '{traceback}' >&2; echo end >&2");
        let _plain = containers.run(&["--label", "runlog.run-id=plain", "--label", "runlog.multiline=false"], &script);
        let _joined = containers.run(&["--label", "runlog.run-id=joined"], &script);
        let bodies = |run, count| -> Vec<String> {
            agent.eventually_lines(run, count).iter().map(|line| line.body().to_owned()).collect()
        };
        assert_eq!(bodies("plain", 4).join("\n") + "\n", format!("{traceback}end\n"), "{files}");
        let joined = bodies("joined", 2);
        assert_eq!((joined[0].as_str(), joined[1].as_str()), (traceback.trim_end(), "end"), "{files}");
    }
}

#[test]
fn containers_are_chosen_by_label_image_name_and_compose_project() {
    let containers = Containers::new();
    let label = containers.label();
    let ours = |more: &str| format!("label={label} {more}");
    let include = [ours("label=team=vis*"), ours("project=ridge service=train"), ours("name=chosen-*")].join(",");
    let agent = containers
        .agent()
        .set("RUNLOG_DOCKER_INCLUDE", include)
        .set("RUNLOG_DOCKER_EXCLUDE", "label=team=visitors,image=*/nothing:*")
        .start();
    let run = |id: &str, flags: &[&str]| {
        let run_id = format!("runlog.run-id={id}");
        containers.run_to_end(&[&["--label", &run_id], flags].concat(), &format!("echo {id}"))
    };
    let compose = |service: &str| format!("com.docker.compose.service={service}");
    let in_project = "com.docker.compose.project=ridge";
    let name = format!("chosen-{}", std::process::id());
    let _left_out = [
        run("off", &["--label", "team=vision", "--label", "runlog.enabled=false"]),
        run("other-team", &["--label", "team=speech"]),
        run("excluded", &["--label", "team=visitors"]),
        run("other-service", &["--label", in_project, "--label", &compose("db")]),
    ];
    let _chosen = [
        run("by-team", &["--label", "team=vision"]),
        run("by-service", &["--label", in_project, "--label", &compose("train")]),
        run("by-name", &["--name", &name]),
    ];
    for id in ["by-team", "by-service", "by-name"] {
        assert_eq!(agent.eventually_lines(id, 1)[0].body(), id);
    }
    for id in ["off", "other-team", "excluded", "other-service"] {
        assert_eq!(agent.try_lines(id), None, "{id}");
    }
}
