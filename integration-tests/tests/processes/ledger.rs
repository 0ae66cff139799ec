//! The ledger: accepted = ready, lost = 0, whatever dies.

use std::time::Duration;

use integration_tests::{
    pictures,
    server::{Data, Start, id},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rustix::process::{Signal, kill_process};

/// Uploads of the run. A tenth of them see a worker killed: often enough to meet every step, seldom enough that no job
/// is in work at three kills, after which it would rightly be taken for the killer.
const UPLOADS: u32 = 100;

/// The files that a worker writes at once: three thumbnails, and two of them as WebP.
const FILES_AT_ONCE: usize = 5;

#[tokio::test]
async fn a_hundred_uploads_with_workers_killed_at_random_all_become_ready() {
    let seed =
        std::env::var("UP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("UP_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let data = Data::new();
    let server = Start::on(&data).start();
    let mut accepted = Vec::new();
    let mut killed = 0;
    for number in 0..UPLOADS {
        let (width, height) = (random.random_range(100..1500), random.random_range(100..1500));
        accepted.push(server.accepted(&format!("{number}.jpg"), pictures::jpeg(width, height)).await);
        if random.random_bool(0.1) {
            let workers = server.workers();
            if let Some(worker) = workers.get(random.random_range(0..2)) {
                killed += usize::from(kill_process(*worker, Signal::KILL).is_ok());
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
    }
    let mut ready = 0;
    for upload in &accepted {
        let ended = server.end(&id(upload), Duration::from_secs(120)).await;
        server.assert_ready(&ended).await;
        ready += 1;
    }
    println!("accepted = {}, ready = {ready}, lost = 0, workers killed = {killed}", accepted.len());
    assert!(killed > 0, "the run killed nobody");
    assert_eq!(ready, UPLOADS);
    // A worker that was killed while it wrote leaves what it was writing: thumbnails at once, then the result.
    server.assert_at_most_temporary_files(killed * FILES_AT_ONCE);
}
