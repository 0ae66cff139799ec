//! The idempotency keys of requests in flight on this server.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;
use worker::Fingerprint;

/// Keys in use: at most one for each request in flight.
#[derive(Default)]
pub(crate) struct KeysInUse {
    keys: Mutex<HashSet<Fingerprint>>,
    released: Notify,
}

impl KeysInUse {
    /// Waits until no other request uses the key, then locks it.
    pub(crate) async fn acquire(self: &Arc<Self>, key: Fingerprint) -> InUse {
        loop {
            // Registered before the attempt, so that no release is lost between the two.
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
                return InUse { all: Arc::clone(self), key };
            }
            released.await;
        }
    }
}

/// A key that is locked by its request, until this is dropped.
pub(crate) struct InUse {
    all: Arc<KeysInUse>,
    key: Fingerprint,
}

impl InUse {
    pub(crate) const fn key(&self) -> &Fingerprint {
        &self.key
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.all.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.all.released.notify_waiters();
    }
}
