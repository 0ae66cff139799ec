//! The boundary between messages and pixels: bytes in, three encoded thumbnails out, in bounded time and memory for any
//! input.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;
use tracing::{info, warn};

pub use crate::thumbnail::{Thumbnail, ThumbnailError, ThumbnailSet};
use crate::{
    Format, Sizes, WebpSizes,
    config::PixelConfig,
    confinement::{Broken, Decoder, DecoderExit, Launch, Priority, StartError},
    failpoint,
    original::{Original, Unreadable},
    telemetry,
    thumbnail::Recipe,
};

/// Decoders that are tried for one picture. Each attempt has its own time limit.
const ATTEMPTS: u32 = 2;

/// Jobs after which a decoder is replaced: memory that it freed may hold pixels of any of them.
const MAX_JOBS: u32 = 100;

/// How often the elapsed time of a job is counted. While the process is stopped or the machine sleeps, no time is
/// counted.
const TICK: Duration = Duration::from_millis(250);

/// Makes thumbnails of untrusted input, in sandboxed decoders.
pub struct Maker {
    sizes: Sizes,
    webp: WebpSizes,
    max_pixels: u64,
    job_timeout: Duration,
    launch: Launch,
    idle: Arc<Mutex<Idle>>,
}

/// Idle decoders by priority: of each at most one more than jobs at a time. A process may not raise the priority of
/// another, so a decoder keeps its own.
#[derive(Default)]
struct Idle {
    normal: Vec<Decoder>,
    low: Vec<Decoder>,
}

impl Idle {
    const fn of(&mut self, priority: Priority) -> &mut Vec<Decoder> {
        match priority {
            Priority::Normal => &mut self.normal,
            Priority::Low => &mut self.low,
        }
    }
}

/// Waits for `work`, and gives up after this process was awake for `limit`.
async fn awake_for<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = if failpoint::is_dropped("clock-of-jobs", "") { Duration::MAX } else { limit };
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

/// Makes thumbnails. Tests replace the decoder here.
#[async_trait]
pub(crate) trait Make: Send + Sync {
    /// Makes the three thumbnails.
    async fn make(
        &self,
        original: Original,
        format: Format,
        priority: Priority,
    ) -> Result<ThumbnailSet, MakeError>;

    /// Whether a decoder can be started now.
    async fn check(&self) -> Result<(), StartError>;
}

#[async_trait]
impl Make for Maker {
    async fn make(
        &self,
        original: Original,
        format: Format,
        priority: Priority,
    ) -> Result<ThumbnailSet, MakeError> {
        Maker::make(self, original, format, priority).await
    }

    async fn check(&self) -> Result<(), StartError> {
        let Some(decoder) = self.warm_decoder(Priority::Normal) else {
            return self.warm(1).await;
        };
        self.idle().normal.push(decoder);
        Ok(())
    }
}

/// Why no thumbnails were made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The picture is at fault; a retry would fail as well.
    #[error(transparent)]
    Picture(#[from] ThumbnailError),
    /// No decoder could be started; a retry may succeed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Storage is at fault. A retry may succeed.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The machine is at fault: the decoder was killed from outside. A retry may succeed.
    #[error("{0}")]
    Machine(String),
}

impl Maker {
    /// A maker without decoders.
    #[must_use]
    pub fn new(pixels: &PixelConfig, launch: Launch) -> Self {
        Self {
            sizes: pixels.sizes,
            webp: pixels.webp,
            max_pixels: pixels.max_pixels,
            job_timeout: pixels.job_timeout,
            launch,
            idle: Arc::default(),
        }
    }

    /// Starts a decoder of normal priority for each slot, so that no interactive picture waits for one.
    ///
    /// # Errors
    /// When no decoder can be started, or the sandbox is required and not enforced.
    pub async fn warm(&self, slots: usize) -> Result<(), StartError> {
        let starting = (0..slots).map(|_| Decoder::start(&self.launch, Priority::Normal));
        let started = futures::future::try_join_all(starting).await?;
        self.idle().normal.extend(started);
        Ok(())
    }

    /// Makes the three thumbnails.
    ///
    /// # Errors
    /// When the picture is at fault, or no decoder can be started.
    pub async fn make(
        &self,
        original: Original,
        format: Format,
        priority: Priority,
    ) -> Result<ThumbnailSet, MakeError> {
        let header = original.probe(format).await?.map_err(ThumbnailError::from)?;
        header.check(self.max_pixels).map_err(ThumbnailError::from)?;
        let displayed = (header.width, header.height);
        let recipe = Recipe { format, sizes: self.sizes, webp: self.webp, max_pixels: self.max_pixels };
        let mut reason: Option<MakeError> = None;
        for _ in 0..ATTEMPTS {
            // A retry gets a new decoder, which holds no memory of other jobs.
            let warm = if reason.is_none() { self.warm_decoder(priority) } else { None };
            let mut decoder = match warm {
                Some(decoder) => decoder,
                None => Decoder::start(&self.launch, priority).await?,
            };
            let was_used = decoder.is_used();
            let work = decoder.work(&original, &recipe, displayed, self.job_timeout);
            let (error, is_final) = match awake_for(self.job_timeout, work).await {
                // A disk that stalls is not the picture's fault.
                None if decoder.is_sending() => {
                    decoder.kill().await;
                    return Err(Unreadable::late(self.job_timeout).into());
                }
                None => {
                    decoder.kill().await;
                    let error = ThumbnailError::TookTooLong(self.job_timeout);
                    telemetry::decoder_lost(error.code());
                    (error.into(), true)
                }
                Some(Ok(done)) => {
                    if done.is_ok() && decoder.jobs() < MAX_JOBS {
                        self.idle().of(priority).push(decoder);
                    } else {
                        self.replace(decoder, priority);
                    }
                    match done {
                        Ok(made) => return Ok(made),
                        Err(error @ ThumbnailError::NeedsTooMuchMemory) => (error.into(), !was_used),
                        Err(error) => (error.into(), true),
                    }
                }
                Some(Err(Broken::Original(error))) => {
                    self.replace(decoder, priority);
                    return Err(error.into());
                }
                Some(Err(Broken::Decoder(broken))) => {
                    match decoder.exit_reason(self.job_timeout, &broken).await {
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
                            warn!(how, "a decoder crashed");
                            let error =
                                ThumbnailError::CannotBeDecoded(format!("the decoder crashed: {how}"));
                            (error.into(), false)
                        }
                    }
                }
            };
            if is_final {
                return Err(error);
            }
            info!(%error, "retrying in a new decoder");
            reason = Some(error);
        }
        Err(reason.expect("there is at least one attempt, and each leaves a reason"))
    }

    /// Ends a decoder and starts another one in its place, so that the next picture need not wait for it. A failure leaves
    /// less than a success behind that is known, so its decoder is not trusted with another client's picture.
    fn replace(&self, decoder: Decoder, priority: Priority) {
        drop(decoder);
        let (idle, launch) = (Arc::clone(&self.idle), self.launch.clone());
        tokio::spawn(async move {
            match Decoder::start(&launch, priority).await {
                Ok(decoder) => {
                    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                    let idle = idle.of(priority);
                    // A job that did not wait has started one of its own, which will be idle.
                    if idle.is_empty() {
                        idle.push(decoder);
                    }
                }
                Err(error) => info!(%error, "could not start a decoder ahead; the next job starts one"),
            }
        });
    }

    /// An idle decoder of a priority, if one is alive.
    fn warm_decoder(&self, priority: Priority) -> Option<Decoder> {
        let mut idle = self.idle();
        let idle = idle.of(priority);
        while let Some(mut decoder) = idle.pop() {
            if decoder.is_alive() {
                return Some(decoder);
            }
            warn!("an idle decoder died");
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // A panic cannot leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
