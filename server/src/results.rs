//! A cache of the results that this server read last, and of the deletions that it was told of. Only the generation of a
//! result can change, so a ready upload costs no read of storage while it is cached. A deletion is announced; if the
//! announcement is lost, the cached result is served until it expires.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use worker::{State, Upload, UploadId, UploadResult};

/// Capacity of the cache; a result takes about 2 kB.
const REMEMBERED: u64 = 10_000;

/// How long a result is cached: the longest time that a deletion can be missed.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// How long a deletion is remembered: longer than a read of storage that began before it. Afterwards storage has it.
const GONE_FOR: Duration = Duration::from_secs(120);

/// The cache of ready results.
pub(crate) struct Results {
    ready: Cache<UploadId, Arc<UploadResult>>,
    /// Deleted uploads with their generation. A result that was read before its deletion is not cached after it.
    gone: Cache<UploadId, u32>,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            ready: Cache::builder().max_capacity(REMEMBERED).time_to_live(FRESH_FOR).build(),
            gone: Cache::builder().max_capacity(REMEMBERED).time_to_live(GONE_FOR).build(),
        }
    }
}

impl Results {
    pub(crate) fn get(&self, id: UploadId) -> Option<Arc<UploadResult>> {
        self.ready.get(&id).filter(|_| self.gone(id).is_none())
    }

    /// The generation of an upload that was deleted a moment ago.
    pub(crate) fn gone(&self, id: UploadId) -> Option<u32> {
        self.gone.get(&id)
    }

    pub(crate) fn remember(&self, result: UploadResult) -> Arc<UploadResult> {
        let result = Arc::new(result);
        self.ready.insert(result.record.id, Arc::clone(&result));
        result
    }

    pub(crate) fn forget(&self, id: UploadId) {
        self.ready.invalidate(&id);
    }

    /// Forgets every result: announcements of deletions may have been missed.
    pub(crate) fn forget_all(&self) {
        self.ready.invalidate_all();
    }

    /// Removes a result that an announcement contradicts.
    pub(crate) fn on_changed(&self, upload: &Upload) {
        if upload.state == State::Gone {
            self.gone.insert(upload.id, upload.generation);
            return self.forget(upload.id);
        }
        let is_old = |result: &UploadResult| {
            result.record.generation < upload.generation && upload.state >= State::Failed
        };
        if self.ready.get(&upload.id).is_some_and(|result| is_old(&result)) {
            self.forget(upload.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use worker::testing;

    use super::*;

    #[test]
    fn a_result_of_an_older_generation_is_forgotten() {
        let results = Results::default();
        let id = results.remember(testing::result()).record.id;
        results.on_changed(&testing::ready_upload());
        assert!(results.get(id).is_some());
        results.on_changed(&Upload { generation: 2, ..testing::ready_upload() });
        assert!(results.get(id).is_none());
    }

    #[test]
    fn a_result_that_was_read_before_its_deletion_and_cached_after_it_is_not_served() {
        let results = Results::default();
        let id = results.remember(testing::result()).record.id;
        results.on_changed(&Upload::gone(id, 1));
        assert!(results.get(id).is_none());
        results.remember(testing::result());
        assert!(results.get(id).is_none());
        assert_eq!(results.gone(id), Some(1));
    }
}
