//! A cache of the results that this server read last. Only the generation of a result can change, so a ready upload
//! costs no read of storage while it is cached.

use std::sync::Arc;

use moka::sync::Cache;
use worker::{State, Upload, UploadId, UploadResult};

/// Capacity of the cache; a result takes about 2 kB.
const REMEMBERED: u64 = 10_000;

/// The cache of ready results.
pub(crate) struct Results(Cache<UploadId, Arc<UploadResult>>);

impl Default for Results {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Results {
    pub(crate) fn get(&self, id: UploadId) -> Option<Arc<UploadResult>> {
        self.0.get(&id)
    }

    pub(crate) fn remember(&self, result: UploadResult) -> Arc<UploadResult> {
        let result = Arc::new(result);
        self.0.insert(result.record.id, Arc::clone(&result));
        result
    }

    pub(crate) fn forget(&self, id: UploadId) {
        self.0.invalidate(&id);
    }

    /// Removes a result that an announcement contradicts.
    pub(crate) fn on_changed(&self, upload: &Upload) {
        let is_old = |result: &UploadResult| {
            result.record.generation < upload.generation && upload.state >= State::Failed
        };
        if self.0.get(&upload.id).is_some_and(|result| is_old(&result)) {
            self.0.invalidate(&upload.id);
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
}
