use std::collections::HashSet;

use chainference_market::limits::{CLOSE_BY_ANYONE_S, GRACE_S_MIN, OPEN_SLOT_AGE_MAX};
use chainference_market::{
    Claim, Job, Lamports, MarketError, NewJob, Preset, Prices, Split, Status, Terms, Totals,
};

const NOW: i64 = 1_000_000;
const SERVE_UNTIL: i64 = NOW + 5;
const SLOT: u64 = 50_000;
const STAKE: u64 = 2;
/// Jobs that were topped up beyond this are not followed further.
const STAKE_MAX: u64 = 6;
const TOKENS_MAX: u64 = 7;
const HIGHEST: Prices =
    Prices { input_per_mtok: 500_000, output_per_mtok: 1_000_000, charge_min: STAKE + 1 };

#[derive(Clone, Copy, Debug)]
enum Step {
    Lock(Terms, i64),
    Claim(Claim, i64),
    Finish(i64),
    Cancel(i64),
    Expire(i64),
    TopUp(u64, i64),
}
use Step::*;

/// A job and where its lamports are: what the worker's record and the vault have from it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    job: Job,
    parts: Split,
    refund: u64,
}

/// Follows every step from every state until nothing new is found.
#[test]
fn no_sequence_of_steps_loses_a_lamport_or_opens_a_job_again() {
    let job = publish();
    let mut found = HashSet::new();
    let mut waiting = vec![State { job, parts: Split::default(), refund: 0 }];
    let mut taken = 0;
    while let Some(state) = waiting.pop() {
        if state.job.stake.0 > STAKE_MAX || !found.insert(format!("{state:?}")) {
            continue;
        }
        check_state(&state);
        for step in steps(&state.job) {
            taken += 1;
            waiting.extend(check_step(&state, step));
        }
    }
    assert!(found.len() > 10_000, "only {} states, {taken} steps", found.len());
}

#[test]
fn a_job_that_no_sequence_leads_to_breaks_the_invariant() {
    let open = publish();
    let mut locked = open;
    locked.lock(offers()[0], NOW).unwrap();
    let (one, beyond) = (Totals { tokens_in: 1, tokens_out: 0 }, Lamports(STAKE + 1));
    let settled = Job { status: Status::Settled, ..open };
    for (job, holds) in [
        (Job { credited: Lamports(STAKE), ..locked }, true),
        (Job { credited: beyond, ..locked }, false),
        (Job { terms: locked.terms, ..open }, false),
        (Job { totals: one, ..open }, false),
        (Job { terms: None, ..locked }, false),
        (Job { credited: Lamports(1), ..settled }, false),
        (Job { credited: Lamports(1), terms: locked.terms, ..settled }, true),
        (Job { claim_until_unix_s: 1, ..open }, true),
        (Job { claim_until_unix_s: 0, ..open }, false),
    ] {
        assert_eq!(job.invariant(), holds, "{job:?}");
    }
}

fn publish() -> Job {
    let new = NewJob {
        stake: Lamports(STAKE),
        highest: HIGHEST,
        open_slot: SLOT,
        serve_until_unix_s: SERVE_UNTIL,
        grace_s: GRACE_S_MIN,
    };
    Job::publish(new, NOW, SLOT).unwrap()
}

/// Each step at each limit of this job, one before it and one beyond it.
fn steps(job: &Job) -> Vec<Step> {
    let mut times = vec![NOW];
    for limit in [SERVE_UNTIL, job.claim_until_unix_s] {
        times.extend([limit - 1, limit, limit + 1]);
    }
    let mut claims = vec![Claim::Final(None)];
    for tokens_in in 0..=TOKENS_MAX {
        for tokens_out in 0..=TOKENS_MAX {
            let totals = Totals { tokens_in, tokens_out };
            claims.extend([Claim::Partial(totals), Claim::Final(Some(totals))]);
        }
    }
    let mut steps = Vec::new();
    for now in times {
        steps.extend([Finish(now), Cancel(now), Expire(now)]);
        steps.extend(offers().map(|terms| Lock(terms, now)));
        steps.extend([0, 1, u64::MAX].map(|lamports| TopUp(lamports, now)));
        // A claim has no time limit: one early and one late.
        if now == NOW || now > job.claim_until_unix_s {
            steps.extend(claims.iter().map(|claim| Step::Claim(*claim, now)));
        }
    }
    steps
}

/// The offers that try to lock it: at the client's highest prices, cheaper, and beyond each of them.
fn offers() -> [Terms; 8] {
    let Prices { input_per_mtok: input, output_per_mtok: output, charge_min } = HIGHEST;
    let (open, far) = (Preset::Open.shares(), Preset::Far.shares());
    [
        (input, output, 0, open),
        (input - 1, 0, STAKE, far),
        (0, output - 1, STAKE + 1, far.rated(10_000)),
        (0, 0, 0, far.rated(0)),
        (input + 1, 0, 0, far),
        (0, output + 1, 0, far),
        (0, 0, charge_min, open),
        (0, 0, charge_min + 1, open),
    ]
    .map(|(input_per_mtok, output_per_mtok, charge_min, shares)| Terms {
        prices: Prices { input_per_mtok, output_per_mtok, charge_min },
        shares,
    })
}

/// The least whole number of lamports that covers the price.
fn price(terms: &Terms, totals: Totals) -> u64 {
    let prices = terms.prices;
    let exact =
        totals.tokens_in * prices.input_per_mtok + totals.tokens_out * prices.output_per_mtok;
    let least = if totals == Totals::ZERO { 0 } else { prices.charge_min };
    (least..).find(|lamports| lamports * 1_000_000 >= exact).unwrap()
}

/// The guard table: the first guard that refuses the step.
fn refusal(job: &Job, step: Step) -> Option<MarketError> {
    let guards = match (job.status, step) {
        (Status::Open, Lock(terms, now)) => vec![
            (now >= SERVE_UNTIL, MarketError::TooLateToLock),
            (terms.prices.input_per_mtok > HIGHEST.input_per_mtok, MarketError::PriceTooHigh),
            (terms.prices.output_per_mtok > HIGHEST.output_per_mtok, MarketError::PriceTooHigh),
            (terms.prices.charge_min > HIGHEST.charge_min, MarketError::PriceTooHigh),
            (terms.prices.charge_min > job.stake.0, MarketError::StakeTooSmall),
        ],
        (Status::Open, Cancel(_)) | (Status::Locked, Finish(_)) => vec![],
        (Status::Open, Expire(now)) => vec![(now < SERVE_UNTIL, MarketError::TooEarlyToExpire)],
        (Status::Locked, Expire(now)) => {
            vec![(now < job.claim_until_unix_s, MarketError::TooEarlyToExpire)]
        }
        (Status::Locked, Step::Claim(claim, _)) => {
            let Totals { tokens_in, tokens_out } = vouched(job, claim);
            let goes_back = tokens_in < job.totals.tokens_in || tokens_out < job.totals.tokens_out;
            let cost = price(&job.terms.unwrap(), vouched(job, claim));
            vec![
                (goes_back, MarketError::VoucherGoesBack),
                (cost > job.stake.0, MarketError::BeyondStake),
            ]
        }
        (Status::Open | Status::Locked, TopUp(lamports, now)) => vec![
            (now >= SERVE_UNTIL, MarketError::ServingOver),
            (lamports == 0, MarketError::StakeTooSmall),
            (lamports == u64::MAX, MarketError::Overflow),
        ],
        _ => vec![(true, MarketError::WrongStatus)],
    };
    guards.into_iter().find_map(|(refuses, error)| refuses.then_some(error))
}

fn vouched(job: &Job, claim: Claim) -> Totals {
    match claim {
        Claim::Partial(totals) | Claim::Final(Some(totals)) => totals,
        Claim::Final(None) => job.totals,
    }
}

/// The job after a step that no guard refuses.
fn expected(job: &Job, step: Step) -> Job {
    let settled = |now| Job { status: Status::Settled, settled_unix_s: now, ..*job };
    match step {
        Lock(terms, _) => Job { status: Status::Locked, terms: Some(terms), ..*job },
        Step::Claim(claim, now) => {
            let is_final = matches!(claim, Claim::Final(_));
            let totals = vouched(job, claim);
            let credited = Lamports(price(&job.terms.unwrap(), totals));
            Job { totals, credited, ..if is_final { settled(now) } else { *job } }
        }
        Finish(now) => {
            let soonest = now + i64::from(GRACE_S_MIN);
            Job { claim_until_unix_s: soonest.min(job.claim_until_unix_s), ..*job }
        }
        Cancel(now) | Expire(now) => settled(now),
        TopUp(lamports, _) => Job { stake: Lamports(job.stake.0 + lamports), ..*job },
    }
}

/// Takes one step; the state that it leads to, unless it is refused.
fn check_step(before: &State, step: Step) -> Option<State> {
    let mut after = *before;
    let (job, no_credit) = (&mut after.job, Split::default());
    let outcome = match step {
        Lock(terms, now) => job.lock(terms, now).map(|()| (no_credit, 0)),
        Step::Claim(claim, now) => job.claim(claim, now).map(|credit| {
            let parts = credit.split.worker.0 + credit.split.stakers.0 + credit.split.platform.0;
            assert_eq!(parts, credit.paid.0, "the parts sum to what is paid");
            (credit.split, credit.refund.0)
        }),
        Finish(now) => job.finish(now).map(|()| (no_credit, 0)),
        Cancel(now) => job.cancel(now).map(|refund| (no_credit, refund.0)),
        Expire(now) => job.expire(now).map(|refund| (no_credit, refund.0)),
        TopUp(lamports, now) => job.top_up(Lamports(lamports), now).map(|()| (no_credit, 0)),
    };
    assert_eq!(outcome.err(), refusal(&before.job, step), "{before:?} {step:?}");
    let Ok((parts, refund)) = outcome else {
        assert_eq!(after, *before, "a refusal changes nothing");
        return None;
    };
    assert_eq!(after.job, expected(&before.job, step), "{before:?} {step:?}");
    assert!(
        after.job.totals.covers(before.job.totals) && after.job.credited >= before.job.credited
    );
    let reopened = after.job.status == Status::Open && before.job.status != Status::Open;
    assert!(!reopened, "a job never returns to Open");
    after.parts.worker.0 += parts.worker.0;
    after.parts.stakers.0 += parts.stakers.0;
    after.parts.platform.0 += parts.platform.0;
    after.refund += refund;
    Some(after)
}

/// What holds after any sequence of steps.
fn check_state(state: &State) {
    let State { job, parts, refund } = state;
    let paid = parts.worker.0 + parts.stakers.0 + parts.platform.0;
    assert!(job.invariant());
    assert_eq!(paid, job.credited.0);
    assert!(paid <= job.stake.0);
    let held = if job.status == Status::Settled { 0 } else { job.stake.0 - paid };
    assert_eq!(paid + refund + held, job.stake.0, "every lamport of the stake is somewhere");
    if let Some(terms) = job.terms {
        assert_eq!(paid, claimed_at_once(terms, job), "in pieces or at once");
    }
    for by_client in [true, false] {
        for now in [-1, 0].map(|s| job.settled_unix_s + CLOSE_BY_ANYONE_S + s) {
            for slot in [SLOT + OPEN_SLOT_AGE_MAX, SLOT + OPEN_SLOT_AGE_MAX + 1] {
                let is_old = now == job.settled_unix_s + CLOSE_BY_ANYONE_S;
                let is_safe = slot > SLOT + OPEN_SLOT_AGE_MAX;
                let expected = match (job.status, is_safe && (by_client || is_old)) {
                    (Status::Settled, true) => Ok(()),
                    (Status::Settled, false) => Err(MarketError::TooEarlyToClose),
                    _ => Err(MarketError::WrongStatus),
                };
                assert_eq!(job.may_close(by_client, now, slot), expected);
            }
        }
    }
}

/// What a job of the same stake and terms pays in a single claim.
fn claimed_at_once(terms: Terms, job: &Job) -> u64 {
    let mut once = publish();
    once.lock(terms, NOW)
        .or_else(|_| {
            // Its offer's least charge needed more stake than the job began with.
            once.top_up(Lamports(job.stake.0 - STAKE), NOW)?;
            once.lock(terms, NOW)
        })
        .unwrap();
    let more = Lamports(job.stake.0 - once.stake.0);
    if more > Lamports::ZERO {
        once.top_up(more, NOW).unwrap();
    }
    once.claim(Claim::Final(Some(job.totals)), NOW).unwrap().paid.0
}
