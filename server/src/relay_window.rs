//! The window of the relay: the bulk jobs of a client that wait in the broker.
//!
//! RabbitMQ serves a lane in order. If the relay posted everything at once, the first photograph of one client would wait
//! behind ten thousand of another. So it posts at most [`AHEAD`] bulk jobs of a client that no worker has started. The
//! others stay in the outbox, which serves clients in turns. In the interactive lane a client has few jobs anyway.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use worker::{Changed, JobName, State, transport::ClientTag};

/// Bulk jobs of a client that wait in the broker: enough to start thousands a second, as an announcement takes
/// milliseconds, and few enough that another client waits only for these.
const AHEAD: usize = 8;

/// How long a job counts that no worker has started: its announcement may be lost, or no worker may be running. Then a
/// few more jobs are posted, which does no harm.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// Jobs that the relay has posted.
#[derive(Default)]
pub(crate) struct RelayWindow {
    posted: Mutex<Posted>,
    held: watch::Sender<Vec<ClientTag>>,
}

#[derive(Default)]
struct Posted {
    /// Whether nothing is held back any more.
    is_open: bool,
    jobs: HashMap<JobName, (ClientTag, Instant)>,
    by_client: HashMap<ClientTag, usize>,
}

impl RelayWindow {
    /// The clients whose bulk jobs are held back.
    pub(crate) fn held(&self) -> watch::Receiver<Vec<ClientTag>> {
        self.held.subscribe()
    }

    /// Holds nothing back from now on: a draining server hands all its jobs to the broker.
    pub(crate) fn open(&self) {
        let mut posted = self.posted();
        *posted = Posted { is_open: true, ..Posted::default() };
        self.hold(&posted);
    }

    /// Notes a bulk job that the relay posts.
    pub(crate) fn on_posted(&self, job: JobName, client: ClientTag, now: Instant) {
        let mut posted = self.posted();
        if posted.jobs.insert(job, (client, now)).is_none() {
            *posted.by_client.entry(client).or_default() += 1;
        }
        self.hold(&posted);
    }

    /// Notes that a job could not be posted.
    pub(crate) fn on_kept(&self, job: JobName) {
        let mut posted = self.posted();
        posted.remove(job);
        self.hold(&posted);
    }

    /// Notes a change of an upload: a worker has started its job, or the upload has ended.
    pub(crate) fn on_changed(&self, changed: &Changed) {
        let upload = &changed.upload;
        if upload.state != State::Queued {
            self.on_kept(JobName { id: upload.id, generation: upload.generation });
        }
    }

    /// Forgets the jobs that count no more.
    pub(crate) fn expire(&self, now: Instant) {
        let mut posted = self.posted();
        let old = posted.jobs.iter().filter(|(_, (_, since))| now.duration_since(*since) >= COUNTS_FOR);
        let old: Vec<JobName> = old.map(|(job, _)| *job).collect();
        for job in old {
            posted.remove(job);
        }
        self.hold(&posted);
    }

    /// Forgets all jobs: announcements may have been lost.
    pub(crate) fn forget(&self) {
        let mut posted = self.posted();
        *posted = Posted { is_open: posted.is_open, ..Posted::default() };
        self.hold(&posted);
    }

    fn hold(&self, posted: &Posted) {
        let full = posted.by_client.iter().filter(|(_, jobs)| **jobs >= AHEAD && !posted.is_open);
        let mut full: Vec<ClientTag> = full.map(|(client, _)| *client).collect();
        full.sort_unstable_by_key(|client| client.0);
        self.held.send_if_modified(|held| {
            let is_changed = *held != full;
            *held = full;
            is_changed
        });
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        // No code that can panic runs under the lock.
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posted {
    fn remove(&mut self, job: JobName) {
        let Some((client, _)) = self.jobs.remove(&job) else { return };
        if let Some(jobs) = self.by_client.get_mut(&client) {
            *jobs -= 1;
            if *jobs == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use worker::{Lane, LinkBase, Upload, UploadId, testing};

    use super::*;

    const GREEDY: ClientTag = ClientTag(1);

    fn job() -> JobName {
        JobName { id: UploadId::new(), generation: 1 }
    }

    fn full() -> (RelayWindow, Vec<JobName>) {
        let window = RelayWindow::default();
        let jobs: Vec<_> = (0..AHEAD).map(|_| job()).collect();
        for job in &jobs {
            assert!(window.held().borrow().is_empty());
            window.on_posted(*job, GREEDY, Instant::now());
        }
        window.on_posted(job(), ClientTag(2), Instant::now());
        assert_eq!(*window.held().borrow(), [GREEDY]);
        (window, jobs)
    }

    #[test]
    fn a_client_is_held_back_until_a_worker_starts_one_of_its_jobs() {
        let (window, jobs) = full();
        let queued = Upload::queued(&testing::record_of(jobs[0].id), &LinkBase::default());
        window.on_changed(&Changed::new(queued.clone(), Lane::Bulk));
        assert_eq!(*window.held().borrow(), [GREEDY]);
        let mut held = window.held();
        window.on_changed(&Changed::new(queued.processing(), Lane::Bulk));
        assert!(held.has_changed().unwrap() && held.borrow_and_update().is_empty());
        window.on_changed(&Changed::new(Upload { id: jobs[0].id, ..testing::ready_upload() }, Lane::Bulk));
        window.on_posted(job(), GREEDY, Instant::now());
        assert_eq!(*window.held().borrow(), [GREEDY], "a job is subtracted once");
    }

    #[test]
    fn nothing_is_held_back_for_ever() {
        let (window, jobs) = full();
        window.expire(Instant::now());
        assert_eq!(*window.held().borrow(), [GREEDY]);
        window.expire(Instant::now() + COUNTS_FOR);
        assert!(window.held().borrow().is_empty());
        let (window, _) = full();
        window.forget();
        assert!(window.held().borrow().is_empty() && window.posted().by_client.is_empty());
        let (window, _) = full();
        window.open();
        full().1.into_iter().for_each(|job| window.on_posted(job, GREEDY, Instant::now()));
        assert!(window.held().borrow().is_empty(), "a draining server holds nothing back");
        let (window, _) = full();
        window.on_kept(jobs[0]);
        assert_eq!(*window.held().borrow(), [GREEDY], "the job of another window");
    }
}
