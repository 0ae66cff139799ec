//! A directory that a process lives on, and that may be removed under it.

use std::{os::unix::fs::MetadataExt, path::Path, time::Duration};

use tokio::{
    fs::metadata,
    time::{MissedTickBehavior, interval},
};

/// How often the directory is looked at: once a second costs nothing, and nobody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Resolves once a directory was removed, or replaced by another one. Never, if it cannot be looked at now.
///
/// A process that has files of the directory open cannot go on then: others would not see what it writes.
pub async fn vanished(path: &Path) {
    let Some(opened) = identity(path).await else { return std::future::pending().await };
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if identity(path).await != Some(opened) {
            return;
        }
    }
}

/// Device and inode.
async fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = metadata(path).await.ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_directory_that_is_removed_or_replaced_has_vanished() {
        for is_replaced in [false, true] {
            let parent = tempfile::tempdir().unwrap();
            let path = parent.path().join("data");
            std::fs::create_dir(&path).unwrap();
            timeout(Duration::from_millis(1), vanished(&path)).await.unwrap_err();
            let watching = tokio::spawn({
                let path = path.clone();
                async move { vanished(&path).await }
            });
            tokio::task::yield_now().await;
            let other = parent.path().join("other");
            std::fs::create_dir(&other).unwrap();
            // The watcher must have looked once.
            tokio::time::sleep(LOOK_EVERY / 2).await;
            if is_replaced {
                std::fs::rename(&other, &path).unwrap();
            } else {
                std::fs::remove_dir(&path).unwrap();
            }
            timeout(LOOK_EVERY * 20, watching).await.unwrap().unwrap();
        }
    }
}
