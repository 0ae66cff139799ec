-- A job from its posting to its end. State: 0 ready, 1 claimed, 2 dead, 3 claimed for burial, 4 buried.
-- posted_ms is wall-clock time, for people. due_ms is time of the monotonic clock; 0 means at once.
CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    lane        INTEGER NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0,
    counted     INTEGER NOT NULL,
    posted_ms   INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL DEFAULT 0,
    deliveries  INTEGER NOT NULL DEFAULT 0,
    failures    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    owner       TEXT,
    fence       INTEGER,
    reason      TEXT,
    traceparent TEXT,
    body        BLOB    NOT NULL
) STRICT;

-- A second posting of a generation is the same job, until the first is acknowledged or buried.
CREATE UNIQUE INDEX jobs_once ON jobs (id, generation) WHERE state < 4;
-- The next job to claim: a lane's oldest due job.
CREATE INDEX jobs_next ON jobs (state, lane, due_ms, seq);

-- Jobs by state, so that nobody has to count them; 5 holds those that have not ended and take room.
CREATE TABLE tally (
    state INTEGER PRIMARY KEY,
    jobs  INTEGER NOT NULL
) STRICT;
INSERT INTO tally VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0);

CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    UPDATE tally SET jobs = jobs + 1 WHERE state = new.state OR (state = 5 AND new.counted AND new.state < 2);
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE state = old.state OR (state = 5 AND old.counted AND old.state < 2);
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE tally SET jobs = jobs + (state = new.state) - (state = old.state)
        + (state = 5 AND new.counted) * ((new.state < 2) - (old.state < 2))
    WHERE state IN (old.state, new.state, 5);
END;

-- The reply exchange: every listener remembers how far it has read. at_ms is time of the monotonic clock.
CREATE TABLE announcements (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    traceparent TEXT,
    body        BLOB    NOT NULL
) STRICT;
-- Announcements are numbered from the time on, in microseconds: when the file is lost and another is made, its numbers
-- do not continue those that listeners remember, so they notice.
INSERT INTO sqlite_sequence (name, seq) VALUES ('announcements', CAST(unixepoch('subsec') * 1000000 AS INTEGER));
