//! The seam between messages and pixels: bytes in, three encoded thumbnails out, in bounded time and memory, whatever
//! the bytes are.

use std::{
    io::Cursor,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

pub use crate::thumbnail::{Made, Thumbnail, ThumbnailError};
use crate::{
    Format, Sizes,
    config::PixelConfig,
    confinement::{Decoder, Ending, Launch, StartError},
    probe, telemetry,
    thumbnail::Recipe,
};

/// Processes that one picture may cost.
const ATTEMPTS: u32 = 2;

/// Makes thumbnails of strangers' bytes, in confined processes.
pub struct Maker {
    sizes: Sizes,
    max_pixels: u64,
    job_timeout: Duration,
    launch: Launch,
    /// Warm processes without a job. There are never more than jobs at a time.
    idle: Mutex<Vec<Decoder>>,
}

/// Why there are no thumbnails.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The picture is at fault; trying again would not help.
    #[error(transparent)]
    Picture(#[from] ThumbnailError),
    /// This machine is at fault; it may pass.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Maker {
    /// A maker without a process yet.
    #[must_use]
    pub const fn new(pixels: &PixelConfig, launch: Launch) -> Self {
        Self {
            sizes: pixels.sizes,
            max_pixels: pixels.max_pixels,
            job_timeout: pixels.job_timeout,
            launch,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Starts a process for each slot, so that no picture waits for one.
    ///
    /// # Errors
    /// When none can be had, or confinement is required and does not hold.
    pub async fn warm(&self, slots: NonZeroUsize) -> Result<(), StartError> {
        let starting = (0..slots.get()).map(|_| Decoder::start(&self.launch));
        let started = futures::future::try_join_all(starting).await?;
        self.idle().extend(started);
        Ok(())
    }

    /// Makes the three thumbnails.
    ///
    /// # Errors
    /// When the picture is at fault, or no process can be had.
    pub async fn make(&self, original: Bytes, format: Format) -> Result<Made, MakeError> {
        let header = probe::probe(Cursor::new(&original), format).map_err(ThumbnailError::from)?;
        header.check(self.max_pixels).map_err(ThumbnailError::from)?;
        let displayed = (header.width, header.height);
        let recipe = Recipe { format, sizes: self.sizes, max_pixels: self.max_pixels };
        let deadline = Instant::now() + self.job_timeout;
        let mut reason = None;
        for _ in 0..ATTEMPTS {
            // After a failure a new process, which holds nothing of other jobs.
            let warm = if reason.is_none() { self.warm_decoder() } else { None };
            let mut decoder = match warm {
                Some(decoder) => decoder,
                None => Decoder::start(&self.launch).await?,
            };
            let was_used = decoder.is_used();
            let work = decoder.work(&original, &recipe, displayed, self.job_timeout);
            let (error, is_final) = match timeout_at(deadline, work).await {
                Err(_late) => {
                    decoder.kill().await;
                    let error = ThumbnailError::TookTooLong(self.job_timeout);
                    telemetry::decoder_lost(error.code());
                    (error, true)
                }
                Ok(Ok(done)) => {
                    self.idle().push(decoder);
                    match done {
                        Ok(made) => return Ok(made),
                        Err(error @ ThumbnailError::NeedsTooMuchMemory) => (error, !was_used),
                        Err(error) => (error, true),
                    }
                }
                Ok(Err(broken)) => match decoder.ending(self.job_timeout, &broken).await {
                    Ending::Limit(error) => {
                        telemetry::decoder_lost(error.code());
                        let is_final = !was_used || error != ThumbnailError::NeedsTooMuchMemory;
                        (error, is_final)
                    }
                    Ending::Crash(how) => {
                        telemetry::decoder_lost("crash");
                        warn!(how, "a confined process crashed");
                        (ThumbnailError::CannotBeDecoded(format!("the decoder crashed: {how}")), false)
                    }
                },
            };
            if is_final {
                return Err(error.into());
            }
            info!(%error, "once more, in a new process");
            reason = Some(error);
        }
        Err(reason.expect("there is at least one attempt, and each leaves a reason").into())
    }

    /// A process that has been waiting, if there is one alive.
    fn warm_decoder(&self) -> Option<Decoder> {
        let mut idle = self.idle();
        while let Some(mut decoder) = idle.pop() {
            if decoder.lives() {
                return Some(decoder);
            }
            warn!("a confined process has died while it had nothing to do");
        }
        None
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Decoder>> {
        // A list of processes is whole after any panic.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
