//! The guides, done as they are written. Those that need a Kubernetes are done by `tests/cluster`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

use std::os::unix::fs::symlink;

use runlog_tests::{Agent, Containers, Desk, Machine, commands_of, docker, docker_host, root, runlog_image, tool};

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
    let printed = machine.run(&format!("cd /root && set -eux\n{}", commands_of("systemd.md")));
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
    let guide = commands_of("compose.md").replace("ridge-7", &run);
    let printed = desk.run(&guide, &variables);
    let ends = printed.lines().find(|line| *line == "0" || *line == "75");
    assert_eq!(ends, Some("0"), "the agent has delivered all: {printed}");
    assert!(printed.contains("complete: 1001 lines read, 1001 kept"), "{printed}");
    assert!(printed.ends_with("999\n1000\nDEBUG:a:small\n"), "{printed}");
    let left = docker(&["ps", "--all", "--quiet", "--filter", &format!("name={run}")]);
    assert!(left.stdout.is_empty(), "a container is left");
}
