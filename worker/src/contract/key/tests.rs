use super::*;
use crate::contract::hour::NotAnHour;

fn job(generation: u32) -> JobName {
    JobName { id: "0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10".parse().unwrap(), generation }
}

#[test]
fn keys_are_those_of_the_specification() {
    let (id, making) = (job(1).id, Making::new(7));
    for (key, text) in [
        (StorageKey::original(id), "uploads/0199f3/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/original"),
        (StorageKey::result(id), "uploads/0199f3/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/result.json"),
        (StorageKey::failure(job(2)), "uploads/0199f3/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/failure.2.json"),
        (
            StorageKey::thumbnail(id, making, Size::Small, Encoding::Jpeg),
            "uploads/0199f3/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/0000000000000007/small.jpg",
        ),
        (
            StorageKey::begun(job(2), making),
            "uploads/0199f3/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/0000000000000007/begun.2",
        ),
        (StorageKey::pending(job(1)), "pending/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10"),
        (StorageKey::pending(job(2)), "pending/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10.2"),
        (StorageKey::gone(id), "gone/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10"),
        (StorageKey::audit(Shard::of(id)), "audits/0199f3.json"),
        (
            StorageKey::expiry(Hour::of("2026-11-24T06:59:59Z".parse().unwrap()), id),
            "expiry/2026-11-24T06/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10",
        ),
        (StorageKey::delete_secret(12), "secrets/delete.12.json"),
        (
            StorageKey::stored_share(StoredShare { sender: TicketId(7), id, bytes: 12 }),
            "stored/0000000000000007/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10.12",
        ),
    ] {
        assert_eq!(key.to_string(), text);
    }
}

#[test]
fn every_part_of_an_upload_parses_back() {
    let id = job(1).id;
    let making = Making::new(7);
    for (key, part) in [
        (StorageKey::original(id), StoredPart::Original),
        (StorageKey::result(id), StoredPart::Result),
        (StorageKey::failure(job(12)), StoredPart::Failure(12)),
        (StorageKey::thumbnail(id, making, Size::Large, Encoding::Png), StoredPart::Thumbnail(making)),
        (StorageKey::begun(job(2), making), StoredPart::Thumbnail(making)),
    ] {
        assert_eq!(StorageKey::parse_part(key.path()), Some((id, part)));
    }
    let begun = StorageKey::begun(job(2), making);
    assert!(StorageKey::is_begun(begun.path(), job(2)));
    for other in [begun.path().clone(), StorageKey::result(id).path().clone(), Path::from("begun.1")] {
        assert!(!StorageKey::is_begun(&other, job(1)), "{other}");
    }
    for foreign in ["uploads/x/original", "uploads/ffffff/0199f3c2-7d7a-7c1e-9a55-3b0f6a2c9d10/original"] {
        assert_eq!(StorageKey::parse_part(&Path::from(foreign)), None, "{foreign}");
    }
}

#[test]
fn every_pending_entry_parses_back_and_nothing_else_does() {
    for generation in [1, 2, 40] {
        let key = StorageKey::pending(job(generation));
        assert_eq!(StorageKey::parse_pending(key.path()), Some(job(generation)));
    }
    let id = job(1).id;
    for other in
        [format!("pending/{id}.1"), format!("pending/{id}.02"), format!("pending/{id}/x"), "x".into()]
    {
        assert_eq!(StorageKey::parse_pending(&Path::from(other.as_str())), None, "{other}");
    }
}

#[test]
fn hours_and_secrets_parse_back_and_nothing_else_does() {
    let hour = Hour::of("2026-11-24T06:00:00Z".parse().unwrap());
    assert_eq!(hour.to_string().parse(), Ok(hour));
    assert_eq!(hour.before().to_string(), "2026-11-24T05");
    assert!(hour.before() < hour);
    for bad in ["", "2026-11-24", "2026-11-24T6", "2026-11-24T06:00", "2026-13-01T00", "../x"] {
        assert_eq!(bad.parse::<Hour>(), Err(NotAnHour), "{bad}");
    }
    let secret = StorageKey::delete_secret(3);
    assert_eq!(StorageKey::parse_delete_secret(secret.path()), Some(3));
    for other in ["secrets/delete.03.json", "secrets/tickets.3.json", "secrets/delete.3.json#1"] {
        assert_eq!(StorageKey::parse_delete_secret(&Path::from(other)), None, "{other}");
    }
}

#[test]
fn shards_sort_by_time_and_close() {
    let (early, late) = (UploadId::floor_at(SHARD_MS - 1), UploadId::floor_at(SHARD_MS));
    assert!(Shard::of(early) < Shard::of(late));
    assert_eq!(Shard::of(early).closes_at_ms(), SHARD_MS);
    assert_eq!(Shard::of(late).to_string(), "000001");
    assert_eq!("000001".parse(), Ok(Shard::of(late)));
    for bad in ["1", "0000001", "00000G", "00000A"] {
        assert_eq!(bad.parse::<Shard>(), Err(NotAShard), "{bad}");
    }
}
