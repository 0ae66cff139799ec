//! Start and shutdown of a server: it opens its resources, starts its parts, and drains.
//!
//! The parts end in the order of [`SHUTDOWN`]:
//!
//! | step | ends | reason for the order |
//! | --- | --- | --- |
//! | `Requests` | the listener, connections, uploads in flight | nothing else may end while an upload can be accepted |
//! | `Relay` | outbox → broker | the last accepted upload is in the outbox, and its job is relayed to the broker |
//! | `Workers` | embedded workers, after their jobs | the relay has posted the last job |
//! | `Index` | sweeper, expiry and audit | they stop at the first signal; this step waits for them |
//! | `Deliveries` | consuming and posting | no worker settles a job any more |
//! | `Outbox` | the outbox's file | nothing posts any more |
//! | `Completions` | announcements → hub | no worker announces any more, and subscribers have been closed by `Requests` |
//! | `Broker` | the connection | nothing uses it any more |

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use strum::{IntoStaticStr, VariantArray};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use worker::{
    Storage, directory,
    process::{open_outbox, open_transport},
    storage::{SecretError, StorageUrl},
    transport::{Transport, broker_url::BrokerUrl, sqlite::SqliteTransport},
};

use crate::{
    admin,
    app::App,
    audit,
    budget::Budget,
    completions,
    config::{Config, STORAGE_WITHIN},
    connections::Connections,
    embedded, expiry,
    file_limit::{Files, fit_open_files},
    free_space::{FreeSpace, STORAGE},
    hub::Hub,
    keys,
    live::protocol::Close,
    memory::UploadMemory,
    outbox::Outbox,
    problem::Kind,
    quota::Quota,
    readiness::{Reports, WorkerProcesses},
    relay,
    relay_window::RelayWindow,
    results::Results,
    routes,
    senders::Senders,
    serve,
    sightings::Sightings,
    sweeper, telemetry,
    tokens::Tokens,
    tombstones::Tombstones,
    unended::Unended,
};

/// Headers that are read back from storage at a time. Each occupies two of the 512 blocking threads of the runtime.
const HEADER_PROBES: usize = 16;

/// A step of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
enum Step {
    Requests,
    Relay,
    Workers,
    Index,
    Deliveries,
    Outbox,
    Completions,
    Broker,
}

impl Step {
    fn name(self) -> &'static str {
        self.into()
    }
}

/// The order of the shutdown, which the table at the head of this file explains.
const SHUTDOWN: [Step; 8] = [
    Step::Requests,
    Step::Relay,
    Step::Workers,
    Step::Index,
    Step::Deliveries,
    Step::Outbox,
    Step::Completions,
    Step::Broker,
];

/// Opens everything, prints the address, serves until `--drain-delay` after `leaving`, and then finishes uploads in
/// flight.
///
/// # Errors
/// When storage or queue cannot be opened, the admin address is taken, or the data directory is removed meanwhile.
pub async fn run(config: Config, listener: TcpListener, leaving: CancellationToken) -> anyhow::Result<()> {
    let (data, delay) = (config.data.clone(), config.drain_delay);
    let resources = Resources::open(config, leaving.clone()).await?;
    let draining = resources.app.draining.clone();
    let is_data_gone = tokio::spawn(async move {
        tokio::select! {
            () = directory::vanished(&data) => {
                leaving.cancel();
                draining.cancel();
                Err(anyhow!("the data directory {} was removed or replaced; start the server again", data.display()))
            }
            () = async { leaving.cancelled().await; sleep(delay).await } => {
                draining.cancel();
                Ok(())
            }
        }
    });
    // Printed only now, because a client that reads this line may connect at once.
    println!("listening on http://{}", listener.local_addr()?);
    let mut running = resources.start(listener)?;
    for step in SHUTDOWN {
        running.end(step).await?;
        debug!(step = step.name(), "ended a step of the shutdown");
    }
    is_data_gone.await.context("the task that watches the data directory panicked")??;
    info!("the server has drained");
    Ok(())
}

/// The opened resources of a server, before its parts start.
struct Resources {
    app: Arc<App>,
    /// The outbox of this server, if a relay empties it into a broker.
    relayed: Option<Arc<SqliteTransport>>,
    /// The listener for operators, and the metrics that it shows.
    admin: Option<(TcpListener, PrometheusHandle)>,
}

impl Resources {
    async fn open(config: Config, leaving: CancellationToken) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("could not create the data directory {}", config.data.display()))?;
        let senders = Senders::open(&config)?;
        let admin = match config.admin_listen {
            None => None,
            Some(address) => Some(listen_for_operators(address).await?),
        };
        let storage = Storage::open(&config.storage_url())?.within(STORAGE_WITHIN);
        let broker = config.broker_url();
        let transport = open_transport(&broker, config.max_outbox)?;
        let relayed = match broker {
            BrokerUrl::Sqlite(_) => None,
            BrokerUrl::Amqp(_) => Some(open_outbox(&config.outbox_path(), config.max_outbox)?),
        };
        let files = fit_open_files(Files {
            connections: config.max_connections as usize,
            sockets: config.max_sockets as usize,
            uploads: config.max_concurrent_uploads as usize,
        });
        let directories = match config.storage_url() {
            StorageUrl::Local(storage) => vec![("outbox", config.data.clone()), (STORAGE, storage)],
            StorageUrl::S3 { .. } => vec![("outbox", config.data.clone())],
        };
        let app = Arc::new(App {
            storage,
            results: Results::default(),
            tokens: Tokens::default(),
            tombstones: Tombstones::default(),
            sightings: Sightings::default(),
            outbox: Outbox::new(match &relayed {
                Some(outbox) => Arc::clone(outbox) as Arc<dyn Transport>,
                None => Arc::clone(&transport),
            }),
            transport,
            hub: Arc::new(Hub::default()),
            links: config.link_base(),
            senders,
            unended: Unended::new(
                config.interactive_per_client as usize,
                config.max_unended_per_client as usize,
            ),
            relay_window: RelayWindow::default(),
            uploading: Quota::new(files.uploads, config.max_uploads_per_client as usize),
            memory: UploadMemory::new(usize::try_from(config.upload_memory_bytes).unwrap_or(usize::MAX)),
            header_probes: Semaphore::new(HEADER_PROBES),
            free_space: FreeSpace::new(directories, config.min_free_bytes),
            unknown_reads: Budget::of_unknown_reads(),
            reports: Reports::default(),
            worker_processes: WorkerProcesses::default(),
            watching: Quota::new(files.sockets, config.max_sockets_per_client as usize),
            connections: Connections::new(files.connections),
            keys_in_use: Arc::default(),
            leaving,
            draining: CancellationToken::new(),
            in_flight: TaskTracker::new(),
            config,
        });
        match app.tokens.secrets(&app.storage).await {
            Ok(_) => {}
            Err(error @ SecretError::Unreadable { .. }) => return Err(error.into()),
            // A server starts while storage is away, and reads them later.
            Err(SecretError::Storage(error)) => {
                let error = &error as &dyn std::error::Error;
                warn!(error, "could not read the secrets of delete tokens; the first upload tries again");
            }
        }
        Ok(Self { app, relayed, admin })
    }

    fn start(self, listener: TcpListener) -> anyhow::Result<Running> {
        let Self { app, relayed, admin } = self;
        if let Some((listener, metrics)) = admin {
            info!("metrics on http://{}/metrics", listener.local_addr()?);
            tokio::spawn(admin::serve(listener, Arc::clone(&app), metrics));
        }
        let refreshing = Arc::clone(&app);
        tokio::spawn(
            async move { refreshing.tokens.refresh(&refreshing.storage, &refreshing.draining).await },
        );
        let watching = Arc::clone(&app);
        tokio::spawn(async move {
            if let Some(keys) = watching.senders.keys() {
                keys.watch(keys::LOOK_EVERY, &watching.draining).await;
            }
        });
        let served = CancellationToken::new();
        let relay =
            relayed.clone().map(|outbox| tokio::spawn(relay::run(Arc::clone(&app), outbox, served.clone())));
        let workers = {
            let (app, served) = (Arc::clone(&app), served.clone());
            tokio::spawn(async move { embedded::supervise(&app, served).await })
        };
        Ok(Running {
            completions: tokio::spawn(completions::run(Arc::clone(&app))),
            sweeper: tokio::spawn(sweeper::run(Arc::clone(&app), relayed.is_some())),
            expiry: tokio::spawn(expiry::run(Arc::clone(&app))),
            audit: tokio::spawn(audit::run(app.storage.clone(), app.draining.clone())),
            requests: tokio::spawn(serve::serve(
                listener,
                routes::router(Arc::clone(&app)),
                Arc::clone(&app),
            )),
            relay,
            workers,
            served,
            relayed,
            app,
        })
    }
}

/// Listens for operators, and records metrics from now on: before anything is opened that has metrics.
async fn listen_for_operators(address: SocketAddr) -> anyhow::Result<(TcpListener, PrometheusHandle)> {
    let listening = TcpListener::bind(address).await;
    let listener = listening.with_context(|| format!("could not listen on {address} (--admin-listen)"))?;
    let metrics = worker::telemetry::record()?;
    let problems = Kind::VARIANTS.iter().map(|kind| kind.name());
    telemetry::describe(problems, Close::VARIANTS.iter().map(|close| close.name()));
    Ok((listener, metrics))
}

/// A running server: the tasks of its parts.
struct Running {
    app: Arc<App>,
    requests: JoinHandle<()>,
    relay: Option<JoinHandle<()>>,
    workers: JoinHandle<()>,
    sweeper: JoinHandle<()>,
    expiry: JoinHandle<()>,
    audit: JoinHandle<()>,
    completions: JoinHandle<()>,
    /// Cancelled once no more uploads can be accepted. Relay and workers end then.
    served: CancellationToken,
    relayed: Option<Arc<SqliteTransport>>,
}

impl Running {
    /// Waits until one part has ended.
    async fn end(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Requests => (&mut self.requests).await.context("the task of the listener panicked")?,
            Step::Relay => {
                if let Some(relay) = &mut self.relay {
                    self.app.relay_window.open();
                    relay::flush(&self.app.outbox, &*self.app.transport).await;
                    self.served.cancel();
                    relay.await.context("the task of the relay panicked")?;
                }
            }
            Step::Workers => {
                self.served.cancel();
                (&mut self.workers).await.context("the task of the worker supervisor panicked")?;
            }
            Step::Index => {
                (&mut self.sweeper).await.context("the task of the sweeper panicked")?;
                (&mut self.expiry).await.context("the task of the expiry panicked")?;
                (&mut self.audit).await.context("the task of the audit panicked")?;
            }
            Step::Deliveries => self.app.transport.close().await,
            Step::Outbox => {
                if let Some(outbox) = &self.relayed {
                    outbox.close().await;
                }
            }
            Step::Completions => {
                (&mut self.completions).await.context("the task of the completions panicked")?
            }
            Step::Broker => self.app.transport.disconnect().await,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use tokio::{net::TcpStream, time::timeout};
    use worker::transport::rabbitmq::DISCONNECT_WITHIN;

    use super::*;

    impl Running {
        /// Whether the task of a part is running. Steps without a task answer `false`.
        fn runs(&self, step: Step) -> bool {
            match step {
                Step::Requests => !self.requests.is_finished(),
                Step::Relay => self.relay.as_ref().is_some_and(|relay| !relay.is_finished()),
                Step::Workers => !self.workers.is_finished(),
                Step::Index => {
                    !self.sweeper.is_finished() || !self.expiry.is_finished() || !self.audit.is_finished()
                }
                Step::Completions => !self.completions.is_finished(),
                Step::Deliveries | Step::Outbox | Step::Broker => false,
            }
        }
    }

    #[tokio::test]
    async fn each_part_ends_at_its_step_and_completions_outlive_the_workers() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().to_str().unwrap();
        let config = Config::parse_from(["up-server", "--data", data, "--workers", "0"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resources = Resources::open(config, CancellationToken::new()).await.unwrap();
        let draining = resources.app.draining.clone();
        let mut running = resources.start(listener).unwrap();
        TcpStream::connect(address).await.unwrap();
        assert!([Step::Requests, Step::Completions].into_iter().all(|step| running.runs(step)));
        draining.cancel();
        for step in SHUTDOWN {
            if step != Step::Completions {
                assert!(running.runs(Step::Completions) || step == Step::Broker, "before {step:?}");
            }
            timeout(Duration::from_secs(10), running.end(step)).await.unwrap().unwrap();
            assert!(!running.runs(step), "{step:?}");
            if step == Step::Requests {
                TcpStream::connect(address).await.unwrap_err();
            }
        }
    }

    #[test]
    fn all_stages_of_a_drain_together_end_before_a_supervisor_kills() {
        // What Kubernetes gives by default; the units and the compose file give as much or more.
        let killed_after = Duration::from_secs(30);
        let drain = Config::parse_from(["up-server"]).drain_delay
            + serve::FINISH_WITHIN
            + serve::CLOSE_WITHIN
            + relay::FLUSH_WITHIN
            + embedded::DRAIN_WITHIN
            + DISCONNECT_WITHIN;
        assert!(drain < killed_after, "{drain:?}");
    }

    #[test]
    fn every_step_comes_after_the_steps_that_it_needs() {
        let at = |step| SHUTDOWN.iter().position(|each| *each == step).unwrap();
        for (first, then) in [
            (Step::Requests, Step::Relay),
            (Step::Relay, Step::Workers),
            (Step::Workers, Step::Deliveries),
            (Step::Index, Step::Deliveries),
            (Step::Deliveries, Step::Outbox),
            (Step::Deliveries, Step::Completions),
            (Step::Completions, Step::Broker),
        ] {
            assert!(at(first) < at(then), "{first:?} before {then:?}");
        }
    }
}
