//! Tries each cell of the jobs' guard table on the built program.

use std::collections::BTreeMap;

use chainference_chain::accounts::JobStatus;

use super::common::*;
use super::jobs_table::{Row, SIGNERS, State, TABLE, Then, Verb};
use super::moments::{CLAIM_UNTIL_S, FINISHED_UNTIL_S, Moment, moments};
use super::stage::{Stage, TOP_UP};

/// Tries all cells of one state, and says how many those of each instruction were.
fn check(state: State) -> BTreeMap<Verb, usize> {
    let stage = Stage::new(state);
    let mut tally = BTreeMap::new();
    for moment in moments() {
        let mut at = stage.market.fork();
        at.set_clock(START_SLOT + moment.slots, START_UNIX_S + moment.seconds);
        for row in TABLE {
            for by in SIGNERS {
                let (instruction, signer) = stage.instruction(row.verb, by);
                let mut market = at.fork();
                let outcome = market.send(&[instruction], &signer, &[]);
                let expected = row.refusal(state, by, moment);
                let cell = format!("{:?} in {state:?} by {by:?} at {moment:?}", row.verb);
                assert_eq!(outcome.err().as_deref(), expected, "{cell}");
                *tally.entry(row.verb).or_default() += 1;
                if expected.is_none() {
                    check_allowed(&market, &stage.job, row, state, moment, &cell);
                }
            }
        }
    }
    tally
}

fn check_allowed(market: &Market, job: &TestJob, row: &Row, state: State, at: Moment, cell: &str) {
    market.check_conservation();
    market.check_books();
    if row.then == Then::Gone {
        assert!(!market.exists(&job.address), "{cell}: the account is gone");
        return;
    }
    let after = market.load_job(job);
    let status = match row.then {
        Then::Locked => JobStatus::Locked,
        Then::Same if state == State::Open => JobStatus::Open,
        Then::Same => JobStatus::Locked,
        Then::Settled | Then::Gone => JobStatus::Settled,
    };
    assert_eq!(after.status(), status, "{cell}");
    let added = if row.verb == Verb::TopUp { TOP_UP } else { 0 };
    assert_eq!(after.stake, STAKE + added, "{cell}");
    let until_s = match (row.verb, state) {
        (Verb::Finish, State::Locked) => CLAIM_UNTIL_S.min(at.seconds + i64::from(GRACE_S)),
        (_, State::Finished) => FINISHED_UNTIL_S,
        _ => CLAIM_UNTIL_S,
    };
    assert_eq!(after.claim_until_unix_s, START_UNIX_S + until_s, "{cell}");
}

#[test]
fn each_row_allows_something_and_refuses_something() {
    for row in TABLE {
        let cells = STATES.iter().flat_map(|state| {
            let at = moments().flat_map(|at| SIGNERS.map(|by| (by, at)));
            at.map(|(by, at)| row.refusal(*state, by, at))
        });
        let (refused, allowed): (Vec<_>, Vec<_>) = cells.partition(Option::is_some);
        println!("{:?}: {} cells allowed, {} refused", row.verb, allowed.len(), refused.len());
        assert!(!allowed.is_empty() && !refused.is_empty(), "{:?}", row.verb);
    }
}

macro_rules! states {
    ($($name:ident: $state:ident,)*) => {
        const STATES: &[State] = &[$(State::$state),*];
        $(
        #[test]
        fn $name() {
            let tally = check(State::$state);
            println!("{:?}: {} cells", State::$state, tally.values().sum::<usize>());
            assert_eq!(tally.len(), TABLE.len());
            assert!(tally.values().all(|cells| *cells == moments().count() * SIGNERS.len()));
        }
        )*
    };
}

states! {
    a_job_that_was_never_published: Absent,
    an_open_job: Open,
    a_locked_job: Locked,
    a_finished_job: Finished,
    a_paid_job: Paid,
    a_job_that_its_worker_let_go: Unpaid,
    a_cancelled_job: Cancelled,
    a_closed_job: Gone,
}
