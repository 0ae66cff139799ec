//! A session that is opened in the background, so that a caller can stop waiting for it without breaking it off.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::broker_connection::{BrokerConnection, OpenConnection};

/// A use of a connection, which ends with an error of its channel.
pub(super) trait Session: Sized + Send + 'static {
    /// The purpose, a verb phrase.
    const PURPOSE: &'static str;

    /// What the caller sets.
    type Settings: Copy + Send + Sync + 'static;

    /// Opens the session on a connection.
    fn open(
        open: OpenConnection,
        settings: Self::Settings,
    ) -> impl Future<Output = lapin::Result<Self>> + Send;

    /// The connection of the session.
    fn connection(&self) -> &OpenConnection;
}

/// A session, or the task that opens one. Dropping it ends both.
pub(super) struct BackgroundSession<S: Session> {
    broker: BrokerConnection,
    settings: S::Settings,
    opening: Option<JoinHandle<S>>,
    session: Option<S>,
    /// The pause before the next session, and the connection of the last one. A pause ends with its connection.
    pause: Option<(OpenConnection, Duration)>,
}

impl<S: Session> BackgroundSession<S> {
    pub(super) const fn new(broker: BrokerConnection, settings: S::Settings) -> Self {
        Self { broker, settings, opening: None, session: None, pause: None }
    }

    /// The session, once it is open. Dropping the future loses nothing.
    pub(super) async fn wait_open(&mut self) -> &mut S {
        while self.session.is_none() {
            let opening = self.opening.get_or_insert_with(|| {
                tokio::spawn(open(self.broker.clone(), self.settings, self.pause.take()))
            });
            self.session = opening.await.ok();
            self.opening = None;
        }
        self.session.as_mut().expect("the loop has opened it")
    }

    /// The session, if it is open.
    pub(super) const fn get(&self) -> Option<&S> {
        self.session.as_ref()
    }

    /// Takes an open session out.
    pub(super) const fn take(&mut self) -> Option<S> {
        self.session.take()
    }

    /// The session has ended. The next one is opened after a pause.
    pub(super) fn end(&mut self) {
        if let Some(session) = self.session.take() {
            let wait = self.broker.sessions().ended(S::PURPOSE);
            self.pause = Some((session.connection().clone(), wait));
        }
    }
}

async fn open<S: Session>(
    broker: BrokerConnection,
    settings: S::Settings,
    pause: Option<(OpenConnection, Duration)>,
) -> S {
    if let Some((open, wait)) = pause {
        broker.pause(&open, wait).await;
    }
    broker.open_session(S::PURPOSE, |open| S::open(open, settings)).await
}

impl<S: Session> Drop for BackgroundSession<S> {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
    }
}
