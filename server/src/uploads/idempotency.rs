//! `Idempotency-Key`: a request that is repeated after its answer was lost creates no second upload.
//!
//! Each file of a request has its own key, derived from the header and the file's position in the form. So a form that
//! broke off after its second file can be sent again: two uploads are found, the other files are accepted.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use tokio::time::{Instant, sleep, timeout};
use worker::{Fingerprint, Upload, UploadId, storage::Claim};

use crate::{app::App, client::Client, keys_in_use::InUse, problem::Problem};

/// The name of the header.
const HEADER: &str = "idempotency-key";

/// The maximum length of a key, in bytes: a UUID has 36, and clients may add a prefix.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// Shorter keys may be guessed, so they count for one client only. Longer ones count for everybody, because a phone may
/// repeat a request from another network. 64 bits take 16 hexadecimal digits.
const GUESSABLE_BELOW_BYTES: usize = 16;

/// The lifetime of a key: a page that was left open overnight may still retry. It also limits the number of claims to
/// the uploads of one day, which take far more space.
pub(crate) const KEY_COUNTS_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a repeated request waits for an unfinished one with the same key. Then it gets `key-in-use`.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(10);

/// How long an upload may take from its claim to its commit, two small writes, before another server may take over the
/// key. A server that takes longer checks that it still owns the key.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(3);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// The key of a request. No other request on this server holds it at the same time.
pub(crate) struct Key(Arc<InUse>);

impl Key {
    /// Reads the header, if there is one, and waits until no other request holds the key.
    pub(crate) async fn of(headers: &HeaderMap, client: Client, app: &App) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        let (text, is_one) = (value.as_bytes(), headers.get_all(HEADER).iter().count() == 1);
        if !is_one || text.is_empty() || text.len() > MAX_KEY_BYTES || !text.iter().all(u8::is_ascii_graphic)
        {
            return Err(Problem::bad_key(MAX_KEY_BYTES));
        }
        let key = if text.len() < GUESSABLE_BELOW_BYTES {
            Fingerprint::of([text, client.to_string().as_bytes()])
        } else {
            Fingerprint::of([text])
        };
        let used = timeout(WAIT_FOR_FIRST, app.keys_in_use.acquire(key)).await;
        used.map(|used| Some(Self(Arc::new(used)))).map_err(|_| Problem::key_in_use())
    }

    /// The key of the file at this position. A named sender has keys of its own: who guesses the key of another one
    /// must not get its upload and delete token.
    pub(crate) fn of_file(&self, position: usize, sender: Option<&str>) -> FileKey {
        let position = (position as u64).to_be_bytes();
        let parts: [&[u8]; 2] = [self.0.key().as_bytes(), &position];
        let key = Fingerprint::of(parts.into_iter().chain(sender.map(str::as_bytes)));
        FileKey { key, _in_use: Arc::clone(&self.0) }
    }
}

/// The key of one file. It holds the request's key until it is dropped.
pub(crate) struct FileKey {
    key: Fingerprint,
    _in_use: Arc<InUse>,
}

impl FileKey {
    /// The upload that was created with the key, if there is one.
    pub(crate) async fn existing_upload(&self, app: &App) -> Result<Option<ExistingUpload>, Problem> {
        match app.storage.claim(self.key).await? {
            Some(claim) => settled(app, claim).await,
            None => Ok(None),
        }
    }

    /// Claims the key for an upload whose original is stored and whose record is not. Returns the upload that another
    /// server created with the key in the meantime; the caller must then drop its own.
    pub(crate) async fn claim(
        &self,
        app: &App,
        id: UploadId,
        file: Fingerprint,
    ) -> Result<Option<ExistingUpload>, Problem> {
        let claim = Claim::new(id, file);
        let Some(other) = app.storage.try_claim(self.key, &claim).await? else { return Ok(None) };
        if let Some(existing) = settled(app, other).await? {
            return Ok(Some(existing));
        }
        app.storage.replace_claim(self.key, &claim).await?;
        Ok(None)
    }

    /// The upload of another server that has taken over the key, if there is one.
    pub(crate) async fn new_owner(&self, app: &App, id: UploadId) -> Result<Option<ExistingUpload>, Problem> {
        match app.storage.claim(self.key).await? {
            Some(other) if other.id != id => settled(app, other).await,
            _ => Ok(None),
        }
    }

    /// Releases the key of an upload that was not accepted. If this fails, the claim names an unknown upload and is
    /// ignored after [`SETTLES_WITHIN`].
    pub(crate) async fn release(&self, app: &App, id: UploadId) {
        // Another server may have taken over the key.
        if matches!(app.storage.claim(self.key).await, Ok(Some(claim)) if claim.id == id) {
            let _ = app.storage.remove_claim(self.key).await;
        }
    }
}

/// An upload that was created with a key.
pub(crate) struct ExistingUpload {
    upload: Upload,
    claim: Claim,
}

impl ExistingUpload {
    /// The upload, if it was created with the same file.
    pub(crate) fn for_file(self, file: Fingerprint) -> Result<Upload, Problem> {
        if self.claim.is_for(file) { Ok(self.upload) } else { Err(Problem::key_reused()) }
    }
}

/// The upload of a claim; a problem if it was deleted. `None` if the claim has expired or its server died before the commit. Waits while the
/// commit may still be in progress.
async fn settled(app: &App, claim: Claim) -> Result<Option<ExistingUpload>, Problem> {
    if claim.age() > KEY_COUNTS_FOR {
        return Ok(None);
    }
    // This server's clock, because the claim's time is that of another server.
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        if let Some(upload) = app.upload(claim.id).await? {
            if upload.is_gone() {
                return Err(Problem::gone());
            }
            return Ok(Some(ExistingUpload { upload, claim }));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(POLL_EVERY).await;
    }
}
