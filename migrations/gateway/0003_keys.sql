-- Who may call and for how much, what each has spent, and the books. Amounts are lamports, times unix milliseconds.

-- The secret itself is nowhere: only its hash. Limits that are NULL don't exist.
CREATE TABLE api_keys (
    id               TEXT PRIMARY KEY NOT NULL,
    name             TEXT NOT NULL,
    sha256           TEXT NOT NULL UNIQUE,
    -- The secret's last characters, by which its owner tells it from others.
    hint             TEXT NOT NULL,
    -- Patterns, separated by spaces; empty means every model.
    models           TEXT NOT NULL DEFAULT '',
    budget_day       BIGINT,
    budget_month     BIGINT,
    budget_total     BIGINT,
    requests_per_min BIGINT,
    tokens_per_min   BIGINT,
    concurrency      BIGINT,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT,
    revoked_at       BIGINT,
    last_used_at     BIGINT
);

-- What a call may cost at most while it runs, and what it cost once it has ended.
ALTER TABLE calls ADD COLUMN key_id TEXT NOT NULL DEFAULT 'default';
ALTER TABLE calls ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0;
ALTER TABLE calls ADD COLUMN cost BIGINT NOT NULL DEFAULT 0;
CREATE INDEX calls_by_start ON calls (started_at);

-- The sums that budgets are held to: of a day, of a month, and of all time (which began at 0), in UTC.
CREATE TABLE spend (
    key_id    TEXT NOT NULL,
    span      TEXT NOT NULL CHECK (span IN ('day', 'month', 'total')),
    began     BIGINT NOT NULL,
    spent     BIGINT NOT NULL DEFAULT 0,
    reserved  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (key_id, span, began)
);

-- Double entry: each movement has two rows, and their amounts sum to zero.
CREATE TABLE entries (
    movement    TEXT NOT NULL,
    account     TEXT NOT NULL CHECK (account IN
                    ('vault', 'reserved', 'workers', 'gateway', 'rent', 'fees', 'unseen')),
    amount      BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (movement, account)
);

-- What an Idempotency-Key was first sent with. The answer itself is never stored.
CREATE TABLE idempotency (
    key_id       TEXT NOT NULL,
    name         TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (key_id, name)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
