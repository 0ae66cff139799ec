//! `up-worker dead`: what an operator does with dead letters.

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    Announcement, LinkBase, ResizeJob, State, Storage, Upload, UploadRecord,
    transport::{Lane, Posting, Transport, dead::DeadJob},
};

/// What to do with dead letters.
#[derive(Debug, Clone, Args)]
pub struct Dead {
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
    /// Send failed uploads round once more
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
    dead: &Dead,
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

async fn record_of(letter: &DeadJob, storage: &Storage) -> anyhow::Result<Option<UploadRecord>> {
    match letter.id {
        Some(id) => storage.record(id).await.context("could not read the upload"),
        None => Ok(None),
    }
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
        // A stranger chose the name: never print it as it is.
        let name = record_of(letter, storage)
            .await?
            .map_or_else(|| "-".to_owned(), |record| format!("{:?}", record.name));
        let (key, reason, failures) = (&letter.key, letter.reason.name(), letter.failures);
        lines.push(format!("{key:<36}  {reason:<18}  {failures:>8}  {:<20}  {name}", posted(letter)));
    }
    say(false, &Value::Null, &lines.join("\n"))
}

async fn show(letter: &DeadJob, as_json: bool, storage: &Storage) -> anyhow::Result<()> {
    let record = record_of(letter, storage).await?;
    let outcome = match letter.id {
        Some(id) if record.is_some() => storage.outcome(id).await.context("could not read how it ended")?,
        _ => None,
    };
    let upload = record.map(|record| Upload::assemble(&record, outcome.as_ref(), &LinkBase::default()));
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
        lane(letter.lane),
        posted(letter),
        String::from_utf8_lossy(&letter.body),
    );
    say(false, &Value::Null, &text)
}

/// Raises the generation, so that the old failure counts no more, and posts the job again. Should this process die in
/// between, a sweeper finds an upload without an outcome.
async fn replay(
    letter: &DeadJob,
    as_json: bool,
    storage: &Storage,
    transport: &dyn Transport,
) -> anyhow::Result<()> {
    let key = &letter.key;
    let Some(mut record) = record_of(letter, storage).await? else {
        bail!("{key} cannot be replayed: storage knows no such upload; drop it");
    };
    let outcome = storage.outcome(record.id).await.context("could not read how it ended")?;
    match Upload::assemble(&record, outcome.as_ref(), &LinkBase::default()).state {
        State::Failed => {}
        State::Ready => bail!("{key} need not be replayed: its upload is ready; drop it"),
        State::Queued | State::Processing => {
            bail!("{key} goes round already; once it has ended, drop it or replay it")
        }
    }
    record.generation += 1;
    storage.put_record(&record).await.context("could not write the upload")?;
    let posting = Posting {
        job: ResizeJob::new(record.id, record.format),
        generation: record.generation,
        lane: letter.lane,
        traceparent: record.traceparent.clone(),
    };
    transport.publish(posting).await.context("could not post the job")?;
    // Those who wait for it see it go round again; should this be lost, they see the end of it.
    let queued = Upload::assemble(&record, None, &LinkBase::default());
    if let Err(error) = transport.announce(&Announcement::completion(queued), None).await {
        complain(&format!("{key} goes round again, and nobody was told: {error}"));
    }
    transport.forget_dead(letter).await.context("the job is posted, and its dead letter is still there")?;
    say(
        as_json,
        &json!({ "replayed": key, "gen": record.generation }),
        &format!("replayed {key}, now gen {}", record.generation),
    )
}

fn facts(letter: &DeadJob) -> Value {
    json!({
        "id": letter.key,
        "reason": letter.reason.name(),
        "failures": letter.failures,
        "lane": lane(letter.lane),
        "posted_at": letter.posted_at.map(|at| at.to_string()),
    })
}

const fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Interactive => "interactive",
        Lane::Bulk => "bulk",
    }
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
