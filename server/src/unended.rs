//! Unended uploads by client. They decide the lane of a client's next upload, and limit how many a client may have.
//!
//! | a client's unended uploads | its next upload |
//! | --- | --- |
//! | fewer than `--interactive-per-client` that did not ask for the bulk lane | goes to the lane that it asks for |
//! | as many, or more | goes to the bulk lane, where clients take turns |
//! | `--max-unended-per-client` in all | is refused with 429 |
//!
//! An upload counts from the beginning of its file until it has ended. An end is announced; a lost announcement is
//! replaced by the next listing of the pending index. Each server counts for itself, in memory.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use worker::{JobName, Lane, State, Upload, UploadId, transport::ClientTag};

use crate::client::Client;

/// The unended uploads that this server accepted or requeued: about 150 bytes for each.
pub(crate) struct Unended {
    /// Uploads of one client in the interactive lane.
    interactive: usize,
    /// Uploads of one client in all.
    most: usize,
    tags: RandomState,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    by_client: HashMap<Client, ClientCounts>,
    uploads: HashMap<UploadId, Counted>,
}

/// The numbers of one client.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct ClientCounts {
    all: usize,
    /// Those that did not ask for the bulk lane, from their commit on.
    interactive: usize,
}

/// An accepted upload.
#[derive(Debug, Clone, Copy)]
struct Counted {
    generation: u32,
    client: Client,
    asks_for_bulk: bool,
    since: Instant,
}

/// The client has as many unended uploads as one client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyUnended;

impl Unended {
    /// No uploads, and the limits of one client.
    pub(crate) fn new(interactive: usize, most: usize) -> Arc<Self> {
        Arc::new(Self { interactive, most, tags: RandomState::new(), counts: Mutex::default() })
    }

    /// The client's tag in the queue. It is random for each start of the server.
    pub(crate) fn tag(&self, client: Client) -> ClientTag {
        ClientTag(self.tags.hash_one(client).cast_signed())
    }

    /// Checks whether a client may have another upload.
    pub(crate) fn check(&self, client: Client) -> Result<(), TooManyUnended> {
        if self.counts().of(client).all < self.most { Ok(()) } else { Err(TooManyUnended) }
    }

    /// Counts an upload of a client.
    pub(crate) fn add(self: &Arc<Self>, client: Client) -> Result<Place, TooManyUnended> {
        let mut counts = self.counts();
        let of_client = counts.by_client.entry(client).or_default();
        if of_client.all >= self.most {
            return Err(TooManyUnended);
        }
        of_client.all += 1;
        drop(counts);
        Ok(Place { unended: Arc::clone(self), client, asks_for_bulk: true, is_kept: false })
    }

    /// Notes a change of an upload.
    pub(crate) fn on_changed(&self, upload: &Upload) {
        if upload.state.is_final() {
            let mut counts = self.counts();
            let is_ended =
                |counted: &Counted| upload.state == State::Gone || counted.generation <= upload.generation;
            if counts.uploads.get(&upload.id).is_some_and(is_ended) {
                counts.remove(upload.id);
            }
        }
    }

    /// Removes the uploads that were accepted before a listing of the pending index began and are not in it.
    pub(crate) fn on_listed(&self, began: Instant, is_listed: impl Fn(JobName) -> bool) {
        let mut counts = self.counts();
        let ended = counts.uploads.iter().filter(|(id, counted)| {
            counted.since < began && !is_listed(JobName { id: **id, generation: counted.generation })
        });
        let ended: Vec<UploadId> = ended.map(|(id, _)| *id).collect();
        for id in ended {
            counts.remove(id);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // No code that can panic runs under the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&self, client: Client) -> ClientCounts {
        self.by_client.get(&client).copied().unwrap_or_default()
    }

    fn remove(&mut self, id: UploadId) {
        if let Some(counted) = self.uploads.remove(&id) {
            self.subtract(counted.client, counted.asks_for_bulk);
        }
    }

    fn subtract(&mut self, client: Client, asks_for_bulk: bool) {
        let Some(counts) = self.by_client.get_mut(&client) else { return };
        counts.all -= 1;
        counts.interactive -= usize::from(!asks_for_bulk);
        if *counts == ClientCounts::default() {
            self.by_client.remove(&client);
        }
    }
}

/// The place of an upload that is being accepted. Dropping it ends the count.
pub(crate) struct Place {
    unended: Arc<Unended>,
    client: Client,
    /// `true` until the lane is asked for: an upload whose file arrives slowly takes no place in the interactive lane.
    asks_for_bulk: bool,
    is_kept: bool,
}

impl Place {
    /// The lane of an upload that is about to be committed.
    pub(crate) fn lane(&mut self, asks_for_bulk: bool) -> Lane {
        if asks_for_bulk || !self.asks_for_bulk {
            return Lane::Bulk;
        }
        let mut counts = self.unended.counts();
        let of_client = counts.by_client.entry(self.client).or_default();
        let lane =
            if of_client.interactive < self.unended.interactive { Lane::Interactive } else { Lane::Bulk };
        of_client.interactive += 1;
        self.asks_for_bulk = false;
        lane
    }

    /// The client's tag in the queue.
    pub(crate) fn tag(&self) -> ClientTag {
        self.unended.tag(self.client)
    }

    /// Keeps the place until the upload has ended.
    pub(crate) fn keep(mut self, job: JobName) {
        self.is_kept = true;
        let mut counts = self.unended.counts();
        // Of two generations of an upload, the later one counts.
        counts.remove(job.id);
        let counted = Counted {
            generation: job.generation,
            client: self.client,
            asks_for_bulk: self.asks_for_bulk,
            since: Instant::now(),
        };
        counts.uploads.insert(job.id, counted);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept {
            self.unended.counts().subtract(self.client, self.asks_for_bulk);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use worker::{LinkBase, testing};

    use super::*;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    fn accepted(unended: &Arc<Unended>, client: Client, asks_for_bulk: bool) -> (JobName, Lane) {
        let mut place = unended.add(client).unwrap();
        let lane = place.lane(asks_for_bulk);
        let job = JobName { id: UploadId::new(), generation: 1 };
        place.keep(job);
        (job, lane)
    }

    fn ready(job: JobName) -> Upload {
        let record = worker::UploadRecord { generation: job.generation, ..testing::record_of(job.id) };
        Upload::ready(&testing::result_of(record), &LinkBase::default())
    }

    #[test]
    fn past_the_first_limit_uploads_go_to_the_bulk_lane_and_past_the_second_they_are_refused() {
        let unended = Unended::new(1, 3);
        let (first, lane) = accepted(&unended, client(1), false);
        assert_eq!(lane, Lane::Interactive);
        assert_eq!(accepted(&unended, client(1), false).1, Lane::Bulk);
        assert_eq!(accepted(&unended, client(2), false).1, Lane::Interactive, "another client");
        let place = unended.add(client(1)).unwrap();
        assert_eq!(unended.check(client(1)), Err(TooManyUnended), "a file that arrives counts");
        assert!(unended.add(client(1)).is_err());
        drop(place);
        accepted(&unended, client(1), false);
        assert!(unended.add(client(1)).is_err());
        unended.on_changed(&ready(first));
        assert_eq!(accepted(&unended, client(1), false).1, Lane::Bulk, "two are unended");
    }

    #[test]
    fn uploads_that_ask_for_the_bulk_lane_leave_the_interactive_lane_to_the_same_client() {
        let unended = Unended::new(1, 10);
        for _ in 0..5 {
            assert_eq!(accepted(&unended, client(1), true).1, Lane::Bulk);
        }
        let slow = unended.add(client(1)).unwrap();
        assert_eq!(accepted(&unended, client(1), false).1, Lane::Interactive);
        drop(slow);
    }

    #[test]
    fn a_lost_announcement_is_replaced_by_a_listing_and_nothing_is_counted_for_ever() {
        let unended = Unended::new(1, 10);
        let began = Instant::now() + Duration::from_secs(1);
        let (pending, _) = accepted(&unended, client(1), false);
        accepted(&unended, client(1), false);
        drop(unended.add(client(2)).unwrap());
        let mut refused = unended.add(client(3)).unwrap();
        assert_eq!(refused.lane(false), Lane::Interactive);
        drop(refused);
        unended.on_listed(Instant::now() - Duration::from_secs(1), |_| false);
        assert_eq!(unended.counts().of(client(1)).all, 2, "they were accepted after the listing began");
        unended.on_listed(began, |job| job == pending);
        assert_eq!(unended.counts().of(client(1)), ClientCounts { all: 1, interactive: 1 });
        unended.on_changed(&ready(pending));
        assert!(unended.counts().by_client.is_empty() && unended.counts().uploads.is_empty());
    }

    #[test]
    fn the_end_of_an_earlier_generation_is_not_the_end_of_a_retry() {
        let unended = Unended::new(1, 10);
        let (first, _) = accepted(&unended, client(1), false);
        let second = JobName { generation: 2, ..first };
        let mut place = unended.add(client(2)).unwrap();
        place.lane(false);
        place.keep(second);
        assert_eq!(unended.counts().by_client.len(), 1, "the first generation counts no more");
        unended.on_changed(&ready(first));
        assert_eq!(unended.counts().of(client(2)).all, 1);
        unended.on_changed(&ready(second));
        assert!(unended.counts().by_client.is_empty());
    }
}
