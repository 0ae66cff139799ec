//! The web server of up!: takes pictures, keeps them safe, posts jobs, and tells whoever waits.
//!
//! ```text
//!            routes
//!      ┌────────┴─────────┐
//!   uploads              live ◄── completions ◄── reply exchange
//!   accept → storage      hub: upload → who waits
//!          → outbox       socket, events, wait
//!   status, thumbnails, originals, retry
//!
//!   relay      outbox → broker, where the broker is elsewhere
//!   sweeper    posts lost jobs again              embedded   keeps worker processes running
//!   audit      removes what killed processes left   results    the results that were read last
//!   problem    where an error becomes a status    serve      the accept loop, and draining
//!   request    ids, traces and times of requests    cors       which pages of other sites may read answers
//!   client     who a request comes from             admission  how much of everything one client may have
//!   telemetry  what is counted                      admin      where operators see it
//!   description  what clients can ask and hear, for machines
//!   check      whether a server could serve, in words
//! ```

mod admin;
mod admission;
mod app;
mod audit;
pub mod check;
mod client;
mod completions;
pub mod config;
mod connections;
mod cors;
mod description;
pub mod embedded;
#[expect(unused_qualifications, reason = "memory-serve generates its list of files so")]
mod frontend;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
mod live;
mod outbox;
mod problem;
mod relay;
mod request;
mod results;
mod routes;
mod serve;
mod sweeper;
mod telemetry;
mod uploads;

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;
use worker::{
    Storage,
    process::{open_outbox, open_transport},
    transport::broker_url::BrokerUrl,
};

use crate::{
    admission::Places, app::App, config::Config, connections::Connections, live::hub::Hub, outbox::Outbox,
    results::Results, sweeper::Sightings,
};

/// Opens everything, prints where it listens, and serves until `draining`, then finishes what is in flight.
///
/// # Errors
/// When storage or queue cannot be opened.
pub async fn run(config: Config, listener: TcpListener, draining: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("could not make the data directory {}", config.data.display()))?;
    let storage = Storage::open(&config.storage_url())?;
    let broker = config.broker_url();
    let transport = open_transport(&broker, config.max_outbox)?;
    let relayed = match broker {
        BrokerUrl::Sqlite(_) => None,
        BrokerUrl::Amqp(_) => Some(open_outbox(&config.outbox_path(), config.max_outbox)?),
    };
    let for_operators = match config.admin_listen {
        None => None,
        Some(address) => {
            let listening = TcpListener::bind(address).await;
            Some(listening.with_context(|| format!("could not listen on {address} for operators"))?)
        }
    };
    // Only now: whoever reads this may come at once.
    println!("listening on http://{}", listener.local_addr()?);
    let (connections, sockets) =
        connections::that_fit(config.max_connections as usize, config.max_sockets as usize);
    let app = Arc::new(App {
        storage,
        results: Results::default(),
        sightings: Sightings::default(),
        outbox: Outbox::new(relayed.clone().unwrap_or_else(|| Arc::clone(&transport))),
        transport: Arc::clone(&transport),
        hub: Arc::new(Hub::default()),
        links: config.link_base(),
        uploading: Places::new(
            config.max_concurrent_uploads as usize,
            config.max_uploads_per_client as usize,
        ),
        watching: Places::new(sockets, config.max_sockets_per_client as usize),
        connections: Connections::new(connections),
        keys_in_use: Arc::default(),
        draining: draining.clone(),
        in_flight: TaskTracker::new(),
        config,
    });
    if let Some(listener) = for_operators {
        let figures = worker::telemetry::record()?;
        telemetry::describe();
        info!("metrics on http://{}/metrics", listener.local_addr()?);
        tokio::spawn(admin::serve(listener, Arc::clone(&app), figures));
    }
    let completions = tokio::spawn(completions::run(Arc::clone(&app)));
    let sweeper = tokio::spawn(sweeper::run(Arc::clone(&app), relayed.is_some()));
    let audit = tokio::spawn(audit::run(app.storage.clone(), draining.clone()));
    // Workers and relay end after the last upload that could be waited for.
    let served = CancellationToken::new();
    let relay = relayed
        .clone()
        .map(|outbox| tokio::spawn(relay::run(outbox, Arc::clone(&transport), served.clone())));
    let workers = {
        let (app, served) = (Arc::clone(&app), served.clone());
        tokio::spawn(async move { embedded::supervise(&app.config, served).await })
    };
    serve::serve(listener, routes::router(Arc::clone(&app)), Arc::clone(&app)).await;
    if let Some(relay) = relay {
        relay::flush(&app.outbox, &*transport).await;
        served.cancel();
        relay.await.context("the relay broke off")?;
    }
    served.cancel();
    workers.await.context("the supervisor of the workers broke off")?;
    sweeper.await.context("the sweeper broke off")?;
    audit.await.context("the audit broke off")?;
    transport.close().await;
    if let Some(outbox) = relayed {
        outbox.close().await;
    }
    completions.await.context("listening for completions broke off")?;
    transport.disconnect().await;
    info!("finished");
    Ok(())
}
