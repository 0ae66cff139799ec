//! The queues that do not respond, and whether this process has seen the queues.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::Instant;

/// The queues that do not respond, and since when.
#[derive(Default)]
pub(super) struct SilentQueues {
    silent: Mutex<BTreeMap<String, Instant>>,
    /// Whether the queues existed, or this process has created them.
    pub(super) have_existed: AtomicBool,
    /// Held by the session that creates queues.
    pub(super) creating: tokio::sync::Mutex<()>,
}

impl SilentQueues {
    /// A queue did not respond.
    pub(super) fn on_silence(&self, queue: &str) {
        let mut queues = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(queue.to_owned()).or_insert_with(Instant::now);
    }

    /// A queue responded.
    pub(super) fn on_response(&self, queue: &str) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).remove(queue);
    }

    /// The queues that have been silent for so long.
    pub(super) fn silent_for(&self, time: Duration, now: Instant) -> Vec<String> {
        let queues = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let long = queues.iter().filter(|(_, since)| now.duration_since(**since) >= time);
        long.map(|(queue, _)| queue.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_silent_since_it_first_did_not_respond_and_until_it_responds() {
        let queues = SilentQueues::default();
        queues.on_silence("resize");
        let minutes = Duration::from_secs(180);
        let later = Instant::now() + minutes;
        queues.on_silence("resize");
        assert!(queues.silent_for(minutes, Instant::now()).is_empty());
        assert_eq!(queues.silent_for(minutes, later + minutes), ["resize"]);
        queues.on_response("resize");
        assert!(queues.silent_for(Duration::ZERO, later).is_empty());
    }
}
