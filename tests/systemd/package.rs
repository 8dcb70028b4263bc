//! What the package brings, and what goes with it.

use std::{fs, process::Command, thread};

use runlog_tests::{Line, Machine, eventually, root, runlog};

use crate::{VERSIONS, install, machine_with_runlog};

#[test]
fn a_package_that_is_installed_has_its_service_at_work_and_its_manual_and_completions_in_place() {
    let machine = Machine::boot();
    machine.run(&install(VERSIONS[0]));
    assert_eq!(machine.run("systemctl is-active runlog"), "active");
    assert_eq!(machine.run("systemctl is-enabled runlog"), "enabled");
    assert_eq!(machine.property("runlog", "User"), "runlog");
    let groups = machine.run("id --name --groups runlog");
    assert!(groups.contains("adm") && groups.contains("systemd-journal"), "{groups}");
    assert!(machine.run("runlog status").contains("ready"));
    for file in [
        "man/man1/runlog.1.gz",
        "man/man1/runlog-exec.1.gz",
        "bash-completion/completions/runlog",
        "zsh/vendor-completions/_runlog",
        "fish/vendor_completions.d/runlog.fish",
    ] {
        machine.run(&format!("test -s /usr/share/{file}"));
    }
    // Documents are left out where this machine is installed.
    let listed = machine.run(&format!(
        "dpkg-deb --fsys-tarfile /packages/runlog_{}_*.deb | tar --extract --to-stdout ./usr/share/doc/runlog/runlog.cdx.json",
        VERSIONS[0]
    ));
    assert!(listed.contains("CycloneDX") && listed.contains("\"tokio\""), "{listed}");
}

#[test]
fn settings_that_were_changed_and_what_was_collected_outlive_a_removal_and_not_a_purge() {
    let machine = machine_with_runlog();
    machine.run("echo 'level = \"debug\"' >>/etc/runlog/runlog.toml && echo epoch 1 >>/srv/train.log");
    machine.eventually_has("r", "epoch 1");
    machine.run("dpkg --remove runlog");
    assert!(!machine.output("systemctl is-active runlog").status.success());
    machine.run("grep -q debug /etc/runlog/runlog.toml && test -d /var/lib/runlog/store");

    machine.run(&install(VERSIONS[0]));
    assert_eq!(machine.run("systemctl is-active runlog"), "active");
    machine.eventually_has("r", "epoch 1");
    machine.run("dpkg --purge runlog");
    machine.run("! test -e /etc/runlog && ! test -e /var/lib/runlog");
    assert!(!machine.output("systemctl cat runlog").status.success(), "nothing of the unit is left");
}

/// Tells the writer to end, also where a test fails before: it would be waited for then.
struct Enough<'a>(&'a Machine);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        let _ = self.0.output("touch /srv/enough");
    }
}

#[test]
fn an_upgrade_while_lines_are_written_loses_none_and_repeats_none() {
    let machine = machine_with_runlog();
    // Some 2,000 lines a second: without a pace it is a million until the upgrade is through.
    let write = "n=0; until test -e /srv/enough; do n=$((n + 1)); echo line $n; [ $((n % 40)) != 0 ] || sleep 0.02; \
                 done >>/srv/train.log; echo $n";
    let written = thread::scope(|scope| {
        let enough = Enough(&machine);
        let writer = scope.spawn(|| machine.run(write).parse::<usize>().unwrap());
        eventually("lines are collected", || (!machine.lines("r").is_empty()).then_some(()));
        machine.run(&install(VERSIONS[1]));
        assert_eq!(machine.run("dpkg-query --show --showformat '${Version}' runlog"), VERSIONS[1]);
        let before = machine.lines("r").len();
        eventually("the new one collects", || (machine.lines("r").len() > before).then_some(()));
        drop(enough);
        writer.join().unwrap()
    });
    machine.run("systemctl stop runlog");
    let lines = machine.lines("r");
    let expected: Vec<String> = (1..=written).map(|n| format!("line {n}")).collect();
    let bodies: Vec<&str> = lines.iter().map(Line::body).collect();
    assert!(bodies == expected, "{written} lines were written, {} are there", bodies.len());
}

#[test]
fn the_manual_and_the_completions_of_the_package_are_those_of_this_program() {
    let folder = tempfile::tempdir().unwrap();
    let man = runlog(folder.path()).arg("man").arg(folder.path()).output().unwrap();
    assert!(man.status.success(), "{}", String::from_utf8_lossy(&man.stderr));
    let machine = Machine::boot();
    machine.run("dpkg --unpack /packages/runlog_0.1.0-1_*.deb");
    let mut pages = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let packed = machine.run(&format!("zcat /usr/share/man/man1/{name}.gz"));
        assert_eq!(packed, fs::read_to_string(entry.path()).unwrap().trim_end(), "{name}");
        pages += 1;
    }
    assert!(pages > 10, "{pages} pages");
}

#[test]
fn the_service_is_confined_to_an_exposure_of_two_or_less() {
    let unit = root().join("deploy/systemd/runlog.service");
    let mut command = Command::new("systemd-analyze");
    let output =
        command.args(["security", "--offline=yes", "--threshold=20", "--no-pager"]).arg(unit).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
