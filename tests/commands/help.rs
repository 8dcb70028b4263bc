//! What can be typed, as people read it.

use std::{fs, process::Command};

use insta::assert_snapshot;
use runlog_tests::State;

use crate::printed;

#[test]
fn help_is_as_it_was_read_and_approved() {
    let state = State::new();
    let commands = ["", "agent", "exec", "stdin", "serve", "check", "runs", "logs", "status", "completions"];
    for command in commands.into_iter().chain(["submit", "run", "metrics", "files", "inject"]) {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let name = if command.is_empty() { "runlog" } else { command };
        assert_snapshot!(name, printed(&state.run(&arguments)));
    }
}

#[test]
fn the_version_is_the_workspaces() {
    let state = State::new();
    assert_eq!(printed(&state.run(&["--version"])), format!("runlog {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bash_completes_with_the_script() {
    let state = State::new();
    let script = state.path("completions.bash");
    fs::write(&script, printed(&state.run(&["completions", "bash"]))).unwrap();
    let complete = |line: &str| {
        let test = r#"
            source "$1"
            COMP_WORDS=($2 ""); [[ $2 == *" " ]] || COMP_WORDS=($2)
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _runlog runlog "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let output = Command::new("bash").args(["-c", test, "bash"]).arg(&script).arg(line).output().unwrap();
        printed(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("runlog lo"), ["logs"]);
    assert_eq!(complete("runlog logs --fol"), ["--follow"]);
    assert_eq!(complete("runlog completions "), ["-h", "--help", "bash", "elvish", "fish", "powershell", "zsh"]);
}

#[test]
fn every_shell_gets_a_script() {
    let state = State::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(printed(&state.run(&["completions", shell])).contains("runlog"), "{shell}");
    }
}
