//! The files of this repository, for tests that hold sources and documents to each other.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Directories that a build, a run or a package manager makes.
const MADE: [&str; 5] = ["target", "data", "node_modules", ".git", "corpus"];

/// The root of the repository.
///
/// # Panics
/// When this crate lies at the root of the file system.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// The text of a file, by its path from the root.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("could not read {path}: {error}"))
}

/// Every file and directory of the tree, as its path from the root.
///
/// # Panics
/// When a directory cannot be read.
#[must_use]
pub fn tree() -> Vec<String> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("the tree can be read").flatten() {
            let path = entry.path();
            if path.is_dir() && !MADE.iter().any(|made| entry.file_name() == *made) {
                walk(&path, found);
            }
            found.push(path);
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let relative = |path: &PathBuf| Some(path.strip_prefix(&root).ok()?.to_string_lossy().into_owned());
    found.iter().filter_map(relative).collect()
}

/// Every file of one extension below a directory: its path from the root, and its text.
///
/// # Panics
/// When there is none, or one cannot be read.
#[must_use]
pub fn files(directory: &str, extension: &str) -> Vec<(String, String)> {
    let end = format!(".{extension}");
    let below = |path: &String| directory.is_empty() || path.starts_with(&format!("{directory}/"));
    let paths = tree().into_iter().filter(|path| below(path) && path.ends_with(&end));
    let files: Vec<_> = paths.map(|path| (path.clone(), text_of(&path))).collect();
    assert!(!files.is_empty(), "{directory} has files of {extension}");
    files
}

/// Every Rust file below a directory: its path from the root, and its text.
///
/// # Panics
/// As [`files`] does.
#[must_use]
pub fn sources(directory: &str) -> Vec<(String, String)> {
    files(directory, "rs")
}
