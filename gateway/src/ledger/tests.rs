use chainference_market::{Lamports, Prices, Totals};

use super::*;

mod verdicts;

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

async fn begin(ledger: &Ledger, id: &str, now_ms: i64) -> Result<(), ReserveError> {
    let call = NewCall {
        id,
        key_id: "default",
        model: "a/b",
        streamed: true,
        job: None,
        reserve: Lamports(10_000),
    };
    ledger.begin_call(call, &Budgets::default(), now_ms).await
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
        begin(&ledger, "chatcmpl-1", 1).await.unwrap();
        ledger.intend_job(&new_job("only-meant"), 1).await.unwrap();
        submit(&ledger, "in-flight").await;
        ledger.lock_job("in-flight", Lamports(5), 3).await.unwrap();
        for (tokens_in, tokens_out) in [(9, 0), (9, 40), (9, 8)] {
            let stored = voucher(tokens_in, tokens_out);
            ledger.store_voucher("in-flight", &stored, 4).await.unwrap();
        }
        submit(&ledger, "done").await;
        ledger.settle_job("done", Lamports(4_000), Lamports(6_000), 5).await.unwrap();
        ledger.close_jobs(&["done"], 6).await.unwrap();
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
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
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
    let opened = ledger.job("j").await.unwrap().unwrap().open_slot;
    assert!(ledger.jobs_to_move(opened).await.unwrap().is_empty(), "its account must stay");
    assert_eq!(ledger.jobs_to_move(opened + 1).await.unwrap().len(), 1);
    assert!(ledger.lock_job("j", Lamports(5), 5).await.is_err(), "settled is final");
    ledger.close_jobs(&["j"], 6).await.unwrap();
    assert!(ledger.close_jobs(&["j"], 7).await.is_err(), "closed once");
    assert!(ledger.unfinished_jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn jobs_are_listed_with_what_they_cost_beside_a_running_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let ledger = Ledger::open(&path).await.unwrap();
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
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
    assert!(begin(&reader, "x", 1).await.is_err(), "a reader can't write");
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
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
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
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
    let mut job = new_job("j");
    job.stake = Lamports(u64::MAX);
    assert!(matches!(ledger.intend_job(&job, 1).await, Err(LedgerError::TooLarge { .. })));
}

#[tokio::test]
async fn calls_at_once_never_reserve_more_than_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    // Two gateways on one ledger.
    let ledgers = [Ledger::open(&path).await.unwrap(), Ledger::open(&path).await.unwrap()];
    let budgets = Budgets { day_lamports: Some(1_000), ..Budgets::default() };
    let calls = (0..40).map(|n| {
        let ledger = ledgers[n % 2].clone();
        tokio::spawn(async move {
            let id = format!("call-{n}");
            let call = NewCall {
                id: &id,
                key_id: "k",
                model: "a/b",
                streamed: false,
                job: None,
                reserve: Lamports(100),
            };
            match ledger.begin_call(call, &budgets, 5).await {
                Ok(()) => Some(id),
                Err(ReserveError::UsedUp(used_up)) => {
                    assert_eq!(used_up.span, Span::Day);
                    None
                }
                Err(other) => panic!("{other}"),
            }
        })
    });
    let mut running = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        running.extend(call.await.unwrap());
    }
    let ledger = &ledgers[0];
    assert_eq!(running.len(), 10);
    let [day, month, total] = ledger.used("k", 5).await.unwrap();
    assert_eq!((day.spent_lamports, day.reserved_lamports), (0, 1_000));
    assert_eq!(month.reserved_lamports + total.reserved_lamports, 2_000);

    let owed = Totals { tokens_in: 3, tokens_out: 4 };
    for (call, cost) in running.iter().zip([40, 0]) {
        let end = CallEnd::completed(owed).costing(Lamports(cost));
        ledger.end_call(call, &end, 5, 9).await.unwrap();
        ledger.end_call(call, &end, 5, 9).await.unwrap();
    }
    let [day, ..] = ledger.used("k", 5).await.unwrap();
    assert_eq!((day.spent_lamports, day.reserved_lamports), (40, 800), "each ended once");
    ledger.reserve_more(&running[2], &budgets, Lamports(160)).await.unwrap();
    let refused = ledger.reserve_more(&running[2], &budgets, Lamports(1)).await;
    assert!(matches!(refused, Err(ReserveError::UsedUp(_))), "{refused:?}");

    assert_eq!(ledger.fail_running_calls(9).await.unwrap(), 8);
    let [day, ..] = ledger.used("k", 5).await.unwrap();
    assert_eq!((day.spent_lamports, day.reserved_lamports), (40, 0));
    let spend = ledger.spend(Some("k"), 0).await.unwrap();
    assert_eq!((spend.len(), spend[0].calls, spend[0].cost_lamports), (1, 10, 40));
    assert!(ledger.spend(Some("other"), 0).await.unwrap().is_empty());
    assert!(ledger.spend(None, 86_400_000).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_a_crash_cut_short_costs_what_was_vouched() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
    let mut job = new_job("j");
    job.prices = Prices { input_per_mtok: 2_000_000, output_per_mtok: 3_000_000, charge_min: 0 };
    ledger.intend_job(&job, 1).await.unwrap();
    ledger.call_uses("chatcmpl-1", "j").await.unwrap();
    ledger.store_voucher("j", &voucher(5, 0), 2).await.unwrap();
    ledger.store_voucher("j", &voucher(5, 7), 3).await.unwrap();
    assert_eq!(ledger.fail_running_calls(9).await.unwrap(), 1);
    let [day, ..] = ledger.used(DEFAULT_KEY, 1).await.unwrap();
    assert_eq!((day.spent_lamports, day.reserved_lamports), (5 * 2 + 7 * 3, 0));
    assert_eq!(ledger.fail_running_calls(9).await.unwrap(), 0);

    // The next call of the same job: the rest is its.
    begin(&ledger, "chatcmpl-2", 10).await.unwrap();
    ledger.call_uses("chatcmpl-2", "j").await.unwrap();
    ledger.store_voucher("j", &voucher(9, 8), 11).await.unwrap();
    assert_eq!(ledger.fail_running_calls(12).await.unwrap(), 1);
    let spend = &ledger.spend(Some(DEFAULT_KEY), 0).await.unwrap()[0];
    assert_eq!((spend.calls, spend.tokens_in, spend.tokens_out), (2, 9, 8));
    assert_eq!(spend.cost_lamports, 9 * 2 + 8 * 3);
}

#[tokio::test]
async fn every_movement_is_booked_twice_once_and_sums_to_zero() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
    let check = async |expected: Books| {
        let books = ledger.books().await.unwrap();
        assert_eq!((books, books.total()), (expected, 0));
    };
    submit(&ledger, "j").await;
    check(Books::default()).await;
    for _ in 0..2 {
        ledger.lock_job("j", Lamports(5_000), 3).await.unwrap();
        ledger.conclude_transaction("sig-j", TransactionStatus::Landed, None).await.unwrap();
    }
    let locked = Books {
        vault: -10_000,
        reserved: 10_000,
        gateway: -15_000,
        rent: 5_000,
        fees: 10_000,
        ..Books::default()
    };
    check(locked).await;
    ledger.settle_job("j", Lamports(4_000), Lamports(6_000), 4).await.unwrap();
    let settled = Books { vault: -4_000, reserved: 0, workers: 4_000, ..locked };
    check(settled).await;
    ledger.close_jobs(&["j"], 6).await.unwrap();
    let closed = Books { gateway: -10_000, rent: 0, ..settled };
    check(closed).await;

    // What has landed and failed has cost its fee, too; what never landed has not.
    for (close, status) in
        [("refused", TransactionStatus::Rejected), ("failed", TransactionStatus::Failed)]
    {
        let stored = (&transaction(close), Lamports(5_000));
        assert!(ledger.store_close(&[("j", None)], stored, 6).await.unwrap());
        ledger.conclude_transaction(close, status, Some("no")).await.unwrap();
    }
    let closed = Books { gateway: closed.gateway - 5_000, fees: closed.fees + 5_000, ..closed };
    check(closed).await;
    assert_eq!(ledger.list_jobs().await.unwrap()[0].fees, 15_000);

    // Settled before its lock was seen; closed before its settlement was.
    submit(&ledger, "k").await;
    ledger.settle_job("k", Lamports(10_000), Lamports(0), 4).await.unwrap();
    check(Books { vault: -14_000, workers: 14_000, ..closed }).await;
    submit(&ledger, "l").await;
    ledger.close_jobs(&["l"], 4).await.unwrap();
    check(Books { vault: -24_000, workers: 14_000, unseen: 10_000, ..closed }).await;
}

#[tokio::test]
async fn jobs_that_are_closed_together_share_the_transaction_and_one_bears_its_fee() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
    for id in ["a", "b", "c"] {
        submit(&ledger, id).await;
        ledger.settle_job(id, Lamports(4_000), Lamports(6_000), 4).await.unwrap();
    }
    let (close, fee) = (transaction("close"), Lamports(5_000));
    assert!(ledger.store_close(&[("a", None), ("b", None)], (&close, fee), 5).await.unwrap());
    for (id, sent) in [("a", true), ("b", true), ("c", false)] {
        assert_eq!(ledger.signed_transactions(id).await.unwrap().contains(&close), sent, "{id}");
    }
    let judge = Judge { key_id: "me", reason: None };
    let refused = ledger.judge("b", Verdict::Flag, judge, 6).await;
    assert!(matches!(refused, Err(JudgeError::Closing { .. })), "{refused:?}");

    ledger.conclude_transaction("close", TransactionStatus::Landed, None).await.unwrap();
    assert!(ledger.close_jobs(&["a", "x"], 7).await.is_err(), "all or none");
    ledger.close_jobs(&["a", "b"], 7).await.unwrap();
    for (id, status, borne) in [
        ("a", "closed", [(5_000, 2)].as_slice()),
        ("b", "closed", &[(0, 2)]),
        ("c", "settled", &[]),
    ] {
        let story = ledger.story(id).await.unwrap().unwrap();
        let closes = story.transactions.iter().filter(|sent| sent.kind == "close");
        assert_eq!(closes.map(|sent| (sent.fee, sent.jobs)).collect::<Vec<_>>(), borne, "{id}");
        assert_eq!(story.summary.status.name(), status, "{id}");
    }
    assert_eq!(ledger.books().await.unwrap().fees, 5_000);
}
