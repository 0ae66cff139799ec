//! The sessions of a process on its connections: the pauses between failed ones, and why the broker refuses one, or the
//! messages of one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
};
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
    /// Why the messages of an open session were refused, until one is taken: to open a session needs other permissions.
    refusal: Option<lapin::Error>,
}

impl Sessions {
    /// A session was opened.
    pub(super) fn opened(&self, purpose: &'static str) {
        let mut sessions = self.lock();
        let session = session(&mut sessions, purpose);
        session.failure = None;
        if session.refusal.is_none() {
            session.backoff.opened(Instant::now());
        }
    }

    /// The broker has taken a message of a session.
    pub(super) fn worked(&self, purpose: &'static str) {
        let mut sessions = self.lock();
        let session = session(&mut sessions, purpose);
        if session.refusal.take().is_some() {
            session.backoff.opened(Instant::now());
        }
    }

    /// The broker has refused a message, which ends its session. Returns the pause before the next.
    pub(super) fn refused(&self, purpose: &'static str, error: &lapin::Error) -> Duration {
        let mut sessions = self.lock();
        let session = session(&mut sessions, purpose);
        session.refusal = Some(error.clone());
        session.log_failure(purpose, error)
    }

    /// A session could not be opened. Returns the pause before the next try.
    pub(super) fn failed(&self, purpose: &'static str, error: &lapin::Error) -> Duration {
        let mut sessions = self.lock();
        let session = session(&mut sessions, purpose);
        session.failure = Some(error.clone());
        session.log_failure(purpose, error)
    }

    /// An open session has ended. Returns the pause before the next.
    pub(super) fn ended(&self, purpose: &'static str) -> Duration {
        session(&mut self.lock(), purpose).backoff.failed(Instant::now()).wait
    }

    /// Why a session cannot be opened, or its messages are refused, and its purpose.
    pub(super) fn refusal(&self) -> Option<(&'static str, lapin::Error)> {
        let error = |session: &Session| session.failure.clone().or_else(|| session.refusal.clone());
        self.lock().iter().find_map(|(purpose, session)| Some((*purpose, error(session)?)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn session<'map>(
    sessions: &'map mut BTreeMap<&'static str, Session>,
    purpose: &'static str,
) -> &'map mut Session {
    let new = || Session { backoff: Backoff::new(LONGEST_PAUSE), failure: None, refusal: None };
    sessions.entry(purpose).or_insert_with(new)
}

impl Session {
    /// Logs that a try failed. Returns the pause before the next one.
    fn log_failure(&mut self, purpose: &'static str, error: &lapin::Error) -> Duration {
        let pause = self.backoff.failed(Instant::now());
        let tries = pause.tries;
        if pause.is_logged() {
            warn!(%error, tries, "could not {purpose}; it is tried again after a growing pause");
        } else {
            debug!(%error, tries, "could not {purpose}");
        }
        pause.wait
    }
}

/// Whether the broker refuses a message, so that another try has the same end. A missing exchange is declared by the next
/// session.
pub(super) fn is_refusal(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refused) = error.kind() else { return false };
    matches!(refused.kind(), AMQPErrorKind::Soft(kind) if *kind != AMQPSoftError::NOTFOUND)
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

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

    #[test]
    fn a_refused_message_is_known_until_one_is_taken_and_its_pauses_grow() {
        let sessions = Sessions::default();
        let kind = AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED);
        let refused = lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, "no".into())));
        assert!(is_refusal(&refused) && !is_refusal(&std::io::Error::other("cut").into()));
        for _ in 0..5 {
            sessions.refused("publish", &refused);
            sessions.opened("publish");
        }
        assert_eq!(sessions.refusal().unwrap().0, "publish", "an open session proves nothing");
        assert_eq!(sessions.lock()["publish"].backoff.tries, 5);
        assert!(sessions.lock()["publish"].backoff.opened.is_none(), "an idle session is not steady");
        sessions.worked("publish");
        assert!(sessions.refusal().is_none());
    }
}
