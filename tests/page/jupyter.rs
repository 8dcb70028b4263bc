//! A run as Jupyter's pages show it: `RunDetails(run).show()`.

use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
};

use runlog_tests::{Agent, eventually, root, tool};
use serde_json::{Value, json};

use crate::visit::Visit;

const TOKEN: &str = "the-token-of-this-test";

/// What the notebooks' cell has.
const CELL: &str = "from runlog import Run, Workspace\nfrom runlog.widgets import RunDetails\nRunDetails(Run.get(Workspace(), 'live')).show()";

/// Jupyter's server. Ended when dropped, with its kernels.
struct Jupyter {
    child: Child,
    address: String,
}

impl Jupyter {
    fn beside(agent: &Agent) -> Self {
        let folder = agent.path("notebooks");
        fs::create_dir(&folder).unwrap();
        for name in ["lab", "notebook", "classic"] {
            let cell = json!({"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": CELL, "execution_count": null});
            let kernel = json!({"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}});
            let notebook = json!({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5});
            fs::write(folder.join(format!("{name}.ipynb")), notebook.to_string()).unwrap();
        }
        let runtime = agent.path("jupyter");
        let child = Command::new(tool("RUNLOG_TEST_JUPYTER", "jupyter"))
            .args(["-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"])
            .arg(format!("--IdentityProvider.token={TOKEN}"))
            .arg(format!("--ServerApp.root_dir={}", folder.display()))
            // What would ask others for news and extensions.
            .args(["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"])
            .arg("--LabApp.extension_manager=readonly")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", agent.path("home"))
            .env("JUPYTER_RUNTIME_DIR", &runtime)
            .env("PYTHONPATH", root().join("proto/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("RUNLOG_CONFIG", "/dev/null")
            .env("RUNLOG_STATE_DIR", agent.state())
            .stdout(Stdio::null())
            .stderr(fs::File::create(agent.path("jupyter.log")).unwrap())
            .spawn()
            .unwrap();
        let server = runtime.join(format!("jpserver-{}.json", child.id()));
        let address = eventually("Jupyter has an address", || {
            let told: Value = serde_json::from_slice(&fs::read(&server).ok()?).ok()?;
            Some(told["url"].as_str()?.to_owned())
        });
        Self { child, address }
    }
}

impl Drop for Jupyter {
    fn drop(&mut self) {
        // Asked to end, it ends its kernels.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_is_shown_live_in_lab_in_notebook_and_in_the_classic_one() {
    let agent = Agent::builder().start();
    let script = "echo epoch 1 begins; read -r line; echo epoch 2 begins";
    let mut training = agent
        .other(&["exec", "--run-id", "live", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let logged = |value: &str| {
        let output = agent.run(&["run", "--run", "live", "log", "loss", value]);
        output.status.success().then_some(())
    };
    eventually("the run has begun", || logged("4"));
    ["2", "1"].iter().for_each(|value| logged(value).unwrap());
    let jupyter = Jupyter::beside(&agent);
    let mut visit = Visit::start("jupyter.mjs", &[&jupyter.address, TOKEN], "");
    let jupyters = || fs::read_to_string(agent.path("jupyter.log")).unwrap_or_default();
    assert!(visit.says().is_some(), "it ends with what is wrong on stderr: {}", jupyters());
    training.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    assert!(training.wait().unwrap().success());
    visit.go_on();
    let seen = visit.says().unwrap_or_else(|| panic!("nothing was seen: {}", jupyters()));
    visit.ends_well();
    for page in ["lab", "notebook", "classic"] {
        let text = seen[page]["text"].as_str().unwrap();
        for expected in ["Completed", "loss", "epoch 1 begins", "epoch 2 begins"] {
            assert!(text.contains(expected), "{page}: {expected}: {text}");
        }
        assert_eq!(seen[page]["chart"], true, "{page}: {text}");
    }
}
