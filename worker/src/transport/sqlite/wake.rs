//! Processes of one host wake each other: every waiter has a named pipe, and a waker writes a byte to it.
//!
//! A pipe without a reader cannot be opened, so a dead waiter costs nothing, and a full pipe already wakes its reader.
//! A lost wake is harmless, because waiters also poll.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use tokio::net::unix::pipe;

/// The topic of a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// A job is due.
    Jobs,
    /// There is a new announcement.
    Announcements,
}

impl Topic {
    const fn suffix(self) -> &'static str {
        match self {
            Topic::Jobs => ".jobs",
            Topic::Announcements => ".announcements",
        }
    }
}

/// Wakes waiters.
#[derive(Debug, Clone)]
pub(super) struct Waker {
    directory: PathBuf,
}

impl Waker {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Wakes all waiters of these topics.
    pub(super) fn wake(&self, topics: &[Topic]) {
        if topics.is_empty() {
            return;
        }
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let wanted = |topic: &Topic| name.to_string_lossy().ends_with(topic.suffix());
            if topics.iter().any(wanted) {
                let _ = write_byte(&entry.path());
            }
        }
    }
}

fn write_byte(path: &Path) -> io::Result<()> {
    use io::Write;
    let nonblocking =
        i32::try_from(OFlags::NONBLOCK.bits()).expect("an open flag fits the system's flag type");
    fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(path)?.write_all(&[0])
}

/// Waits to be woken.
#[derive(Debug)]
pub(super) struct WakeReceiver {
    path: PathBuf,
    pipe: pipe::Receiver,
}

impl WakeReceiver {
    /// Creates the pipe. Later wakes are not missed.
    pub(super) fn new(directory: &Path, name: &str, topic: Topic) -> io::Result<Self> {
        let path = directory.join(format!("{name}{}", topic.suffix()));
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // Reading and writing, so that the pipe never ends when the last writer closes it.
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(&path)?;
        Ok(Self { path, pipe })
    }

    /// Waits for the next wake; several wakes may count as one.
    pub(super) async fn woken(&self) {
        if self.pipe.readable().await.is_ok() {
            let mut bytes = [0; 256];
            while matches!(self.pipe.try_read(&mut bytes), Ok(read) if read > 0) {}
        }
    }
}

impl Drop for WakeReceiver {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_wake_reaches_its_topic_and_no_other_and_dead_waiters_do_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let jobs = WakeReceiver::new(directory.path(), "a", Topic::Jobs).unwrap();
        let done = WakeReceiver::new(directory.path(), "a", Topic::Announcements).unwrap();
        rustix::fs::mknodat(CWD, directory.path().join("dead.jobs"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        Waker::new(directory.path()).wake(&[Topic::Jobs]);
        tokio::time::timeout(Duration::from_secs(5), jobs.woken()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), done.woken()).await.is_err());
        assert!(tokio::time::timeout(Duration::from_millis(50), jobs.woken()).await.is_err());
    }
}
