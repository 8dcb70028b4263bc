//! Azure's notebooks with other imports, on a real kernel with the real scikit-learn and matplotlib.

use std::{fs, path::Path, process::Command};

use runlog_tests::{Agent, binary, root, tool};
use serde_json::Value;

use crate::program::{agent, script, socket};

/// What the cells of a notebook of the examples put out.
struct Played(Vec<Value>);

impl Played {
    /// What is put out by the first cell that has this in it.
    fn said(&self, source: &str) -> &str {
        let cell = self.0.iter().find(|cell| cell["source"].as_str().unwrap().contains(source));
        cell.unwrap_or_else(|| panic!("no cell has {source}"))["said"].as_str().unwrap()
    }
}

/// Whether scripts are run by `runlog exec`.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Runlog,
    Python,
}

fn play(agent: &Agent, example: &str, by: By) -> Played {
    let folder = agent.path(example);
    copy(&root().join("proto/python/examples").join(example), &folder);
    fs::create_dir(agent.path("tmp")).unwrap();
    let mut command = Command::new(tool("RUNLOG_TEST_NOTEBOOK_PYTHON", "notebook-python"));
    command
        .arg(script("notebook.py"))
        .arg(folder.join(format!("{example}.ipynb")))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", agent.path("home"))
        .env("TMPDIR", agent.path("tmp"))
        .env("PYTHONPATH", root().join("proto/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RUNLOG_SOCKET", socket(agent))
        .env("RUNLOG_CONFIG", "/dev/null")
        .env("RUNLOG_STATE_DIR", agent.state());
    if by == By::Runlog {
        command.env("RUNLOG_BIN", binary());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    Played(serde_json::from_slice(&output.stdout).unwrap())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in from.read_dir().unwrap().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn finds_the_best_model(by: By) {
    let mut agent = agent();
    agent.start();
    let played = play(&agent, "train-on-local", by);
    let shown = played.said("run.wait_for_completion");
    assert!(shown.contains("alpha is 0.40, and mse is 3295.71\n"), "{shown}");
    assert_eq!(shown.matches("alpha is ").count(), 20, "{shown}");
    assert!(shown.contains("Status: Completed"), "{shown}");
    assert!(played.said("best_alpha =").contains("When alpha is 0.40, we have min MSE 3295.71."), "{played:?}");
    let files = played.said("run.get_file_names()");
    assert_eq!(files.matches("outputs/ridge_").count(), 20, "{files}");
    assert!(played.said("register_model").starts_with("best_ridge_model 1 runlog://"), "{played:?}");
}

impl std::fmt::Debug for Played {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for cell in &self.0 {
            writeln!(formatter, "{}\n  => {}", cell["source"].as_str().unwrap(), cell["said"].as_str().unwrap())?;
        }
        Ok(())
    }
}

#[test]
fn train_on_local_finds_the_best_model_among_scripts_that_runlog_runs() {
    finds_the_best_model(By::Runlog);
}

#[test]
fn train_on_local_finds_the_best_model_where_there_is_no_runlog_to_run_scripts() {
    finds_the_best_model(By::Python);
}

/// Logs every kind of metric, and reads it back from an agent or, without one, from the spool.
fn reads_back_every_kind_of_metric(agent: &Agent) {
    let played = play(agent, "logging-api", By::Python);
    let names = played.said("sorted(fetched_metrics)");
    let kinds =
        ["Category", "Cosine Wave", "Fibonacci", "Hyperbolic Tangent", "Load", "Magic Number", "Sigmoid", "Sine Wave"];
    for name in kinds {
        assert!(names.contains(&format!("'{name}'")), "{name}: {played:?}");
    }
    assert!(played.said("fetched_run.get_metrics(name=").contains("{'scale factor': 2}"), "{played:?}");
    let files = played.said("fetched_run.get_file_names()");
    assert!(files.contains("outputs/myfile.txt") && files.contains("Hyperbolic Tangent_"), "{files}");
    assert_eq!(
        fs::read_to_string(agent.path("logging-api/files/myfile.txt")).unwrap(),
        "This is an output file that will be uploaded.\n"
    );
    let tags = played.said("fetched_run.tag");
    assert!(tags.contains("'My Favorite Run': None") && tags.contains("'Competition Rank': '1'"), "{tags}");
    let details = played.said("RunDetails(fetched_run).show()");
    assert!(details.contains("<td>Completed</td>") && details.contains("<polyline"), "{details}");
}

#[test]
fn logging_api_reads_back_every_kind_of_metric() {
    let mut agent = agent();
    agent.start();
    reads_back_every_kind_of_metric(&agent);
}

#[test]
fn logging_api_reads_back_every_kind_of_metric_while_no_agent_runs() {
    reads_back_every_kind_of_metric(&agent());
}
