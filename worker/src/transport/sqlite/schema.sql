-- A job from its posting to its end. State: 0 ready, 1 claimed, 2 dead, 3 claimed for burial, 4 buried.
CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    lane        INTEGER NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0,
    posted_ms   INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    failures    INTEGER NOT NULL DEFAULT 0,
    crashes     INTEGER NOT NULL DEFAULT 0,
    owner       TEXT,
    reason      TEXT,
    traceparent TEXT,
    body        BLOB    NOT NULL
) STRICT;

-- A second posting of the same generation is the same job.
CREATE UNIQUE INDEX jobs_once ON jobs (id, generation);
-- What to claim next: a lane's oldest due job.
CREATE INDEX jobs_next ON jobs (state, lane, due_ms, seq);

-- The reply exchange: every listener remembers how far it has read.
CREATE TABLE announcements (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    traceparent TEXT,
    body        BLOB    NOT NULL
) STRICT;
