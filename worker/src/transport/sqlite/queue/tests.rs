use super::*;
use crate::{UploadId, testing};

const NOW: i64 = 1_000_000;

fn queue() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for version in [include_str!("../schema.sql"), include_str!("../turns.sql")] {
        connection.execute_batch(version).unwrap();
    }
    connection
}

pub(in crate::transport::sqlite) fn posted(tx: &Connection, lane: Lane) -> UploadId {
    let posting = posting(lane);
    assert_eq!(post(tx, &posting, u64::MAX, NOW).unwrap(), Posted::Done);
    posting.job.id
}

fn posting(lane: Lane) -> Posting {
    Posting::of_client(crate::UploadRecord {
        bulk: lane == Lane::Bulk,
        ..testing::record_of(UploadId::new())
    })
}

fn claim_now(tx: &Connection, owner: &str, with_bulk: bool) -> Result<ClaimOutcome> {
    let lanes = if with_bulk { ClaimLanes::ALL } else { ClaimLanes::Interactive };
    claim(tx, owner, rand::random(), &lanes, NOW)
}

fn claimed(tx: &Connection, owner: &str) -> ClaimedJob {
    match claim_now(tx, owner, true).unwrap() {
        ClaimOutcome::One(claim) => *claim,
        other @ ClaimOutcome::NothingUntil(_) => panic!("{other:?}"),
    }
}

fn depth_now(tx: &Connection) -> Depth {
    depth(tx, Now { wall: NOW, monotonic: NOW }).unwrap()
}

/// The tally equals a count.
fn assert_tallied(tx: &Connection) {
    let rows = |sql: &str| -> Vec<(u32, u64)> {
        let mut statement = tx.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_>>().unwrap()
    };
    let tallied = rows("SELECT state, jobs FROM tally WHERE jobs > 0 ORDER BY state");
    let counted = rows(
        "SELECT state, count(*) FROM jobs GROUP BY state
         UNION ALL SELECT 5, count(*) FROM jobs WHERE state < 2 AND counted HAVING count(*) > 0 ORDER BY 1",
    );
    assert_eq!(tallied, counted);
}

/// Deletes the oldest job but keeps it in the index, like a half-lost write.
pub(in crate::transport::sqlite) fn dangle(sqlite: &Connection) {
    let definition = "SELECT rootpage, sql FROM sqlite_master WHERE name = 'jobs_next'";
    let (root, sql): (u32, String) =
        sqlite.query_row(definition, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let as_if = |change: &str| {
        let change = format!("PRAGMA writable_schema = ON; {change}; PRAGMA writable_schema = RESET;");
        sqlite.execute_batch(&change).unwrap();
        sqlite.flush_prepared_statement_cache();
    };
    as_if("DELETE FROM sqlite_master WHERE name = 'jobs_next'");
    sqlite.execute("DELETE FROM jobs WHERE seq = (SELECT min(seq) FROM jobs)", []).unwrap();
    as_if(&format!("INSERT INTO sqlite_master VALUES ('index', 'jobs_next', 'jobs', {root}, '{sql}')"));
}

#[test]
fn a_job_that_an_index_has_lost_is_damage_and_not_an_empty_queue() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    posted(&tx, Lane::Interactive);
    dangle(&tx);
    let error = claim_now(&tx, "worker", true).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
}

#[test]
fn a_stale_claim_settles_nothing() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    let stale = claimed(&tx, "stalled").fence;
    assert_eq!(requeue_jobs_of(&tx, "stalled", MAX_CRASHES).unwrap(), 1);
    let fresh = claimed(&tx, "other").fence;
    for settled in [
        ack(&tx, stale),
        retry(&tx, stale, NOW, Duration::ZERO),
        postpone(&tx, stale, NOW, Duration::ZERO),
        release(&tx, stale),
        bury_later(&tx, stale, DeathReason::Exhausted),
    ] {
        assert!(!settled.unwrap());
    }
    assert!(ack(&tx, fresh).unwrap());
    assert_eq!(claim_now(&tx, "other", true).unwrap(), ClaimOutcome::NothingUntil(None));
}

#[test]
fn a_stale_claim_settles_no_job_of_a_queue_that_was_empty_meanwhile() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    let stale = claimed(&tx, "stalled").fence;
    requeue_jobs_of(&tx, "stalled", MAX_CRASHES).unwrap();
    assert!(ack(&tx, claimed(&tx, "other").fence).unwrap());
    posted(&tx, Lane::Interactive);
    let fresh = claimed(&tx, "third").fence;
    assert!(!ack(&tx, stale).unwrap());
    assert!(ack(&tx, fresh).unwrap());
}

#[test]
fn a_job_that_kills_three_workers_is_dead_except_in_an_outbox() {
    for (max_crashes, dies) in [(MAX_CRASHES, true), (u32::MAX, false)] {
        let tx = queue();
        let id = posted(&tx, Lane::Interactive);
        for _ in 0..MAX_CRASHES {
            assert!(matches!(claimed(&tx, "victim").task, Task::Resize(_)));
            requeue_jobs_of(&tx, "victim", max_crashes).unwrap();
        }
        let task = claimed(&tx, "next").task;
        assert_eq!(task.id(), Some(id));
        let is_dead = matches!(task, Task::Bury(letter) if letter.reason == DeathReason::KilledItsWorkers);
        assert_eq!(is_dead, dies);
        assert_tallied(&tx);
    }
}

#[test]
fn a_burial_whose_worker_dies_is_a_burial_again() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    bury_later(&tx, claimed(&tx, "one").fence, DeathReason::Exhausted).unwrap();
    for _ in 0..5 {
        assert!(matches!(claimed(&tx, "one").task, Task::Bury(_)));
        requeue_jobs_of(&tx, "one", MAX_CRASHES).unwrap();
    }
    assert_eq!(depth_now(&tx).dead, 1);
}

#[test]
fn a_job_that_cannot_be_read_is_dead_and_the_next_is_claimed() {
    let tx = queue();
    let damaged = posted(&tx, Lane::Interactive);
    tx.execute("UPDATE jobs SET body = x'00'", []).unwrap();
    let whole = posted(&tx, Lane::Interactive);
    let letter =
        DeadLetter { id: Some(damaged), generation: Some(1), job: None, reason: DeathReason::Unreadable };
    assert_eq!(claimed(&tx, "one").task, Task::Bury(letter));
    assert!(matches!(claimed(&tx, "one").task, Task::Resize(job) if job.id == whole));
}

#[test]
fn without_a_slot_for_it_the_bulk_lane_waits() {
    let tx = queue();
    posted(&tx, Lane::Bulk);
    assert_eq!(claim_now(&tx, "one", false).unwrap(), ClaimOutcome::NothingUntil(None));
    let interactive = posted(&tx, Lane::Interactive);
    assert!(matches!(claimed(&tx, "one").task, Task::Resize(job) if job.id == interactive));
    assert_eq!(claimed(&tx, "one").lane, Lane::Bulk);
}

#[test]
fn a_generation_is_posted_once_and_another_is_another_job() {
    let tx = queue();
    let first = posting(Lane::Interactive);
    let second = Posting::of_client(first.job.record.clone().next_generation());
    for posting in [&first, &first, &second] {
        post(&tx, posting, u64::MAX, NOW).unwrap();
    }
    assert_eq!(depth_now(&tx).ready, 2);
    assert_tallied(&tx);
}

#[test]
fn a_buried_job_does_not_swallow_a_later_post_of_its_generation() {
    let tx = queue();
    let lost = posting(Lane::Interactive);
    post(&tx, &lost, u64::MAX, NOW).unwrap();
    bury_later(&tx, claimed(&tx, "one").fence, DeathReason::Exhausted).unwrap();
    // Before the burial, the queue holds the job.
    assert_eq!(missing(&tx, &[lost.job.name()]).unwrap(), []);
    ack(&tx, claimed(&tx, "one").fence).unwrap();
    assert_eq!(missing(&tx, &[lost.job.name()]).unwrap(), [lost.job.name()]);
    post(&tx, &lost, u64::MAX, NOW).unwrap();
    assert!(matches!(claimed(&tx, "one").task, Task::Resize(job) if job == lost.job));
    assert_eq!(depth_now(&tx).dead, 1, "the dead letter stays on the list");
    assert_tallied(&tx);
}

#[test]
fn a_step_of_the_wall_clock_delays_no_job() {
    let tx = queue();
    let hour = 3_600_000;
    for wall in [NOW + hour, NOW, NOW - hour] {
        post(&tx, &posting(Lane::Interactive), u64::MAX, wall).unwrap();
        claimed(&tx, "one");
    }
}

#[test]
fn a_delayed_job_comes_when_it_is_due_and_before_jobs_that_never_waited() {
    let tx = queue();
    let failed = posted(&tx, Lane::Interactive);
    retry(&tx, claimed(&tx, "one").fence, NOW, Duration::from_millis(500)).unwrap();
    assert_eq!(claim_now(&tx, "one", true).unwrap(), ClaimOutcome::NothingUntil(Some(NOW + 500)));
    posted(&tx, Lane::Interactive);
    match claim(&tx, "one", 7, &ClaimLanes::ALL, NOW + 500).unwrap() {
        ClaimOutcome::One(claim) => assert_eq!((claim.task.id(), claim.tries.failures), (Some(failed), 1)),
        ClaimOutcome::NothingUntil(due) => panic!("{due:?}"),
    }
}

#[test]
fn a_job_that_was_delayed_before_a_reboot_is_due_after_it() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    let long = Duration::from_secs(300);
    postpone(&tx, claimed(&tx, "one").fence, NOW + 900_000, long).unwrap();
    // The monotonic clock restarts at boot.
    prepare(&tx, 1000).unwrap();
    let claim = claimed(&tx, "one");
    assert_eq!((claim.tries.deliveries, claim.tries.failures), (2, 0));
}

#[test]
fn a_job_of_the_sweeper_does_not_count_towards_the_capacity() {
    let tx = queue();
    let lost = Posting { room: Room::Uncounted, ..posting(Lane::Interactive) };
    assert_eq!(post(&tx, &lost, 1, NOW).unwrap(), Posted::Done);
    assert_eq!(post(&tx, &posting(Lane::Interactive), 1, NOW).unwrap(), Posted::Done);
    assert_eq!(post(&tx, &posting(Lane::Interactive), 1, NOW).unwrap(), Posted::Full);
    let more = Posting { room: Room::Uncounted, ..posting(Lane::Interactive) };
    assert_eq!(post(&tx, &more, 1, NOW).unwrap(), Posted::Done);
    assert_eq!((room_taken(&tx).unwrap(), depth_now(&tx).ready), (1, 3));
    assert_tallied(&tx);
}

#[test]
fn the_tally_follows_every_step_and_is_recounted_when_a_file_is_opened() {
    let tx = queue();
    for _ in 0..4 {
        posted(&tx, Lane::Interactive);
    }
    ack(&tx, claimed(&tx, "one").fence).unwrap();
    retry(&tx, claimed(&tx, "one").fence, NOW, Duration::from_secs(9)).unwrap();
    bury_later(&tx, claimed(&tx, "one").fence, DeathReason::Exhausted).unwrap();
    claimed(&tx, "one");
    requeue_jobs_of(&tx, "one", MAX_CRASHES).unwrap();
    assert_tallied(&tx);
    tx.execute("UPDATE tally SET jobs = 77", []).unwrap();
    prepare(&tx, NOW).unwrap();
    assert_tallied(&tx);
}

#[test]
fn the_queries_of_an_upload_scan_no_table() {
    let tx = queue();
    let plan = |sql: &str| -> String {
        let mut statement = tx.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        rows.collect::<Result<Vec<_>>>().unwrap().join("; ")
    };
    let room = plan("SELECT jobs FROM tally WHERE state = 5");
    assert!(room.contains("SEARCH tally") && !room.contains("SCAN"), "{room}");
    let once = plan("SELECT 1 FROM jobs WHERE id = 'x' AND generation = 1 AND state < 4");
    assert!(
        once.contains("USING COVERING INDEX jobs_once") || once.contains("USING INDEX jobs_once"),
        "{once}"
    );
}

/// Posts bulk jobs of a client.
fn posted_by(tx: &Connection, client: i64, jobs: usize) {
    for _ in 0..jobs {
        let posting = Posting { client: Some(ClientTag(client)), ..posting(Lane::Bulk) };
        assert_eq!(post(tx, &posting, u64::MAX, NOW).unwrap(), Posted::Done);
    }
}

fn clients_of(tx: &Connection, claims: usize) -> Vec<i64> {
    let claims = (0..claims).map(|_| claimed(tx, "one"));
    claims
        .map(|claim| {
            assert!(ack(tx, claim.fence).unwrap());
            claim.client.unwrap().0
        })
        .collect()
}

#[test]
fn clients_of_a_lane_take_turns_from_the_moment_they_come() {
    let tx = queue();
    posted_by(&tx, 1, 100);
    assert_eq!(clients_of(&tx, 3), [1, 1, 1]);
    posted_by(&tx, 2, 3);
    posted_by(&tx, 3, 1);
    let mut turn = clients_of(&tx, 3);
    turn.sort_unstable();
    assert_eq!(turn, [1, 2, 3]);
    let turns = clients_of(&tx, 6);
    assert_eq!(turns.iter().filter(|client| **client == 2).count(), 2, "{turns:?}");
    posted_by(&tx, 2, 1);
    assert!(clients_of(&tx, 2).contains(&2), "a client that comes again waits for one turn");
}

#[test]
fn slow_jobs_of_one_client_leave_a_slot_to_the_jobs_of_another() {
    let tx = queue();
    posted_by(&tx, 1, 100);
    let slow = [claimed(&tx, "one"), claimed(&tx, "two")];
    posted_by(&tx, 2, 20);
    ack(&tx, slow[0].fence).unwrap();
    // The second slow job is at work all the time, so client 2 gets the other slot.
    assert_eq!(clients_of(&tx, 20), [2; 20]);
    assert_eq!(clients_of(&tx, 1), [1]);
}

#[test]
fn bulk_jobs_of_a_held_client_stay_while_others_are_claimed() {
    let tx = queue();
    posted_by(&tx, 1, 5);
    posted_by(&tx, 2, 1);
    let lost = posted(&tx, Lane::Bulk);
    let claim_others = || {
        let lanes = ClaimLanes::Both { held: vec![ClientTag(1)] };
        match claim(&tx, "one", rand::random(), &lanes, NOW).unwrap() {
            ClaimOutcome::One(claim) => Some(*claim),
            ClaimOutcome::NothingUntil(due) => {
                assert_eq!(due, None);
                None
            }
        }
    };
    let claims: Vec<_> = std::iter::from_fn(claim_others).collect();
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().any(|claim| claim.client == Some(ClientTag(2))));
    assert!(claims.iter().any(|claim| claim.task.id() == Some(lost)), "a job without a client is never held");
    let interactive = Posting { client: Some(ClientTag(1)), ..posting(Lane::Interactive) };
    post(&tx, &interactive, u64::MAX, NOW).unwrap();
    assert_eq!(claim_others().unwrap().lane, Lane::Interactive);
    assert_eq!(clients_of(&tx, 1), [1]);
}

#[test]
fn a_claim_reads_only_the_heads_of_a_long_lane() {
    let tx = queue();
    let mut plan = tx.prepare(&format!("EXPLAIN QUERY PLAN {}", *CLAIM)).unwrap();
    let steps = plan.query_map(params!["one", NOW, true, 7, "[]"], |row| row.get::<_, String>(3)).unwrap();
    let steps = steps.collect::<Result<Vec<_>>>().unwrap();
    let reads: Vec<_> = steps.iter().filter(|step| step.contains("jobs")).collect();
    assert!(reads.len() >= 7 && reads.iter().all(|step| step.starts_with("SEARCH")), "{steps:#?}");
}
