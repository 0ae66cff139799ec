//! The seam between messages and pixels: bytes in, three encoded thumbnails out, in bounded time and memory, whatever
//! the bytes are.

use std::{
    io::Cursor,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;
use tracing::{info, warn};

pub use crate::thumbnail::{Thumbnail, ThumbnailError, ThumbnailSet};
use crate::{
    Format, Sizes,
    config::PixelConfig,
    confinement::{Decoder, DecoderExit, Launch, StartError},
    probe, telemetry,
    thumbnail::Recipe,
};

/// Processes that one picture may cost. Each attempt has its own deadline.
const ATTEMPTS: u32 = 2;

/// How often the time of a job is counted on. A process that is stopped, or a machine that sleeps, does not count on: that
/// time says nothing of the picture.
const TICK: Duration = Duration::from_millis(250);

/// Makes thumbnails of strangers' bytes, in confined processes.
pub struct Maker {
    sizes: Sizes,
    max_pixels: u64,
    job_timeout: Duration,
    launch: Launch,
    /// Warm processes without a job. There are never more than jobs at a time.
    idle: Mutex<Vec<Decoder>>,
}

/// Waits for work, at most for so long as this process is awake.
async fn awake_for<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = limit;
    while !left.is_zero() {
        let tick = TICK.min(left);
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            () = sleep(tick) => left -= tick,
        }
    }
    None
}

/// Makes thumbnails; the seam at which tests put something quicker.
#[async_trait]
pub(crate) trait Make: Send + Sync {
    /// Makes the three thumbnails.
    async fn make(&self, original: Bytes, format: Format) -> Result<ThumbnailSet, MakeError>;

    /// Whether thumbnails can be made here now.
    async fn check(&self) -> Result<(), StartError>;
}

#[async_trait]
impl Make for Maker {
    async fn make(&self, original: Bytes, format: Format) -> Result<ThumbnailSet, MakeError> {
        Maker::make(self, original, format).await
    }

    async fn check(&self) -> Result<(), StartError> {
        let Some(decoder) = self.warm_decoder() else { return self.warm(NonZeroUsize::MIN).await };
        self.idle().push(decoder);
        Ok(())
    }
}

/// Why there are no thumbnails.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The picture is at fault; trying again would not help.
    #[error(transparent)]
    Picture(#[from] ThumbnailError),
    /// No process can be had; it may pass.
    #[error(transparent)]
    Start(#[from] StartError),
    /// This machine is at fault: the process was killed from outside. It may pass.
    #[error("{0}")]
    Machine(String),
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
    pub async fn make(&self, original: Bytes, format: Format) -> Result<ThumbnailSet, MakeError> {
        let header = probe::probe(Cursor::new(&original), format).map_err(ThumbnailError::from)?;
        header.check(self.max_pixels).map_err(ThumbnailError::from)?;
        let displayed = (header.width, header.height);
        let recipe = Recipe { format, sizes: self.sizes, max_pixels: self.max_pixels };
        let mut reason: Option<MakeError> = None;
        for _ in 0..ATTEMPTS {
            // After a failure a new process, which holds nothing of other jobs.
            let warm = if reason.is_none() { self.warm_decoder() } else { None };
            let mut decoder = match warm {
                Some(decoder) => decoder,
                None => Decoder::start(&self.launch).await?,
            };
            let was_used = decoder.is_used();
            let work = decoder.work(&original, &recipe, displayed, self.job_timeout);
            let (error, is_final) = match awake_for(self.job_timeout, work).await {
                None => {
                    decoder.kill().await;
                    let error = ThumbnailError::TookTooLong(self.job_timeout);
                    telemetry::decoder_lost(error.code());
                    (error.into(), true)
                }
                Some(Ok(done)) => {
                    self.idle().push(decoder);
                    match done {
                        Ok(made) => return Ok(made),
                        Err(error @ ThumbnailError::NeedsTooMuchMemory) => (error.into(), !was_used),
                        Err(error) => (error.into(), true),
                    }
                }
                Some(Err(broken)) => match decoder.ending(self.job_timeout, &broken).await {
                    DecoderExit::Limit(error) => {
                        telemetry::decoder_lost(error.code());
                        let is_final = !was_used || error != ThumbnailError::NeedsTooMuchMemory;
                        (error.into(), is_final)
                    }
                    DecoderExit::Killed(how) => {
                        telemetry::decoder_lost("killed");
                        warn!(how, "a decoder was killed from outside");
                        (MakeError::Machine(format!("the decoder was killed from outside: {how}")), false)
                    }
                    DecoderExit::Crash(how) => {
                        telemetry::decoder_lost("crash");
                        warn!(how, "a confined process crashed");
                        let error = ThumbnailError::CannotBeDecoded(format!("the decoder crashed: {how}"));
                        (error.into(), false)
                    }
                },
            };
            if is_final {
                return Err(error);
            }
            info!(%error, "another try, in a new process");
            reason = Some(error);
        }
        Err(reason.expect("there is at least one attempt, and each leaves a reason"))
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
