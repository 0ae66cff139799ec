//! The directory of local storage: staged files of killed writers, and directories in the place of objects.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use jiff::Timestamp;
use object_store::path::Path as StorePath;
use tracing::{info, warn};

use crate::contract::{
    id::UploadId,
    key::{INDEXES, Shard, StorageKey, StoredPart},
    record::JobName,
    result::Making,
};

/// `object_store` stages a write beside its destination, as `<name>#<number>`, and never lists such a file.
const STAGED: char = '#';

/// The directory that holds `uploads/`.
#[derive(Debug, Clone)]
pub(super) struct LocalRoot(PathBuf);

impl LocalRoot {
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let root = Self(directory.to_owned());
        fs::create_dir_all(root.at(&StorageKey::shards()))?;
        Ok(Self(directory.canonicalize()?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn at(&self, path: &StorePath) -> PathBuf {
        self.0.join(path.as_ref())
    }

    /// Removes the directory of an upload, and staged files of a dropped writer with it.
    pub(super) fn remove_upload(&self, id: UploadId) {
        let _ = fs::remove_dir_all(self.at(&StorageKey::upload(id)));
    }

    /// Removes the directory of a making, and staged files with it.
    pub(super) fn remove_making(&self, id: UploadId, making: Making) {
        let _ = fs::remove_dir_all(self.at(&StorageKey::making(id, making)));
    }

    /// Removes the directories of all makings but one, and staged files of facts. A worker that still writes one of
    /// them finds the result when it finishes, or fails to write and finds it on its retry.
    pub(super) fn remove_other_makings(&self, id: UploadId, winner: Making) {
        for entry in fs::read_dir(self.at(&StorageKey::upload(id))).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let making = name.to_str().and_then(|name| name.parse::<Making>().ok());
            if making.is_some_and(|making| making != winner) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Whether an upload has a directory with anything in it.
    pub(super) fn has_upload(&self, id: UploadId) -> bool {
        fs::read_dir(self.at(&StorageKey::upload(id))).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Whether a directory is in the place of an object.
    pub(super) fn is_directory(&self, path: &StorePath) -> bool {
        self.at(path).is_dir()
    }

    /// Removes a directory in the place of an object. Returns whether there was one.
    pub(super) fn remove_if_directory(&self, path: &StorePath) -> bool {
        let path = self.at(path);
        path.is_dir() && fs::remove_dir_all(path).is_ok()
    }

    /// The generations of an upload that have a directory in the place of their failure. A listing does not show them.
    pub(super) fn failure_directories(&self, id: UploadId) -> Vec<u32> {
        let generation = |path: StorePath| match StorageKey::parse_part(&path)? {
            (_, StoredPart::Failure(generation)) => Some(generation),
            _ => None,
        };
        self.directories_in(&StorageKey::upload(id)).filter_map(generation).collect()
    }

    /// The jobs that have a directory in the place of their pending entry.
    pub(super) fn pending_directories(&self) -> Vec<JobName> {
        self.directories_in(&StorageKey::all_pending())
            .filter_map(|path| StorageKey::parse_pending(&path))
            .collect()
    }

    fn directories_in(&self, prefix: &StorePath) -> impl Iterator<Item = StorePath> {
        let prefix = prefix.clone();
        let entries = fs::read_dir(self.at(&prefix)).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.filter_map(move |entry| Some(prefix.clone().join(entry.file_name().to_str()?)))
    }

    pub(super) fn remove_staged_of_shard(&self, shard: Shard, before: Timestamp) -> usize {
        remove_staged(&self.at(&StorageKey::shard(shard)), before)
    }

    pub(super) fn remove_staged_of_indexes(&self, before: Timestamp) -> usize {
        INDEXES.iter().map(|index| remove_staged(&self.0.join(index), before)).sum()
    }
}

/// Removes old staged files below a directory, and then empty directories.
fn remove_staged(directory: &Path, before: Timestamp) -> usize {
    let mut removed = 0;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed += remove_staged(&path, before);
            if was_modified(&path, before) {
                // Only an empty directory is removed: a writer may have used it in between.
                let _ = fs::remove_dir(&path);
            }
        } else if entry.file_name().to_string_lossy().contains(STAGED) && was_modified(&path, before) {
            match fs::remove_file(&path) {
                Ok(()) => {
                    removed += 1;
                    info!(path = %path.display(), "removed a staged file of a killed writer");
                }
                Err(error) => {
                    warn!(path = %path.display(), %error, "could not remove a staged file");
                }
            }
        }
    }
    removed
}

fn was_modified(path: &Path, before: Timestamp) -> bool {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    let before_ms = u128::try_from(before.as_millisecond()).unwrap_or(0);
    modified.is_ok_and(|at| at.duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_millis() <= before_ms))
}
