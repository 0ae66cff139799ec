//! Rules that a compiler cannot check: which file may name which library and import which file, and how prose reads.

mod imports;
mod logs;
mod prose;

use std::fs;

use integration_tests::repository::{root, sources, text_of};

/// Asserts that a word is named by those files only whose path begins with one of `allowed`.
fn assert_named_only_by(word: &str, allowed: &[&str]) {
    let all = ["worker/src", "server/src"].into_iter().flat_map(sources);
    let (mut count, mut others) = (0, Vec::new());
    for (path, text) in all.filter(|(_, text)| text.contains(word)) {
        count += 1;
        if !allowed.iter().any(|allowed| path.starts_with(allowed)) {
            others.push(path);
        }
        drop(text);
    }
    assert!(count > 0, "nobody names {word}: this claim is out of date");
    assert!(others.is_empty(), "{word} is named by {others:?}");
}

#[test]
fn only_its_adapter_names_rusqlite() {
    assert_named_only_by("rusqlite::", &["worker/src/transport/sqlite"]);
}

#[test]
fn only_its_adapter_names_lapin() {
    assert_named_only_by("lapin::", &["worker/src/transport/rabbitmq"]);
}

#[test]
fn only_storage_names_object_store() {
    assert_named_only_by(
        "object_store::",
        &["worker/src/storage", "worker/src/contract/key.rs", "worker/src/testing/stores.rs"],
    );
}

#[test]
fn only_the_pixel_code_names_a_codec() {
    for codec in ["image::", "fast_image_resize::", "turbojpeg::", "thumbnail_jpeg::", "moxcms::"] {
        assert_named_only_by(codec, &["worker/src/thumbnail", "worker/src/probe/tests.rs"]);
    }
}

#[test]
fn one_place_builds_storage_keys() {
    for part in ["\"result.json\"", "\"failure.\"", "\"pending\""] {
        assert_named_only_by(part, &["worker/src/contract/key.rs", "server/src/audit/tests.rs"]);
    }
}

#[test]
fn arrows_point_one_way() {
    let server = fs::read_to_string(root().join("worker/Cargo.toml")).unwrap();
    assert!(!server.contains("server"), "worker does not know the server");
}

#[test]
fn no_file_grows_past_four_hundred_lines_but_the_tests() {
    let long: Vec<_> = ["worker/src", "worker/jpeg", "worker/heif", "server/src"]
        .into_iter()
        .flat_map(sources)
        .filter(|(path, text)| text.lines().count() > 400 && !path.ends_with("tests.rs"))
        .map(|(path, _)| path)
        .collect();
    assert!(long.is_empty(), "look for the second idea in {long:?}");
}

#[test]
fn nothing_else_grows_at_the_top_level() {
    let expected = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "README.md",
        "frontend",
        "integration-tests",
        "server",
        "worker",
    ];
    // Directories that a build or a run makes are not part of the tree.
    let made = ["target", "data"];
    for entry in fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let known =
            expected.contains(&name.as_str()) || made.contains(&name.as_str()) || name.starts_with('.');
        assert!(known, "{name} does not belong at the top level");
    }
}

#[test]
fn no_test_is_ignored_and_no_lint_is_allowed_silently() {
    for (path, text) in ["worker/src", "worker/jpeg", "worker/heif", "server/src", "integration-tests"]
        .into_iter()
        .flat_map(sources)
    {
        for banned in [concat!("#[", "ignore"), concat!("#[", "allow("), concat!("#![", "allow(")] {
            assert!(!text.contains(banned), "{path} has {banned}");
        }
    }
}

#[test]
fn units_let_decoders_be_confined() {
    for path in ["server/deploy/up-server.service", "worker/deploy/up-worker.service"] {
        let unit = fs::read_to_string(root().join(path)).unwrap();
        let allowed: Vec<_> = unit
            .lines()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
            .flat_map(str::split_whitespace)
            .collect();
        // `@system-service` holds none of these; see `systemd-analyze syscall-filter`.
        for call in ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"] {
            assert!(allowed.contains(&call), "{path} lacks {call}");
        }
        // Decoders must not be asked to end before the worker that uses them.
        assert!(unit.contains("KillMode=mixed"), "{path}");
        // A call that is missing all the same is refused, and logged as what cannot be confined.
        assert!(unit.contains("SystemCallErrorNumber=EPERM"), "{path}");
    }
}

#[test]
fn units_survive_long_outages_and_share_a_directory() {
    for path in ["server/deploy/up-server.service", "worker/deploy/up-worker.service"] {
        let unit = text_of(path);
        for line in [
            "StartLimitIntervalSec=0",
            "Restart=always",
            "KillMode=mixed",
            "OOMPolicy=continue",
            "LimitNOFILE=65536",
            "DynamicUser=yes",
            "User=up",
            "StateDirectory=up",
            "StateDirectoryMode=0700",
        ] {
            assert!(unit.lines().any(|own| own == line), "{path} lacks {line}");
        }
        // `up-server --help` and `up-worker --help`: a drain ends within 30 s.
        assert!(unit.contains("\nTimeoutStopSec=35\n"), "{path}");
    }
    let shared = "/var/lib/up";
    assert!(
        text_of("server/deploy/up-server.service").contains(&format!("\nEnvironment=UP_DATA={shared}\n"))
    );
    assert!(text_of("worker/deploy/worker.env").contains(&format!("\n#UP_STORAGE=file://{shared}\n")));
}

#[test]
fn what_is_shipped_requires_the_sandbox() {
    for (path, setting) in [
        ("server/deploy/up-server.service", "\nEnvironment=UP_CONFINEMENT=require\n"),
        ("worker/deploy/up-worker.service", "\nEnvironment=UP_CONFINEMENT=require\n"),
        ("server/deploy/Containerfile", "\nENV UP_CONFINEMENT=require\n"),
        ("server/deploy/compose.yaml", "\n  UP_CONFINEMENT: require\n"),
    ] {
        assert!(text_of(path).contains(setting), "{path} lacks {setting}");
    }
}
