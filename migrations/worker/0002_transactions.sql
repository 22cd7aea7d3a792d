-- Signed transactions of a worker, each for one job or several: locks of open jobs, and claims in batches. They take the place of `claims`,
-- which could hold one job a transaction; that table is read no more and goes with a later migration.

-- Written with their signed bytes before they are sent: the same bytes are sent again until they land or expire.
CREATE TABLE transactions (
    signature               TEXT    NOT NULL PRIMARY KEY,
    kind                    TEXT    NOT NULL CHECK (kind IN ('lock', 'claim')),
    wire                    BLOB    NOT NULL,
    last_valid_block_height INTEGER NOT NULL,
    state                   TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'landed', 'expired', 'rejected')),
    error                   TEXT,
    made_unix_s             INTEGER NOT NULL,
    ended_unix_s            INTEGER
) STRICT;

-- What a transaction does for each of its jobs.
CREATE TABLE transaction_jobs (
    signature  TEXT    NOT NULL REFERENCES transactions (signature),
    job        TEXT    NOT NULL REFERENCES jobs (job),
    -- A claim's vouched totals; zeros in a lock, and in a claim that lets go.
    tokens_in  INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    -- A claim that settles the job; else the job goes on.
    is_final   INTEGER NOT NULL,
    is_pending INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (signature, job)
) STRICT, WITHOUT ROWID;

-- One transaction of a job is on its way at a time.
CREATE UNIQUE INDEX transaction_jobs_pending ON transaction_jobs (job) WHERE is_pending = 1;

INSERT INTO transactions (signature, kind, wire, last_valid_block_height, state, error, made_unix_s, ended_unix_s)
    SELECT signature, 'claim', wire, last_valid_block_height, state, error, made_unix_s, ended_unix_s FROM claims;
INSERT INTO transaction_jobs (signature, job, tokens_in, tokens_out, is_final, is_pending)
    SELECT signature, job, tokens_in, tokens_out, 1, state = 'pending' FROM claims;
