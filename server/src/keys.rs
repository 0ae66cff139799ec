//! Upload keys: the file of `--upload-keys`, and `up-server key add`.
//!
//! ```text
//! # name  hash of the key
//! alice   sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! A key has 256 random bits, so its hash needs neither salt nor cost. The file is read again when it changes. A file
//! that cannot be read changes nothing: the keys that are known stay valid.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How every key begins, so that people and scanners for leaked secrets recognize it.
const PREFIX: &str = "upk_";

/// Random bytes of a key.
const KEY_BYTES: usize = 32;

/// The longest name of a key, in bytes. It is in records, logs and metrics.
const MAX_NAME_BYTES: usize = 64;

/// The most keys of a file: each is compared with every key that is sent, and is a series of the metrics.
const MAX_KEYS: usize = 1000;

/// How often the file is looked at. A change counts at the second look.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A hash of a key.
type Hash = [u8; 32];

/// The keys that may send uploads.
pub(crate) struct Keys {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<[(KeyName, Hash)]>,
    seen: FileVersion,
}

/// The name of a key.
pub(crate) type KeyName = Arc<str>;

/// Changes whenever the file is written, or replaced by another.
type FileVersion = (u64, i64, i64, u64);

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or a line is malformed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { path: path.to_owned(), known: Mutex::new(read(path)?) })
    }

    /// The name of a key. The time of the comparison does not depend on where two keys differ.
    pub(crate) fn name_of(&self, key: &str) -> Option<KeyName> {
        let (hash, keys) = (hash(key), Arc::clone(&self.known().keys));
        let mut found = None;
        for (name, known) in keys.iter() {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(Arc::clone(name));
            }
        }
        found
    }

    /// Reads the file again when it changes, until the server drains.
    pub(crate) async fn watch(&self, every: Duration, draining: &CancellationToken) {
        let (mut warned, mut last) = (None, None);
        info!(keys = self.known().keys.len(), "uploads need a key");
        let watching = async {
            loop {
                sleep(every).await;
                let version = version(&self.path).ok();
                // A file that is still being written changes until the next look.
                if last.replace(version) != Some(version) {
                    continue;
                }
                if version == Some(self.known().seen) || (version.is_none() && warned == Some(None)) {
                    continue;
                }
                match read(&self.path) {
                    Ok(known) => {
                        info!(keys = known.keys.len(), "the file of upload keys has changed");
                        *self.known() = known;
                        warned = None;
                    }
                    // Once for each version of the file.
                    Err(error) if warned != Some(version) => {
                        warn!(
                            error = &*error,
                            "could not read the file of upload keys again; the known keys stay valid"
                        );
                        warned = Some(version);
                    }
                    Err(_) => {}
                }
            }
        };
        draining.run_until_cancelled(watching).await;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // No code that can panic runs under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(path: &Path) -> io::Result<FileVersion> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}

fn read(path: &Path) -> anyhow::Result<Known> {
    let file = || format!("could not read the upload keys in {}", path.display());
    let seen = version(path).with_context(file)?;
    let keys = parse(&fs::read_to_string(path).with_context(file)?).with_context(file)?;
    Ok(Known { keys: keys.into(), seen })
}

fn parse(text: &str) -> anyhow::Result<Vec<(KeyName, Hash)>> {
    let mut keys: Vec<(KeyName, Hash)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
            bail!("line {number} is not a name and a hash");
        };
        check_name(name).with_context(|| format!("line {number}"))?;
        ensure!(
            keys.iter().all(|(known, _)| **known != *name),
            "line {number}: the name {name} is used twice"
        );
        let hash = parse_hash(hash)
            .with_context(|| format!("line {number}: the hash is not sha256: and 64 digits"))?;
        keys.push((name.into(), hash));
        ensure!(keys.len() <= MAX_KEYS, "there are more than {MAX_KEYS} keys");
    }
    Ok(keys)
}

fn parse_hash(text: &str) -> Option<Hash> {
    let is_hash = |digits: &&str| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let digits = text.strip_prefix("sha256:").filter(is_hash)?;
    let mut hash = Hash::default();
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    ensure!(
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain),
        "the name {name:?} is not 1 to {MAX_NAME_BYTES} letters, digits, '-', '_', '.' and '@'"
    );
    Ok(())
}

fn hash(key: &str) -> Hash {
    Sha256::digest(key).into()
}

/// `up-server key add`: makes a key, adds its hash to the file and prints the key once.
///
/// # Errors
/// When no file is set, the name is taken or malformed, or the file cannot be written.
pub fn add(path: Option<&Path>, name: &str) -> anyhow::Result<()> {
    let path = path.context("set --upload-keys, the file that the key is added to")?;
    check_name(name)?;
    // Hashes of random keys are no secrets, and the server may run as another user.
    let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(path);
    let mut file = opened.with_context(|| format!("could not open {}", path.display()))?;
    // Of two commands at once the second sees the key of the first.
    file.lock().with_context(|| format!("could not lock {}", path.display()))?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("could not read {}", path.display()))?;
    let keys =
        parse(&text).with_context(|| format!("could not read the upload keys in {}", path.display()))?;
    ensure!(
        keys.iter().all(|(known, _)| **known != *name),
        "there is a key named {name} already; delete its line first"
    );
    ensure!(keys.len() < MAX_KEYS, "there are {MAX_KEYS} keys already; delete the line of one first");
    let key = PREFIX.to_owned() + &BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; KEY_BYTES]>());
    let digits: String = hash(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let written = file
        .write_all(format!("{newline}{name} sha256:{digits}\n").as_bytes())
        .and_then(|()| file.sync_all());
    written.with_context(|| format!("could not write {}", path.display()))?;
    println!("{key}");
    let within = 2 * LOOK_EVERY.as_secs();
    eprintln!("This key of {name} is shown only now. Servers accept it within {within} s.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, text).unwrap();
        (directory, path)
    }

    #[test]
    fn keys_are_known_by_their_hash() {
        // `printf test | sha256sum`.
        let (_directory, path) = file(&format!("# people\n\n  alice {HASH}\n"));
        let keys = Keys::open(&path).unwrap();
        assert_eq!(keys.name_of("test").as_deref(), Some("alice"));
        for other in ["", "tes", "test ", "Test", HASH] {
            assert_eq!(keys.name_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        for (text, named) in [
            ("alice", "line 1"),
            (&format!("\nalice {HASH} extra"), "line 2"),
            (&format!("alice {HASH}\nalice {HASH}"), "used twice"),
            ("alice sha256:1234", "64 digits"),
            (&format!("alice {}", HASH.replace('9', "+")), "64 digits"),
            (&format!("al/ice {HASH}"), "the name \"al/ice\""),
            (&format!("{} {HASH}", "a".repeat(65)), "is not 1 to 64"),
        ] {
            let (_directory, path) = file(text);
            let error = format!("{:#}", Keys::open(&path).map(drop).unwrap_err());
            assert!(error.contains(named) && error.contains("upload keys in"), "{error}");
        }
    }

    #[test]
    fn an_added_key_is_in_the_file_as_a_hash_that_the_server_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        add(Some(&path), "alice").unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap().trim_end()).unwrap();
        add(Some(&path), "bob").unwrap();
        let error = add(Some(&path), "alice").unwrap_err().to_string();
        assert!(error.contains("alice already"), "{error}");
        assert!(add(Some(&path), "a b").is_err() && add(None, "carol").is_err());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(PREFIX) && text.lines().count() == 2, "{text}");
        assert_eq!(Keys::open(&path).unwrap().known().keys.len(), 2);
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_damaged_one_changes_nothing() {
        const EVERY: Duration = Duration::from_millis(5);
        let (_directory, path) = file(&format!("alice {HASH}\n"));
        let keys = Keys::open(&path).unwrap();
        let draining = CancellationToken::new();
        let steps = async {
            for change in ["nonsense", "more nonsense"] {
                fs::write(&path, change).unwrap();
                sleep(20 * EVERY).await;
                assert_eq!(keys.name_of("test").as_deref(), Some("alice"));
            }
            fs::remove_file(&path).unwrap();
            sleep(20 * EVERY).await;
            assert_eq!(keys.name_of("test").as_deref(), Some("alice"));
            fs::write(&path, format!("bob {HASH}\n")).unwrap();
            while keys.name_of("test").as_deref() != Some("bob") {
                sleep(EVERY).await;
            }
            draining.cancel();
        };
        let watched = async { tokio::join!(keys.watch(EVERY, &draining), steps) };
        tokio::time::timeout(Duration::from_secs(20), watched).await.unwrap();
    }
}
