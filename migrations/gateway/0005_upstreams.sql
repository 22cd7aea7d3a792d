-- What upstreams have served, by key, model and day of UTC. It costs nothing, so that no row for each call is needed.
CREATE TABLE upstream_calls (
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    -- days since 1970-01-01
    day BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    tokens_in BIGINT NOT NULL,
    tokens_out BIGINT NOT NULL,
    PRIMARY KEY (key_id, model, day)
);
