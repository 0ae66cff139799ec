-- Clients take turns within a lane. The client is a random number of its server; NULL takes no turns.
ALTER TABLE jobs ADD COLUMN client INTEGER;
ALTER TABLE jobs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;

-- The next job to claim: a lane's due job with the earliest turn.
DROP INDEX jobs_next;
CREATE INDEX jobs_next ON jobs (state, lane, due_ms, turn, seq, client);
-- The last turn of a client.
CREATE INDEX jobs_turns ON jobs (client, lane, turn) WHERE state < 2;
-- The jobs of a client that are at work.
CREATE INDEX jobs_at_work ON jobs (client) WHERE state = 1;
