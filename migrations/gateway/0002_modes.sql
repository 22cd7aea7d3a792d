-- Jobs that are made ahead of any call, jobs that carry many calls, and what workers have signed.

ALTER TABLE jobs ADD COLUMN mode TEXT NOT NULL DEFAULT 'strict'
    CHECK (mode IN ('strict', 'per-call', 'session'));

-- A job made for no call in particular names this row. It is no call: nobody made it.
INSERT INTO calls (id, model, streamed, status, started_at, ended_at)
VALUES ('ahead', '', FALSE, 'completed', 0, 0);
CREATE INDEX calls_of_job ON calls (job);

-- Additions to a job's stake; each is stored, signed, before it is sent.
CREATE TABLE top_ups (
    signature   TEXT PRIMARY KEY NOT NULL,
    job         TEXT NOT NULL REFERENCES jobs (id),
    amount      BIGINT NOT NULL,
    wire        TEXT NOT NULL,
    last_valid_block_height BIGINT NOT NULL,
    fee         BIGINT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('signed', 'landed', 'rejected', 'expired')),
    error       TEXT,
    created_at  BIGINT NOT NULL
);
CREATE INDEX top_ups_of_job ON top_ups (job);

-- What the worker signed of a call that has ended: evidence, not money. The totals are the job's.
CREATE TABLE receipts (
    job         TEXT NOT NULL REFERENCES jobs (id),
    call        BIGINT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('accepted', 'voucher_wanted', 'end')),
    call_id     TEXT NOT NULL,
    tokens_in   BIGINT NOT NULL,
    tokens_out  BIGINT NOT NULL,
    frames      TEXT NOT NULL,
    signature   TEXT NOT NULL,
    problem     TEXT,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (job, call, kind)
);
