//! An original on its way from storage to a decoder.

use std::{
    fs::File,
    io::{self, Cursor},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::sendfile,
    io::Errno,
};
use tokio::task::spawn_blocking;

use crate::{
    Format,
    probe::{self, Header, ProbeError, SNIFF_BYTES, Sniff},
};

/// The bytes of an original. Clones share them.
#[derive(Debug, Clone)]
pub enum Original {
    /// In memory.
    Bytes(Bytes),
    /// In a file, of this length, that nobody changes. The worker never holds it: the kernel moves its pages to the
    /// decoder's pipe.
    File(Arc<File>, u64),
}

/// An original could not be read: storage is at fault.
#[derive(Debug, thiserror::Error)]
#[error("the original could not be read: {0}")]
pub struct Unreadable(#[from] io::Error);

impl Unreadable {
    /// It was not read to its end in this time.
    pub(crate) fn late(time: Duration) -> Self {
        Self(io::Error::new(io::ErrorKind::TimedOut, format!("not within {time:?}")))
    }
}

impl From<Bytes> for Original {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Original {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for Original {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl Original {
    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// The kind of file that its first bytes tell.
    pub(crate) async fn sniff(&self) -> Result<Sniff, Unreadable> {
        match self {
            Self::Bytes(bytes) => Ok(probe::sniff(bytes)),
            Self::File(file, _) => {
                let begin = at_file(file, |mut file| {
                    use io::{Read, Seek};
                    let mut begin = Vec::new();
                    file.rewind()?;
                    file.take(SNIFF_BYTES as u64).read_to_end(&mut begin)?;
                    Ok(begin)
                });
                Ok(probe::sniff(&begin.await?))
            }
        }
    }

    /// Reads the header. The inner error is the picture's.
    pub(crate) async fn probe(&self, format: Format) -> Result<Result<Header, ProbeError>, Unreadable> {
        match self {
            Self::Bytes(bytes) => Ok(probe::probe(Cursor::new(bytes), format)),
            Self::File(file, _) => {
                let probed = at_file(file, move |mut file| {
                    io::Seek::rewind(&mut file)?;
                    match probe::probe(file, format) {
                        Err(ProbeError::Io(error)) => Err(error),
                        probed => Ok(probed),
                    }
                });
                probed.await
            }
        }
    }
}

/// Works with a file on a thread that may wait for a disk.
async fn at_file<T: Send + 'static>(
    file: &Arc<File>,
    work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
) -> Result<T, Unreadable> {
    let file = Arc::clone(file);
    let done = spawn_blocking(move || work(&file)).await;
    Ok(done.map_err(io::Error::other).flatten()?)
}

/// Why a file did not pass through a pipe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    /// The file is at fault.
    #[error(transparent)]
    File(#[from] Unreadable),
    /// Nobody reads the pipe any more.
    #[error("the pipe is closed")]
    Closed,
}

/// Sends a file through a pipe that does not block. The thread that waits for the reader ends when there is none.
pub(crate) async fn send(file: &Arc<File>, length: u64, pipe: OwnedFd) -> Result<(), NotSent> {
    let sent = at_file(file, move |file| {
        let mut at = 0;
        while at < length {
            let left = usize::try_from(length - at).unwrap_or(usize::MAX);
            match sendfile(&pipe, file, Some(&mut at), left) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&pipe, PollFlags::OUT)], None);
                }
                Err(Errno::PIPE) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    });
    if sent.await? { Ok(()) } else { Err(NotSent::Closed) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::thumbnail::samples;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    fn pipe() -> (File, OwnedFd) {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&input, true).unwrap();
        (output.into(), input)
    }

    #[tokio::test]
    async fn a_file_that_is_longer_than_the_pipe_comes_out_whole() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|place| u8::try_from(place % 251).unwrap()).collect();
        let (mut output, input) = pipe();
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            output.read_to_end(&mut read).unwrap();
            read
        });
        send(&file(&bytes), bytes.len() as u64, input).await.unwrap();
        assert!(reader.join().unwrap() == bytes);
    }

    #[tokio::test]
    async fn a_reader_that_goes_ends_it() {
        let (output, input) = pipe();
        let bytes = file(&vec![7; 1_000_000]);
        let sending = tokio::spawn(async move { send(&bytes, 1_000_000, input).await });
        drop(output);
        assert!(matches!(sending.await.unwrap(), Err(NotSent::Closed)));
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_a_fault_of_storage() {
        let (_output, input) = pipe();
        let sent = send(&file(b"short"), 6, input).await;
        assert!(matches!(sent, Err(NotSent::File(_))), "{sent:?}");
    }

    #[tokio::test]
    async fn a_file_has_the_header_of_its_bytes() {
        let png = samples::encode(Format::Png, &samples::scenery(33, 21).into(), None);
        let on_disk = Original::File(file(&png), png.len() as u64);
        // Twice, because a second attempt begins at the start as well.
        for original in [Original::from(png), on_disk.clone(), on_disk] {
            let header = original.probe(Format::Png).await.unwrap().unwrap();
            assert_eq!((header.width, header.height), (33, 21));
            assert_eq!(original.sniff().await.unwrap(), Sniff::Format(Format::Png));
        }
    }
}
