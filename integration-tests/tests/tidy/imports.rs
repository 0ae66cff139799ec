//! The imports of every source file, read from its tokens: `use` and paths alike, through re-exports.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use integration_tests::repository::{sources, text_of};

/// A module's path from the root of its crate, which is empty.
type Module = Vec<String>;

/// A path in a source file, and the module of the file that names it.
struct Named {
    /// The inline modules around it.
    within: Module,
    path: Vec<String>,
    /// The name that a `use` gives it.
    alias: Option<String>,
    is_use: bool,
}

/// The files of a crate, and what each imports.
pub(crate) struct Imports {
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    pub(crate) fn of(name: &str) -> Self {
        let files: BTreeMap<Module, Vec<Named>> = sources(&format!("{name}/src"))
            .into_iter()
            .filter_map(|(path, text)| {
                let path = path.strip_prefix(&format!("{name}/src/"))?.strip_suffix(".rs")?.to_owned();
                let module: Module = match path.as_str() {
                    "main" => return None,
                    "lib" => Vec::new(),
                    path if path.starts_with("bin/") => return None,
                    path => path.split('/').map(str::to_owned).collect(),
                };
                let tokens: TokenStream = text.parse().unwrap_or_else(|_| panic!("{path} has tokens"));
                let mut named = Vec::new();
                read(&flat(tokens), &mut named);
                Some((module, named))
            })
            .collect();
        let exports = exports(&files);
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, named) in files.iter().filter(|(module, _)| !is_test(module)) {
            for name in named.iter().filter(|name| !is_test(&name.within)) {
                if let Some(path) = absolute(&files, module, name)
                    && let Some(target) = resolve(&files, &exports, &path, 0)
                    && target != *module
                {
                    edges.entry(module.clone()).or_default().insert(target);
                }
            }
        }
        assert!(edges.len() > 10, "{name} has files that import each other's items");
        Self { edges }
    }

    /// Rings of files, direct parent and child of one module excepted.
    pub(crate) fn rings(&self) -> Vec<Vec<Module>> {
        let is_parent = |one: &Module, other: &Module| one.len() + 1 == other.len() && other.starts_with(one);
        let edges = self.edges.iter().map(|(from, to)| {
            let to = to.iter().filter(|to| !is_parent(from, to) && !is_parent(to, from) && !to.is_empty());
            (from.clone(), to.cloned().collect())
        });
        rings(&edges.collect())
    }

    /// The imports between the modules of `lib.rs`.
    pub(crate) fn between_modules(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut between: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, targets) in &self.edges {
            for to in targets {
                if let (Some(from), Some(to)) = (from.first(), to.first())
                    && from != to
                {
                    between.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        between
    }
}

fn is_test(module: &[String]) -> bool {
    module.iter().any(|name| name == "tests")
}

/// Identifiers, and punctuation and delimiters as single characters.
fn flat(tokens: TokenStream) -> Vec<String> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                all.push(open.to_owned());
                all.extend(flat(group.stream()));
                all.push(close.to_owned());
            }
            TokenTree::Ident(ident) => all.push(ident.to_string()),
            TokenTree::Punct(punct) => all.push(punct.as_char().to_string()),
            TokenTree::Literal(_) => all.push("\"\"".to_owned()),
        }
    }
    all
}

fn is_name(token: Option<&String>) -> bool {
    token.and_then(|token| token.chars().next()).is_some_and(|first| first.is_alphabetic() || first == '_')
}

fn is_separator(tokens: &[String], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token == ":") && tokens.get(at + 1).is_some_and(|token| token == ":")
}

/// Finds every path in the tokens of a file.
fn read(tokens: &[String], named: &mut Vec<Named>) {
    let (mut at, mut depth) = (0, 0);
    let mut inline: Vec<(usize, String)> = Vec::new();
    while at < tokens.len() {
        let within = || inline.iter().map(|(_, name)| name.clone()).collect::<Module>();
        match tokens[at].as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                inline.push((depth, tokens[at + 1].clone()));
                at += 2;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inline.last().is_some_and(|(outside, _)| *outside == depth) {
                    inline.pop();
                }
            }
            "use" => {
                let mut found = Vec::new();
                at = use_tree(tokens, at + 1, &[], &mut found);
                let within = within();
                named.extend(found.into_iter().map(|(path, alias)| Named {
                    within: within.clone(),
                    path,
                    alias,
                    is_use: true,
                }));
                continue;
            }
            _ if is_name(tokens.get(at))
                && is_separator(tokens, at + 1)
                && !(at >= 2 && is_separator(tokens, at - 2)) =>
            {
                let mut path = vec![tokens[at].clone()];
                at += 1;
                while is_separator(tokens, at) && is_name(tokens.get(at + 2)) {
                    path.push(tokens[at + 2].clone());
                    at += 3;
                }
                named.push(Named { within: within(), path, alias: None, is_use: false });
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Reads a tree of `use`; answers where it ends.
fn use_tree(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(Vec<String>, Option<String>)>,
) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = use_tree(tokens, at, &path, found);
                    at += usize::from(tokens[at] == ",");
                }
                return at + 1;
            }
            "*" => {
                path.push("*".to_owned());
                found.push((path, None));
                return at + 1;
            }
            ":" => at += 1,
            "as" => {
                found.push((path, Some(tokens[at + 1].clone())));
                return at + 2;
            }
            "," | "}" | ";" => {
                found.push((path, None));
                return at;
            }
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
    at
}

/// A path from the root of the crate; `None` if it leads out of the crate.
fn absolute(files: &BTreeMap<Module, Vec<Named>>, module: &Module, named: &Named) -> Option<Vec<String>> {
    let mut from: Module = module.iter().chain(&named.within).cloned().collect();
    let mut path = named.path.as_slice();
    match path.first()?.as_str() {
        "crate" => return Some(path[1..].to_vec()),
        "self" => return Some([&from[..], &path[1..]].concat()),
        "super" => {
            while path.first().is_some_and(|name| name == "super") {
                from.pop()?;
                path = &path[1..];
            }
            return Some([&from[..], path].concat());
        }
        _ => {}
    }
    let child = [&from[..], &path[..1]].concat();
    files.contains_key(&child).then(|| [&from[..], path].concat())
}

/// The names that each file brings in by `use`, and the paths that they stand for.
type Exports = BTreeMap<Module, BTreeMap<String, Vec<String>>>;

fn exports(files: &BTreeMap<Module, Vec<Named>>) -> Exports {
    let mut exports = Exports::new();
    for (module, named) in files {
        for name in named.iter().filter(|name| name.is_use && name.within.is_empty()) {
            let Some(mut path) = absolute(files, module, name) else { continue };
            if path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let Some(called) = name.alias.clone().or_else(|| path.last().cloned()) else { continue };
            exports.entry(module.clone()).or_default().entry(called).or_insert(path);
        }
    }
    exports
}

/// The file that defines what a path names.
fn resolve(
    files: &BTreeMap<Module, Vec<Named>>,
    exports: &Exports,
    path: &[String],
    steps: usize,
) -> Option<Module> {
    const LONGEST_CHAIN: usize = 12;
    if steps > LONGEST_CHAIN {
        return None;
    }
    let mut at = Module::new();
    for (index, name) in path.iter().enumerate() {
        let child = [&at[..], std::slice::from_ref(name)].concat();
        if files.contains_key(&child) {
            at = child;
        } else if let Some(target) = exports.get(&at).and_then(|names| names.get(name))
            && target != path
        {
            return resolve(files, exports, &[&target[..], &path[index + 1..]].concat(), steps + 1);
        } else {
            return Some(at);
        }
    }
    Some(at)
}

/// The rings of a graph: every set of nodes that reach each other.
fn rings<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>) -> Vec<Vec<T>> {
    let reached = |from: &T| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<_> = edges.get(from).into_iter().flatten().cloned().collect();
        while let Some(node) = next.pop() {
            if seen.insert(node.clone()) {
                next.extend(edges.get(&node).into_iter().flatten().cloned());
            }
        }
        seen
    };
    let all: BTreeMap<_, _> = edges.keys().map(|node| (node.clone(), reached(node))).collect();
    let mut rings = BTreeSet::new();
    for (node, reached) in all.iter().filter(|(node, reached)| reached.contains(*node)) {
        let back = |other: &&T| all.get(*other).is_some_and(|from| from.contains(node));
        rings.insert(reached.iter().filter(back).cloned().collect::<Vec<_>>());
    }
    rings.into_iter().collect()
}

/// The lines of the map in `lib.rs`, lowest first: the modules that each names.
fn map(name: &str) -> Vec<Vec<String>> {
    let text = text_of(&format!("{name}/src/lib.rs"));
    let lines = text.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim_start);
    let block = lines.skip_while(|line| *line != "```text").skip(1).take_while(|line| *line != "```");
    let modules = |line: &str| {
        let names = line.split_once("  ").map_or(line, |(names, _)| names);
        names.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    block.map(modules).collect()
}

#[test]
fn no_two_files_import_each_other() {
    for name in ["worker", "server"] {
        let rings = Imports::of(name).rings();
        let shown: Vec<_> = rings
            .iter()
            .map(|ring| ring.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" ↔ "))
            .collect();
        assert!(shown.is_empty(), "{name}: {shown:#?}");
    }
}

#[test]
fn the_contract_imports_nothing_else_of_ours() {
    let between = Imports::of("worker").between_modules();
    assert_eq!(between.get("contract"), None);
}

#[test]
fn the_map_in_lib_names_every_module_and_matches_the_imports() {
    for name in ["worker", "server"] {
        let map = map(name);
        let text = text_of(&format!("{name}/src/lib.rs"));
        let declared: BTreeSet<_> = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')
            })
            .map(str::to_owned)
            .collect();
        let mapped: Vec<_> = map.iter().flatten().cloned().collect();
        assert_eq!(
            mapped.iter().cloned().collect::<BTreeSet<_>>(),
            declared,
            "{name}: the map names every module"
        );
        assert_eq!(mapped.len(), declared.len(), "{name}: the map names each module once");
        let layer = |module: &String| map.iter().position(|line| line.contains(module)).unwrap();
        let between = Imports::of(name).between_modules();
        for (from, targets) in &between {
            for to in targets {
                assert!(
                    layer(to) <= layer(from),
                    "{name}: {from} imports {to}, which stands below it in the map"
                );
            }
        }
        assert_eq!(rings(&between), Vec::<Vec<String>>::new(), "{name}: modules of one line import one way");
    }
}

#[test]
fn the_reader_of_imports_finds_rings_and_follows_re_exports() {
    let edge = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|to| (*to).to_owned()).collect());
    let ring: BTreeMap<String, BTreeSet<String>> =
        [edge("a", &["b"]), edge("b", &["c"]), edge("c", &["a"]), edge("d", &["a"])].into();
    assert_eq!(rings(&ring), [["a", "b", "c"]]);
    let mut named = Vec::new();
    let text = "use crate::{a::{self, B as C}, d::*}; mod tests { fn f() { super::g::h(); } }";
    read(&flat(text.parse().unwrap()), &mut named);
    let paths: Vec<_> = named.iter().map(|named| named.path.join("::")).collect();
    assert_eq!(paths, ["crate::a::self", "crate::a::B", "crate::d::*", "super::g::h"]);
    assert_eq!(named[3].within, ["tests"]);
}
