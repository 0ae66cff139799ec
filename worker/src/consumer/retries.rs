//! How often a job is tried, and when.

use std::time::Duration;

use crate::{clock, transport::Task};

/// The delays after the first, second and third failure of a job. After a fourth failure it is dead-lettered: a problem
/// that lasts longer than five minutes needs an operator.
pub(crate) const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];

/// The delay of a job that is postponed because storage or decoders are unavailable.
pub(super) const OUTAGE_DELAY: Duration = Duration::from_secs(5);

/// The delay of a job whose object cannot be read although storage works.
pub(super) const ONE_OBJECT_DELAY: Duration = Duration::from_secs(30);

/// The age of a job past which errors of storage are counted as failures. Otherwise an object that is never readable
/// would keep its upload from ending.
const STORAGE_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a job has used up its retries.
pub(super) const fn retries_exhausted(failures: u32) -> bool {
    failures as usize > RETRY_DELAYS.len()
}

/// The delay after a failure, by the number of earlier failures.
pub(super) fn retry_delay(failures: u32) -> Duration {
    let last = RETRY_DELAYS.len() - 1;
    RETRY_DELAYS[usize::try_from(failures).unwrap_or(last).min(last)]
}

/// Whether a job is so old that errors of storage are counted as failures.
pub(super) fn is_past_patience(task: &Task) -> bool {
    let accepted = match task {
        Task::Resize(job) => Some(job.record.created_at),
        Task::Bury(letter) => letter.job.as_ref().map(|job| job.record.created_at),
    };
    let age = accepted.map(|at| clock::now().duration_since(at));
    age.and_then(|age| Duration::try_from(age).ok()).is_some_and(|age| age > STORAGE_PATIENCE)
}
