use chainference_chain::Signature;

use super::*;

const PRICES: Prices =
    Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 };
const POLICY: Policy = Policy {
    idle_s: 100,
    patience_s: 10,
    claim_margin_s: 60,
    part_min: PART_MIN,
    slack_in_tokens: 8_192,
};
const PART_MIN: Lamports = Lamports(5_000);
const AGREED: Agreed = Agreed {
    stake: Lamports(10_000),
    serve_until_unix_s: 5_000,
    quote_last_valid_block_height: 150,
    unfinal_max: None,
};
const CLAIM_UNTIL: i64 = 5_600;
const WINDOW: u64 = 64;
const LOCK: Lock = Lock {
    claim_until_unix_s: CLAIM_UNTIL,
    prices: PRICES,
    stake: AGREED.stake,
    credited: Lamports::ZERO,
};
const LOCKED: Event = Event::Seen(OnChain::Locked(LOCK));

fn voucher(tokens_in: u64, tokens_out: u64) -> StoredVoucher {
    StoredVoucher { totals: Totals { tokens_in, tokens_out }, signature: Signature::default() }
}

fn vouched(tokens_in: u64, tokens_out: u64, is_last: bool) -> Event {
    Event::Vouched { voucher: voucher(tokens_in, tokens_out), is_last }
}

/// A final claim that may wait for others.
fn due(voucher: StoredVoucher) -> Due {
    let worth = PRICES.cost(voucher.totals).unwrap();
    Due { voucher: Some(voucher), is_final: true, worth, is_urgent: false, is_alone: false }
}

fn locked() -> Life {
    let mut life = Life::quoted(AGREED, PRICES, 1_000);
    assert_eq!(life.handle(LOCKED, 1_000, &POLICY), Command::Nothing);
    life
}

/// Plays events against a fresh locked job; each must be answered by its command.
fn check(script: &[(Event, i64, Command)]) -> Life {
    let mut life = locked();
    for (index, (event, now, expected)) in script.iter().enumerate() {
        assert_eq!(life.handle(*event, *now, &POLICY), *expected, "step {index}: {event:?}");
    }
    life
}

#[test]
fn the_last_voucher_is_claimed_at_once() {
    check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (Event::CallEnded, 1_002, Command::Nothing),
        (vouched(10, 5, true), 1_002, Command::Claim(due(voucher(10, 5)))),
        (
            Event::ClaimEnded(TransactionEnd::Landed),
            1_003,
            Command::End(JobEnd::Settled(Some(Lamports(2_000)))),
        ),
        (Event::Tick, 9_000, Command::Nothing),
    ]);
}

#[test]
fn the_last_voucher_waits_for_the_call_to_end() {
    check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (vouched(10, 5, true), 1_002, Command::Nothing),
        (Event::CallEnded, 1_003, Command::Claim(due(voucher(10, 5)))),
    ]);
}

#[test]
fn an_idle_job_is_claimed_though_nobody_said_last() {
    check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (vouched(10, 5, false), 1_002, Command::Nothing),
        (Event::CallEnded, 1_003, Command::Nothing),
        (Event::Tick, 1_102, Command::Nothing),
        (Event::Tick, 1_103, Command::Claim(due(voucher(10, 5)))),
    ]);
}

#[test]
fn a_job_that_was_never_called_is_kept_until_its_time_is_over() {
    check(&[
        (Event::Tick, 4_999, Command::Nothing),
        (
            Event::Tick,
            5_000,
            Command::Claim(Due { voucher: None, worth: Lamports::ZERO, ..due(voucher(0, 0)) }),
        ),
    ]);
}

#[test]
fn a_shrunk_deadline_is_claimed_before_even_with_a_call_running() {
    let shrunk = Event::Seen(OnChain::Locked(Lock { claim_until_unix_s: 1_700, ..LOCK }));
    check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (vouched(10, 5, false), 1_002, Command::Nothing),
        (shrunk, 1_100, Command::Nothing),
        (Event::Tick, 1_639, Command::Nothing),
        (Event::Tick, 1_640, Command::Claim(Due { is_urgent: true, ..due(voucher(10, 5)) })),
    ]);
}

#[test]
fn a_failed_claim_looks_at_the_chain_and_backs_off() {
    check(&[
        (vouched(10, 5, true), 1_002, Command::Claim(due(voucher(10, 5)))),
        (Event::ClaimEnded(TransactionEnd::Expired), 1_080, Command::Look),
        (LOCKED, 1_081, Command::Nothing),
        (Event::Tick, 1_082, Command::Claim(due(voucher(10, 5)))),
        (Event::ClaimEnded(TransactionEnd::Rejected), 1_083, Command::Look),
        (LOCKED, 1_086, Command::Nothing),
        (LOCKED, 1_087, Command::Claim(Due { is_alone: true, ..due(voucher(10, 5)) })),
    ]);
}

#[test]
fn what_the_chain_has_settled_is_not_claimed_again() {
    let settled = Event::Seen(OnChain::Settled { cost: Lamports(2_000) });
    check(&[
        (vouched(10, 5, true), 1_002, Command::Claim(due(voucher(10, 5)))),
        (Event::ClaimEnded(TransactionEnd::Expired), 1_080, Command::Look),
        (settled, 1_081, Command::End(JobEnd::Settled(Some(Lamports(2_000))))),
        (Event::Tick, 9_000, Command::Nothing),
    ]);
}

#[test]
fn a_lagging_node_does_not_end_a_locked_job() {
    let absent = Event::Seen(OnChain::Absent { block_height: 9_999 });
    check(&[
        (Event::CallBegan, 1_000, Command::Nothing),
        (absent, 1_001, Command::Nothing),
        (absent, CLAIM_UNTIL, Command::End(JobEnd::Settled(None))),
    ]);
}

#[test]
fn an_unused_quote_is_dropped_once_its_blockhash_is_dead() {
    let mut life = Life::quoted(AGREED, PRICES, 1_000);
    let absent = |block_height| Event::Seen(OnChain::Absent { block_height });
    assert_eq!(life.handle(absent(150), 1_001, &POLICY), Command::Nothing);
    assert_eq!(life.admits_call(1_001), Err(Refusal::NotLocked));
    assert_eq!(life.handle(absent(151), 1_002, &POLICY), Command::End(JobEnd::Dropped));
    assert_eq!(life.handle(LOCKED, 1_003, &POLICY), Command::Nothing);
}

#[test]
fn a_job_that_another_worker_took_is_dropped_and_a_locked_one_never_is() {
    let another = Event::Seen(OnChain::OfAnother);
    let mut life = Life::quoted(AGREED, PRICES, 1_000);
    assert_eq!(life.handle(another, 1_001, &POLICY), Command::End(JobEnd::Dropped));
    assert_eq!(locked().handle(another, 1_001, &POLICY), Command::Nothing);
}

#[test]
fn draining_lets_calls_end_and_takes_no_more() {
    let life = check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (Event::Drain, 1_002, Command::Nothing),
        (vouched(10, 5, false), 1_003, Command::Nothing),
    ]);
    assert_eq!(life.admits_call(1_003), Err(Refusal::Closed));
    let mut life = life;
    let command = life.handle(Event::CallEnded, 1_004, &POLICY);
    assert_eq!(command, Command::Claim(Due { is_urgent: true, ..due(voucher(10, 5)) }));
}

#[test]
fn a_job_that_must_end_waits_a_moment_for_the_voucher_of_its_last_tokens() {
    let mut life = locked();
    life.handle(Event::CallBegan, 1_001, &POLICY);
    life.accept_input(10).unwrap();
    life.count_output(5, WINDOW);
    life.handle(vouched(10, 3, false), 1_002, &POLICY);
    life.handle(Event::Drain, 1_003, &POLICY);
    assert_eq!(life.handle(Event::CallEnded, 1_004, &POLICY), Command::Nothing);
    assert_eq!(life.handle(Event::Tick, 1_013, &POLICY), Command::Nothing);
    let mut paid = life.clone();
    let command = paid.handle(vouched(10, 5, false), 1_013, &POLICY);
    assert_eq!(command, Command::Claim(Due { is_urgent: true, ..due(voucher(10, 5)) }));
    let command = life.handle(Event::Tick, 1_014, &POLICY);
    let expected = Due { is_urgent: true, ..due(voucher(10, 3)) };
    assert_eq!(command, Command::Claim(expected), "patience has an end");
}

#[test]
fn a_restarted_worker_goes_on_where_the_ledger_stopped() {
    let base = Restored {
        claim_until_unix_s: Some(CLAIM_UNTIL),
        produced: Totals { tokens_in: 10, tokens_out: 3 },
        voucher: Some(voucher(10, 5)),
        is_last: true,
        was_called: true,
        claiming: None,
    };
    let mut owed = Life::restored(AGREED, PRICES, base, 2_000);
    assert_eq!(owed.produced(), Totals { tokens_in: 10, tokens_out: 5 });
    assert_eq!(owed.handle(Event::Tick, 2_000, &POLICY), Command::Claim(due(voucher(10, 5))));

    let job = chainference_chain::Pubkey::default();
    let part = Part { job, totals: Totals { tokens_in: 10, tokens_out: 5 }, is_final: true };
    let on_its_way = Restored { claiming: Some(part), ..base };
    let mut claiming = Life::restored(AGREED, PRICES, on_its_way, 2_000);
    assert_eq!(claiming.handle(Event::Tick, 2_000, &POLICY), Command::Nothing);
    let landed = claiming.handle(Event::ClaimEnded(TransactionEnd::Landed), 2_001, &POLICY);
    assert_eq!(landed, Command::End(JobEnd::Settled(Some(Lamports(2_000)))));
}

#[test]
fn output_stops_at_the_window_and_goes_on_with_a_voucher() {
    let mut life = locked();
    life.accept_input(10).unwrap();
    for token in 1..=WINDOW {
        let room_tokens = WINDOW + 1 - token;
        assert_eq!(life.gate(1, WINDOW), Gate::Open { room_tokens });
        let is_half = token == WINDOW / 2 || token == WINDOW;
        assert_eq!(life.count_output(1, WINDOW), is_half, "token {token}");
    }
    assert_eq!(life.gate(1, WINDOW), Gate::Wait);
    life.handle(vouched(10, 40, false), 1_002, &POLICY);
    assert_eq!(life.gate(1, WINDOW), Gate::Open { room_tokens: 40 });
    assert_eq!(life.gate(41, WINDOW), Gate::Wait);
    life.handle(vouched(10, 64, true), 1_002, &POLICY);
    assert_eq!(life.gate(1, WINDOW), Gate::Closed);
}

#[test]
fn nothing_is_served_beyond_the_stake() {
    let mut life = locked();
    assert_eq!(life.accept_input(16_667), Err(Refusal::BeyondStake));
    assert_eq!(life.produced(), Totals::ZERO);
    life.accept_input(16_660).unwrap(); // 9,996 lamports, 4 are left: 3 tokens of 1.2
    assert_eq!(life.gate(3, WINDOW), Gate::Open { room_tokens: 3 });
    assert_eq!(life.gate(4, WINDOW), Gate::StakeUsed);
    life.count_output(3, WINDOW);
    assert_eq!(life.gate(1, WINDOW), Gate::StakeUsed);
    assert!(PRICES.cost(life.produced()).unwrap() <= AGREED.stake);
}

#[test]
fn vouchers_only_rise_and_stay_within_stake_and_product() {
    let mut life = locked();
    life.accept_input(100).unwrap();
    life.count_output(10, WINDOW);
    life.handle(vouched(100, 5, false), 1_002, &POLICY);
    for (tokens_in, tokens_out, verdict) in [
        (100, 5, Ok(())),
        (100, 10, Ok(())),
        (99, 10, Err(Refusal::GoesBack)),
        (100, 4, Err(Refusal::GoesBack)),
        (100, 10 + WINDOW, Ok(())),
        (100, 11 + WINDOW, Err(Refusal::BeyondProduced)),
        (100 + 8_193, 10, Err(Refusal::BeyondProduced)),
        (100, u64::MAX, Err(Refusal::BeyondStake)),
        (u64::MAX, u64::MAX, Err(Refusal::BeyondStake)),
    ] {
        let totals = Totals { tokens_in, tokens_out };
        assert_eq!(life.admits_voucher(totals, WINDOW, &POLICY), verdict, "{totals:?}");
    }
    assert_eq!(
        Life::quoted(AGREED, PRICES, 0).admits_voucher(Totals::ZERO, WINDOW, &POLICY),
        Err(Refusal::NotLocked)
    );
}

#[test]
fn much_that_is_vouched_is_claimed_while_the_job_goes_on() {
    let part = |voucher: StoredVoucher, worth| {
        Command::Claim(Due { is_final: false, worth: Lamports(worth), ..due(voucher) })
    };
    let credited =
        |lamports| Event::Seen(OnChain::Locked(Lock { credited: Lamports(lamports), ..LOCK }));
    let life = check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (vouched(5_000, 1_000, false), 1_002, Command::Nothing), // 4,200 lamports
        (vouched(5_000, 2_000, false), 1_003, part(voucher(5_000, 2_000), 5_400)),
        (vouched(5_000, 3_000, false), 1_004, Command::Nothing), // one at a time
        (Event::ClaimEnded(TransactionEnd::Landed), 1_005, Command::Nothing),
        (credited(5_400), 1_006, Command::Nothing),
        (Event::CallEnded, 1_007, Command::Nothing),
        (
            vouched(5_000, 4_000, true),
            1_008,
            Command::Claim(Due { worth: Lamports(2_400), ..due(voucher(5_000, 4_000)) }),
        ),
        (
            Event::ClaimEnded(TransactionEnd::Landed),
            1_009,
            Command::End(JobEnd::Settled(Some(Lamports(7_800)))),
        ),
    ]);
    assert_eq!(life.admits_call(1_010), Err(Refusal::Closed));
}

#[test]
fn a_job_serves_on_while_a_part_of_it_is_claimed_and_ends_after() {
    let mut life = check(&[
        (Event::CallBegan, 1_001, Command::Nothing),
        (
            vouched(5_000, 2_000, false),
            1_003,
            Command::Claim(Due { is_final: false, ..due(voucher(5_000, 2_000)) }),
        ),
    ]);
    assert_eq!(life.admits_call(1_003), Ok(()));
    assert!(matches!(life.gate(1, WINDOW), Gate::Open { .. }));
    life.handle(Event::CallEnded, 1_004, &POLICY);
    assert_eq!(life.handle(vouched(5_000, 2_000, true), 1_004, &POLICY), Command::Nothing);
    let failed = life.handle(Event::ClaimEnded(TransactionEnd::Rejected), 1_005, &POLICY);
    assert_eq!(failed, Command::Look);
    let again = Command::Claim(Due { is_alone: true, ..due(voucher(5_000, 2_000)) });
    assert_eq!(life.handle(Event::Tick, 1_007, &POLICY), again);
}

#[test]
fn a_part_is_not_claimed_before_the_chain_said_what_was_credited() {
    let from = Restored {
        claim_until_unix_s: Some(CLAIM_UNTIL),
        produced: Totals::ZERO,
        voucher: Some(voucher(5_000, 2_000)),
        is_last: false,
        was_called: true,
        claiming: None,
    };
    let mut life = Life::restored(AGREED, PRICES, from, 2_000);
    assert_eq!(life.handle(Event::Tick, 2_000, &POLICY), Command::Nothing);
    let credited = OnChain::Locked(Lock { credited: Lamports(5_400), ..LOCK });
    assert_eq!(life.handle(Event::Seen(credited), 2_001, &POLICY), Command::Nothing);
}

#[test]
fn before_its_lock_is_final_a_job_is_served_up_to_a_cap() {
    let agreed = Agreed { unfinal_max: Some(Lamports(2_100)), ..AGREED };
    let mut life = Life::quoted(agreed, PRICES, 1_000);
    life.handle(LOCKED, 1_000, &POLICY);
    assert_eq!(life.accept_input(3_501), Err(Refusal::NotFinal));
    life.accept_input(3_400).unwrap(); // 2,040 lamports, 60 are left: 50 tokens
    assert_eq!(life.gate(50, WINDOW), Gate::Open { room_tokens: 50 });
    assert_eq!(life.gate(51, WINDOW), Gate::Wait);
    life.count_output(50, WINDOW);
    assert_eq!(life.gate(1, WINDOW), Gate::Wait);
    life.handle(Event::LockFinal, 1_010, &POLICY);
    assert_eq!(life.gate(1, WINDOW), Gate::Open { room_tokens: 14 });
}

#[test]
fn a_stake_that_the_client_adds_to_is_served_to_its_new_end() {
    let mut life = locked();
    life.accept_input(16_660).unwrap();
    assert_eq!(life.gate(4, WINDOW), Gate::StakeUsed);
    let more = OnChain::Locked(Lock { stake: Lamports(20_000), ..LOCK });
    life.handle(Event::Seen(more), 1_001, &POLICY);
    assert_eq!(life.gate(4, WINDOW), Gate::Open { room_tokens: WINDOW });
}
