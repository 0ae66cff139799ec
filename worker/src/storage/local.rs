//! What only a local directory has: staged files of writers that were killed, and directories.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use super::{Storage, key::CLAIMS};
use crate::{Size, UploadId};

/// `object_store` stages a write beside its destination, as `<name>#<number>`, and never lists such a file.
const STAGED: char = '#';

/// The directory that holds `uploads/`.
#[derive(Debug, Clone)]
pub(super) struct LocalRoot(PathBuf);

impl LocalRoot {
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory.join("uploads"))?;
        Ok(Self(directory.canonicalize()?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes the directory of an upload, and whatever a writer that was dropped has still staged there.
    pub(super) fn remove_directory(&self, id: UploadId) {
        let _ = fs::remove_dir_all(self.directory(id));
    }

    fn directory(&self, id: UploadId) -> PathBuf {
        self.0.join("uploads").join(id.to_string())
    }
}

impl Storage {
    /// Removes what writers that were killed have staged for the thumbnails of an upload. Called when a job that was
    /// delivered before has ended; should another worker still be writing, its write fails and it finds the outcome.
    pub fn remove_staged_thumbnails(&self, id: UploadId) {
        let Some(root) = &self.local else { return };
        let is_staged = |name: &str| {
            name.split_once(STAGED).is_some_and(|(part, _)| {
                part == "outcome.json" || Size::ALL.iter().any(|size| size.name() == part)
            })
        };
        for entry in fs::read_dir(root.directory(id)).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_staged) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes staged files that nobody has written to for so long, and the directories that are empty then. Blocks.
    /// Answers how many files were removed. Nothing to do where storage is not local.
    pub fn remove_abandoned(&self, idle: Duration) -> usize {
        let Some(root) = &self.local else { return 0 };
        let is_old = |path: &Path| {
            let modified = fs::metadata(path).and_then(|meta| meta.modified());
            modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age >= idle))
        };
        let mut removed = 0;
        let uploads = fs::read_dir(root.0.join("uploads")).into_iter().flatten().flatten();
        for directory in uploads.map(|upload| upload.path()).chain([root.0.join(CLAIMS)]) {
            let mut empty = true;
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let staged = entry.file_name().to_string_lossy().contains(STAGED);
                if staged && is_old(&entry.path()) {
                    match fs::remove_file(entry.path()) {
                        Ok(()) => removed += 1,
                        Err(error) => {
                            warn!(path = %entry.path().display(), %error, "could not remove a staged file")
                        }
                    }
                } else {
                    empty = false;
                }
            }
            if empty && is_old(&directory) {
                // Not forced: should a writer have come in between, the directory is no longer empty and stays.
                let _ = fs::remove_dir(&directory);
            }
        }
        if removed > 0 {
            info!(removed, "removed staged files that writers left behind");
        }
        removed
    }
}
