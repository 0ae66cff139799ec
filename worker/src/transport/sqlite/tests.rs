use std::num::NonZeroUsize;

use super::*;
use crate::{UploadId, testing, transport::ListenEvent};

#[tokio::test]
async fn a_full_disk_is_reported_and_confirmed_jobs_survive_it() {
    let directory = tempfile::tempdir().unwrap();
    let transport = SqliteTransport::open(&directory.path().join("queue.sqlite"), u64::MAX).unwrap();
    let allow = async |pages: u32| {
        let allow = move |tx: &rusqlite::Connection| tx.pragma_update(None, "max_page_count", pages);
        transport
            .shared
            .connection
            .call("bound the file", Durability::Process, |()| &[], allow)
            .await
            .unwrap();
    };
    let post = || transport.publish(Posting::of_client(testing::record_of(UploadId::new())));
    allow(40).await;
    let mut posted = 0;
    let refused = loop {
        match post().await {
            Ok(()) => posted += 1,
            Err(error) => break error,
        }
    };
    assert!(posted > 0 && matches!(refused, TransportError::DiskFull), "{refused}");
    allow(u32::MAX).await;
    post().await.unwrap();
    assert_eq!(transport.depth().await.unwrap().ready, posted + 1);
}

/// Transactions in a write-ahead log that wrote: frames that end a commit (SQLite file format, section 4.1).
fn commits(log: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let log = fs::read(log).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = FRAME_HEADER + number(8) as usize;
    let frames = (HEADER..).step_by(frame).take_while(|at| at + frame <= log.len());
    // Frames of an earlier turn of the log carry another salt.
    frames.filter(|at| number(at + 4) > 0 && number(at + 8) == number(16)).count()
}

#[tokio::test]
async fn an_upload_costs_three_writes_its_announcements_included() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.sqlite");
    let (server, worker) =
        (SqliteTransport::open(&path, u64::MAX).unwrap(), SqliteTransport::open(&path, u64::MAX).unwrap());
    let mut listener = server.listen().await.unwrap();
    let mut deliveries = worker.consume(Slots::any(NonZeroUsize::MIN)).await.unwrap();
    let log = directory.path().join("queue.sqlite-wal");
    for _ in 0..5 {
        let before = commits(&log);
        let record = testing::record_of(UploadId::new());
        server.publish(Posting::of_client(record)).await.unwrap();
        let delivery = deliveries.next().await.unwrap();
        assert!(matches!(listener.next().await, Some(ListenEvent::Changed(..))));
        let changed = Changed::new(testing::ready_upload(), Lane::Interactive);
        delivery.finish(changed).await.unwrap();
        assert!(matches!(listener.next().await, Some(ListenEvent::Changed(..))));
        assert_eq!(commits(&log) - before, 3, "post, claim, finish");
    }
}
