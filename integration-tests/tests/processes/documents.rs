//! The documents say what the programs do: settings, metrics and problems are compared with the real ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use integration_tests::{
    patience::SOON,
    pictures,
    repository::{sources, text_of},
    server::{Start, binary, id},
    socket::Socket,
};

/// The part of a document from a heading to the next one of any level.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, after) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    after.split("\n#").next().unwrap()
}

/// The rows of every table of a text: their cells, without backticks.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |").map(|row| format!("`{row}")));
    let cell = |cell: &str| cell.trim().replace('`', "");
    rows.map(|row| row.split(" |").map(|text| cell(text.trim_start_matches('|'))).collect()).collect()
}

/// A setting as `--help` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    variable: String,
    default: Option<String>,
}

/// Every setting that a program's `--help` shows, by flag.
fn settings(program: &str) -> BTreeMap<String, Setting> {
    let help = Command::new(binary(program)).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let between = |text: &str, before: &str| {
        let (_, after) = text.split_once(before)?;
        after.split(']').next().map(|value| value.trim_end_matches('=').to_owned())
    };
    let mut settings = BTreeMap::new();
    for option in help.split("\n      --").skip(1) {
        let flag = option.split([' ', '\n']).next().unwrap();
        let Some(variable) = between(option, "[env: ") else { continue };
        // A default that clap applies stands on a line of its own.
        let default = option.lines().find_map(|line| {
            between(line.trim(), "[default: ")
                .filter(|_| line.trim().starts_with("[default: ") && line.trim().ends_with(']'))
        });
        settings.insert(format!("--{flag}"), Setting { variable, default });
    }
    assert!(settings.len() > 5, "{program} has settings: {help}");
    settings
}

#[test]
fn the_readme_lists_every_setting_with_its_variable_and_default() {
    let readme = text_of("README.md");
    for program in ["up-server", "up-worker"] {
        let listed = rows(section(&readme, &format!("### Settings of `{program}`")));
        let settings = settings(program);
        let flags: BTreeSet<_> = listed.iter().map(|row| row[0].clone()).collect();
        assert_eq!(flags, settings.keys().cloned().collect(), "{program}");
        for row in listed {
            let Setting { variable, default } = &settings[&row[0]];
            assert_eq!(row[1], *variable, "{program} {}", row[0]);
            // A default in words is said in other words.
            if let Some(default) = default.as_ref().filter(|default| !default.contains(' ')) {
                assert!(
                    row[2].contains(default.as_str()),
                    "{program} {}: {default} is not in {}",
                    row[0],
                    row[2]
                );
            }
        }
    }
}

/// The metrics that OPERATING.md lists, with their types.
pub(crate) fn documented_metrics() -> BTreeMap<String, String> {
    let operating = text_of("server/OPERATING.md");
    let rows = ["### Of a server", "### Of a worker", "### Of every process"]
        .map(|heading| rows(section(&operating, heading)));
    rows.into_iter().flatten().map(|row| (row[0].clone(), row[1].clone())).collect()
}

#[test]
fn operating_lists_every_metric_that_the_source_names() {
    let mut named = BTreeSet::new();
    for (_, text) in ["server/src", "worker/src"].into_iter().flat_map(sources) {
        let text = text.split("#[cfg(test)]").next().unwrap();
        let literals =
            text.split('"').filter(|text| text.starts_with("up_") && !text.contains([' ', '\n', '{']));
        named.extend(literals.map(str::to_owned));
    }
    // Those of the process come from a library, and are compared with a scrape.
    let documented = documented_metrics().into_keys().filter(|name| name.starts_with("up_"));
    assert_eq!(documented.collect::<BTreeSet<_>>(), named);
}

#[tokio::test]
async fn metrics_have_the_types_that_operating_lists() {
    let server = Start::new().with("--admin-listen", "127.0.0.1:0").start();
    let mut socket = Socket::connect(&server.url).await;
    for bytes in [pictures::tiny(1), pictures::damaged()] {
        let upload = id(&server.accepted("cat.png", bytes).await);
        socket.subscribe(&[&upload]).await;
        socket.end_of(&upload, SOON).await;
    }
    let url = server.admin().await;
    let shown = server.client.get(url).send().await.unwrap().text().await.unwrap();
    let documented = documented_metrics();
    let types = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut count = 0;
    for (name, kind) in types {
        let listed = documented.get(name).map(String::as_str);
        assert!(
            listed == Some(kind) || (kind == "summary" && listed == Some("histogram")),
            "{name} is a {kind}"
        );
        count += 1;
    }
    assert!(count > 12, "{shown}");
}

#[tokio::test]
async fn protocol_lists_every_problem_and_each_has_a_page() {
    let server = Start::new().with("--workers", "0").start();
    let protocol = text_of("server/PROTOCOL.md");
    let listed: BTreeSet<_> = ["## Errors", "### Why an accepted upload fails"]
        .iter()
        .flat_map(|heading| rows(section(&protocol, heading)))
        .map(|row| row[0].clone())
        .collect();
    let described: serde_json::Value =
        server.client.get(server.at("/openapi.json")).send().await.unwrap().json().await.unwrap();
    let kinds = &described["paths"]["/problems/{kind}"]["get"]["parameters"][0]["schema"]["enum"];
    let kinds: BTreeSet<_> =
        kinds.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, kinds);
    for kind in kinds {
        let page = server.client.get(server.at(&format!("/problems/{kind}"))).send().await.unwrap();
        assert_eq!(page.status(), 200, "{kind}");
    }
}

#[test]
fn the_rules_of_prometheus_are_those_of_the_table_of_alerts() {
    let (rules, document) = (text_of("server/deploy/alerts.yaml"), text_of("server/OPERATING.md"));
    let queries = section(&document, "## Alerts").lines().filter_map(|line| {
        let query = line.split(" | `").nth(1)?.split('`').next()?;
        Some(query.replace("\\|", "|"))
    });
    let queries: Vec<_> = queries.collect();
    assert!(queries.len() > 15, "{queries:?}");
    for query in &queries {
        let is_a_rule = [format!("expr: {query}\n"), format!("expr: '{query}'\n")]
            .iter()
            .any(|rule| rules.contains(rule));
        assert!(is_a_rule, "alerts.yaml lacks {query}");
    }
    assert_eq!(rules.matches("- alert: ").count(), queries.len());
    let file = format!("{}/../server/deploy/alerts.yaml", env!("CARGO_MANIFEST_DIR"));
    assert_succeeds("promtool", &["check", "rules", &file]);
}

fn assert_succeeds(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).args(arguments).output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn alerts_fire_when_they_must_and_only_then() {
    assert_succeeds("python3", &[concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/check.py")]);
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let dashboard: serde_json::Value = serde_json::from_str(&text_of("server/deploy/grafana.json")).unwrap();
    let document = text_of("server/OPERATING.md");
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut metrics = 0;
    for query in queries.map(|target| target["expr"].as_str().unwrap()) {
        let names = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in names.filter(|name| name.starts_with("up_")) {
            metrics += 1;
            let name = name.trim_end_matches("_bucket");
            assert!(document.contains(&format!("| `{name}` |")), "{name} is no metric");
        }
    }
    assert!(metrics > 15, "{metrics}");
}

#[test]
fn the_examples_of_settings_name_settings_that_exist() {
    for (program, file) in
        [("up-server", "server/deploy/server.env"), ("up-worker", "worker/deploy/worker.env")]
    {
        let known: BTreeSet<_> = settings(program).into_values().map(|setting| setting.variable).collect();
        let text = text_of(file);
        let named: Vec<_> = text
            .lines()
            .map(|line| line.trim_start_matches('#'))
            .filter_map(|line| line.split_once('=').map(|(name, _)| name))
            .filter(|name| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'))
            .collect();
        assert!(named.len() > 5, "{file}: {named:?}");
        for name in named {
            assert!(known.contains(name) || name.starts_with("AWS_"), "{file}: {name} is no setting");
        }
        assert!(text.contains("0600"), "{file} says how to install it");
    }
}

#[test]
fn images_are_pinned_and_watched() {
    let container = text_of("server/deploy/Containerfile");
    let compose = text_of("server/deploy/compose.yaml");
    let bases = container.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    // Our own image is built beside the file.
    let pinned: Vec<_> = bases.chain(images.filter(|image| *image != "up")).collect();
    assert_eq!(pinned.len(), 4, "{pinned:?}");
    for image in pinned {
        let (_, tag) = image.split_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        let is_exact = tag.matches('.').count() >= 2 || tag.chars().filter(char::is_ascii_digit).count() >= 8;
        assert!(is_exact, "{image} may change");
    }
    for instruction in ["HEALTHCHECK ", "EXPOSE 8080"] {
        assert!(container.lines().any(|line| line.starts_with(instruction)), "{instruction}");
    }
    assert_eq!(
        compose.matches("healthcheck:").count(),
        3,
        "broker, store and worker; the image has that of a server"
    );
    assert!(!compose.contains("minio"));
}
