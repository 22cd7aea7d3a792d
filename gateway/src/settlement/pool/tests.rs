use super::*;

const POLICY: Policy = Policy { jobs_per_worker_max: 6, serve_s_min: 330 };
const RICH: Lamports = Lamports(1 << 40);

type Jobs = Pool<u8, u32>;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A pool at whose worker 1, offer 10, so many calls of that cost have come just now.
fn called(calls: u64, cost: u64) -> Jobs {
    let mut pool = Jobs::new(POLICY);
    for _ in 0..calls {
        pool.arrived(1, 10, Lamports(cost), at(0));
    }
    pool
}

/// Locks all that the pool wants; the jobs are numbered from `first`.
fn fill(pool: &mut Jobs, now: Duration, budget: Lamports, first: u32) -> u32 {
    let mut next = first;
    for command in pool.plan(now, 0, budget, |_| true) {
        if let Command::Publish(line) = command {
            let ready = Ready { job: next, serve_until_unix_s: 1_800 };
            assert_eq!(pool.filled(line, ready, Duration::from_millis(500), now), None);
            next += 1;
        }
    }
    next - first
}

fn ended(commands: Vec<Command<u8, u32>>) -> Vec<u32> {
    let job = |command| match command {
        Command::End(job) => Some(job),
        Command::Publish(_) => None,
    };
    commands.into_iter().filter_map(job).collect()
}

#[test]
fn nothing_is_locked_before_the_first_call_and_more_than_one_after_it() {
    assert_eq!(fill(&mut Jobs::new(POLICY), at(0), RICH, 0), 0);
    let mut pool = called(1, 100);
    assert!(pool.is_short(at(0)));
    assert!(fill(&mut pool, at(0), RICH, 0) >= 2);
    assert!(!pool.is_short(at(0)) && pool.plan(at(0), 0, RICH, |_| true).is_empty());
}

#[test]
fn jobs_run_low_where_calls_come_faster_than_they_are_locked() {
    let mut pool = Jobs::new(Policy { jobs_per_worker_max: 100, ..POLICY });
    for call in 0..200 {
        pool.arrived(1, 10, Lamports(100), Duration::from_millis(call * 50));
    }
    assert!(pool.is_low(at(10)), "none is ready");
    fill(&mut pool, at(10), RICH, 0);
    pool.take(10, Lamports(100), 0).unwrap();
    assert!(pool.is_short(at(10)) && !pool.is_low(at(10)), "one more can wait for a pause");
    let mut left = 0;
    while !pool.is_low(at(10)) {
        pool.take(10, Lamports(100), 0).unwrap();
        left = pool.ready();
    }
    assert!((4..12).contains(&left), "{left} for twenty a second and half a second");
}

#[test]
fn a_call_gets_the_smallest_job_that_covers_its_greatest_cost() {
    let mut pool = called(1, 100);
    pool.arrived(1, 10, Lamports(200), at(0));
    fill(&mut pool, at(0), RICH, 0);
    assert!(!pool.has(11, Lamports(1), 0), "another offer");
    assert!(!pool.has(10, Lamports(257), 0), "beyond each class");
    assert!(!pool.has(10, Lamports(16), 0), "too small a call for such a stake");
    let mut small = 0;
    while pool.has(10, Lamports(128), 0) {
        pool.take(10, Lamports(128), 0).unwrap();
        small += 1;
    }
    assert!(small >= 4, "those of 128 first, then those of 256");
    assert_eq!(pool.take(10, Lamports(200), 0), None);
}

#[test]
fn money_and_places_bound_what_is_ready() {
    let mut pool = called(100, 100);
    assert_eq!(fill(&mut pool, at(0), Lamports(128 * 3 + 127), 0), 3, "the budget");
    assert_eq!(pool.reserved(), Lamports(384));
    assert_eq!(fill(&mut pool, at(0), RICH, 3), 3, "the worker's places");
    let smaller = pool.plan(at(0), 0, Lamports(300), |_| true);
    assert_eq!(ended(smaller).len(), 4, "less money than before");
}

#[test]
fn what_is_not_needed_too_old_or_offered_no_more_goes() {
    let ready = || {
        let mut pool = called(1, 100);
        let count = fill(&mut pool, at(0), RICH, 0);
        (pool, count as usize)
    };
    let (mut pool, count) = ready();
    assert_eq!(ended(pool.plan(at(700), 700, RICH, |_| true)).len(), count, "nobody calls");
    let (mut pool, count) = ready();
    assert!(!pool.has(10, Lamports(100), 1_471));
    assert_eq!(pool.take(10, Lamports(100), 1_471), None, "a call may last longer");
    assert_eq!(ended(pool.plan(at(1), 1_471, RICH, |_| true)).len(), count);
    let (mut pool, count) = ready();
    assert_eq!(ended(pool.plan(at(1), 0, RICH, |_| false)).len(), count);
    let (mut pool, count) = ready();
    assert_eq!(pool.take_out(|job| *job == 0), [0]);
    assert_eq!(pool.close().len(), count - 1);
    assert!(pool.is_empty() && pool.plan(at(1), 0, RICH, |_| true).is_empty());
}

#[test]
fn a_lock_that_fails_is_tried_again_later_and_later() {
    let mut pool = called(1, 100);
    let Some(Command::Publish(line)) = pool.plan(at(0), 0, RICH, |_| true).pop() else {
        panic!("a job is wanted")
    };
    let mut now = at(0);
    for pause in [1, 2, 4] {
        pool.failed(line, now);
        assert!(!pool.is_short(now + at(pause) - Duration::from_millis(1)), "{pause}");
        now += at(pause);
        assert!(pool.is_short(now), "{pause}");
    }
    pool.filled(line, Ready { job: 7, serve_until_unix_s: 1_800 }, at(1), now);
    pool.failed(line, now);
    assert!(pool.is_short(now + at(1)), "a success forgets the failures");
}

#[test]
fn a_job_that_is_locked_after_the_end_is_given_back() {
    let mut pool = called(1, 100);
    let Some(Command::Publish(line)) = pool.plan(at(0), 0, RICH, |_| true).pop() else {
        panic!("a job is wanted")
    };
    assert!(pool.close().is_empty());
    let ready = Ready { job: 7, serve_until_unix_s: 1_800 };
    assert_eq!(pool.filled(line, ready, at(1), at(1)), Some(7));
}
