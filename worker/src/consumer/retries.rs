//! How often a job is tried, and when.

use std::time::Duration;

use crate::{clock, transport::Task};

/// The delays after the first, second and third failure of a job. After one more it is dead: what has not passed in
/// five minutes needs an operator.
pub(crate) const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];

/// The delay of a job that could not be tried because storage or decoders are away.
pub(super) const OUTAGE_DELAY: Duration = Duration::from_secs(5);

/// The delay of a job that met an error of storage while storage as a whole answers.
pub(super) const ONE_OBJECT_DELAY: Duration = Duration::from_secs(30);

/// How long after its acceptance a job may meet errors of storage that are not counted. Past it they are: an object that
/// can never be read must not keep its upload from ending.
const STORAGE_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a job has failed as often as it may.
pub(super) const fn spent(failures: u32) -> bool {
    failures as usize > RETRY_DELAYS.len()
}

/// The delay of a delivery that failed after so many earlier failures.
pub(super) fn retry_delay(failures: u32) -> Duration {
    let last = RETRY_DELAYS.len() - 1;
    RETRY_DELAYS[usize::try_from(failures).unwrap_or(last).min(last)]
}

/// Whether a job was accepted so long ago that errors of storage count.
pub(super) fn is_overdue(task: &Task) -> bool {
    let accepted = match task {
        Task::Resize(job) => Some(job.record.created_at),
        Task::Bury(letter) => letter.job.as_ref().map(|job| job.record.created_at),
    };
    let age = accepted.map(|at| clock::now().duration_since(at));
    age.and_then(|age| Duration::try_from(age).ok()).is_some_and(|age| age > STORAGE_PATIENCE)
}
