//! A wall clock that a test sets, for processes that it starts: libfaketime. The monotonic clock stays as it is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// Debian's path of the library, below the directory of the architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A wall clock. Ends with the test.
pub struct Clock {
    directory: TempDir,
}

impl Clock {
    /// One that shows the right time.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[must_use]
    pub fn new() -> Self {
        let clock =
            Self { directory: TempDir::with_prefix("up-clock-").expect("a temporary directory can be made") };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds off the right time, for every process at once.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn set(&self, seconds: i64) {
        let (file, new) = (self.file(), self.directory.path().join("new"));
        fs::write(&new, format!("{seconds:+}\n")).expect("the file of the clock can be written");
        // A process reads it at every look at the time, and must not see half of it.
        fs::rename(new, file).expect("the file of the clock can be replaced");
    }

    /// The variables by which a process gets this clock.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("clock")
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The library that fakes the time.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn library() -> PathBuf {
    let directories = fs::read_dir(Path::new("/usr/lib")).into_iter().flatten().flatten();
    let mut libraries = directories.map(|directory| directory.path().join(LIBRARY));
    libraries.find(|library| library.exists()).expect("faketime is installed: `make test` does it")
}
