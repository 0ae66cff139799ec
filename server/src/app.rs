//! The state that every handler works with.

use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;
use worker::{
    LinkBase, Storage, Upload, UploadFailure, UploadId, UploadRecord, UploadResult, UploadStatus,
    delete::Deleted, storage::StorageError, transport::Transport,
};

use crate::{
    budget::Budget,
    client::Client,
    config::Config,
    connections::Connections,
    free_space::FreeSpace,
    hub::Hub,
    keys_in_use::KeysInUse,
    memory::UploadMemory,
    origin,
    outbox::Outbox,
    problem::Problem,
    quota::Quota,
    readiness::{Reports, WorkerProcesses},
    relay_window::RelayWindow,
    results::Results,
    senders::Senders,
    sightings::Sightings,
    tokens::Tokens,
    tombstones::Tombstones,
    unended::Unended,
};

/// The parts of a running server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) storage: Storage,
    pub(crate) results: Results,
    pub(crate) tokens: Tokens,
    pub(crate) tombstones: Tombstones,
    pub(crate) outbox: Outbox,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) sightings: Sightings,
    pub(crate) links: LinkBase,
    /// Who may send uploads.
    pub(crate) senders: Senders,
    /// Unended uploads by client.
    pub(crate) unended: Arc<Unended>,
    /// Bulk jobs that the relay has posted and no worker has started.
    pub(crate) relay_window: RelayWindow,
    /// Permits of upload requests in flight.
    pub(crate) uploading: Arc<Quota>,
    /// Memory of uploads in flight.
    pub(crate) memory: Arc<UploadMemory>,
    /// Permits of header probes that read from storage, because the header lies beyond the buffered beginning.
    pub(crate) header_probes: Semaphore,
    /// Free space of the disks of storage and outbox.
    pub(crate) free_space: FreeSpace,
    /// Reads of storage for unknown ids, by client.
    pub(crate) unknown_reads: Budget,
    pub(crate) reports: Reports,
    pub(crate) worker_processes: WorkerProcesses,
    /// Permits of sockets and event streams.
    pub(crate) watching: Arc<Quota>,
    pub(crate) connections: Arc<Connections>,
    /// Idempotency keys of uploads in flight.
    pub(crate) keys_in_use: Arc<KeysInUse>,
    /// Cancelled by the first signal: load balancers are told to turn to other servers.
    pub(crate) leaving: CancellationToken,
    /// Cancelled `--drain-delay` later: nothing new is accepted.
    pub(crate) draining: CancellationToken,
    /// Uploads in flight and open sockets: a drain waits for them.
    pub(crate) in_flight: TaskTracker,
}

/// The state of an upload, with a remembered result if there is one.
pub(crate) enum Found {
    Ready(Arc<UploadResult>),
    Pending(UploadRecord),
    Failed(UploadFailure),
    /// Deleted at this generation.
    Gone(u32),
    Unknown,
}

impl App {
    /// The state of an upload. Costs no read of storage while its result is remembered.
    pub(crate) async fn find(&self, id: UploadId) -> Result<Found, StorageError> {
        if let Some(result) = self.results.get(id) {
            return Ok(Found::Ready(result));
        }
        if let Some(generation) = self.results.gone(id) {
            return Ok(Found::Gone(generation));
        }
        Ok(match self.storage.status(id).await? {
            UploadStatus::Ready(result) => Found::Ready(self.results.remember(result)),
            UploadStatus::Pending(record) => Found::Pending(record),
            UploadStatus::Failed(failure) => Found::Failed(failure),
            UploadStatus::Gone(generation) => Found::Gone(generation),
            UploadStatus::Unknown => Found::Unknown,
        })
    }

    /// An upload as clients see it; `None` if it is unknown.
    pub(crate) async fn upload(&self, id: UploadId) -> Result<Option<Upload>, StorageError> {
        Ok(self.shown(id, &self.find(id).await?))
    }

    /// Refuses a request for a change: from a page of another site, or while the server drains.
    pub(crate) fn check_change(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if !origin::is_allowed(headers, &self.config) {
            return Err(Problem::cross_site());
        }
        if self.draining.is_cancelled() {
            return Err(Problem::draining());
        }
        Ok(())
    }

    /// Deletes an upload. `None` if nothing of it is stored.
    pub(crate) async fn delete(&self, id: UploadId) -> Result<Option<Deleted>, StorageError> {
        let deleted = worker::delete::delete(&self.storage, &*self.transport, id).await?;
        deleted.iter().for_each(|deleted| self.on_deleted(&deleted.upload));
        Ok(deleted)
    }

    /// Tells the subscribers of this server of a deletion, before its announcement arrives.
    pub(crate) fn on_deleted(&self, upload: &Upload) {
        self.results.on_changed(upload);
        self.hub.on_changed(upload);
    }

    /// An upload as clients see it, or the problem that they see instead.
    pub(crate) async fn upload_or_problem(&self, client: Client, id: UploadId) -> Result<Upload, Problem> {
        match self.find_for(client, id).await? {
            missing @ (Found::Gone(_) | Found::Unknown) => Err(missing.problem()),
            found => self.shown(id, &found).ok_or_else(|| found.problem()),
        }
    }

    /// The state of an upload that a client asks for. A client that asks for too many unknown uploads is refused before
    /// storage is read.
    pub(crate) async fn find_for(&self, client: Client, id: UploadId) -> Result<Found, Problem> {
        if !self.unknown_reads.allows(client) && self.results.get(id).is_none() {
            return Err(Problem::slow_down());
        }
        let found = self.find(id).await?;
        if matches!(found, Found::Unknown) {
            self.unknown_reads.charge(client);
        }
        Ok(found)
    }

    /// The problem of an upload whose file is not in storage: it was deleted a moment ago, or it is damaged.
    pub(crate) async fn missing_file(&self, id: UploadId, file: &'static str) -> Problem {
        self.results.forget(id);
        match self.find(id).await {
            Ok(found @ (Found::Gone(_) | Found::Unknown)) => found.problem(),
            Ok(_) => {
                warn!(%id, file, "a file of an upload is not in storage");
                Problem::internal()
            }
            Err(error) => error.into(),
        }
    }

    /// An upload as storage knows it now: a remembered result may have been raised to a later generation since.
    pub(crate) async fn upload_in_storage(&self, id: UploadId) -> Result<Option<Upload>, StorageError> {
        self.results.forget(id);
        self.upload(id).await
    }

    fn shown(&self, id: UploadId, found: &Found) -> Option<Upload> {
        match found {
            Found::Ready(result) => Some(Upload::ready(result, &self.links)),
            Found::Failed(failure) => Some(Upload::failed(failure, &self.links)),
            Found::Pending(record) => {
                let upload = Upload::queued(record, &self.links);
                Some(if self.hub.has_started(record.id) { upload.processing() } else { upload })
            }
            Found::Gone(generation) => Some(Upload::gone(id, *generation)),
            Found::Unknown => None,
        }
    }
}

impl Found {
    /// The problem of a request for an upload that does not exist.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Gone(_) => Problem::gone(),
            Self::Ready(_) | Self::Pending(_) | Self::Failed(_) | Self::Unknown => Problem::unknown_upload(),
        }
    }
}

#[cfg(test)]
impl App {
    /// A server without listeners, on the given storage and queue.
    pub(crate) fn of_test(storage: Storage, transport: Arc<dyn Transport>) -> Arc<Self> {
        use clap::Parser;
        let config = Config::parse_from(["up-server"]);
        Arc::new(Self {
            storage,
            results: Results::default(),
            tokens: Tokens::of_test(),
            tombstones: Tombstones::default(),
            outbox: Outbox::new(Arc::clone(&transport)),
            transport,
            hub: Arc::default(),
            sightings: Sightings::default(),
            links: config.link_base(),
            senders: Senders::open(&config).expect("no file of keys is set"),
            unended: Unended::new(1, 1000),
            relay_window: RelayWindow::default(),
            uploading: Quota::new(8, 8),
            memory: UploadMemory::new(16 * 1024 * 1024),
            header_probes: Semaphore::new(1),
            free_space: FreeSpace::new(Vec::new(), None),
            unknown_reads: Budget::of_unknown_reads(),
            reports: Reports::default(),
            worker_processes: WorkerProcesses::default(),
            watching: Quota::new(8, 8),
            connections: Connections::new(8),
            keys_in_use: Arc::default(),
            leaving: CancellationToken::new(),
            draining: CancellationToken::new(),
            in_flight: TaskTracker::new(),
            config,
        })
    }
}
