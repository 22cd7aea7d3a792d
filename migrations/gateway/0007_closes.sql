-- A close can be of several jobs: all that each transaction moves on. `transactions.job` is the first of them, which bears the fee.
CREATE TABLE transaction_jobs (
    job        TEXT NOT NULL REFERENCES jobs (id),
    signature  TEXT NOT NULL REFERENCES transactions (signature),
    PRIMARY KEY (job, signature)
);
INSERT INTO transaction_jobs (job, signature) SELECT job, signature FROM transactions;
