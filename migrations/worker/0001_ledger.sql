-- What a worker is owed and how it gets it. Amounts are lamports, times unix seconds, keys and signatures base58.
-- Prompts and answers are never stored.

-- One row a job, from the quote to the end of the money.
CREATE TABLE jobs (
    job                           TEXT    NOT NULL PRIMARY KEY,
    vault                         TEXT    NOT NULL,
    -- JobTerms as JSON: what was quoted, byte for byte what both sides signed.
    terms                         TEXT    NOT NULL,
    price_in_per_mtok             INTEGER NOT NULL,
    price_out_per_mtok            INTEGER NOT NULL,
    charge_min                    INTEGER NOT NULL,
    -- quoted: promised, maybe never sent · locked: on chain · settled: paid out · dropped: the quote was never used
    state                         TEXT    NOT NULL DEFAULT 'quoted' CHECK (state IN ('quoted', 'locked', 'settled', 'dropped')),
    -- The chain's deadline for claims; known once the job is locked.
    claim_until_unix_s            INTEGER,
    -- The highest voucher. Durable before the client hears that it was taken.
    vouched_in                    INTEGER NOT NULL DEFAULT 0,
    vouched_out                   INTEGER NOT NULL DEFAULT 0,
    voucher_signature             TEXT,
    -- The client said that nothing more will be called.
    is_last                       INTEGER NOT NULL DEFAULT 0,
    -- Cost of the claimed totals (before the fee split), set with 'settled'.
    cost                          INTEGER,
    quoted_unix_s                 INTEGER NOT NULL,
    changed_unix_s                INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_unfinished ON jobs (state) WHERE state IN ('quoted', 'locked');

-- A call number is served once in a job: the primary key is what refuses a replay.
CREATE TABLE calls (
    job            TEXT    NOT NULL REFERENCES jobs (job),
    call           INTEGER NOT NULL,
    began_unix_s   INTEGER NOT NULL,
    -- Null until the call ends; a crash leaves it so, and with it this call's tokens beyond the vouchers.
    ended_unix_s   INTEGER,
    tokens_in      INTEGER,
    tokens_out     INTEGER,
    outcome        TEXT,
    PRIMARY KEY (job, call)
) STRICT, WITHOUT ROWID;

-- Claims, written with their signed bytes before they are sent.
CREATE TABLE claims (
    signature               TEXT    NOT NULL PRIMARY KEY,
    job                     TEXT    NOT NULL REFERENCES jobs (job),
    wire                    BLOB    NOT NULL,
    last_valid_block_height INTEGER NOT NULL,
    tokens_in               INTEGER NOT NULL,
    tokens_out              INTEGER NOT NULL,
    state                   TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'landed', 'expired', 'rejected')),
    error                   TEXT,
    made_unix_s             INTEGER NOT NULL,
    ended_unix_s            INTEGER
) STRICT;

-- One claim of a job is on its way at a time: the same bytes are resent until they land or expire.
CREATE UNIQUE INDEX claims_pending ON claims (job) WHERE state = 'pending';
