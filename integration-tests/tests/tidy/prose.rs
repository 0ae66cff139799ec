//! How prose reads: comments, errors, logs and `--help`. The README's Terms say which words are used.

use proc_macro2::{TokenStream, TokenTree};

use integration_tests::repository::{files, sources, text_of, tree};

/// Words that stand for a noun when a sentence begins with them.
const RELATIVE: [&str; 14] = [
    "What",
    "Whatever",
    "Who",
    "Whoever",
    "Whose",
    "Whom",
    "Those",
    "That",
    "Which",
    "Whichever",
    "Where",
    "Wherever",
    "Of",
    "By",
];

/// The greatest part of all sentences that may begin so, in a thousand. rust-lang/crates.io has 2, oxidecomputer/qorb 12.
const MOST_PER_THOUSAND: usize = 10;

/// Words that the README's Terms replace. None of them is in an error, a log line or `--help`.
const REPLACED: [&str; 22] = [
    "whoever",
    "whatever",
    "stranger",
    "strangers",
    "takes leave",
    "goes round",
    "go round",
    "sent round",
    "anew",
    "figures",
    "greedy",
    "modest",
    "which else",
    "must go",
    "finds its way",
    "overdue",
    "is waited for",
    "who waits",
    "somebody waits",
    "the house",
    "the door",
    "put back",
];

/// The sentences of a text: one ends at a point that a space and a capital letter follow.
fn split(text: &str) -> Vec<String> {
    let (mut sentences, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices(['.', '!', '?']) {
        let after = text[at + 1..].trim_start_matches([')', '"', '`', '*']);
        let next = after.trim_start();
        let is_end = next.starts_with(|first: char| first.is_uppercase() || first == '`' || first == '[');
        if is_end && next.len() < after.len() {
            let end = text.len() - after.len();
            sentences.push(text[start..end].trim().to_owned());
            start = end;
        }
    }
    let rest = text[start..].trim();
    sentences.extend((!rest.is_empty()).then(|| rest.to_owned()));
    sentences
}

/// The sentences of a file's comments, without code and tables.
fn sentences(text: &str, markers: &[&str]) -> Vec<String> {
    let (mut sentences, mut block, mut is_code) = (Vec::new(), String::new(), false);
    let mut end = |block: &mut String| sentences.extend(split(&std::mem::take(block)));
    for line in text.lines().map(str::trim) {
        let comment = markers.iter().find_map(|marker| line.strip_prefix(marker)).map(str::trim);
        let Some(comment) = comment else {
            end(&mut block);
            is_code = false;
            continue;
        };
        if comment.starts_with("```") {
            is_code = !is_code;
        }
        if is_code || comment.is_empty() || comment.starts_with(['|', '#', '`', '@']) && block.is_empty() {
            end(&mut block);
            continue;
        }
        let item = comment.strip_prefix("- ").or_else(|| comment.strip_prefix("* "));
        if item.is_some() {
            end(&mut block);
        }
        block.push_str(item.unwrap_or(comment));
        block.push(' ');
    }
    end(&mut block);
    sentences
}

fn begins_with_relative(sentence: &str) -> bool {
    let first = sentence.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    RELATIVE.contains(&first)
}

#[test]
fn sentences_of_comments_begin_with_a_noun() {
    let rust = ["worker", "server", "integration-tests"].into_iter().flat_map(sources);
    let rust = rust.map(|(path, text)| (path, sentences(&text, &["///", "//!", "//"])));
    let script = ["js", "mjs"].into_iter().flat_map(|extension| files("frontend", extension));
    let script = script.map(|(path, text)| (path, sentences(&text, &["//", "/**", "*"])));
    let (mut all, mut relative) = (0, Vec::new());
    for (path, sentences) in rust.chain(script) {
        all += sentences.len();
        relative.extend(
            sentences
                .into_iter()
                .filter(|sentence| begins_with_relative(sentence))
                .map(|it| format!("{path}: {it}")),
        );
    }
    assert!(all > 3000, "{all} sentences were found");
    println!("{} of {all} sentences begin with a relative word:\n{}", relative.len(), relative.join("\n"));
    assert!(relative.len() * 1000 < all * MOST_PER_THOUSAND, "{} of {all}: {relative:#?}", relative.len());
}

/// Every text of a file that people may read: literals with a space in them, outside of tests.
fn texts(tokens: TokenStream, found: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut is_tests = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "mod" => {
                is_tests = tokens.peek().is_some_and(|name| name.to_string() == "tests");
            }
            TokenTree::Group(_) if std::mem::take(&mut is_tests) => {}
            TokenTree::Group(group) => texts(group.stream(), found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.contains('"') && text.contains(' ') {
                    found.push(text);
                }
            }
            _ => {}
        }
    }
}

fn replaced_words(text: &str) -> Vec<&'static str> {
    let words = text.to_lowercase();
    let words: Vec<_> =
        words.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let words = format!(" {} ", words.join(" "));
    REPLACED.into_iter().filter(|word| words.contains(&format!(" {word} "))).collect()
}

#[test]
fn errors_logs_and_help_use_the_terms() {
    let mut wrong = Vec::new();
    for (path, text) in ["worker/src", "server/src"].into_iter().flat_map(sources) {
        if path.ends_with("tests.rs") || path.contains("/tests/") || path.contains("/testing") {
            continue;
        }
        let mut found = Vec::new();
        texts(text.parse().unwrap(), &mut found);
        if path.ends_with("config.rs") {
            // clap makes `--help` of them.
            found.extend(sentences(&text, &["///"]));
        }
        for text in found {
            for word in replaced_words(&text) {
                wrong.push(format!("{path}: “{word}” in {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sentences_are_told_apart() {
    let text = "/// One, e.g. this. `Two` is code. What is three?\n/// - An item\n///\n/// ```text\n/// Who\n/// ```\n// Last";
    let found = sentences(text, &["///", "//!", "//"]);
    assert!(found.iter().any(|sentence| sentence == "What is three?"), "{found:?}");
    assert_eq!(found.iter().filter(|sentence| begins_with_relative(sentence)).count(), 1, "{found:?}");
    assert!(found.iter().any(|sentence| sentence == "Last"), "{found:?}");
    assert_eq!(replaced_words("Begin it anew, whoever you are"), ["whoever", "anew"]);
    assert!(replaced_words("renewed").is_empty());
}

#[test]
fn markdown_names_files_that_exist() {
    let documents = files("", "md");
    let comments =
        ["worker", "server", "integration-tests"].into_iter().flat_map(sources).map(|(path, text)| {
            let head: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("//!")).collect();
            (path, head.join("\n"))
        });
    let tree = tree();
    let mut missing = Vec::new();
    for (path, text) in documents.into_iter().chain(comments) {
        for named in paths_in(&text) {
            let named = named.trim_start_matches("../").trim_end_matches('/');
            let end = format!("/{named}");
            if !tree.iter().any(|known| known == named || known.ends_with(&end)) {
                missing.push(format!("{path}: {named}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Paths in backticks or links that look like files or directories of this repository.
fn paths_in(text: &str) -> Vec<String> {
    const ENDS: [&str; 12] =
        [".rs", ".md", ".toml", ".js", ".mjs", ".html", ".css", ".py", ".sh", ".service", ".yaml", ".tsv"];
    let mut found = Vec::new();
    for named in text.split('`').skip(1).step_by(2).chain(links(text)) {
        let is_path = named.contains('/') || ENDS.iter().any(|end| named.ends_with(end));
        let is_plain = named.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
        let in_tree = ["worker/", "server/", "frontend/", "integration-tests/", ".github/"]
            .iter()
            .any(|top| named.starts_with(top));
        if is_plain
            && is_path
            && (in_tree || ENDS.iter().any(|end| named.ends_with(end)))
            && !named.starts_with('/')
        {
            found.push(named.to_owned());
        }
    }
    found
}

/// The targets of Markdown links that lead into the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

#[test]
fn ci_checks_the_length_of_commit_subjects() {
    let script = text_of(".ci/run");
    assert!(script.contains("integration-tests/commit-subjects"), "{script}");
}
