//! What runs have logged, on the page.

use std::fs;

use runlog_tests::Agent;
use serde_json::Value;

use crate::visit::Visit;

/// A picture that is three pixels wide.
const IMAGE: &str =
    r#"<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><script>window.hacked = true</script></svg>"#;

/// An agent with what it is shown by those that log.
struct Site {
    agent: Agent,
    token: &'static str,
}

impl Site {
    fn run(&self, run: &str, arguments: &[&str]) {
        let mut command = self.agent.other(&[&["run", "--run", run], arguments].concat());
        if !self.token.is_empty() {
            command.env("RUNLOG_SERVE_TOKEN", self.token);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn written(&self, name: &str, text: &str) -> String {
        fs::write(self.agent.path(name), text).unwrap();
        self.agent.path(name).display().to_string()
    }
}

/// Three runs of a sweep, one that has ended badly, and one that has logged something of each kind.
fn fill(site: &Site) {
    let ended = site.agent.other(&["exec", "--run-id", "ended", "--", "sh", "-c", "exit 3"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stderr));
    site.run("sweep", &["start", "--experiment", "diabetes"]);
    for (alpha, mse) in [("0.1", "3300"), ("0.4", "3295.5"), ("0.9", "12000")] {
        let id = format!("alpha-{alpha}");
        let parameter = format!("alpha={alpha}");
        site.run(&id, &["start", "--parent", "sweep", "--name", &parameter, "--param", &parameter]);
        site.run(&id, &["log", "mse", mse]);
        site.run(&id, &["complete"]);
    }
    site.run("one", &["start", "--experiment", "diabetes", "--param", "lr=0.001"]);
    site.run("one", &["tag", "note=<img src=x onerror=\"window.hacked = true\">"]);
    for (step, loss) in ["4", "nan", "2", "1"].iter().enumerate() {
        site.run("one", &["log", "loss", loss, "--step", &(10 * step).to_string()]);
    }
    let long: Vec<_> = (0..5_000).map(|number| (number % 97).to_string()).collect();
    let long: Vec<_> = ["log-list", "long"].into_iter().chain(long.iter().map(String::as_str)).collect();
    site.run("one", &long);
    site.run("one", &["log", "category", "Red"]);
    for angle in ["0", "1", "2"] {
        site.run("one", &["log-row", "sine", &format!("angle={angle}"), &format!("value={angle}.5")]);
    }
    site.run("one", &["upload", "outputs/model.bin", &site.written("model.bin", "model")]);
    site.run("one", &["log-image", "plot", &site.written("plot.svg", IMAGE)]);
}

fn looks_at_results(token: &'static str) {
    let builder = Agent::builder();
    let builder = if token.is_empty() { builder } else { builder.set("RUNLOG_SERVE_TOKEN", token) };
    let site = Site { agent: builder.start(), token };
    fill(&site);
    let mut visit = Visit::start("results.mjs", &[&site.agent.address(), "sweep", "one", "ended"], token);
    assert!(visit.says().is_some(), "it ends with what is wrong on stderr");
    site.run("one", &["log", "later", "logged later"]);
    visit.go_on();
    let seen = visit.says().unwrap();
    visit.ends_well();

    let list = |field: &Value| -> Vec<String> {
        field.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list(&seen["heads"]), ["run", "status", "alpha", "mse"]);
    let (names, values) = (["alpha=0.4", "alpha=0.1", "alpha=0.9"], ["3295.5", "3300", "12000"]);
    assert_eq!(
        (list(&seen["up"][0]), list(&seen["up"][1])),
        (names.map(str::to_owned).into(), values.map(str::to_owned).into())
    );
    let reversed = |of: [&str; 3]| of.iter().rev().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!((list(&seen["down"][0]), list(&seen["down"][1])), (reversed(names), reversed(values)));
    assert_eq!(seen["swept"], 3, "the sweep is a chart with a point for each run");
    let text = |field: &str| seen[field].as_str().unwrap().to_owned();
    assert!(text("child").contains("alpha") && text("child").contains("12000"), "{}", text("child"));

    assert_eq!(list(&seen["ended"])[1..], ["sh", "exit code 3"]);
    assert_eq!(seen["badly"], 1);
    for expected in
        ["lr", "0.001", "note", "<img src=x", "1 value not finite", "Red", "sine", "outputs/model.bin", "5 B"]
    {
        assert!(text("text").contains(expected), "{expected}: {}", text("text"));
    }
    let loss: Vec<_> = seen["loss"].as_array().unwrap().iter().map(|height| height.as_f64().unwrap()).collect();
    assert!(
        loss.len() == 3 && loss[0] < loss[1] && loss[1] < loss[2],
        "it goes down, without what is not finite: {loss:?}"
    );
    assert_eq!(list(&seen["ticks"]), ["1", "2.5", "4", "0", "step", "30"]);
    assert!(text("said").starts_with("step "), "{}", text("said"));
    let long = seen["long"].as_u64().unwrap();
    assert!((500..=600).contains(&long), "a long series is thinned out: {long}");
    assert_eq!((&seen["images"].to_string()[..], text("file").as_str()), ("[3]", "model"));
    assert_eq!((&seen["injected"], &seen["executed"]), (&0.into(), &false.into()), "what is logged is text");
    assert_eq!(seen["overflow"], 0, "a phone need not scroll sideways");
    assert!(!text("log").is_empty());
    assert_eq!(seen["left"], 0, "nothing stays behind the log");
    assert_eq!(seen["complaints"], Value::Array(Vec::new()));
}

#[test]
fn a_run_shows_its_numbers_as_charts_and_a_sweep_its_runs_as_a_table_to_sort() {
    looks_at_results("");
}

#[test]
fn results_are_shown_behind_a_token_too() {
    looks_at_results("the-token-of-this-test");
}
