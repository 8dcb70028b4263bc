//! The guides, done as they are written: what stands in a block of `sh` is run, in order, by one shell that stops at the
//! first command that fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use runlog_tests::{Agent, Containers, Machine, binary, docker, docker_host, root, runlog_image, tool};

/// What a guide has people type.
fn commands(guide: &str) -> String {
    let text = fs::read_to_string(root().join("docs/guides").join(guide)).unwrap();
    let mut script = String::new();
    for block in text.split("```sh\n").skip(1) {
        script += block.split_once("```").expect("a block has an end").0;
    }
    assert!(!script.is_empty(), "{guide} has no commands");
    script
}

/// A folder with a training, in which commands are found that a machine of that kind has.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::create_dir(desk.path().join("bin")).unwrap();
        fs::create_dir(desk.path().join("work")).unwrap();
        symlink(binary(), desk.path().join("bin/runlog")).unwrap();
        let training = "import sys\nprint('epoch 1 loss 0.31', *sys.argv[1:])\nprint('WARNING:train:late')\n";
        fs::write(desk.path().join("work/train.py"), training).unwrap();
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it a command.
    fn has(&self, name: &str, script: &str) {
        let path = self.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the commands of a guide print.
    fn follow(&self, guide: &str, variables: &[(&str, &str)]) -> String {
        self.run(&commands(guide), variables)
    }

    fn run(&self, script: &str, variables: &[(&str, &str)]) -> String {
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-euxc", script]).current_dir(self.path().join("work")).env_clear();
        shell.env("PATH", path).env("HOME", self.path()).envs(variables.iter().copied());
        // The state is the desk's, also where the tests are run by root.
        let output = shell.env("RUNLOG_STATE_DIR", self.path().join("state")).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
        stdout
    }
}

#[test]
fn what_the_guide_for_a_laptop_says_works() {
    let desk = Desk::new();
    let printed = desk.follow("laptop.md", &[]);
    for expected in ["ridge-7", "diabetes", "epoch 1 loss 0.31", "WARNING:train:late", "alpha=0.2"] {
        assert!(printed.contains(expected), "{expected} is missing:\n{printed}");
    }
    assert!(desk.path().join(".local/share/bash-completion/completions/runlog").exists());
}

#[test]
fn what_the_guide_for_slurm_says_works() {
    let desk = Desk::new();
    desk.has("sbatch", "#!/bin/sh\nSLURM_JOB_ID=4711 SLURM_JOB_NAME=ridge SLURM_NTASKS=2 exec sh \"$2\"\n");
    desk.has("srun", "#!/bin/sh\nexport SLURM_STEP_ID=0\nSLURM_PROCID=0 \"$@\" && SLURM_PROCID=1 \"$@\"\n");
    let store = Agent::server().start();
    let tmp = desk.path().display().to_string();
    let printed = desk.follow("slurm.md", &[("STORE", &store.address()), ("TMPDIR", &tmp)]);
    assert!(printed.contains("4711"), "{printed}");
    let lines = store.lines("4711");
    let ranks: Vec<_> = lines.iter().filter(|line| line.is_printed()).map(|line| line.attribute("ml.rank")).collect();
    assert_eq!(ranks, ["0", "0", "1", "1"]);
}

#[test]
fn what_the_guide_for_systemd_says_works() {
    let machine = Machine::boot();
    machine.run(
        "printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/local/bin/sudo && chmod +x /usr/local/bin/sudo &&
         mkdir -p /root/target/debian && cp /packages/runlog_0.1.0-1_*.deb /root/target/debian",
    );
    let printed = machine.run(&format!("cd /root && set -eux\n{}", commands("systemd.md")));
    assert!(printed.contains("epoch 1"), "{printed}");
    machine.run("! test -e /var/lib/runlog && test -e /var/lib/ridge-7");
}

#[test]
fn what_the_guide_for_compose_says_works() {
    let desk = Desk::new();
    // The engine that it starts gets the test image.
    let _engine = Containers::new();
    let unique = desk.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_lowercase();
    let run = format!("ridge-{unique}");
    symlink(root().join("deploy"), desk.path().join("work/deploy")).unwrap();
    desk.has("docker-compose", &format!("#!/bin/sh\nexec {} \"$@\"\n", tool("", "docker-compose")));
    let host = docker_host();
    let variables = [
        ("DOCKER_HOST", host),
        ("DOCKER_SOCKET", host.trim_start_matches("unix://")),
        ("COMPOSE_PROJECT_NAME", &unique),
        ("PORT", "0"),
        ("RUNLOG_IMAGE", runlog_image()),
        ("TRAIN_IMAGE", "runlog-test:1"),
        ("TRAIN_COMMAND", "sh -c 'seq 1 1000; echo DEBUG:a:small'"),
    ];
    let guide = commands("compose.md").replace("ridge-7", &run);
    let printed = desk.run(&guide, &variables);
    let ends = printed.lines().find(|line| *line == "0" || *line == "75");
    assert_eq!(ends, Some("0"), "the agent has delivered all: {printed}");
    assert!(printed.contains("complete: 1001 lines read, 1001 kept"), "{printed}");
    assert!(printed.ends_with("999\n1000\nDEBUG:a:small\n"), "{printed}");
    let left = docker(&["ps", "--all", "--quiet", "--filter", &format!("name={run}")]);
    assert!(left.stdout.is_empty(), "a container is left");
}
