//! Several servers and workers that share a broker and a storage, and nothing else.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use worker::transport::{Depth, JobQueue, rabbitmq::RabbitTransport};

use crate::{
    patience::{SOON, eventually},
    rabbit::Vhost,
    server::{Server, Start, id},
    worker::StartWorker,
};

/// The broker and the storage that a fleet shares.
pub struct Fleet {
    /// The vhost of the broker.
    pub vhost: Vhost,
    /// The directory of the storage.
    pub shared: TempDir,
}

impl Fleet {
    /// On the broker that all tests share.
    pub async fn new() -> Self {
        Self::on(Vhost::new().await)
    }

    /// On a vhost of the caller's choice.
    ///
    /// # Panics
    /// When there is no temporary directory.
    #[must_use]
    pub fn on(vhost: Vhost) -> Self {
        let shared = TempDir::with_prefix("up-fleet-").expect("a temporary directory can be made");
        Self { vhost, shared }
    }

    /// The URL of the storage.
    #[must_use]
    pub fn storage(&self) -> String {
        format!("file://{}", self.shared.path().display())
    }

    /// A server that only serves, and hands every job of its single client to the broker at once.
    #[must_use]
    pub fn server(&self) -> Start {
        self.server_through(self.vhost.port())
    }

    /// A server that only serves, and holds jobs back so that clients take turns.
    #[must_use]
    pub fn fair_server(&self) -> Start {
        self.server().with("--interactive-per-client", "1")
    }

    /// A server that reaches the broker by another port, where a proxy listens.
    #[must_use]
    pub fn server_through(&self, port: u16) -> Start {
        Start::new()
            .with("--workers", "0")
            .with("--broker", &self.vhost.url_on(port))
            .with("--storage", &self.storage())
            .with("--interactive-per-client", "100000")
    }

    /// A worker.
    #[must_use]
    pub fn worker(&self) -> StartWorker {
        self.worker_through(self.vhost.port())
    }

    /// A worker that reaches the broker by another port, where a proxy listens.
    #[must_use]
    pub fn worker_through(&self, port: u16) -> StartWorker {
        self.worker_at(&self.vhost.url_on(port))
    }

    /// A worker with a broker of the caller's choice.
    #[must_use]
    pub fn worker_at(&self, broker: &str) -> StartWorker {
        StartWorker::on(broker, &self.storage())
    }

    /// The queues as seen from a URL of the broker, or several.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn queue_at(urls: &str) -> RabbitTransport {
        RabbitTransport::open(urls).expect("these are URLs")
    }

    /// The broker's queues.
    ///
    /// # Panics
    /// When the URL of the vhost is none.
    #[must_use]
    pub fn queue(&self) -> RabbitTransport {
        RabbitTransport::open(&self.vhost.url()).expect("the URL of a vhost is one")
    }

    /// Waits until the queues hold nothing but so many dead letters.
    pub async fn assert_queue_holds(&self, dead: u64) {
        Self::assert_holds(&self.queue(), dead, SOON).await;
    }

    /// The same for queues of the caller's choice.
    pub async fn assert_holds(queue: &RabbitTransport, dead: u64, within: Duration) {
        let mut seen = None;
        let mut look = async || {
            seen = queue.depth().await.ok();
            (seen? == Depth { dead, ..Depth::default() }).then_some(())
        };
        eventually("the queues are empty", within, &mut look).await;
    }

    /// Waits until every upload is ready with three right thumbnails.
    pub async fn assert_all_ready(&self, server: &Server, accepted: &[Value], within: Duration) {
        for upload in accepted {
            let ended = server.end(&id(upload), within).await;
            server.assert_ready(&ended).await;
        }
    }
}
