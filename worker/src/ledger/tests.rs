use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use chainference_market::{Lamports, Prices, Totals};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;

use super::*;

const PRICES: Prices = Prices { input_per_mtok: 1, output_per_mtok: 2, charge_min: 3 };
const NOW: i64 = 1_000;

fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

fn voucher(tokens_in: u64, tokens_out: u64) -> StoredVoucher {
    let signature = chainference_chain::Signature::from([tokens_out as u8; 64]);
    StoredVoucher { totals: Totals { tokens_in, tokens_out }, signature }
}

fn transaction(byte: u8) -> StoredTransaction {
    StoredTransaction {
        kind: Kind::Claim,
        signature: chainference_chain::Signature::from([byte; 64]),
        wire: vec![byte; 300],
        last_valid_block_height: 150,
    }
}

fn part(job: Pubkey) -> Part {
    Part { job, totals: Totals { tokens_in: 10, tokens_out: 5 }, is_final: true }
}

fn claim(byte: u8, jobs: &[Pubkey]) -> PendingTransaction {
    let jobs = jobs.iter().copied().map(part).collect();
    PendingTransaction { transaction: transaction(byte), jobs }
}

fn quote(job: Pubkey) -> Write {
    let terms = "{\"stake\":10}".to_owned();
    Write::Quote { job, vault: key(99), terms, prices: PRICES, now_unix_s: NOW }
}

fn lock(job: Pubkey) -> Write {
    Write::Lock { job, prices: PRICES, claim_until_unix_s: 5_600, now_unix_s: NOW }
}

fn vouch(job: Pubkey, voucher: StoredVoucher, is_last: bool) -> Write {
    Write::Voucher { job, voucher, is_last, now_unix_s: NOW }
}

fn begin_call(job: Pubkey, call: u32) -> Write {
    Write::BeginCall { job, call, now_unix_s: NOW }
}

fn begin_claim(jobs: &[Pubkey], byte: u8) -> Write {
    let PendingTransaction { transaction, jobs } = claim(byte, jobs);
    Write::Begin { transaction, jobs, now_unix_s: NOW }
}

fn end_claim(byte: u8, end: TransactionEnd) -> Write {
    let signature = transaction(byte).signature;
    Write::End { signature, end, error: None, now_unix_s: NOW }
}

struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("worker/ledger.sqlite")
    }

    async fn open(&self) -> Ledger {
        Ledger::open(&self.path()).await.unwrap()
    }

    /// As after a crash: the old handle is gone without a goodbye, the file is opened again.
    async fn reopen(&self, ledger: Ledger) -> Ledger {
        drop(ledger);
        for _ in 0..200 {
            match Ledger::open(&self.path()).await {
                Err(LedgerError::InUse(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                outcome => return outcome.unwrap(),
            }
        }
        panic!("the ledger stayed locked");
    }
}

/// Makes all changes; each must apply or not, as said.
async fn check(ledger: &Ledger, writes: Vec<(Write, bool)>) {
    for (write, applies) in writes {
        let text = format!("{write:?}");
        assert_eq!(ledger.write(write).await.unwrap(), applies, "{text}");
    }
}

#[tokio::test]
async fn what_was_written_survives_at_every_point_of_a_jobs_life() {
    let (disk, job) = (Disk::new(), key(1));
    let mut ledger = disk.open().await;
    let steps = [
        quote(job),
        lock(job),
        begin_call(job, 0),
        vouch(job, voucher(10, 5), true),
        begin_claim(&[job], 1),
    ];
    for (index, step) in steps.into_iter().enumerate() {
        check(&ledger, vec![(step, true)]).await;
        ledger = disk.reopen(ledger).await;
        let found = ledger.unfinished().await.unwrap().pop().unwrap();
        assert_eq!(found.job.job, job);
        assert_eq!(found.job.prices, PRICES);
        assert_eq!(found.job.claim_until_unix_s, (index >= 1).then_some(5_600));
        assert_eq!(found.calls, if index >= 2 { vec![0] } else { vec![] });
        assert_eq!(found.job.voucher, (index >= 3).then(|| voucher(10, 5)));
        assert_eq!(found.job.is_last, index >= 3);
        let pending = ledger.pending().await.unwrap();
        assert_eq!(pending, if index >= 4 { vec![claim(1, &[job])] } else { vec![] });
    }
    let end = JobEnd::Settled(Some(Lamports(7)));
    check(
        &ledger,
        vec![
            (end_claim(1, TransactionEnd::Landed), true),
            (Write::EndJob { job, end, now_unix_s: NOW }, true),
        ],
    )
    .await;
    let ledger = disk.reopen(ledger).await;
    assert!(ledger.unfinished().await.unwrap().is_empty());
    assert!(ledger.pending().await.unwrap().is_empty());
    let earned = Earned { jobs_settled: 1, settled: 7, tokens_in: 10, tokens_out: 5 };
    assert_eq!(ledger.earned().await.unwrap(), earned);
    assert_eq!(ledger.job(&job).await.unwrap().unwrap().voucher, Some(voucher(10, 5)));
}

#[tokio::test]
async fn vouchers_only_rise() {
    let (disk, job) = (Disk::new(), key(1));
    let ledger = disk.open().await;
    check(
        &ledger,
        vec![
            (quote(job), true),
            (vouch(job, voucher(1, 1), false), false), // not locked yet
            (lock(job), true),
            (vouch(job, voucher(10, 5), true), true),
            (vouch(job, voucher(10, 5), false), true),
            (vouch(job, voucher(9, 6), false), false),
            (vouch(job, voucher(10, 4), false), false),
            (vouch(key(2), voucher(10, 5), false), false),
        ],
    )
    .await;
    let stored = ledger.job(&job).await.unwrap().unwrap();
    assert_eq!(stored.voucher, Some(voucher(10, 5)));
    assert!(stored.is_last, "a wish to end is not taken back");
}

#[tokio::test]
async fn a_call_number_is_taken_once_even_after_a_restart() {
    let (disk, job) = (Disk::new(), key(1));
    let ledger = disk.open().await;
    check(
        &ledger,
        vec![(quote(job), true), (begin_call(job, 7), true), (begin_call(job, 7), false)],
    )
    .await;
    let ledger = disk.reopen(ledger).await;
    check(&ledger, vec![(begin_call(job, 7), false), (begin_call(job, 8), true)]).await;
}

#[tokio::test]
async fn a_quote_is_written_once() {
    let (disk, job) = (Disk::new(), key(1));
    let ledger = disk.open().await;
    let end = JobEnd::Dropped;
    check(
        &ledger,
        vec![
            (quote(job), true),
            (quote(job), false),
            (Write::EndJob { job, end, now_unix_s: NOW }, true),
            (quote(job), false),
            (lock(job), false),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_job_that_was_let_go_of_can_be_taken_again_but_not_one_that_was_locked() {
    let (disk, job) = (Disk::new(), key(1));
    let ledger = disk.open().await;
    let take = |terms: &str| {
        let (terms, vault) = (terms.to_owned(), key(99));
        Write::Take { job, vault, terms, prices: PRICES, now_unix_s: NOW }
    };
    let end = |end| Write::EndJob { job, end, now_unix_s: NOW };
    let steps = vec![
        (take("1"), true),
        (take("2"), false),
        (end(JobEnd::Dropped), true),
        (take("3"), true),
        (lock(job), true),
        (take("4"), false),
        (end(JobEnd::Settled(None)), true),
        (take("5"), false),
    ];
    check(&ledger, steps).await;
    assert_eq!(ledger.job(&job).await.unwrap().unwrap().terms, "3");
}

#[tokio::test]
async fn one_transaction_of_a_job_is_on_its_way_at_a_time() {
    let (disk, [a, b, c]) = (Disk::new(), [1, 2, 3].map(key));
    let ledger = disk.open().await;
    let quoted = [a, b, c].into_iter().flat_map(|job| [(quote(job), true), (lock(job), true)]);
    check(&ledger, quoted.collect()).await;
    let steps = vec![
        (begin_claim(&[a, b], 1), true),
        (begin_claim(&[a], 2), false),
        (begin_claim(&[c, b], 3), false), // all of its jobs or none
        (end_claim(1, TransactionEnd::Expired), true),
        (end_claim(1, TransactionEnd::Landed), false), // an end is an end
        (begin_claim(&[c, b], 3), true),
        (begin_claim(&[a], 2), true),
    ];
    check(&ledger, steps).await;
    let ledger = disk.reopen(ledger).await;
    assert_eq!(ledger.pending().await.unwrap(), [claim(2, &[a]), claim(3, &[b, c])]);
}

/// As a worker of the first schema left it: with a claim on its way.
#[tokio::test]
async fn a_claim_of_the_first_schema_is_taken_over() {
    let (disk, job) = (Disk::new(), key(1));
    fs::create_dir_all(disk.path().parent().unwrap()).unwrap();
    let options = SqliteConnectOptions::new().filename(disk.path()).create_if_missing(true);
    let old = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let mut first = sqlx::migrate!("../migrations/worker");
    first.migrations.to_mut().truncate(1);
    first.run(&old).await.unwrap();
    let signature = transaction(7).signature.to_string();
    let (job_text, vault) = (job.to_string(), key(99).to_string());
    for (statement, values) in [
        (
            "INSERT INTO jobs (job, vault, terms, price_in_per_mtok, price_out_per_mtok, charge_min, state, \
          claim_until_unix_s, quoted_unix_s, changed_unix_s) VALUES (?, ?, '', 1, 2, 3, 'locked', 9, 1, 1)",
            [&job_text, &vault],
        ),
        (
            "INSERT INTO claims (signature, job, wire, last_valid_block_height, tokens_in, tokens_out, made_unix_s) \
          VALUES (?, ?, x'07', 150, 10, 5, 1)",
            [&signature, &job_text],
        ),
    ] {
        let [first, second] = values;
        sqlx::query(statement).bind(first).bind(second).execute(&old).await.unwrap();
    }
    old.close().await;
    let ledger = disk.open().await;
    let transaction = StoredTransaction { wire: vec![7], ..transaction(7) };
    assert_eq!(
        ledger.pending().await.unwrap(),
        [PendingTransaction { transaction, jobs: vec![part(job)] }]
    );
}

#[tokio::test]
async fn tokens_of_ended_calls_are_summed_and_a_cut_call_counts_nothing() {
    let (disk, job) = (Disk::new(), key(1));
    let ledger = disk.open().await;
    let end_call = |call, tokens_in, tokens_out| Write::EndCall {
        job,
        call,
        totals: Totals { tokens_in, tokens_out },
        outcome: "ok",
        now_unix_s: NOW,
    };
    check(
        &ledger,
        vec![
            (quote(job), true),
            (begin_call(job, 0), true),
            (begin_call(job, 1), true),
            (begin_call(job, 2), true),
            (end_call(0, 10, 5), true),
            (end_call(1, 20, 6), true),
            (end_call(1, 90, 90), false),
        ],
    )
    .await;
    let ledger = disk.reopen(ledger).await;
    let mut found = ledger.unfinished().await.unwrap().pop().unwrap();
    found.calls.sort_unstable();
    assert_eq!(found.calls, [0, 1, 2]);
    assert_eq!(found.produced, Totals { tokens_in: 30, tokens_out: 11 });
}

#[tokio::test]
async fn a_change_that_fails_does_not_take_its_group_with_it() {
    let disk = Disk::new();
    let ledger = disk.open().await;
    // A call of a job that isn't there breaks a foreign key.
    let (good, bad, late) = tokio::join!(
        ledger.write(quote(key(1))),
        ledger.write(begin_call(key(2), 0)),
        ledger.write(quote(key(3))),
    );
    assert!(good.unwrap());
    assert!(matches!(bad, Err(LedgerError::Database(_))), "{bad:?}");
    assert!(late.unwrap());
    assert_eq!(ledger.unfinished().await.unwrap().len(), 2);
    let too_large = vouch(key(1), voucher(u64::MAX, 0), false);
    assert!(matches!(ledger.write(too_large).await, Err(LedgerError::TooLarge)));
}

#[tokio::test]
async fn of_many_vouchers_at_once_the_highest_reaches_the_disk() {
    let (disk, job) = (Disk::new(), key(1));
    let ledger = disk.open().await;
    check(&ledger, vec![(quote(job), true), (lock(job), true)]).await;
    let posts = (1..=200).map(|out| ledger.write(vouch(job, voucher(1, out), false)));
    let outcomes = futures_util::future::join_all(posts).await;
    assert!(outcomes.iter().all(Result::is_ok), "overtaken vouchers are refused, none is an error");
    let ledger = disk.reopen(ledger).await;
    assert_eq!(ledger.job(&job).await.unwrap().unwrap().voucher, Some(voucher(1, 200)));
}

#[tokio::test]
async fn a_second_worker_is_refused_and_the_file_is_private() {
    let disk = Disk::new();
    let _ledger = disk.open().await;
    assert!(matches!(Ledger::open(&disk.path()).await, Err(LedgerError::InUse(_))));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&disk.path()), 0o600);
    assert_eq!(mode(disk.path().parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_an_error_not_a_crash() {
    let disk = Disk::new();
    fs::create_dir_all(disk.path().parent().unwrap()).unwrap();
    fs::write(disk.path(), "not a database, but long enough to be looked at as one".repeat(99))
        .unwrap();
    assert!(Ledger::open(&disk.path()).await.is_err());
}
