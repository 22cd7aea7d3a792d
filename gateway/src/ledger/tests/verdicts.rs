//! Verdicts wait for a job's close; and whose jobs a key sees.

use super::*;

const ME: Judge<'_> = Judge { key_id: "me", reason: Some("it rambles") };
const OTHER: Judge<'_> = Judge { key_id: "other", reason: None };

/// A job that is settled with something paid.
async fn settled(ledger: &Ledger, id: &str, worker: &str) {
    let job = NewJob { worker: worker.into(), call_id: None, ..new_job(id) };
    ledger.intend_job(&job, 1).await.unwrap();
    let publish = transaction(&format!("sig-{id}"));
    let kind = TransactionKind::Publish;
    ledger.store_transaction(id, kind, &publish, Lamports(1), 2).await.unwrap();
    ledger.settle_job(id, Lamports(4_000), Lamports(6_000), 4).await.unwrap();
}

async fn verdict(ledger: &Ledger, job: &str) -> Option<Verdict> {
    ledger.job(job).await.unwrap().unwrap().judged.map(|judged| judged.verdict)
}

async fn call(ledger: &Ledger, id: &str, key_id: &str, job: &str) {
    let job = Some(job);
    let call = NewCall { id, key_id, model: "a/b", streamed: false, job, reserve: Lamports(1) };
    ledger.begin_call(call, &Budgets::default(), 1).await.unwrap();
}

#[tokio::test]
async fn a_verdict_is_its_keys_until_the_close_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    settled(&ledger, "j", "W").await;
    ledger.judge("j", Verdict::Ok, ME, 5).await.unwrap();
    ledger.judge("j", Verdict::Flag, ME, 5).await.unwrap();
    let refused = ledger.judge("j", Verdict::Ok, OTHER, 5).await;
    assert!(matches!(refused, Err(JudgeError::Judged { .. })), "{refused:?}");
    let listed = serde_json::to_value(ledger.list_jobs().await.unwrap()).unwrap();
    assert_eq!(
        (&listed[0]["verdict"], &listed[0]["verdict_reason"]),
        (&"flag".into(), &"it rambles".into())
    );

    let (close, fee) = (transaction("close"), Lamports(5_000));
    assert!(
        !ledger.store_close(&[("j", None)], (&close, fee), 6).await.unwrap(),
        "a verdict came first"
    );
    assert!(ledger.signed_transactions("j").await.unwrap().iter().all(|sent| *sent != close));
    assert!(ledger.store_close(&[("j", Some(Verdict::Flag))], (&close, fee), 6).await.unwrap());
    let refused = ledger.judge("j", Verdict::Ok, ME, 7).await;
    assert!(matches!(refused, Err(JudgeError::Closing { .. })), "{refused:?}");
    // A close that can't land any more told nothing.
    let expired = TransactionStatus::Expired;
    ledger.conclude_transaction("close", expired, None).await.unwrap();
    ledger.judge("j", Verdict::Ok, ME, 8).await.unwrap();
    assert_eq!(verdict(&ledger, "j").await, Some(Verdict::Ok));
    ledger.close_jobs(&["j"], 9).await.unwrap();
    let refused = ledger.judge("j", Verdict::Flag, ME, 9).await;
    assert!(
        matches!(refused, Err(JudgeError::NotLive { status: JobStatus::Closed, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_job_with_nothing_paid_or_not_on_chain_has_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    begin(&ledger, "chatcmpl-1", 1).await.unwrap();
    submit(&ledger, "j").await;
    let refused = ledger.judge("j", Verdict::Flag, ME, 3).await;
    assert!(matches!(refused, Err(JudgeError::NotLive { .. })), "{refused:?}");
    ledger.lock_job("j", Lamports(5), 3).await.unwrap();
    // It may still be paid: the close will see.
    ledger.judge("j", Verdict::Flag, ME, 3).await.unwrap();
    ledger.settle_job("j", Lamports::ZERO, Lamports(10_000), 4).await.unwrap();
    let refused = ledger.judge("j", Verdict::Ok, ME, 5).await;
    assert!(matches!(refused, Err(JudgeError::Unpaid { .. })), "{refused:?}");
}

#[tokio::test]
async fn two_jobs_of_two_workers_are_compared_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    for (id, worker) in [("a", "V"), ("b", "W"), ("c", "W")] {
        settled(&ledger, id, worker).await;
    }
    let refused = ledger.compare("b", "c", ME, 5).await;
    assert!(matches!(refused, Err(JudgeError::NotComparable(_))), "{refused:?}");
    assert_eq!(verdict(&ledger, "b").await, None, "nothing of it is kept");
    ledger.compare("b", "a", ME, 5).await.unwrap();
    let judged = ledger.job("a").await.unwrap().unwrap().judged.unwrap();
    let expected = Judgement { verdict: Verdict::Worse, compared_with: Some("b".into()) };
    assert_eq!((verdict(&ledger, "b").await, judged), (Some(Verdict::Better), expected));
    for again in [
        ledger.compare("a", "b", ME, 6).await,
        ledger.judge("a", Verdict::Flag, ME, 6).await,
        ledger.compare("c", "a", ME, 6).await,
    ] {
        assert!(matches!(again, Err(JudgeError::Judged { .. })), "{again:?}");
    }
    assert_eq!(verdict(&ledger, "c").await, None);
}

#[tokio::test]
async fn a_key_sees_the_jobs_that_carried_its_calls_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
    for id in ["mine", "shared", "theirs"] {
        settled(&ledger, id, "W").await;
    }
    for (id, key_id, job) in [
        ("1", "me", "mine"),
        ("2", "me", "shared"),
        ("3", "other", "shared"),
        ("4", "other", "theirs"),
    ] {
        call(&ledger, id, key_id, job).await;
    }
    let seen = async |key| {
        let which = Which { only_key: Some(key), limit: 10, ..Which::default() };
        let jobs = ledger.jobs(which).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(seen("me").await, ["mine"]);
    assert_eq!(seen("other").await, ["theirs"]);
    assert!(seen(DEFAULT_KEY).await.is_empty(), "the row of jobs made ahead is nobody's call");
    for (job, own, others) in [("mine", 1, 0), ("shared", 1, 1), ("theirs", 0, 1)] {
        assert_eq!(
            ledger.carried(job, "me").await.unwrap(),
            Some(Carried { own, others }),
            "{job}"
        );
    }
    assert_eq!(ledger.carried("none", "me").await.unwrap(), None);

    // Page by page, all are seen once.
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = ledger
            .jobs(Which { after: after.as_deref(), limit: 1, ..Which::default() })
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        ids.extend(page.into_iter().map(|job| job.id));
    }
    ids.sort();
    assert_eq!(ids, ["mine", "shared", "theirs"]);
}
