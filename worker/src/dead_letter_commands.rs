//! `up-worker dead`: what an operator does with dead letters.

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    contract::{link::LinkBase, upload::Upload},
    requeue::{RequeueError, requeue},
    storage::{Storage, UploadStatus},
    transport::{Transport, dead_job::DeadJob},
};

/// What to do with dead letters.
#[derive(Debug, Clone, Args)]
pub struct DeadLetterArgs {
    #[command(subcommand)]
    action: Action,

    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// List them, oldest first
    List,
    /// Show everything that is known of one
    Show {
        /// As `list` names it
        id: String,
    },
    /// Requeue failed uploads
    #[command(arg_required_else_help = true)]
    Replay {
        /// As `list` names it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
    /// Forget one; its upload stays as it is
    Drop {
        /// As `list` names it
        id: String,
    },
}

/// Does what an operator asked for.
///
/// # Errors
/// When the broker or storage is away, there is no such dead letter, or it cannot be replayed.
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
            transport.forget_dead(letter).await.context("could not drop the dead letter")?;
            say(dead.json, &json!({ "dropped": letter.key }), &format!("dropped {}", letter.key))
        }
        Action::Replay { id: Some(id), .. } => {
            replay(find(&letters, id)?, dead.json, storage, &**transport).await
        }
        Action::Replay { id: None, .. } => {
            let mut failed = 0;
            for letter in &letters {
                if let Err(error) = replay(letter, dead.json, storage, &**transport).await {
                    failed += 1;
                    complain(&format!("{error:#}"));
                }
            }
            if failed > 0 { bail!("{failed} of {} could not be replayed", letters.len()) } else { Ok(()) }
        }
    }
}

fn find<'letters>(letters: &'letters [DeadJob], key: &str) -> anyhow::Result<&'letters DeadJob> {
    letters.iter().find(|letter| letter.key == key).with_context(|| {
        format!("there is no dead letter {key:?}; `up-worker dead list` shows those that there are")
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
        UploadStatus::Gone | UploadStatus::Unknown => None,
    })
}

async fn list(letters: &[DeadJob], as_json: bool, storage: &Storage) -> anyhow::Result<()> {
    if as_json {
        let letters: Vec<Value> = letters.iter().map(facts).collect();
        return say(true, &json!({ "dead": letters }), "");
    }
    if letters.is_empty() {
        return say(false, &Value::Null, "no dead letters");
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
    say(false, &Value::Null, &lines.join("\n"))
}

async fn show(letter: &DeadJob, as_json: bool, storage: &Storage) -> anyhow::Result<()> {
    let upload = upload_of(letter, storage).await?;
    let mut facts = facts(letter);
    facts["message"] = String::from_utf8_lossy(&letter.body).into();
    facts["upload"] = serde_json::to_value(&upload).context("could not write the upload as JSON")?;
    if as_json {
        return say(true, &facts, "");
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
    say(false, &Value::Null, &text)
}

/// Requeues the upload of a dead letter, and deletes the dead letter.
async fn replay(
    letter: &DeadJob,
    as_json: bool,
    storage: &Storage,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let key = &letter.key;
    let unknown = || anyhow!("{key} cannot be replayed: storage knows no such upload; drop it");
    let id = letter.id.ok_or_else(unknown)?;
    let upload = match requeue(storage, transport, transport, id).await {
        Ok(upload) => upload,
        Err(RequeueError::Unknown) => return Err(unknown()),
        Err(RequeueError::Gone) => bail!("{key} cannot be replayed: its upload was deleted; drop it"),
        Err(RequeueError::Ready) => bail!("{key} need not be replayed: its upload is ready; drop it"),
        Err(RequeueError::Queued) => {
            bail!("{key} is queued already; once it has ended, drop it or replay it")
        }
        Err(error) => return Err(error).with_context(|| format!("could not replay {key}")),
    };
    transport.forget_dead(letter).await.context("the job is posted, and its dead letter is still there")?;
    say(
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

fn say(as_json: bool, value: &Value, text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = if as_json { writeln!(out, "{value}") } else { writeln!(out, "{text}") };
    written.context("could not write to standard output")
}

fn complain(text: &str) {
    // Nothing can be done about a closed terminal.
    let _ = writeln!(io::stderr(), "{text}");
}
