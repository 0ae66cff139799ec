//! One upload for the tests of this crate: the one that the golden files speak of.

use crate::{
    Encoding, Format, LinkBase, Outcome, Size, Upload, UploadId, UploadRecord,
    outcome::{ThumbnailFact, Verdict},
    upload::Failure,
};

pub(crate) fn id() -> UploadId {
    "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10".parse().unwrap()
}

pub(crate) fn record() -> UploadRecord {
    UploadRecord {
        id: id(),
        generation: 1,
        name: "cat.jpg".into(),
        bytes: 2_417_733,
        format: Format::Jpeg,
        width: 4032,
        height: 3024,
        frames: None,
        created_at: "2026-11-24T06:00:00Z".parse().unwrap(),
        traceparent: None,
        bulk: false,
    }
}

fn fact(size: Size, width: u32, height: u32, bytes: u64) -> ThumbnailFact {
    ThumbnailFact { size, width, height, content_type: Encoding::Jpeg, bytes, etag: format!("etag-{size}") }
}

pub(crate) fn ready_outcome() -> Outcome {
    let thumbnails = vec![
        fact(Size::Small, 160, 120, 5120),
        fact(Size::Medium, 480, 360, 31_000),
        fact(Size::Large, 1024, 768, 118_000),
    ];
    Outcome {
        generation: 1,
        ended_at: "2026-11-24T06:00:00.9Z".parse().unwrap(),
        verdict: Verdict::Ready { thumbnails, thumbhash: "1QcSHQRnh493V4dIh4eXh1h4kJUI".into() },
    }
}

pub(crate) fn failed_outcome() -> Outcome {
    let problem =
        Failure { kind: "/problems/cannot-be-decoded".into(), title: "The file is damaged.".into() };
    Outcome { verdict: Verdict::Failed { problem }, ..ready_outcome() }
}

pub(crate) fn upload() -> Upload {
    Upload::assemble(&record(), None, &LinkBase::default())
}

pub(crate) fn ready_upload() -> Upload {
    Upload::assemble(&record(), Some(&ready_outcome()), &LinkBase::default())
}

pub(crate) fn failed_upload() -> Upload {
    Upload::assemble(&record(), Some(&failed_outcome()), &LinkBase::default())
}
