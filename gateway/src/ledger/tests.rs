use chainference_market::{Lamports, Prices, Totals};

use super::*;

fn new_job(id: &str) -> NewJob {
    NewJob {
        id: id.into(),
        call_id: Some("chatcmpl-1".into()),
        mode: "strict",
        model: "a/b".into(),
        quantisation: "Q4_1".into(),
        worker: "W".into(),
        endpoint: "http://127.0.0.1:1".into(),
        session_key: SessionKey("secret".into()),
        terms: "{}".into(),
        open_slot: 7,
        stake: Lamports(10_000),
        prices: Prices { input_per_mtok: 1, output_per_mtok: 2, charge_min: 3 },
    }
}

fn transaction(signature: &str) -> StoredTransaction {
    StoredTransaction {
        signature: signature.into(),
        wire: vec![2, 0, 255],
        last_valid_block_height: 150,
    }
}

fn voucher(tokens_in: u64, tokens_out: u64) -> StoredVoucher {
    StoredVoucher {
        totals: Totals { tokens_in, tokens_out },
        signature: format!("{tokens_in}-{tokens_out}"),
    }
}

async fn submit(ledger: &Ledger, id: &str) {
    ledger.intend_job(&new_job(id), 1).await.unwrap();
    let publish = transaction(&format!("sig-{id}"));
    let kind = TransactionKind::Publish;
    ledger.store_transaction(id, kind, &publish, Lamports(10_000), 2).await.unwrap();
}

#[tokio::test]
async fn a_reopened_ledger_knows_each_unfinished_job_its_key_and_its_highest_voucher() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway/ledger.sqlite");
    {
        let ledger = Ledger::open(&path).await.unwrap();
        ledger.begin_call("chatcmpl-1", "a/b", true, 1).await.unwrap();
        ledger.intend_job(&new_job("only-meant"), 1).await.unwrap();
        submit(&ledger, "in-flight").await;
        ledger.lock_job("in-flight", Lamports(5), 3).await.unwrap();
        for (tokens_in, tokens_out) in [(9, 0), (9, 40), (9, 8)] {
            let stored = voucher(tokens_in, tokens_out);
            ledger.store_voucher("in-flight", &stored, 4).await.unwrap();
        }
        submit(&ledger, "done").await;
        ledger.settle_job("done", Lamports(4_000), Lamports(6_000), 5).await.unwrap();
        ledger.close_job("done", 6).await.unwrap();
        // No close: a killed process says no farewell either.
    }
    let ledger = Ledger::open(&path).await.unwrap();
    assert_eq!(ledger.fail_running_calls(9).await.unwrap(), 1);
    let jobs = ledger.unfinished_jobs().await.unwrap();
    let found: Vec<_> = jobs.iter().map(|job| (job.id.as_str(), job.status)).collect();
    assert_eq!(found, [("in-flight", JobStatus::Locked), ("only-meant", JobStatus::Intended)]);
    assert_eq!(jobs[0].session_key.0, "secret");
    assert_eq!(jobs[0].prices, new_job("x").prices);
    let highest = ledger.highest_voucher("in-flight").await.unwrap();
    assert_eq!(highest, Some(voucher(9, 40)));
    let publish = ledger.open_transaction("in-flight", TransactionKind::Publish).await.unwrap();
    assert_eq!(publish, Some(transaction("sig-in-flight")));
}

#[tokio::test]
async fn a_job_goes_through_its_life_and_never_back() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    ledger.begin_call("chatcmpl-1", "a/b", false, 1).await.unwrap();
    ledger.intend_job(&new_job("j"), 1).await.unwrap();
    assert!(ledger.lock_job("j", Lamports(5), 2).await.is_err(), "nothing was submitted");
    assert!(ledger.intend_job(&new_job("j"), 1).await.is_err(), "an address is used once");

    let publish = transaction("s");
    let kind = TransactionKind::Publish;
    ledger.store_transaction("j", kind, &publish, Lamports(10_000), 2).await.unwrap();
    ledger.lock_job("j", Lamports(5), 2).await.unwrap();
    assert!(ledger.fail_job("j", "no", 3).await.is_err(), "it is on chain");
    ledger.end_job("j", Some("the worker died"), 3).await.unwrap();
    ledger.end_job("j", None, 9).await.unwrap();
    assert_eq!(ledger.job("j").await.unwrap().unwrap().ended_at_ms, Some(3));
    ledger.settle_job("j", Lamports(4_000), Lamports(6_000), 4).await.unwrap();
    assert!(ledger.settle_job("j", Lamports(1), Lamports(1), 5).await.is_err(), "settled once");
    assert!(ledger.lock_job("j", Lamports(5), 5).await.is_err(), "settled is final");
    ledger.close_job("j", 6).await.unwrap();
    assert!(ledger.close_job("j", 7).await.is_err(), "closed once");
    assert!(ledger.unfinished_jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn jobs_are_listed_with_what_they_cost_beside_a_running_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).await.unwrap();
    ledger.begin_call("chatcmpl-1", "a/b", true, 1).await.unwrap();
    submit(&ledger, "j").await;
    let landed = TransactionStatus::Landed;
    ledger.conclude_transaction("sig-j", landed, None).await.unwrap();
    let expired = TransactionStatus::Expired;
    ledger.conclude_transaction("sig-j", expired, None).await.unwrap();
    ledger.lock_job("j", Lamports(5_000_000), 3).await.unwrap();
    ledger.store_voucher("j", &voucher(9, 1), 3).await.unwrap();
    ledger.settle_job("j", Lamports(4_000), Lamports(6_000), 4).await.unwrap();

    let reader = Ledger::open_read_only(&path).await.unwrap();
    let jobs = reader.list_jobs().await.unwrap();
    let json = serde_json::to_value(&jobs).unwrap();
    assert_eq!(json[0]["id"], "j");
    assert_eq!(json[0]["status"], "settled");
    assert_eq!(json[0]["paid"], 4_000);
    assert_eq!(json[0]["refund"], 6_000);
    assert_eq!(json[0]["fees"], 10_000, "what has landed stays landed");
    assert_eq!((json[0]["tokens_in"].as_u64(), json[0]["tokens_out"].as_u64()), (Some(9), Some(1)));
    assert!(!json.to_string().contains("secret"));
    assert!(reader.begin_call("x", "m", true, 1).await.is_err(), "a reader can't write");
}

#[tokio::test]
async fn a_ledger_closed_cleanly_can_be_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    Ledger::open(&path).await.unwrap().close().await;
    assert!(Ledger::open_read_only(&path).await.unwrap().list_jobs().await.unwrap().is_empty());
    assert!(Ledger::open_read_only(&dir.path().join("none")).await.is_err());
}

#[tokio::test]
async fn only_the_owner_can_read_the_ledger_and_its_side_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway/ledger.sqlite");
    let ledger = Ledger::open(&path).await.unwrap();
    ledger.begin_call("chatcmpl-1", "a/b", true, 1).await.unwrap();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }
    ledger.close().await;
}

#[tokio::test]
async fn amounts_beyond_sql_are_refused_and_not_wrapped() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    ledger.begin_call("chatcmpl-1", "a/b", true, 1).await.unwrap();
    let mut job = new_job("j");
    job.stake = Lamports(u64::MAX);
    assert!(matches!(ledger.intend_job(&job, 1).await, Err(LedgerError::TooLarge { .. })));
}
