//! Burials: a dead letter becomes the failure of its upload.

use tracing::{error, info, warn};

use super::{Consumer, WorkDone, failures::failure_of_death, transient::TransientError};
use crate::{
    contract::record::JobName,
    transport::{DeadLetter, DeathReason, Posting, Tries},
};

/// How often redeliveries of a job must have been begun before it counts as one that kills its workers: with its first
/// delivery, which leaves no mark, as often as the embedded queue lets it.
const MIN_BEGUN: usize = 2;

impl Consumer {
    /// Buries a dead letter: stores that its upload failed, unless the generation has already ended. A job that expired
    /// in its lane, or that was returned before workers began it, was not tried, so it is posted again instead.
    pub(super) async fn bury(&self, letter: &DeadLetter, tries: Tries) -> Result<WorkDone, TransientError> {
        let Some(id) = letter.id else {
            error!(reason = letter.reason.name(), "a dead letter has no upload id");
            return Ok(WorkDone::nothing(None));
        };
        let job = JobName { id, generation: letter.generation.unwrap_or(1) };
        if self.storage.is_gone(id).await? {
            info!("the upload of a dead letter was deleted");
            self.storage.remove_everything(id).await?;
            return Ok(WorkDone::nothing(Some(job)));
        }
        if let Some(ended) = self.storage.end_of(job).await? {
            // Workers that died before they acknowledged the job may have died before they announced its end.
            let tells_end = tries.is_redelivery() || letter.reason == DeathReason::KilledItsWorkers;
            return Ok(self.ended(job, ended, true).await?.told(tells_end));
        }
        let record = match &letter.job {
            Some(job) => Some(job.record.clone()),
            None => self.storage.pending(job).await?,
        };
        let Some(record) = record else {
            warn!(reason = letter.reason.name(), "a dead letter belongs to an unknown upload");
            return Ok(WorkDone::nothing(None));
        };
        if letter.reason == DeathReason::Expired {
            warn!("a job expired in its queue by a broker policy and is posted again");
            self.transport.publish(Posting::of_sweeper(record)).await?;
            return Ok(WorkDone::nothing(None));
        }
        if letter.reason == DeathReason::KilledItsWorkers && self.storage.times_begun(job).await? < MIN_BEGUN
        {
            warn!("a job was returned before workers began it, and is posted again");
            self.transport.publish(Posting::of_sweeper(record)).await?;
            if let Err(error) = self.transport.forget_dead(&id.to_string()).await {
                let error = &error as &dyn std::error::Error;
                warn!(error, "could not remove the dead letter of a job that is posted again");
            }
            return Ok(WorkDone::nothing(None));
        }
        error!(reason = letter.reason.name(), "a job was dead-lettered; its upload fails");
        self.fail(&record, failure_of_death(letter.reason), true).await
    }
}
