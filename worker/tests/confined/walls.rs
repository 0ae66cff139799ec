//! What a confined process cannot do, and that each wall holds by itself.

use std::process::{Command, Output};

/// Tries to break out from behind the walls that are named.
fn self_test(walls: &[&str]) -> Output {
    // Little, so that twice as much can be had on any machine that the test runs on.
    const MEMORY: &str = "67108864";
    Command::new(env!("CARGO_BIN_EXE_up-worker"))
        .args(["confinement-self-test", MEMORY])
        .args(walls)
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
fn nothing_gets_out_of_a_confined_process() {
    let output = self_test(&["limits", "landlock", "filter"]);
    assert_eq!(refused(&output), ALL);
    assert!(output.status.success());
}

#[test]
fn without_walls_everything_gets_out_and_the_self_test_is_red() {
    let output = self_test(&[]);
    assert!(refused(&output).is_empty());
    assert!(!output.status.success());
}

#[test]
fn every_wall_holds_by_itself() {
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
