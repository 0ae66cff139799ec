//! The last steps of a delivery whose work is done.

use std::{
    fs,
    sync::LazyLock,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{Consumer, WorkDone, settling::SETTLED_AFTER};
use crate::{
    contract::upload::Upload,
    failpoint,
    telemetry::{self, timed},
    transport::{Delivery, Settled, TransportError},
};

/// The host and the process id of this worker, for the log.
static WORKER: LazyLock<String> = LazyLock::new(|| {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
});

impl Consumer {
    /// Announces, acknowledges and removes leftovers.
    pub(super) async fn finish(
        &self,
        delivery: Delivery,
        done: WorkDone,
        begun: Instant,
    ) -> Result<Settled, TransportError> {
        failpoint::hit("before-ack", &done.name).await;
        let dropped = failpoint::hit("announce", &done.name).await == failpoint::Hit::Drop;
        let settled = match done.changed {
            Some(changed) if !dropped => {
                if done.tells_end {
                    telemetry::ended(&changed.upload);
                    log_end(&changed.upload, begun.elapsed());
                } else {
                    let outcome = changed.upload.state.name();
                    debug!(outcome, "the end of an upload is announced again");
                }
                timed("announce", delivery.finish(changed)).await
            }
            _ => delivery.ack().await,
        };
        failpoint::hit("after-ack", &done.name).await;
        if let Some(job) = done.job
            && matches!(settled, Ok(Settled::Done))
        {
            let cleared = async {
                self.storage.remove_pending(job).await?;
                match done.leftovers {
                    Some(winner) => self.storage.remove_other_makings(job.id, winner).await,
                    None => Ok(()),
                }
            };
            tokio::select! {
                biased;
                cleared = cleared => if let Err(error) = cleared {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "could not remove the pending entry of an ended upload; the sweeper removes it");
                },
                // The job is done, and the sweeper removes the entry.
                () = self.drained_for(SETTLED_AFTER) => {}
            }
        }
        settled
    }
}

/// Logs the end of an upload in one line. The durations are those from its acceptance, and of this worker.
fn log_end(upload: &Upload, worked: Duration) {
    let seconds = upload.ended_at.map(|ended| ended.duration_since(upload.created_at).as_secs_f64());
    info!(
        name = upload.name,
        outcome = upload.state.name(),
        error = upload.error.as_ref().map(|failure| failure.kind.as_str()),
        generation = upload.generation,
        seconds,
        worked_seconds = worked.as_secs_f64(),
        worker = WORKER.as_str(),
        "the upload has ended"
    );
}
