-- What clients say of the jobs that they paid for, until a job's close tells the chain; and how a key's calls are settled.

-- `better` and `worse` are a pair, and each names the other.
ALTER TABLE jobs ADD COLUMN verdict TEXT CHECK (verdict IN ('ok', 'flag', 'better', 'worse'));
ALTER TABLE jobs ADD COLUMN verdict_reason TEXT;
-- The key that gave it.
ALTER TABLE jobs ADD COLUMN verdict_by TEXT;
ALTER TABLE jobs ADD COLUMN compared_with TEXT;

-- NULL: as the gateway does it.
ALTER TABLE api_keys ADD COLUMN mode TEXT CHECK (mode IN ('strict', 'per-call', 'session', 'auto'));
