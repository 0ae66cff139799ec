//! Reads the header of a picture that is being received: from its beginning, or back from storage.

use std::{
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};
use worker::{
    Format, Storage, UploadId,
    probe::{self, Header, ProbeError, Sniff},
    storage::StorageError,
};

use crate::{app::App, problem::Problem};

/// The size of one read of a stored header, in bytes.
const HEADER_READ_BYTES: usize = 16 * 1024;

/// The maximum number of storage reads for one header, and the time for all of them. A real picture needs two or three.
const MAX_HEADER_READS: u32 = 64;
const STORED_HEADER_WITHIN: Duration = Duration::from_secs(10);

/// The header, if the beginning of a picture contains it; `None` if it is further back. A whole picture must contain
/// it.
pub(super) fn probe_beginning(
    beginning: &[u8],
    format: Format,
    is_whole: bool,
    app: &App,
) -> Result<Option<Header>, Problem> {
    match probe::probe(Cursor::new(beginning), format) {
        Ok(header) => check(header, app).map(Some),
        Err(error) if is_whole || error.is_final() => Err(probe_problem(error, app)),
        Err(_) => Ok(None),
    }
}

pub(super) fn detect_format(head: &[u8], app: &App) -> Result<Format, Problem> {
    let accepted = app.config.accepted();
    match probe::sniff(head) {
        // Whether it is the one or the other is not known yet.
        Sniff::Format(format @ (Format::Heic | Format::Avif))
            if accepted.contains(&Format::Heic) || accepted.contains(&Format::Avif) =>
        {
            Ok(format)
        }
        Sniff::Format(format) => check_format(format, &accepted),
        Sniff::Other(what) => Err(Problem::unsupported(Some(what), &accepted)),
        Sniff::Unknown => Err(Problem::unsupported(None, &accepted)),
        Sniff::Empty => Err(Problem::empty()),
    }
}

fn check_format(format: Format, accepted: &[Format]) -> Result<Format, Problem> {
    if accepted.contains(&format) {
        return Ok(format);
    }
    Err(Problem::unsupported(Some(format.kind()), accepted))
}

/// Checks format and pixels.
pub(super) fn check(header: Header, app: &App) -> Result<Header, Problem> {
    check_format(header.format, &app.config.accepted())?;
    let limit = app.config.pixels.max_pixels;
    match header.check(limit) {
        Ok(()) => Ok(header),
        Err(error) => Err(Problem::too_many_pixels(error.to_string(), limit)),
    }
}

fn probe_problem(error: ProbeError, app: &App) -> Problem {
    match error {
        ProbeError::Damaged(_) | ProbeError::TooManyParts => Problem::damaged(),
        ProbeError::Other(what) => Problem::unsupported(Some(what), &app.config.accepted()),
        ProbeError::Unsupported(kind) => Problem::unsupported_kind(kind),
        ProbeError::Io(error) => match error.downcast::<StorageError>() {
            Ok(error) => error.into(),
            Err(error) => {
                tracing::error!(%error, "could not read a stored header");
                Problem::internal()
            }
        },
    }
}

/// Reads a header that is further back from storage, with limits on time and on the number of reads.
pub(super) async fn probe_stored(
    app: &App,
    id: UploadId,
    bytes: u64,
    format: Format,
) -> Result<Header, Problem> {
    let deadline = Instant::now() + STORED_HEADER_WITHIN;
    let permit = timeout_at(deadline, app.header_probes.acquire()).await.map_err(|_| Problem::busy())?;
    let reader = StoredReader {
        storage: app.storage.clone(),
        runtime: Handle::current(),
        id,
        bytes,
        at: 0,
        reads: 0,
        deadline,
    };
    let reader = BufReader::with_capacity(HEADER_READ_BYTES, reader);
    let probed = tokio::task::spawn_blocking(move || probe::probe(reader, format)).await;
    drop(permit);
    match probed.map_err(|_panic| Problem::damaged())? {
        Err(ProbeError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Problem::unavailable()),
        Err(ProbeError::Io(error)) if error.kind() == io::ErrorKind::QuotaExceeded => Err(Problem::damaged()),
        probed => probed.map_err(|error| probe_problem(error, app)),
    }
}

/// Reads and seeks in a stored original. Blocks the thread.
struct StoredReader {
    storage: Storage,
    runtime: Handle,
    id: UploadId,
    bytes: u64,
    at: u64,
    reads: u32,
    deadline: Instant,
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.bytes.min(self.at.saturating_add(buffer.len() as u64));
        if self.at >= end {
            return Ok(0);
        }
        if self.reads == MAX_HEADER_READS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.reads += 1;
        let read = timeout_at(self.deadline, self.storage.original_range(self.id, self.at..end));
        let read = self.runtime.block_on(read).map_err(|_| io::ErrorKind::TimedOut)?;
        let read = read.map_err(io::Error::other)?;
        buffer[..read.len()].copy_from_slice(&read);
        self.at += read.len() as u64;
        Ok(read.len())
    }
}

impl Seek for StoredReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
