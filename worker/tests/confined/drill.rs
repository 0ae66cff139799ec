//! `up-worker drill`: each layer is taken away alone, and the attempts that it has to stop are reported as missing.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
};

use serde_json::Value;

/// A drill with some failpoints.
fn drill(dropped: &[&str], arguments: &[&str]) -> Output {
    let points: Vec<String> = dropped.iter().map(|point| format!("{point}=drop")).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_up-worker"));
    command.arg("drill").args(arguments).env_remove("UP_CONFINEMENT").env_remove("RUST_LOG");
    command.env("UP_FAILPOINTS", points.join(";")).output().unwrap()
}

/// The report of a drill, and whether its exit code was 0.
fn report(dropped: &[&str], arguments: &[&str]) -> (Value, bool) {
    let output = drill(dropped, &[&["--json"], arguments].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["held"], output.status.success());
    (report, output.status.success())
}

/// The attempts that got through the whole sandbox.
fn got_through(report: &Value) -> BTreeSet<&str> {
    let attempts = report["attempts"].as_array().unwrap();
    let through = attempts.iter().filter(|attempt| attempt["held"] == false);
    through.map(|attempt| attempt["attempt"].as_str().unwrap()).collect()
}

/// Attempts and layers that did not stop them alone.
fn missing(report: &Value) -> BTreeSet<(&str, &str)> {
    let mut missing = BTreeSet::new();
    for attempt in report["attempts"].as_array().unwrap() {
        for layer in attempt["layers"].as_array().unwrap().iter().filter(|layer| layer["held"] == false) {
            missing.insert((attempt["attempt"].as_str().unwrap(), layer["layer"].as_str().unwrap()));
        }
    }
    missing
}

/// Every attempt, and all layers that have to stop it.
const ATTEMPTS: [(&str, &[&str]); 27] = [
    ("read a file", &["seccomp", "Landlock", "limits"]),
    ("list a directory", &["seccomp", "Landlock", "limits"]),
    ("create a file", &["seccomp", "Landlock", "limits"]),
    ("connect by TCP", &["seccomp", "Landlock", "limits"]),
    ("connect by a Unix socket", &["seccomp", "limits"]),
    ("connect by an abstract socket", &["seccomp", "Landlock", "limits"]),
    ("send a datagram", &["seccomp", "limits"]),
    ("signal the worker", &["seccomp", "Landlock"]),
    ("start a process", &["seccomp"]),
    ("start a thread", &["seccomp"]),
    ("become another program", &["seccomp", "Landlock"]),
    ("trace the worker", &["seccomp", "Landlock"]),
    ("read the worker's memory in /proc", &["seccomp", "Landlock", "limits"]),
    ("read the worker's memory by a call", &["seccomp", "Landlock"]),
    ("read the worker's environment", &["seccomp", "Landlock", "limits"]),
    ("execute a file in memory", &["seccomp", "limits"]),
    ("map executable memory", &["seccomp"]),
    ("make memory executable", &["seccomp"]),
    ("raise its limits", &["seccomp", "limits"]),
    ("take more memory than allowed", &["limits"]),
    ("compute for ever", &["worker's clock"]),
    ("wait for ever", &["worker's clock"]),
    ("claim other sides", &["worker's check"]),
    ("answer wrong dimensions", &["worker's check"]),
    ("answer a page in place of a JPEG", &["worker's check"]),
    ("announce a gigabyte", &["worker's check"]),
    ("write more than an answer has", &["worker's check"]),
];

/// The attempts that some of these layers have to stop, with each of these layers.
fn of_layers<'a>(layers: &'a [&'a str]) -> BTreeSet<(&'static str, &'static str)> {
    let pairs = ATTEMPTS.iter().flat_map(|(attempt, all)| all.iter().map(move |layer| (*attempt, *layer)));
    pairs.filter(|(_, layer)| layers.contains(layer)).collect()
}

/// The attempts that nothing stops without these layers.
fn only_of_layers(layers: &[&str]) -> BTreeSet<&'static str> {
    let only = ATTEMPTS.iter().filter(|(_, all)| all.iter().all(|layer| layers.contains(layer)));
    only.map(|(attempt, _)| *attempt).collect()
}

/// Takes layers away, and expects exactly their attempts to be reported.
fn assert_missing(dropped: &[&str], arguments: &[&str], layers: &[&str]) {
    let (report, success) = report(dropped, arguments);
    assert!(!success);
    assert_eq!(missing(&report), of_layers(layers), "each layer alone");
    assert_eq!(got_through(&report), only_of_layers(layers), "the other layers together");
    let kinds =
        |layer: &Value| layer["layer"].as_str().unwrap().trim_end_matches([' ', '1', '4', '6']).to_owned();
    let cures: BTreeSet<String> = report["missing"].as_array().unwrap().iter().map(kinds).collect();
    assert_eq!(cures, layers.iter().map(|layer| (*layer).to_owned()).collect());
}

#[test]
fn every_layer_of_this_host_holds_alone() {
    let (report, success) = report(&[], &[]);
    assert!(success);
    assert!(report["level"].as_str().unwrap().starts_with("all 27 held; Landlock ABI "));
    let attempts = report["attempts"].as_array().unwrap();
    let found: Vec<(&str, Vec<&str>)> = attempts
        .iter()
        .map(|attempt| {
            let layers = attempt["layers"].as_array().unwrap().iter();
            (
                attempt["attempt"].as_str().unwrap(),
                layers.map(|layer| layer["layer"].as_str().unwrap()).collect(),
            )
        })
        .collect();
    assert_eq!(found, ATTEMPTS.map(|(attempt, layers)| (attempt, layers.to_vec())));
}

#[test]
fn without_seccomp_its_attempts_are_missing() {
    assert_missing(&["layer-of-sandbox:seccomp"], &[], &["seccomp"]);
}

#[test]
fn without_landlock_its_attempts_are_missing() {
    assert_missing(&["layer-of-sandbox:landlock"], &[], &["Landlock"]);
}

#[test]
fn without_limits_their_attempts_are_missing() {
    assert_missing(&["layer-of-sandbox:limits"], &[], &["limits"]);
}

#[test]
fn without_the_clock_of_the_worker_its_attempts_are_missing() {
    assert_missing(&["clock-of-jobs"], &[], &["worker's clock"]);
}

#[test]
fn without_the_checks_of_the_worker_their_attempts_are_missing() {
    assert_missing(&["check-of-reply"], &[], &["worker's check"]);
}

#[test]
fn without_a_sandbox_every_attempt_on_the_host_gets_through() {
    assert_missing(&[], &["--confinement", "off"], &["seccomp", "Landlock", "limits"]);
}

#[test]
fn a_drill_prints_a_table_whose_last_line_is_the_level() {
    let output = drill(&["layer-of-sandbox:landlock"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    assert_eq!(output.status.code(), Some(1));
    let row = |attempt: &str| -> Vec<&str> {
        let row = text.lines().filter(|line| line.starts_with(attempt));
        row.map(|line| line[attempt.len()..].trim()).collect()
    };
    assert!(row("read a file")[0].starts_with("seccomp, limits "), "{text}");
    assert!(row("read a file")[0].contains(" held "), "{text}");
    assert!(row("read a file")[1].starts_with("Landlock 1 "), "{text}");
    assert!(row("read a file")[1].contains(" MISSING  it read a secret of the drill"), "{text}");
    assert!(row("Landlock 4 is missing: ")[0].contains("Linux 6.7 or later"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("all 27 held, but a layer is MISSING; no Landlock"));
}
