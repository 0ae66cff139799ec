//! The sessions of a process on its connections: the pauses between failed ones, and why the broker refuses one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;
use tracing::{debug, warn};

/// The pause after a failed try doubles from the first to the longest; the actual pause is a random part of it ("full
/// jitter"), so that processes that failed together do not return together.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause of a session. A queue with other arguments or a missing permission waits for an operator, and half
/// a minute after the repair is soon enough.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After a session or a connection of at least this length the pauses start again.
const STEADY: Duration = Duration::from_secs(10);

/// The pauses between tries.
pub(super) struct Backoff {
    longest: Duration,
    pauses: ExponentialBackoff,
    tries: u32,
    opened: Option<Instant>,
}

/// The pause after a failed try.
pub(super) struct Pause {
    pub(super) wait: Duration,
    /// How many tries failed in a row.
    pub(super) tries: u32,
}

impl Pause {
    /// Whether the failure belongs in the log: the first, the second, the fourth, the eighth and so on do.
    pub(super) const fn is_logged(&self) -> bool {
        self.tries.is_power_of_two()
    }
}

impl Backoff {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, pauses: pauses(longest), tries: 0, opened: None }
    }

    /// A try succeeded.
    pub(super) fn opened(&mut self, now: Instant) {
        self.opened = Some(now);
    }

    /// A try failed, or its success has ended.
    pub(super) fn failed(&mut self, now: Instant) -> Pause {
        if self.opened.take().is_some_and(|opened| now.duration_since(opened) >= STEADY) {
            *self = Self::new(self.longest);
        }
        self.tries = self.tries.saturating_add(1);
        let bound = self.pauses.next().unwrap_or(self.longest);
        Pause { wait: bound.mul_f64(rand::random()), tries: self.tries }
    }
}

fn pauses(longest: Duration) -> ExponentialBackoff {
    let growing = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(longest);
    growing.without_max_times().build()
}

/// The sessions of a process by their purpose, a verb phrase.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<&'static str, Session>>);

struct Session {
    backoff: Backoff,
    /// The error of the last try, if it failed.
    failure: Option<lapin::Error>,
}

impl Sessions {
    /// A session was opened.
    pub(super) fn opened(&self, purpose: &'static str) {
        let mut sessions = self.lock();
        let session = session(&mut sessions, purpose);
        session.failure = None;
        session.backoff.opened(Instant::now());
    }

    /// A session could not be opened. Returns the pause before the next try.
    pub(super) fn failed(&self, purpose: &'static str, error: &lapin::Error) -> Duration {
        let mut sessions = self.lock();
        let session = session(&mut sessions, purpose);
        session.failure = Some(error.clone());
        let Pause { wait, tries } = session.backoff.failed(Instant::now());
        if tries.is_power_of_two() {
            warn!(%error, tries, "could not {purpose}; it is tried again after a growing pause");
        } else {
            debug!(%error, tries, "could not {purpose}");
        }
        wait
    }

    /// An open session has ended. Returns the pause before the next.
    pub(super) fn ended(&self, purpose: &'static str) -> Duration {
        session(&mut self.lock(), purpose).backoff.failed(Instant::now()).wait
    }

    /// Why a session cannot be opened, and its purpose.
    pub(super) fn refusal(&self) -> Option<(&'static str, lapin::Error)> {
        self.lock().iter().find_map(|(purpose, session)| Some((*purpose, session.failure.clone()?)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn session<'map>(
    sessions: &'map mut BTreeMap<&'static str, Session>,
    purpose: &'static str,
) -> &'map mut Session {
    let new = || Session { backoff: Backoff::new(LONGEST_PAUSE), failure: None };
    sessions.entry(purpose).or_insert_with(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_start_again_after_a_steady_session() {
        let now = Instant::now();
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        let bounds: Vec<_> = pauses(LONGEST_PAUSE).take(10).collect();
        assert_eq!(bounds.iter().take(3).map(Duration::as_millis).collect::<Vec<_>>(), [200, 400, 800]);
        assert_eq!(bounds[9], LONGEST_PAUSE);
        for bound in &bounds {
            assert!(backoff.failed(now).wait <= *bound);
        }
        backoff.opened(now);
        assert_eq!(backoff.failed(now + STEADY / 2).tries, 11, "a short session changes nothing");
        backoff.opened(now);
        assert_eq!(backoff.failed(now + STEADY).tries, 1);
    }

    #[test]
    fn a_refusal_is_logged_less_and_less_often_and_forgotten_with_the_next_session() {
        let mut backoff = Backoff::new(LONGEST_PAUSE);
        let logged = (0..1000).filter(|_| backoff.failed(Instant::now()).is_logged()).count();
        assert_eq!(logged, 10);
        let sessions = Sessions::default();
        let refused = lapin::Error::from(std::io::Error::other("406"));
        sessions.failed("consume", &refused);
        sessions.opened("listen");
        assert_eq!(sessions.refusal().unwrap().0, "consume");
        sessions.opened("consume");
        assert!(sessions.refusal().is_none());
    }
}
