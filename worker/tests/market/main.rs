//! The worker's market side with all its real parts: the embedded chain, the program, a model; the
//! test is the client.
//!
//! Needs the chain's binary (`make` builds it; `CHAINFERENCE_CHAIN_BIN` names another) and the model
//! as `engine.rs` does.

mod burden;
mod claims;
mod client;
mod crashes;
#[path = "../common/minilm.rs"]
mod minilm;
mod models;
mod open;
mod place;

use std::time::Duration;

use chainference_chain::accounts::{JobStatus, WorkerStatus};
use chainference_chain::{Keypair, QuoteRequest};
use chainference_market::Totals;
use chainference_protocol::{ErrorCode, FinishReason, Frame, SignedVoucher};

use chainference_worker::{Clients, Pricing};
use client::{Ask, Job};
use place::Place;

const LONG: &str = "Count from one to fifty in words.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_streamed_vouched_and_claimed_to_the_lamport() {
    let place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let vault_before = place.chain.balance(&client.vault).await.unwrap();
    let earned_before = worker.record().await.earnings;

    let job = client.open_job(100_000).await;
    let mut answer = client.call(&job, 0, Ask::short()).await.unwrap();
    let said = answer.vouching(&client).await;
    assert!(said.text.contains("Paris"), "{}", said.text);
    assert_eq!(said.finish, Some(FinishReason::Stop));
    let totals = said.totals;
    assert_eq!(totals.tokens_out, said.tokens);
    client.vouch(&job, totals, true).await.unwrap();

    let settled = place.settled(&job).await;
    let cost = place.prices().cost(totals).unwrap().0;
    assert_eq!(settled.credited, cost);
    assert_eq!(vault_before.0 - place.chain.balance(&client.vault).await.unwrap().0, cost);
    let record = worker.record().await;
    assert_eq!(record.earnings - earned_before, cost * 9 / 10);
    assert_eq!((record.live_jobs, record.reputation.jobs_completed), (0, 1));
    client.eventually("/metrics", "chainference_worker_claims_total{end=\"landed\"} ").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_voucher_the_answer_stops_at_the_window_and_goes_on_with_one() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.voucher_timeout_s = 12).await;
    let client = place.client().await;
    let job = client.open_job(1_000_000).await;
    let mut answer = client.call(&job, 0, Ask::new(LONG, 900)).await.unwrap();

    let sent = answer.until_silent(Duration::from_secs(5)).await;
    assert_eq!(sent.tokens, 64, "one credit window, to the token");
    assert!(sent.vouchers_wanted >= 1);
    client.vouch(&job, sent.totals, false).await.unwrap();
    let more = answer.until_silent(Duration::from_secs(5)).await;
    assert!(more.tokens > 0, "the voucher opens the window again");
    let Some(Frame::Error { code, .. }) = answer.next().await else { panic!("an error") };
    assert_eq!(code, ErrorCode::Unpaid);
    assert_eq!(answer.next().await, None);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_replayed_or_beyond_the_stake_is_refused() {
    let place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let job = client.open_job(2_000).await;
    let stranger = Job { session: client::session_key(), ..job.clone() };

    assert_eq!(client.call(&stranger, 0, Ask::short()).await.unwrap_err().0, 400);
    let mut answer = client.call(&job, 0, Ask::short()).await.unwrap();
    let said = answer.vouching(&client).await;
    assert_eq!(client.call(&job, 0, Ask::short()).await.unwrap_err().0, 409);
    let other_model = Ask { model: "someone/else".into(), ..Ask::short() };
    assert_eq!(client.call(&job, 1, other_model).await.unwrap_err().0, 400);
    let too_long = Ask::new(&"word ".repeat(9_000), 10);
    let (status, error) = client.call(&job, 2, too_long).await.unwrap_err();
    assert_eq!((status, error), (400, ErrorCode::ContextLengthExceeded));
    let dear = Ask::new(&"word ".repeat(4_000), 10); // more input than 2,000 lamports pay for
    assert_eq!(client.call(&job, 3, dear).await.unwrap_err(), (402, ErrorCode::Unpaid));

    let beyond_stake = Totals { tokens_out: 100_000, ..said.totals };
    assert_eq!(client.vouch(&job, beyond_stake, false).await.unwrap_err().0, 402);
    assert_eq!(client.vouch(&stranger, said.totals, false).await.unwrap_err().0, 400);
    let lower = Totals { tokens_out: 0, ..said.totals };
    assert_eq!(client.vouch(&job, lower, false).await.unwrap_err().0, 409);
    let forged = SignedVoucher { tokens_out: 1, ..job.session.vouch(job.wire(), lower, true) };
    assert_eq!(client.post_voucher(&forged).await.unwrap_err().0, 400);

    client.vouch(&job, said.totals, true).await.unwrap();
    place.settled(&job).await;
    client.vouch(&job, said.totals, true).await.expect("the same last voucher again is fine");
    assert_eq!(client.call(&job, 4, Ask::short()).await.unwrap_err().1, ErrorCode::UnknownJob);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_that_do_not_fit_get_no_quote() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.jobs_per_client_max = 1).await;
    let client = place.client().await;
    let good = client.terms(10_000).await;
    let check = async |change: &dyn Fn(&mut chainference_chain::JobTerms), status: u16| {
        let mut terms = good.clone();
        change(&mut terms);
        let outcome = client.quote(&terms).await;
        assert_eq!(outcome.err().map_or(200, |error| error.0), status, "{terms:?}");
    };
    check(&|terms| terms.stake = 1_999, 409).await;
    check(&|terms| terms.stake = u64::MAX, 409).await;
    check(&|terms| terms.stake = 900_000_000_000, 409).await; // more than the vault holds
    check(&|terms| terms.max_price_in_per_mtok -= 1, 409).await;
    check(&|terms| terms.max_price_out_per_mtok -= 1, 409).await;
    check(&|terms| terms.serve_until_unix_s += 100_000, 409).await;
    check(&|terms| terms.serve_until_unix_s = 0, 409).await;
    check(&|terms| terms.last_valid_block_height += 10_000, 409).await;
    check(&|terms| terms.worker = terms.vault, 409).await;
    check(&|terms| terms.offer = terms.vault, 409).await;
    check(&|terms| terms.operator = terms.vault, 409).await;
    check(&|terms| terms.authority = terms.worker, 401).await; // not signed by that
    check(&|terms| terms.vault = terms.worker, 409).await;
    for request in [
        QuoteRequest { terms: good.clone(), signature: None },
        QuoteRequest::sign(good.clone(), &Keypair::new()),
    ] {
        let refused = client.ask_quote(&request).await.unwrap_err();
        assert_eq!(refused, (401, ErrorCode::TermsRefused), "and takes no place of the client's");
    }
    check(&|_| {}, 200).await;
    check(&|_| {}, 200).await; // the same again is the same quote
    check(&|terms| terms.open_slot -= 1, 429).await; // one job a client, and it is taken
    assert_eq!(client.post_text("/v1/quotes", "{").await, 400);
    assert_eq!(client.post_text("/v1/calls", "[]").await, 400);
    assert_eq!(client.post_text("/v1/vouchers", &"x".repeat(100_000)).await, 413);
    assert_eq!(client.post_text("/v1/nothing", "{}").await, 404);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_frees_the_seat_and_what_it_vouched_is_claimed() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.idle_claim_s = 1).await;
    let client = place.client().await;
    let job = client.open_job(1_000_000).await;
    let mut answer = client.call(&job, 0, Ask::new(LONG, 900)).await.unwrap();
    let sent = answer.until_silent(Duration::from_millis(1_000)).await;
    client.vouch(&job, sent.totals, false).await.unwrap();
    drop(answer);
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, place.prices().cost(sent.totals).unwrap().0);
    client.eventually("/health", "\"seats_free\":8").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_worker_claims_what_it_is_owed_once() {
    let mut place = Place::new().await;
    let worker = place.worker(|options| options.drain_s = 0).await;
    let client = place.client().await;
    let (job, unused) = (client.open_job(100_000).await, client.open_job(100_000).await);
    let said = client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    // Without a chain it can only remember.
    place.stop_chain();
    worker.stop().await;
    place.start_chain().await;
    assert_eq!(place.status(&job).await, JobStatus::Locked);

    let worker = place.worker(|options| options.idle_claim_s = 0).await;
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, place.prices().cost(said.totals).unwrap().0);
    client.eventually("/health", "\"jobs_live\":1").await;
    assert_eq!(client.call(&job, 0, Ask::short()).await.unwrap_err().0, 404);
    let again = client.call(&unused, 0, Ask::short()).await.unwrap().vouching(&client).await;
    client.vouch(&unused, again.totals, true).await.unwrap();
    place.settled(&unused).await;
    assert_eq!(worker.record().await.reputation.jobs_completed, 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_worker_ends_its_calls_claims_and_lets_unused_jobs_go() {
    let place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let (job, unused) = (client.open_job(100_000).await, client.open_job(100_000).await);
    let mut answer = client.call(&job, 0, Ask::short()).await.unwrap();
    let spare = client.terms(10_000).await;
    let stopping = tokio::spawn(worker.stop());
    let said = answer.vouching(&client).await;
    assert_eq!(said.finish, Some(FinishReason::Stop));
    let refused = client.quote(&spare).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, (503, ErrorCode::Draining));
    client.vouch(&job, said.totals, true).await.unwrap();
    stopping.await.unwrap();
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, place.prices().cost(said.totals).unwrap().0);
    assert_eq!(place.settled(&unused).await.credited, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_chain_away_locked_jobs_are_served_and_claimed_when_it_is_back() {
    let mut place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let job = client.open_job(100_000).await;
    // The first call shows the worker that the job is locked.
    client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    place.stop_chain();
    let said = client.call(&job, 1, Ask::short()).await.unwrap().vouching(&client).await;
    client.vouch(&job, said.totals, true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    place.start_chain().await;
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, place.prices().cost(said.totals).unwrap().0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_chain_that_hangs_locked_jobs_are_served_and_claimed_once_it_goes_on() {
    let place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let job = client.open_job(100_000).await;
    client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    place.freeze_chain(true);
    let said = client.call(&job, 1, Ask::short()).await.unwrap().vouching(&client).await;
    client.vouch(&job, said.totals, true).await.unwrap();
    client.eventually("/status", "\"locked\":1").await;
    tokio::time::sleep(Duration::from_secs(12)).await; // longer than a question to it may take
    place.freeze_chain(false);
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, place.prices().cost(said.totals).unwrap().0);
    let open = client.publish(100_000, |_| {}).await;
    place.once(&open, |job| job.status() == JobStatus::Locked).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_pool_serves_its_clients_alone() {
    let place = Place::new().await;
    let setup = place.worker(|_| {}).await;
    let (client, stranger) = (place.client().await, place.other_client().await);
    setup.stop().await;
    let worker = place.worker(|options| options.clients = Clients::new(&[client.vault], &[])).await;
    let refused = stranger.quote(&stranger.terms(10_000).await).await.unwrap_err();
    assert_eq!(refused, (409, ErrorCode::TermsRefused));
    client.quote(&client.terms(10_000).await).await.unwrap();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_leaves_the_market_takes_nothing_new_and_ends_what_it_has() {
    let place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let job = client.open_job(100_000).await;
    place.set_status(WorkerStatus::Retiring).await;
    client.eventually("/health", "retiring").await;
    let refused = client.quote(&client.terms(10_000).await).await.unwrap_err();
    assert_eq!(refused, (503, ErrorCode::Draining));
    let said = client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    client.vouch(&job, said.totals, true).await.unwrap();
    place.settled(&job).await;
    worker.stop().await;
    let worker = place.worker(|_| {}).await;
    assert_eq!(place.record().await.status(), WorkerStatus::Retiring, "a start brings nobody back");
    place.set_status(WorkerStatus::Active).await;
    client.eventually("/health", "\"ok\"").await;
    client.open_job(10_000).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_workers_prices_fall_a_tenth_on_chain_but_never_below_the_floor() {
    let place = Place::new().await;
    let worker = place
        .worker(|options| {
            options.pricing = Pricing::Utilisation { every_s: 1 };
            options.price_floor_out_per_mtok = 1_190_000;
        })
        .await;
    let client = place.client().await;
    client.eventually("/status", "\"input_per_mtok\":600000").await;
    let prices = async {
        loop {
            let offer = place.chain.offers().await.unwrap()[0].1;
            if offer.prices() != place.prices() {
                return offer.prices();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let prices = tokio::time::timeout(Duration::from_secs(60), prices).await.unwrap();
    assert_eq!((prices.input_per_mtok, prices.output_per_mtok), (540_000, 1_190_000));
    client.eventually("/status", "\"input_per_mtok\":540000").await;
    let fresh = place.client().await; // has read the new offer
    fresh.open_job(10_000).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_trickle_their_bytes_keep_nobody_out() {
    let place = Place::new().await;
    let worker = place.worker(|_| {}).await;
    let client = place.client().await;
    let job = client.open_job(100_000).await;
    let mut answer = client.call(&job, 0, Ask::short()).await.unwrap();
    // More than the worker holds: half of them in their headers, half in their bodies.
    let mut slow = Vec::new();
    for number in 0..1_100 {
        let head = "POST /v1/vouchers HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n";
        let end = if number % 2 == 0 { "x" } else { "\r\n{" };
        slow.push(client.trickle(&format!("{head}{end}")).await);
    }
    let said = answer.vouching(&client).await;
    assert_eq!(said.finish, Some(FinishReason::Stop), "an answer on its way keeps its place");
    client.vouch(&job, said.totals, true).await.unwrap();
    place.settled(&job).await;
    assert_eq!(client.post_text("/v1/calls", &"x".repeat((4 << 20) + 1)).await, 413);
    drop(slow);
    worker.stop().await;
}
