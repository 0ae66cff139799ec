use std::sync::Arc;

use worker::{
    ExpiryEntry, UploadStatus,
    testing::{self, Fuse, InMemory, Log, Logged, ObjectStoreExt, Script},
};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A server whose clocks a test sets.
struct ExpiringServer {
    store: Arc<InMemory>,
    storage: Storage,
    log: Log,
    script: Script,
    expiry: Expiry,
    wall: Timestamp,
    now: Instant,
}

impl ExpiringServer {
    fn at(wall: &str) -> Self {
        let store = Arc::new(InMemory::new());
        Self::on(store, wall.parse().unwrap())
    }

    /// A server that starts on this storage.
    fn on(store: Arc<InMemory>, wall: Timestamp) -> Self {
        let logged = Logged::new(store.clone(), Fuse::never());
        let (log, now) = (logged.log(), Instant::now());
        let storage = Storage::over(Arc::new(logged));
        let expiry = Expiry::starting(wall, now);
        Self { store, storage, log, script: Script::counting(), expiry, wall, now }
    }

    async fn upload(&self, expires_at: Timestamp) -> UploadId {
        let record =
            worker::UploadRecord { expires_at: Some(expires_at), ..testing::record_of(UploadId::new()) };
        testing::store_original(&self.storage, record.id, b"original").await;
        self.storage.create_expiry(&ExpiryEntry { id: record.id, expires_at }).await.unwrap();
        self.storage.create_pending(&record).await.unwrap();
        record.id
    }

    fn pass(&mut self, time: Duration) {
        self.wall += time;
        self.now += time;
    }

    async fn round(&mut self) -> usize {
        let (wall, now) = (self.wall, self.now);
        self.expiry.round(&self.storage, &self.script, &|_| {}, wall, now).await.unwrap()
    }

    async fn is_gone(&self, id: UploadId) -> bool {
        matches!(self.storage.status(id).await.unwrap(), UploadStatus::Gone(_))
    }
}

#[tokio::test]
async fn an_upload_is_deleted_when_its_time_is_over_and_not_before() {
    let mut server = ExpiringServer::at("2026-11-24T06:50:00Z");
    let (early, late) =
        (server.upload(server.wall + MINUTE).await, server.upload(server.wall + 20 * MINUTE).await);
    assert_eq!(server.round().await, 0);
    server.pass(MINUTE);
    assert_eq!(server.round().await, 1);
    assert_eq!((server.is_gone(early).await, server.is_gone(late).await), (true, false));
    server.pass(18 * MINUTE);
    assert_eq!(server.round().await, 0);
    server.pass(MINUTE);
    assert_eq!(server.round().await, 1);
    assert!(server.is_gone(late).await);
    assert_eq!(server.storage.expiry_hours().await.unwrap(), [], "no entry is left");
}

#[tokio::test]
async fn a_round_costs_two_listings_and_one_read_of_an_entry_of_the_present_hour() {
    let mut server = ExpiringServer::at("2026-11-24T06:00:00Z");
    server.upload(server.wall + 50 * MINUTE).await;
    for hours in 1..100 {
        server.upload(server.wall + hours * HOUR).await;
    }
    server.round().await;
    let _ = server.log.take();
    server.pass(PAUSE);
    server.round().await;
    assert_eq!(server.log.take_counts(), [0, 0, 0, 2], "the entry of the present hour is known");
    server.pass(LOOK_BACK);
    server.round().await;
    assert_eq!(server.log.take_counts(), [0, 0, 0, 3], "and now and then the hours are listed");
}

#[tokio::test]
async fn a_server_that_starts_after_days_deletes_what_was_missed() {
    let server = ExpiringServer::at("2026-11-24T06:00:00Z");
    let (missed, future) =
        (server.upload(server.wall + 2 * HOUR).await, server.upload(server.wall + 200 * HOUR).await);
    let mut next = ExpiringServer::on(server.store.clone(), server.wall + 100 * HOUR);
    assert_eq!(next.round().await, 1);
    assert!(next.is_gone(missed).await && !next.is_gone(future).await);
}

#[tokio::test]
async fn an_entry_that_is_written_late_is_found() {
    let mut server = ExpiringServer::at("2026-11-24T06:00:00Z");
    server.round().await;
    // A server whose clock is behind by hours.
    let late = server.upload(server.wall - 5 * HOUR).await;
    server.pass(LOOK_BACK);
    assert_eq!(server.round().await, 1);
    assert!(server.is_gone(late).await);
}

#[tokio::test]
async fn a_step_of_the_wall_clock_deletes_nothing_that_is_not_due() {
    let mut server = ExpiringServer::at("2026-11-24T06:00:00Z");
    let id = server.upload(server.wall + 10 * HOUR).await;
    server.round().await;
    server.wall += 1000 * HOUR;
    for _ in 0..59 {
        assert_eq!(server.round().await, 0);
        server.pass(MINUTE);
    }
    server.wall -= 1000 * HOUR;
    server.round().await;
    assert!(!server.is_gone(id).await);
    // The clock is right again, so nothing is late.
    server.pass(10 * HOUR);
    assert_eq!(server.round().await, 1);
}

#[test]
fn a_step_forward_counts_after_an_hour_and_a_step_back_at_once() {
    let (start, now): (Timestamp, _) = ("2026-11-24T06:00:00Z".parse().unwrap(), Instant::now());
    let mut clock = SettledClock::starting(start, now);
    assert_eq!(clock.time(start + MINUTE, now + MINUTE), start + MINUTE);
    let ahead = start + 5 * HOUR;
    assert_eq!(clock.time(ahead + 2 * MINUTE, now + 2 * MINUTE), start + 2 * MINUTE);
    // Another step waits for an hour of its own.
    let further = start + 9 * HOUR;
    assert_eq!(clock.time(further + 30 * MINUTE, now + 30 * MINUTE), start + 30 * MINUTE);
    assert_eq!(clock.time(further + 61 * MINUTE, now + 61 * MINUTE), start + 61 * MINUTE);
    assert_eq!(clock.time(further + 62 * MINUTE, now + 62 * MINUTE), ahead + 62 * MINUTE);
    assert_eq!(clock.time(further + 121 * MINUTE, now + 121 * MINUTE), ahead + 121 * MINUTE);
    assert_eq!(clock.time(further + 122 * MINUTE, now + 122 * MINUTE), further + 122 * MINUTE);
    assert_eq!(clock.time(start, now + 123 * MINUTE), start);
}

#[test]
fn a_machine_that_is_frozen_again_and_again_does_not_fall_behind() {
    let (start, now) = ("2026-11-24T06:00:00Z".parse::<Timestamp>().unwrap(), Instant::now());
    let mut clock = SettledClock::starting(start, now);
    let mut wall = start;
    for minutes in (0..24 * 60).step_by(10) {
        // Each time the monotonic clock stands for three seconds.
        wall = start + minutes * MINUTE + Duration::from_secs(3) * (minutes / 10);
        let time = clock.time(wall, now + minutes * MINUTE);
        assert!(wall.duration_since(time).as_secs() <= 60, "{minutes}");
    }
    assert!(wall > start);
}

#[tokio::test]
async fn an_unreadable_entry_counts_when_its_hour_is_over() {
    let mut server = ExpiringServer::at("2026-11-24T06:00:00Z");
    let expires_at = server.wall + MINUTE;
    let id = server.upload(expires_at).await;
    let key = worker::StorageKey::expiry(Hour::of(expires_at), id);
    server.store.put(&testing::StorePath::from(key.to_string()), "cut".into()).await.unwrap();
    server.pass(30 * MINUTE);
    assert_eq!(server.round().await, 0);
    server.pass(30 * MINUTE);
    assert_eq!(server.round().await, 1);
    assert!(server.is_gone(id).await);
}

#[tokio::test]
async fn an_entry_without_an_upload_is_removed_without_a_tombstone() {
    let mut server = ExpiringServer::at("2026-11-24T06:00:00Z");
    let (id, expires_at) = (UploadId::new(), server.wall);
    server.storage.create_expiry(&ExpiryEntry { id, expires_at }).await.unwrap();
    server.round().await;
    assert!(!server.storage.is_gone(id).await.unwrap());
    assert_eq!(server.storage.expiry_hours().await.unwrap(), []);
}
