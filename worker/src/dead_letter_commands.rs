//! `up-worker dead`: the operators' commands for dead letters.

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    contract::{link::LinkBase, upload::Upload},
    requeue::{Place, RequeueError, requeue},
    storage::{Storage, UploadStatus},
    transport::{Transport, dead_job::DeadJob},
};

/// List, show, replay and drop dead letters
#[derive(Debug, Clone, Args)]
pub struct DeadLetterArgs {
    #[command(subcommand)]
    action: Action,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// List the dead letters, oldest first
    List,
    /// Show all details of a dead letter
    Show {
        /// The id from `dead list`
        id: String,
    },
    /// Requeue failed uploads
    #[command(arg_required_else_help = true)]
    Replay {
        /// The id from `dead list`
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Replay all dead letters
        #[arg(long)]
        all: bool,
    },
    /// Delete a dead letter; its upload stays failed
    Drop {
        /// The id from `dead list`
        id: String,
    },
}

/// Runs the command of an operator.
///
/// # Errors
/// When the broker or storage is unavailable, the dead letter does not exist, or it cannot be replayed.
pub(crate) async fn run(
    dead: &DeadLetterArgs,
    storage: &Storage,
    transport: &Arc<dyn Transport>,
) -> anyhow::Result<()> {
    let letters = transport.dead_letters().await.context("could not read the dead letters")?;
    match &dead.action {
        Action::List => list(&letters, dead.json, storage).await,
        Action::Show { id } => show(find(&letters, id)?, dead.json, storage).await,
        Action::Drop { id } => {
            let letter = find(&letters, id)?;
            transport.forget_dead(&letter.key).await.context("could not drop the dead letter")?;
            print(dead.json, &json!({ "dropped": letter.key }), &format!("dropped {}", letter.key))
        }
        Action::Replay { id: Some(id), .. } => {
            replay(find(&letters, id)?, dead.json, storage, &**transport).await
        }
        Action::Replay { id: None, .. } => {
            let mut failed = 0;
            for letter in &letters {
                if let Err(error) = replay(letter, dead.json, storage, &**transport).await {
                    failed += 1;
                    print_error(&format!("{error:#}"));
                }
            }
            if failed > 0 {
                bail!("could not replay {failed} of {} dead letters", letters.len())
            } else {
                Ok(())
            }
        }
    }
}

fn find<'letters>(letters: &'letters [DeadJob], key: &str) -> anyhow::Result<&'letters DeadJob> {
    letters.iter().find(|letter| letter.key == key).with_context(|| {
        format!("could not find the dead letter {key:?}; `up-worker dead list` lists them all")
    })
}

/// The upload of a dead letter, where storage knows it.
async fn upload_of(letter: &DeadJob, storage: &Storage) -> anyhow::Result<Option<Upload>> {
    let Some(id) = letter.id else { return Ok(None) };
    let links = LinkBase::default();
    Ok(match storage.status(id).await.context("could not read the upload")? {
        UploadStatus::Ready(result) => Some(Upload::ready(&result, &links)),
        UploadStatus::Pending(record) => Some(Upload::queued(&record, &links)),
        UploadStatus::Failed(failure) => Some(Upload::failed(&failure, &links)),
        UploadStatus::Gone(_) | UploadStatus::Unknown => None,
    })
}

async fn list(letters: &[DeadJob], as_json: bool, storage: &Storage) -> anyhow::Result<()> {
    if as_json {
        let letters: Vec<Value> = letters.iter().map(facts).collect();
        return print(true, &json!({ "dead": letters }), "");
    }
    if letters.is_empty() {
        return print(false, &Value::Null, "no dead letters");
    }
    let mut lines =
        vec![format!("{:<36}  {:<18}  {:>8}  {:<20}  NAME", "ID", "REASON", "FAILURES", "POSTED")];
    for letter in letters {
        // A client chose the name: never print it unescaped.
        let name = upload_of(letter, storage)
            .await?
            .map_or_else(|| "-".to_owned(), |upload| format!("{:?}", upload.name));
        let (key, reason, failures) = (&letter.key, letter.reason.name(), letter.failures);
        lines.push(format!("{key:<36}  {reason:<18}  {failures:>8}  {:<20}  {name}", posted(letter)));
    }
    print(false, &Value::Null, &lines.join("\n"))
}

async fn show(letter: &DeadJob, as_json: bool, storage: &Storage) -> anyhow::Result<()> {
    let upload = upload_of(letter, storage).await?;
    let mut facts = facts(letter);
    facts["message"] = String::from_utf8_lossy(&letter.body).into();
    facts["upload"] = serde_json::to_value(&upload).context("could not write the upload as JSON")?;
    if as_json {
        return print(true, &facts, "");
    }
    let about = match &upload {
        Some(upload) => format!(
            "{:?}, {} bytes, {:?}, gen {}",
            upload.name, upload.bytes, upload.state, upload.generation
        ),
        None => "unknown to storage".to_owned(),
    };
    let text = format!(
        "id        {}\nreason    {}\nfailures  {}\nlane      {}\nposted    {}\nupload    {about}\nmessage   {:?}",
        letter.key,
        letter.reason.name(),
        letter.failures,
        letter.lane.name(),
        posted(letter),
        String::from_utf8_lossy(&letter.body),
    );
    print(false, &Value::Null, &text)
}

/// Requeues the upload of a dead letter, and deletes the dead letter.
async fn replay(
    letter: &DeadJob,
    as_json: bool,
    storage: &Storage,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let key = &letter.key;
    let unknown = || anyhow!("could not replay {key}: storage has no such upload; drop it");
    let id = letter.id.ok_or_else(unknown)?;
    let upload = match requeue(storage, transport, transport, id, Place::default()).await {
        Ok(upload) => upload,
        Err(RequeueError::Unknown) => return Err(unknown()),
        Err(RequeueError::Gone) => bail!("could not replay {key}: its upload was deleted; drop it"),
        Err(RequeueError::Ready) => bail!("could not replay {key}: its upload is ready; drop it"),
        Err(RequeueError::Queued) => {
            bail!(
                "could not replay {key}: its upload is queued already; drop or replay it once that has ended"
            )
        }
        Err(error) => return Err(error).with_context(|| format!("could not replay {key}")),
    };
    transport
        .forget_dead(&letter.key)
        .await
        .context("the job is posted, but its dead letter could not be deleted")?;
    print(
        as_json,
        &json!({ "replayed": key, "gen": upload.generation }),
        &format!("replayed {key}, now gen {}", upload.generation),
    )
}

fn facts(letter: &DeadJob) -> Value {
    json!({
        "id": letter.key,
        "reason": letter.reason.name(),
        "failures": letter.failures,
        "lane": letter.lane.name(),
        "posted_at": letter.posted_at.map(|at| at.to_string()),
    })
}

fn posted(letter: &DeadJob) -> String {
    letter.posted_at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn print(as_json: bool, value: &Value, text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = if as_json { writeln!(out, "{value}") } else { writeln!(out, "{text}") };
    written.context("could not write to standard output")
}

fn print_error(text: &str) {
    // A closed terminal cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "{text}");
}
