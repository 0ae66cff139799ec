//! What lies in storage, upload by upload: the sweeper's view.

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{ObjectMeta, ObjectStore};

use super::{Storage, StorageError, StorageKey, key::Part};
use crate::UploadId;

/// Which parts of one upload are there, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whose parts.
    pub id: UploadId,
    /// When the newest part was written.
    pub newest: Timestamp,
    /// When `upload.json` was written.
    pub record_at: Option<Timestamp>,
    /// When `outcome.json` was written.
    pub outcome_at: Option<Timestamp>,
}

impl Listing {
    /// Whether an outcome is there that was written after the record, and so is of the record's generation.
    #[must_use]
    pub fn surely_ended(&self) -> bool {
        matches!((self.record_at, self.outcome_at), (Some(record), Some(outcome)) if outcome > record)
    }

    fn begin(id: UploadId) -> Self {
        Self { id, newest: Timestamp::MIN, record_at: None, outcome_at: None }
    }

    fn add(&mut self, part: Part, at: Timestamp) {
        self.newest = self.newest.max(at);
        match part {
            Part::Record => self.record_at = Some(at),
            Part::Outcome => self.outcome_at = Some(at),
            Part::Original | Part::Other => {}
        }
    }
}

impl Storage {
    /// Lists the uploads with ids from `from` on, one by one: nothing is held but the upload at hand.
    pub fn list(&self, from: UploadId) -> BoxStream<'static, Result<Listing, StorageError>> {
        let prefix = StorageKey::uploads();
        let objects = self.store.list_with_offset(Some(&prefix), &StorageKey::before(from));
        let objects = objects.map_err(|source| StorageError::Unavailable {
            attempted: "list",
            key: StorageKey::original(UploadId::floor_at(0)),
            source,
        });
        // A store lists the parts of one upload one after the other, so a change of id ends an upload.
        let grouped = futures::stream::unfold((objects.fuse(), None), |(mut objects, mut open)| async move {
            loop {
                let Some(next) = objects.next().await else {
                    return open.take().map(|last| (Ok(last), (objects, None)));
                };
                let object = match next {
                    Ok(object) => object,
                    Err(error) => return Some((Err(error), (objects, open))),
                };
                if let Some(whole) = take_in(&mut open, &object) {
                    return Some((Ok(whole), (objects, open)));
                }
            }
        });
        grouped.boxed()
    }
}

/// Adds an object to the open listing; answers the listing that the object closes.
fn take_in(open: &mut Option<Listing>, object: &ObjectMeta) -> Option<Listing> {
    let (id, part) = StorageKey::parse(&object.location)?;
    let at = Timestamp::from_nanosecond(i128::from(object.last_modified.timestamp_nanos_opt()?)).ok()?;
    let closed = open.take_if(|listing| listing.id != id);
    open.get_or_insert_with(|| Listing::begin(id)).add(part, at);
    closed
}
