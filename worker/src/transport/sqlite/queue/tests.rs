use super::*;
use crate::{Format, ResizeJob};

const NOW: i64 = 1_000_000;

fn queue() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("../schema.sql")).unwrap();
    connection
}

pub(in crate::transport::sqlite) fn posted(tx: &Connection, lane: Lane) -> UploadId {
    posted_at(tx, lane, NOW)
}

fn posted_at(tx: &Connection, lane: Lane, now_ms: i64) -> UploadId {
    let job = ResizeJob::new(UploadId::new(), Format::Jpeg);
    let id = job.id;
    let posting = Posting { job, generation: 1, lane, traceparent: None };
    assert_eq!(post(tx, &posting, u64::MAX, now_ms).unwrap(), Posted::Done);
    id
}

fn claimed(tx: &Connection, owner: &str) -> Claim {
    match claim(tx, owner, true, NOW + 1).unwrap() {
        Claimed::One(claim) => *claim,
        other @ Claimed::NothingUntil(_) => panic!("{other:?}"),
    }
}

/// Takes the oldest job away and leaves it in the index, as a write that was half lost does.
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
    let error = claim(&tx, "worker", true, NOW).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
}

#[test]
fn a_claim_that_was_taken_back_settles_nothing() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    let stale = claimed(&tx, "stalled").fence;
    assert_eq!(take_back(&tx, "stalled", MAX_CRASHES).unwrap(), 1);
    let fresh = claimed(&tx, "other").fence;
    for settled in [
        ack(&tx, stale),
        retry(&tx, stale, NOW),
        release(&tx, stale),
        bury_later(&tx, stale, DeathReason::Exhausted),
    ] {
        assert!(!settled.unwrap());
    }
    assert!(ack(&tx, fresh).unwrap());
    assert_eq!(claim(&tx, "other", true, NOW).unwrap(), Claimed::NothingUntil(None));
}

#[test]
fn a_claim_that_was_taken_back_settles_nothing_of_a_queue_that_was_empty_meanwhile() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    let stale = claimed(&tx, "stalled").fence;
    take_back(&tx, "stalled", MAX_CRASHES).unwrap();
    assert!(ack(&tx, claimed(&tx, "other").fence).unwrap());
    posted_at(&tx, Lane::Interactive, NOW + 1);
    let fresh = claimed(&tx, "third").fence;
    assert!(!ack(&tx, stale).unwrap());
    assert!(ack(&tx, fresh).unwrap());
}

#[test]
fn a_job_that_kills_its_workers_dies_with_the_third_and_one_in_an_outbox_never() {
    for (max_crashes, dies) in [(MAX_CRASHES, true), (u32::MAX, false)] {
        let tx = queue();
        let id = posted(&tx, Lane::Interactive);
        for _ in 0..MAX_CRASHES {
            assert!(matches!(claimed(&tx, "victim").task, Task::Resize(_)));
            take_back(&tx, "victim", max_crashes).unwrap();
        }
        let letter = DeadLetter { id: Some(id), reason: DeathReason::KilledItsWorkers };
        assert_eq!(claimed(&tx, "next").task == Task::Bury(letter), dies);
    }
}

#[test]
fn a_burial_whose_worker_dies_is_a_burial_again() {
    let tx = queue();
    posted(&tx, Lane::Interactive);
    bury_later(&tx, claimed(&tx, "one").fence, DeathReason::Exhausted).unwrap();
    for _ in 0..5 {
        assert!(matches!(claimed(&tx, "one").task, Task::Bury(_)));
        take_back(&tx, "one", MAX_CRASHES).unwrap();
    }
    assert_eq!(depth(&tx, NOW).unwrap().dead, 1);
}

#[test]
fn a_job_that_cannot_be_read_is_dead_and_the_next_is_claimed() {
    let tx = queue();
    let damaged = posted(&tx, Lane::Interactive);
    tx.execute("UPDATE jobs SET body = x'00'", []).unwrap();
    let whole = posted(&tx, Lane::Interactive);
    let letter = DeadLetter { id: Some(damaged), reason: DeathReason::Unreadable };
    assert_eq!(claimed(&tx, "one").task, Task::Bury(letter));
    assert!(matches!(claimed(&tx, "one").task, Task::Resize(job) if job.id == whole));
}

#[test]
fn without_a_slot_for_it_the_bulk_lane_waits() {
    let tx = queue();
    posted(&tx, Lane::Bulk);
    assert_eq!(claim(&tx, "one", false, NOW).unwrap(), Claimed::NothingUntil(None));
    let interactive = posted(&tx, Lane::Interactive);
    assert!(matches!(claimed(&tx, "one").task, Task::Resize(job) if job.id == interactive));
    assert_eq!(claimed(&tx, "one").lane, Lane::Bulk);
}

#[test]
fn a_generation_is_posted_once_and_another_is_another_job() {
    let tx = queue();
    let job = ResizeJob::new(UploadId::new(), Format::Png);
    for generation in [1, 1, 2] {
        let posting = Posting { job: job.clone(), generation, lane: Lane::Interactive, traceparent: None };
        post(&tx, &posting, u64::MAX, NOW).unwrap();
    }
    assert_eq!(depth(&tx, NOW).unwrap().ready, 2);
}
