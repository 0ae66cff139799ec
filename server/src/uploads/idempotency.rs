//! `Idempotency-Key`: a request that is repeated, because its answer was lost, makes no second upload.
//!
//! A key counts for each file of its request by itself, by the file's place in the form. So a form that broke off
//! after its second file can be sent again: two are found, the others are taken.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use tokio::time::{Instant, sleep, timeout};
use worker::{Fingerprint, Upload, UploadId, storage::Claim};

use crate::{app::App, keys_in_use::InUse, problem::Problem};

/// What the header is called.
const HEADER: &str = "idempotency-key";

/// The longest key that is taken, in bytes: a UUID takes 36, and a client may put a word or two before it.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// How long a key counts: a page that was left open over night may still retry. This bounds the claims, too: there are
/// at most as many as uploads were accepted in a day, each of which takes far more room.
pub(crate) const KEY_COUNTS_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a repetition waits for a request with its key that is still on its way; then it is told to come back.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(10);

/// How long an upload may take from its claim to its commit before others take the key: two small writes lie between. A
/// server that takes longer looks whether the key is still its own.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The key of a request, which no other request has at the same time.
pub(crate) struct Key(Arc<InUse>);

impl Key {
    /// Reads the header, if there is one, and waits until no other request has the key.
    pub(crate) async fn of(headers: &HeaderMap, app: &App) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        let (text, is_one) = (value.as_bytes(), headers.get_all(HEADER).iter().count() == 1);
        if !is_one || text.is_empty() || text.len() > MAX_KEY_BYTES || !text.iter().all(u8::is_ascii_graphic)
        {
            return Err(Problem::bad_key(MAX_KEY_BYTES));
        }
        let key = Fingerprint::of([text]);
        let used = timeout(WAIT_FOR_FIRST, app.keys_in_use.acquire(key)).await;
        used.map(|used| Some(Self(Arc::new(used)))).map_err(|_| Problem::key_in_use())
    }

    /// The key of the file at this place.
    pub(crate) fn of_file(&self, place: usize) -> FileKey {
        let parts = [self.0.key().as_bytes(), &(place as u64).to_be_bytes()];
        FileKey { key: Fingerprint::of(parts), _in_use: Arc::clone(&self.0) }
    }
}

/// The key of one file. As long as there is one, its request is on its way.
pub(crate) struct FileKey {
    key: Fingerprint,
    _in_use: Arc<InUse>,
}

impl FileKey {
    /// The upload that the key has made, if it has.
    pub(crate) async fn made(&self, app: &App) -> Result<Option<Made>, Problem> {
        match app.storage.claim(self.key).await? {
            Some(claim) => settled(app, claim).await,
            None => Ok(None),
        }
    }

    /// Claims the key for an upload whose original is stored and whose record is not. Answers what another server
    /// has made of the key in the meantime; then this upload must not be.
    pub(crate) async fn claim(
        &self,
        app: &App,
        id: UploadId,
        file: Fingerprint,
    ) -> Result<Option<Made>, Problem> {
        let claim = Claim::new(id, file);
        let Some(other) = app.storage.try_claim(self.key, &claim).await? else { return Ok(None) };
        if let Some(made) = settled(app, other).await? {
            return Ok(Some(made));
        }
        app.storage.replace_claim(self.key, &claim).await?;
        Ok(None)
    }

    /// The upload of another server that has the key by now, if one has.
    pub(crate) async fn lost_to(&self, app: &App, id: UploadId) -> Result<Option<Made>, Problem> {
        match app.storage.claim(self.key).await? {
            Some(other) if other.id != id => settled(app, other).await,
            _ => Ok(None),
        }
    }

    /// Gives the key back, because its upload was not accepted in the end. Should it fail, the claim names an upload
    /// that nobody knows, and counts as none soon.
    pub(crate) async fn give_back(&self, app: &App, id: UploadId) {
        // Another server may have taken the key over.
        if matches!(app.storage.claim(self.key).await, Ok(Some(claim)) if claim.id == id) {
            let _ = app.storage.remove_claim(self.key).await;
        }
    }
}

/// An upload that a key has made.
pub(crate) struct Made {
    upload: Upload,
    claim: Claim,
}

impl Made {
    /// The upload, if it is of this very file.
    pub(crate) fn of(self, file: Fingerprint) -> Result<Upload, Problem> {
        if self.claim.is_for(file) { Ok(self.upload) } else { Err(Problem::key_reused()) }
    }
}

/// What a claim stands for, once that is settled: nothing if it is too old, or its server died before it accepted.
async fn settled(app: &App, claim: Claim) -> Result<Option<Made>, Problem> {
    if claim.age() > KEY_COUNTS_FOR {
        return Ok(None);
    }
    // By this server's own clock: the time of the claim is another server's.
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        if let Some(upload) = app.upload(claim.id).await? {
            return Ok(Some(Made { upload, claim }));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(LOOK_EVERY).await;
    }
}
