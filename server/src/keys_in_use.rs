//! The idempotency keys of requests that are on their way into this server.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;
use worker::Fingerprint;

/// Keys in use: as many as requests with a key that are on their way in.
#[derive(Default)]
pub(crate) struct KeysInUse {
    keys: Mutex<HashSet<Fingerprint>>,
    released: Notify,
}

impl KeysInUse {
    /// Waits until no other request uses a key, and uses it.
    pub(crate) async fn acquire(self: &Arc<Self>, key: Fingerprint) -> InUse {
        loop {
            // Registered before the attempt, so that no release falls between.
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

/// A key while its request is on its way.
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
