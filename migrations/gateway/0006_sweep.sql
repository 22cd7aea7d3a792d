-- Settled jobs wait for their slots to pass: the sweeper must not read them all each time.
DROP INDEX jobs_unfinished;
CREATE INDEX jobs_unfinished ON jobs (status, open_slot) WHERE status NOT IN ('closed', 'failed');
