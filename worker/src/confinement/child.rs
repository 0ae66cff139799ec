//! The decoder process: enforces its sandbox, reports the status, and makes thumbnails until its input ends.

use std::{
    any::Any,
    fs::File,
    io::{self, Read},
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
use crate::thumbnail::{self, Recipe, Scaler, ThumbnailError, ThumbnailSet};

/// Bytes of an original whose memory is kept for the next. Larger ones are rare, and memory is for pixels.
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

fn serve(mode: ConfinementMode, memory: u64) -> io::Result<()> {
    layers::close_leaked_descriptors()?;
    // Copies without a buffer, made while there are still descriptors to be had.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // The reply tells of a panic.
    panic::set_hook(Box::new(|_| {}));
    let status = SandboxLayers::from(mode).enforce(memory);
    protocol::write(&mut output, &Ready { status }, &[])?;
    let mut workshop = Workshop::default();
    while let Some(request) = protocol::read::<DecodeRequest>(&mut input)? {
        layers::allow_cpu(request.timeout)?;
        match workshop.work(&mut input, &request)? {
            Ok((made, took)) => {
                let ThumbnailSet { width, height, thumbhash, thumbnails } = made;
                let files = thumbnails.each_ref().map(|thumbnail| FileHeader {
                    width: thumbnail.width,
                    height: thumbnail.height,
                    encoding: thumbnail.encoding,
                    bytes: thumbnail.bytes.len() as u64,
                });
                let bytes = thumbnails.each_ref().map(|thumbnail| thumbnail.bytes.as_slice());
                protocol::write(
                    &mut output,
                    &DecodeReply::Made { width, height, thumbhash, files, took },
                    &bytes,
                )?;
            }
            Err(error) => protocol::write(&mut output, &DecodeReply::Failed(error), &[])?,
        }
    }
    Ok(())
}

/// What is kept from job to job.
#[derive(Default)]
struct Workshop {
    /// Its length is that of the longest original so far: growing writes zeroes, which costs.
    original: Vec<u8>,
    scaler: Scaler,
}

impl Workshop {
    /// Reads an original and makes its thumbnails; answers how long decoding, scaling and encoding took, too. `Err`
    /// outside is a pipe that broke.
    fn work(
        &mut self,
        input: &mut File,
        request: &DecodeRequest,
    ) -> io::Result<Result<(ThumbnailSet, [Duration; 3]), ThumbnailError>> {
        let length = usize::try_from(request.original_bytes).map_err(io::Error::other)?;
        let more = length.saturating_sub(self.original.len());
        if self.original.try_reserve_exact(more).is_err() {
            // Somebody has to read it all the same.
            io::copy(&mut input.take(request.original_bytes), &mut io::sink())?;
            return Ok(Err(ThumbnailError::NeedsTooMuchMemory));
        }
        self.original.resize(self.original.len() + more, 0);
        input.read_exact(&mut self.original[..length])?;
        let sizes = request.sizes.parse().map_err(io::Error::other)?;
        let recipe = Recipe { format: request.format, sizes, max_pixels: request.max_pixels };
        let (scaler, original) = (&mut self.scaler, &self.original[..length]);
        let made = panic::catch_unwind(AssertUnwindSafe(|| {
            let (mut took, mut since) = ([Duration::ZERO; 3], Instant::now());
            let made = thumbnail::make(scaler, original, &recipe, |stage| {
                took[stage as usize] = since.elapsed();
                since = Instant::now();
            })?;
            Ok((made, took))
        }));
        if self.original.len() > KEPT_BYTES {
            self.original = Vec::new();
        }
        Ok(made.unwrap_or_else(|panic| {
            // Who knows what it left half done.
            self.scaler = Scaler::default();
            Err(ThumbnailError::CannotBeDecoded(format!("the decoder panicked: {}", words(&*panic))))
        }))
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
