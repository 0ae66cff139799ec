//! For tests of this workspace: the upload of the golden files, stores that count requests or stop, a transport in
//! memory, and a maker that needs no time.

#[cfg(test)]
#[expect(dead_code, reason = "tests of `thumbnail-heif` use the rest")]
#[path = "../heif/tests/support/file.rs"]
pub(crate) mod heif_file;
mod maker;
mod script;
mod stores;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::{
    maker::Instantly,
    script::{Fuse, Script},
    stores::{InMemory, Log, Logged, ObjectStore, ObjectStoreExt, StorePath},
};
use crate::{
    Encoding, ExpiryEntry, Failure, Format, LinkBase, Making, Size, Storage, ThumbnailFact, Tombstone,
    Upload, UploadFailure, UploadId, UploadRecord, UploadResult, consumer::Consumer,
};

/// The id of the golden files.
#[must_use]
pub fn id() -> UploadId {
    "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10".parse().expect("it is an id")
}

/// The record of the golden files.
#[must_use]
pub fn record() -> UploadRecord {
    let created_at = "2026-11-24T06:00:00Z".parse().expect("it is a time");
    UploadRecord { created_at, ..record_of(id()) }
}

/// The record of the golden file of an upload that expires.
#[must_use]
pub fn expiring_record() -> UploadRecord {
    UploadRecord { expires_at: Some(expiry_entry().expires_at), ..record() }
}

/// The tombstone of the golden files.
#[must_use]
pub fn tombstone() -> Tombstone {
    let gone_at = "2026-11-24T07:00:00Z".parse().expect("it is a time");
    Tombstone {
        id: id(),
        generation: 1,
        gone_at,
        expires_at: Some(expiry_entry().expires_at),
        sender: Some("key:alice".to_owned()),
        bytes: 12,
    }
}

/// The expiry entry of the golden files.
#[must_use]
pub fn expiry_entry() -> ExpiryEntry {
    ExpiryEntry { id: id(), expires_at: "2026-12-24T06:00:00Z".parse().expect("it is a time") }
}

/// The same record for another upload, accepted now.
#[must_use]
pub fn record_of(id: UploadId) -> UploadRecord {
    UploadRecord {
        id,
        generation: 1,
        name: "cat.jpg".into(),
        bytes: 2_417_733,
        format: Format::Jpeg,
        width: 4032,
        height: 3024,
        frames: None,
        created_at: crate::clock::now(),
        expires_at: None,
        traceparent: None,
        sender: None,
        bulk: false,
    }
}

fn fact(size: Size, width: u32, height: u32, bytes: u64) -> ThumbnailFact {
    ThumbnailFact {
        size,
        width,
        height,
        content_type: Encoding::Jpeg,
        bytes,
        etag: format!("etag-{size}"),
        alternatives: Vec::new(),
    }
}

/// The result of the golden files.
#[must_use]
pub fn result() -> UploadResult {
    result_of(record())
}

/// The same result for another record.
#[must_use]
pub fn result_of(record: UploadRecord) -> UploadResult {
    UploadResult {
        record,
        making: Making::new(0x5eed),
        ended_at: "2026-11-24T06:00:00.9Z".parse().expect("it is a time"),
        thumbnails: vec![
            fact(Size::Small, 160, 120, 5120),
            fact(Size::Medium, 480, 360, 31_000),
            fact(Size::Large, 1024, 768, 118_000),
        ],
        thumbhash: "1QcSHQRnh493V4dIh4eXh1h4kJUI".into(),
        warnings: Vec::new(),
    }
}

/// The failure of the golden files.
#[must_use]
pub fn failure() -> UploadFailure {
    failure_of(record())
}

/// The same failure for another record.
#[must_use]
pub fn failure_of(record: UploadRecord) -> UploadFailure {
    let problem =
        Failure { kind: "/problems/cannot-be-decoded".into(), title: "The file is damaged.".into() };
    UploadFailure { record, ended_at: "2026-11-24T06:00:00.9Z".parse().expect("it is a time"), problem }
}

/// The queued upload of the golden files.
#[must_use]
pub fn upload() -> Upload {
    Upload::queued(&record(), &LinkBase::default())
}

/// The ready upload of the golden files.
#[must_use]
pub fn ready_upload() -> Upload {
    Upload::ready(&result(), &LinkBase::default())
}

/// The failed upload of the golden files.
#[must_use]
pub fn failed_upload() -> Upload {
    Upload::failed(&failure(), &LinkBase::default())
}

/// A worker that makes thumbnails at once.
#[must_use]
pub fn worker(storage: &Storage, transport: &Script, maker: Instantly) -> Consumer {
    Consumer::new(storage.clone(), Arc::new(transport.clone()), Box::new(maker), CancellationToken::new())
}

/// Stores an original of an upload.
pub async fn store_original(storage: &Storage, id: UploadId, bytes: &'static [u8]) {
    let mut writer = storage.write_original(id);
    writer.write(bytes.into(), Box::new(())).await.expect("the store takes it");
    writer.finish().await.expect("the store takes it");
}

/// Works on all jobs of a transport, without their delays.
pub async fn work_off(worker: &Consumer, transport: &Script) {
    while let Some(delivery) = transport.deliver() {
        worker.step(delivery).await;
    }
}
