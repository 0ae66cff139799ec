//! `up-server check`: whether a server with these settings could serve. It prints one line for each part.
//!
//! It creates the same directories, queue file and broker queues as a server, and does not remove them.

use std::{env, fmt::Display, net::SocketAddr, time::Duration};

use anyhow::{Context, anyhow};
use futures::future::join_all;
use tokio::{net::TcpListener, time::timeout};
use worker::{
    Storage,
    confinement::Launch,
    maker::Maker,
    process::{open_outbox, open_transport},
    storage::{StorageError, StorageUrl},
    transport::{Transport, broker_url::BrokerUrl, rabbitmq::RabbitTransport},
};

use crate::{config::Config, file_limit, senders::Senders};

/// How long storage may take to write, read and delete one small object, DNS and handshakes included.
const STORAGE_WITHIN: Duration = Duration::from_secs(10);

/// How long the outbox may take: as long as SQLite waits for another writer.
const OUTBOX_WITHIN: Duration = Duration::from_secs(10);

/// How long the broker may take: longer than the timeout of a handshake, so that the line shows the cause of a failure.
const BROKER_WITHIN: Duration = Duration::from_secs(15);

/// Checks one part after the other and prints a line for each. Answers whether all of them work.
pub async fn run(config: &Config) -> bool {
    let mut all_is_well = report("settings", &settings(config));
    all_is_well &= report("listen", &address(config.listen).await);
    if let Some(listen) = config.admin_listen {
        all_is_well &= report("admin-listen", &address(listen).await);
    }
    all_is_well &= report("data", &data(config));
    all_is_well &= report("storage", &storage(config).await);
    all_is_well &= report("outbox", &outbox(config).await);
    if let url @ BrokerUrl::Amqp(_) = config.broker_url() {
        all_is_well &= report("broker", &broker(&url).await);
    }
    all_is_well &= report("pixels", &pixels(config).await);
    all_is_well
}

/// Prints the line of a part. Answers whether the part works.
fn report(part: &str, found: &anyhow::Result<String>) -> bool {
    match found {
        Ok(good) => println!("{part}: ok, {good}"),
        Err(error) => println!("{part}: NOT OK, {}", reasons(error)),
    }
    found.is_ok()
}

/// An error and its causes on one line. A store or a broker may send line breaks, and some errors repeat their causes.
fn reasons(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for reason in error.chain().map(|reason| one_line(&reason.to_string())) {
        if line.is_empty() {
            line = reason;
        } else if !line.contains(&reason) {
            line = format!("{line}: {reason}");
        }
    }
    line
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Checks before a start what settings mean together, the files that they name, and the open-file limit.
///
/// # Errors
/// When a file cannot be read, a setting needs another one, or the limit is too low.
pub fn before_start(config: &Config) -> anyhow::Result<()> {
    Senders::open(config)?;
    file_limit::check()
}

fn settings(config: &Config) -> anyhow::Result<String> {
    before_start(config)?;
    Ok("all settings are valid".to_owned())
}

async fn address(address: SocketAddr) -> anyhow::Result<String> {
    let listening = TcpListener::bind(address).await;
    listening.with_context(|| format!("could not listen on {address}"))?;
    Ok(format!("{address} is free"))
}

fn data(config: &Config) -> anyhow::Result<String> {
    let path = config.data.display();
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("could not create the data directory {path}"))?;
    Ok(format!("the data directory is {path}"))
}

async fn storage(config: &Config) -> anyhow::Result<String> {
    let url = config.storage_url();
    let checked =
        within(STORAGE_WITHIN, "storage", async { Ok(Storage::open_impatient(&url)?.check().await?) });
    match checked.await {
        Ok(()) => Ok(format!("an object was written to {url}, read, listed and deleted")),
        Err(error) => {
            // The mistake comes first, in words; the answer of the store follows.
            let mistake = error.downcast_ref::<StorageError>().and_then(StorageError::misconfiguration);
            let error = match mistake {
                Some(mistake) => error.context(mistake),
                None => error,
            };
            Err(error.context(format!("{url}{}", aws_hint(&url).unwrap_or_default())))
        }
    }
}

/// The AWS variables that are not set. They are only a hint, because credentials may come from elsewhere.
fn aws_hint(url: &StorageUrl) -> Option<String> {
    let StorageUrl::S3 { .. } = url else { return None };
    let unset = |name: &&str| env::var_os(name).is_none();
    let missing: Vec<_> =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"].into_iter().filter(unset).collect();
    (!missing.is_empty()).then(|| format!(" ({} not set)", missing.join(", ")))
}

async fn outbox(config: &Config) -> anyhow::Result<String> {
    let (path, jobs) = match config.broker_url() {
        BrokerUrl::Sqlite(path) => {
            let queue = open_transport(&BrokerUrl::Sqlite(path.clone()), config.max_outbox)?;
            (path, writable(&*queue).await?)
        }
        BrokerUrl::Amqp(_) => {
            let path = config.outbox_path();
            let outbox = open_outbox(&path, config.max_outbox)?;
            (path, writable(&*outbox).await?)
        }
    };
    Ok(format!("{} is writable and holds {jobs} jobs", path.display()))
}

/// Checks that a queue is writable. Answers how many jobs it holds.
async fn writable(queue: &dyn Transport) -> anyhow::Result<u64> {
    let jobs = within(OUTBOX_WITHIN, "the queue's file", async {
        queue.check().await?;
        Ok(queue.room_taken().await?)
    });
    let jobs = jobs.await;
    queue.close().await;
    jobs
}

/// Checks every node of a cluster. One that works is enough, and the others are named.
async fn broker(broker: &BrokerUrl) -> anyhow::Result<String> {
    let nodes = broker.nodes();
    let (working, failed): (Vec<_>, Vec<_>) =
        join_all(nodes.iter().map(node)).await.into_iter().partition(anyhow::Result::is_ok);
    let mut parts: Vec<String> = working.into_iter().flatten().collect();
    let works = !parts.is_empty();
    parts.extend(failed.into_iter().filter_map(Result::err).map(|error| reasons(&error)));
    let line = parts.join("; ");
    if works { Ok(line) } else { Err(anyhow!(line)) }
}

/// What an operator can do about refusals of the broker, which are known by these parts of their texts.
const ADVICE: [(&str, &str); 4] = [
    ("Login was refused", "the user or the password of --broker is wrong"),
    (
        "NOT_ALLOWED",
        "create the vhost (rabbitmqctl add_vhost), or let the user into it (rabbitmqctl set_permissions)",
    ),
    (
        "ACCESS_REFUSED",
        "the user lacks a permission: rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'",
    ),
    (
        "PRECONDITION_FAILED",
        "the queue exists with other arguments: delete it (rabbitmqctl delete_queue), and it is declared again",
    ),
];

async fn node(url: &BrokerUrl) -> anyhow::Result<String> {
    let BrokerUrl::Amqp(secret) = url else { return Ok(format!("{url} is no broker")) };
    let rabbit = RabbitTransport::open(secret)?;
    let checked = within(BROKER_WITHIN, "the broker", async {
        rabbit.connect().await?;
        Ok(rabbit.check_writes().await?)
    })
    .await;
    rabbit.disconnect().await;
    // The URL is shown without its credentials.
    if let Err(error) = checked {
        let text = reasons(&error);
        let advice = ADVICE.iter().find(|(part, _)| text.contains(part));
        let advice = advice.map(|(_, advice)| format!("; {advice}")).unwrap_or_default();
        return Err(anyhow!("{url}: {text}{advice}"));
    }
    Ok(format!("{url} takes jobs"))
}

/// Makes a test picture, if this server starts workers of its own.
async fn pixels(config: &Config) -> anyhow::Result<String> {
    if config.worker_processes().next().is_none() {
        return Ok("this server starts no workers; an up-worker must run elsewhere".to_owned());
    }
    let mode = config.pixels.confinement;
    let maker = Maker::new(&config.pixels, Launch::own(mode, config.pixels.job_memory_bytes));
    maker.warm(1).await?;
    Ok(format!("thumbnails are made in a sandboxed process (--confinement {})", mode.name()))
}

async fn within<T>(
    limit: Duration,
    part: impl Display,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(anyhow!("{part} did not answer within {limit:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_without_repeated_causes() {
        let error = anyhow!("refused").context("<x>\r\n\t<y/>: refused").context("could not read");
        assert_eq!(reasons(&error), "could not read: <x> <y/>: refused");
    }
}
