//! OPERATING.md lists every log message of level warn and error, so that an operator finds the line that was logged.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use integration_tests::repository::{sources, text_of};

/// The messages of `warn!` and `error!`, with their levels.
fn messages(tokens: TokenStream, found: &mut BTreeMap<String, String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let (mut at, mut is_tests) = (0, false);
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(level) if *level == "warn" || *level == "error" => {
                if let (Some(TokenTree::Punct(bang)), Some(TokenTree::Group(arguments))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                    && bang.as_char() == '!'
                    && let Some(message) = message(arguments.stream())
                {
                    found.insert(message, level.to_string());
                }
            }
            TokenTree::Ident(word) if *word == "mod" => {
                is_tests = tokens.get(at + 1).is_some_and(|name| name.to_string() == "tests");
            }
            TokenTree::Group(_) if std::mem::take(&mut is_tests) => {}
            TokenTree::Group(group) => messages(group.stream(), found),
            _ => {}
        }
        at += 1;
    }
}

/// The message among the arguments of a tracing macro: a literal that is an argument of its own.
fn message(arguments: TokenStream) -> Option<String> {
    let tokens: Vec<_> = arguments.into_iter().collect();
    let arguments = tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
    let mut literals = arguments.filter_map(|argument| match argument {
        [TokenTree::Literal(literal)] => Some(literal.to_string()),
        _ => None,
    });
    let literal = literals.next_back()?;
    // A line that is continued begins with the first letter of the next line.
    let lines: Vec<_> = literal.trim_matches('"').split("\\\n").collect();
    let joined =
        lines.iter().enumerate().map(|(index, line)| if index == 0 { line } else { line.trim_start() });
    Some(joined.collect::<String>().replace("\\\"", "\""))
}

#[test]
fn operating_lists_every_message_of_level_warn_and_error() {
    let mut logged = BTreeMap::new();
    for (path, text) in ["worker/src", "server/src"].into_iter().flat_map(sources) {
        if !path.ends_with("tests.rs") && !path.contains("/testing") && !path.ends_with("failpoint.rs") {
            messages(text.parse().unwrap(), &mut logged);
        }
    }
    let operating = text_of("server/OPERATING.md");
    let (_, section) = operating.split_once("\n## Log messages\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: BTreeMap<_, _> = rows
        .map(|(message, rest)| (message.to_owned(), rest.split(" |").next().unwrap().to_owned()))
        .collect();
    let keys = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (in_code, in_document) = (keys(&logged), keys(&listed));
    let missing: Vec<_> = in_code.difference(&in_document).collect();
    let stale: Vec<_> = in_document.difference(&in_code).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing: {missing:#?}\nstale: {stale:#?}");
    assert!(logged == listed, "levels differ: {logged:#?}\n{listed:#?}");
    assert!(logged.len() > 50, "{logged:#?}");
}
