//! What every handler works with.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use worker::{LinkBase, Storage, Upload, UploadId, storage::StorageError, transport::Transport};

use crate::{
    admission::Places,
    client::{Client, Peer},
    config::Config,
    connections::Connections,
    live::hub::Hub,
    outbox::Outbox,
    problem::Problem,
    uploads::idempotency::KeysInUse,
};

/// The parts of a running server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) storage: Storage,
    pub(crate) outbox: Outbox,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) links: LinkBase,
    /// Places for requests with uploads that are on their way in.
    pub(crate) uploading: Arc<Places>,
    /// Places for those who wait for news: sockets and streams of events.
    pub(crate) watching: Arc<Places>,
    pub(crate) connections: Arc<Connections>,
    /// Idempotency keys of uploads that are on their way in.
    pub(crate) keys_in_use: Arc<KeysInUse>,
    /// Cancelled by the first signal.
    pub(crate) draining: CancellationToken,
    /// Uploads in flight and open sockets: what a drain waits for.
    pub(crate) in_flight: TaskTracker,
}

impl App {
    /// An upload as it stands now: as storage knows it, and whether a worker has it.
    pub(crate) async fn upload(&self, id: UploadId) -> Result<Option<Upload>, StorageError> {
        let upload = self.storage.upload(id, &self.links).await?;
        Ok(upload.map(|upload| if self.hub.has_started(id) { upload.processing() } else { upload }))
    }
}

/// Who made a request, as far as proxies are trusted.
impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<Peer>().copied().ok_or_else(Problem::internal)?;
        Ok(Self::of(peer, &parts.headers, &app.config.trusted_proxies))
    }
}
