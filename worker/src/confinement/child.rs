//! The decoder process: enforces its sandbox, reports the status, and makes thumbnails until its input ends.

use std::{
    any::Any,
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    ConfinementMode,
    layers::{self, SandboxLayers},
    protocol::{self, DecodeReply, DecodeRequest, FileHeader, Ready},
};
use crate::thumbnail::{self, Recipe, ThumbnailError, ThumbnailSet, Tools, WebpThread};

/// The largest original whose buffer is kept for the next job, in bytes. Larger ones are rare.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Runs the decoder process. A job may allocate `memory` bytes.
pub(super) fn run(mode: ConfinementMode, memory: u64) -> ExitCode {
    match serve(mode, memory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the decoder stops: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Enforces the sandbox of this process, for good, and tells the worker. Returns the pipes from and to the worker.
/// `start_threads` is called while threads can still be started.
pub(super) fn enter(
    layers: SandboxLayers,
    memory: u64,
    start_threads: impl FnOnce(),
) -> io::Result<(File, File)> {
    layers::close_leaked_descriptors()?;
    // Unbuffered copies, made before the limits allow no new descriptors.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // The reply reports a panic.
    panic::set_hook(Box::new(|_| {}));
    let status = layers.enforce(memory, start_threads);
    protocol::write(&mut output, &Ready { status }, &[])?;
    Ok((input, output))
}

fn serve(mode: ConfinementMode, memory: u64) -> io::Result<()> {
    let mut webp = None;
    // Without it WebP takes longer.
    let (mut input, mut output) = enter(mode.into(), memory, || webp = WebpThread::start().ok())?;
    let mut buffers = JobBuffers { original: Vec::new(), tools: Tools::with_webp_thread(webp) };
    while let Some(request) = protocol::read::<DecodeRequest>(&mut input)? {
        layers::allow_cpu(request.timeout)?;
        buffers.answer(&mut input, &mut output, &request)?;
    }
    Ok(())
}

/// The buffers that are kept from job to job.
#[derive(Default)]
struct JobBuffers {
    /// As long as the longest original so far: growing it writes zeroes, and that takes time. All zeroes between two jobs.
    original: Vec<u8>,
    tools: Tools,
}

impl JobBuffers {
    /// Does a job, and then forgets its original: the reply need not wait for that.
    fn answer(
        &mut self,
        input: &mut File,
        output: &mut impl Write,
        request: &DecodeRequest,
    ) -> io::Result<()> {
        match self.work(input, request)? {
            Ok((made, took)) => tell(output, made, took)?,
            Err(error) => protocol::write(output, &DecodeReply::Failed(error), &[])?,
        }
        if self.original.len() > KEPT_BYTES {
            self.original = Vec::new();
        } else {
            // A decoder that reads past the end of the next original finds zeroes, and nothing of another client. Without
            // memory for it, nothing of this one was read.
            let length = usize::try_from(request.original_bytes).map_err(io::Error::other)?;
            let length = length.min(self.original.len());
            self.original[..length].fill(0);
        }
        Ok(())
    }

    /// Reads an original and makes its thumbnails. Also returns the times of decoding, scaling and encoding. The outer
    /// `Err` is a broken pipe.
    fn work(
        &mut self,
        input: &mut File,
        request: &DecodeRequest,
    ) -> io::Result<Result<(ThumbnailSet, [Duration; 3]), ThumbnailError>> {
        let length = usize::try_from(request.original_bytes).map_err(io::Error::other)?;
        let more = length.saturating_sub(self.original.len());
        if self.original.try_reserve_exact(more).is_err() {
            // The original is still in the pipe and must be read.
            io::copy(&mut input.take(request.original_bytes), &mut io::sink())?;
            return Ok(Err(ThumbnailError::NeedsTooMuchMemory));
        }
        self.original.resize(self.original.len() + more, 0);
        input.read_exact(&mut self.original[..length])?;
        let sizes = request.sizes.parse().map_err(io::Error::other)?;
        let webp = request.webp.parse().map_err(io::Error::other)?;
        let recipe = Recipe { format: request.format, sizes, webp, max_pixels: request.max_pixels };
        let (tools, original) = (&mut self.tools, &self.original[..length]);
        let made = panic::catch_unwind(AssertUnwindSafe(|| {
            let (mut took, mut since) = ([Duration::ZERO; 3], Instant::now());
            let made = thumbnail::make(tools, original, &recipe, |stage| {
                took[stage as usize] = since.elapsed();
                since = Instant::now();
            })?;
            Ok((made, took))
        }));
        Ok(made.unwrap_or_else(|panic| {
            self.tools.renew();
            Err(ThumbnailError::CannotBeDecoded(format!("the decoder panicked: {}", panic_message(&*panic))))
        }))
    }
}

/// Writes the thumbnails.
fn tell(output: &mut impl Write, made: ThumbnailSet, took: [Duration; 3]) -> io::Result<()> {
    let ThumbnailSet { width, height, thumbhash, warnings, thumbnails } = made;
    let files = thumbnails.each_ref().map(|thumbnail| FileHeader {
        width: thumbnail.width,
        height: thumbnail.height,
        encoding: thumbnail.encoding,
        bytes: thumbnail.bytes.len() as u64,
        webp_bytes: thumbnail.webp.as_ref().map(|webp| webp.len() as u64),
    });
    let bytes: Vec<_> = thumbnails
        .iter()
        .flat_map(|thumbnail| [Some(&thumbnail.bytes), thumbnail.webp.as_ref()])
        .flatten()
        .map(Vec::as_slice)
        .collect();
    protocol::write(output, &DecodeReply::Made { width, height, thumbhash, warnings, files, took }, &bytes)
}

/// The message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;
    use crate::Format;

    /// Reads an original that is no picture, as a job would.
    fn fail_with(buffers: &mut JobBuffers, original: &[u8]) {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(original).unwrap();
        input.rewind().unwrap();
        let request = DecodeRequest {
            format: Format::Jpeg,
            sizes: crate::Sizes::default().to_string(),
            webp: crate::WebpSizes::default().to_string(),
            max_pixels: 1_000_000,
            timeout: Duration::from_secs(10),
            original_bytes: original.len() as u64,
        };
        buffers.answer(&mut input, &mut Vec::new(), &request).unwrap();
    }

    #[test]
    fn nothing_of_an_original_is_left_behind_the_next_one() {
        let mut buffers = JobBuffers::default();
        fail_with(&mut buffers, &[b'x'; 1000]);
        assert_eq!(buffers.original, [0; 1000], "between two jobs");
        fail_with(&mut buffers, b"short");
        assert_eq!(buffers.original, [0; 1000]);
    }
}
