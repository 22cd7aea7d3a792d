-- What the gateway owes and is owed. No prompt and no answer is ever stored.
-- Amounts are lamports, times are unix milliseconds unless a name says otherwise.

CREATE TABLE calls (
    id          TEXT PRIMARY KEY NOT NULL,
    model       TEXT NOT NULL,
    streamed    BOOLEAN NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'abandoned')),
    job         TEXT,
    tokens_in   BIGINT NOT NULL DEFAULT 0,
    tokens_out  BIGINT NOT NULL DEFAULT 0,
    error       TEXT,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT
);

-- A job's row exists, with its session key, before the job does.
CREATE TABLE jobs (
    id            TEXT PRIMARY KEY NOT NULL,
    call_id       TEXT NOT NULL REFERENCES calls (id),
    status        TEXT NOT NULL CHECK (status IN
                      ('intended', 'submitted', 'locked', 'ended', 'settled', 'closed', 'failed')),
    model         TEXT NOT NULL,
    quantisation  TEXT NOT NULL,
    worker        TEXT NOT NULL,
    endpoint      TEXT NOT NULL,
    session_key   TEXT NOT NULL,
    terms         TEXT NOT NULL,
    open_slot     BIGINT NOT NULL,
    stake         BIGINT NOT NULL,
    price_in_per_mtok  BIGINT NOT NULL,
    price_out_per_mtok BIGINT NOT NULL,
    charge_min    BIGINT NOT NULL,
    rent          BIGINT NOT NULL DEFAULT 0,
    paid          BIGINT NOT NULL DEFAULT 0,
    refund        BIGINT NOT NULL DEFAULT 0,
    error         TEXT,
    created_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    updated_at    BIGINT NOT NULL
);
CREATE INDEX jobs_unfinished ON jobs (status) WHERE status NOT IN ('closed', 'failed');

-- Each is stored before it is posted; totals only rise, and the highest wins.
CREATE TABLE vouchers (
    job         TEXT NOT NULL REFERENCES jobs (id),
    tokens_in   BIGINT NOT NULL,
    tokens_out  BIGINT NOT NULL,
    signature   TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (job, tokens_in, tokens_out)
);

-- Each is stored, signed, before it is sent, so that the same bytes can be sent again.
CREATE TABLE transactions (
    signature   TEXT PRIMARY KEY NOT NULL,
    job         TEXT NOT NULL REFERENCES jobs (id),
    kind        TEXT NOT NULL CHECK (kind IN ('publish', 'finish', 'expire', 'close')),
    wire        TEXT NOT NULL,
    last_valid_block_height BIGINT NOT NULL,
    fee         BIGINT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('signed', 'landed', 'rejected', 'expired')),
    error       TEXT,
    created_at  BIGINT NOT NULL
);
CREATE INDEX transactions_of_job ON transactions (job);
