//! The sandbox as a whole, and each of its layers alone.

use std::process::{Command, Output};

/// Attempts to escape from a sandbox with these layers.
fn self_test(layers: &[&str]) -> Output {
    // So little that any test machine has twice as much.
    const MEMORY: &str = "67108864";
    Command::new(env!("CARGO_BIN_EXE_up-worker"))
        .args(["confinement-self-test", MEMORY])
        .args(layers)
        .output()
        .unwrap()
}

/// The attempts that were refused.
fn refused(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    let lines = text.lines().filter_map(|line| line.split_once(": refused"));
    lines.map(|(attempt, _)| attempt.to_owned()).collect()
}

const ALL: [&str; 10] = [
    "read a file",
    "list a directory",
    "write a file",
    "connect",
    "send a datagram",
    "signal the parent",
    "start a thread",
    "start a process",
    "take twice the memory",
    "become another program",
];

#[test]
fn every_attempt_to_escape_the_sandbox_is_refused() {
    let output = self_test(&["limits", "landlock", "filter"]);
    assert_eq!(refused(&output), ALL);
    assert!(output.status.success());
}

#[test]
fn without_layers_every_attempt_succeeds_and_the_self_test_fails() {
    let output = self_test(&[]);
    assert!(refused(&output).is_empty());
    assert!(!output.status.success());
}

#[test]
fn every_layer_is_effective_alone() {
    let limits = refused(&self_test(&["limits"]));
    for attempt in ["read a file", "write a file", "connect", "take twice the memory"] {
        assert!(limits.iter().any(|refused| refused == attempt), "limits: {attempt}");
    }
    let landlock = refused(&self_test(&["landlock"]));
    for attempt in ["list a directory", "write a file", "connect", "start a process"] {
        assert!(landlock.iter().any(|refused| refused == attempt), "landlock: {attempt}");
    }
    let filter = refused(&self_test(&["filter"]));
    assert_eq!(
        filter,
        ALL.into_iter().filter(|attempt| *attempt != "take twice the memory").collect::<Vec<_>>()
    );
}
