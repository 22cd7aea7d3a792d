use chainference_market::{Lamports, Reputation};

const STEPS: u32 = 5;
const HEARTBEAT_S: u32 = 2;
const PRIOR: u64 = 10;

#[derive(Clone, Copy, Debug)]
enum Event {
    Pay(u64),
    Flag(u64),
    Compare(u64, bool),
    Time(u64, u16),
    Audit(u64, bool),
    Wait(i64),
    Beat,
}
use Event::*;

const EVENTS: [Event; 15] = [
    Pay(1),
    Pay(3),
    Flag(1),
    Flag(2),
    Compare(0, true),
    Compare(3, true),
    Compare(3, false),
    Time(3, 10_000),
    Time(3, 3_334),
    Time(1, 9_999),
    Audit(3, true),
    Audit(2, false),
    Wait(1),
    Wait(4),
    Beat,
];

#[test]
fn every_short_history_is_rated_by_what_was_said() {
    let mut histories = 0;
    visit(Reputation::new(0), &mut Vec::new(), &mut histories);
    assert_eq!(histories, (0..=STEPS).map(|steps| EVENTS.len().pow(steps)).sum::<usize>());
}

fn visit(reputation: Reputation, history: &mut Vec<Event>, histories: &mut usize) {
    *histories += 1;
    check(&reputation, history);
    if history.len() == STEPS as usize {
        return;
    }
    for event in EVENTS {
        history.push(event);
        let mut after = reputation;
        match event {
            Pay(fee) => after.pay(Lamports(fee)),
            Flag(fee) => after.flag(Lamports(fee)),
            Compare(weight, preferred) => after.compare(Lamports(weight), preferred),
            Time(fee, speed_bps) => after.time(Lamports(fee), speed_bps),
            Audit(fee, passed) => after.audit(Lamports(fee), passed),
            Wait(_) => {}
            Beat => after.beat(now(history), HEARTBEAT_S),
        }
        visit(after, history, histories);
        history.pop();
    }
}

fn now(history: &[Event]) -> i64 {
    history.iter().map(|event| if let Wait(seconds) = event { *seconds } else { 0 }).sum()
}

/// The same figures out of the whole history.
fn check(reputation: &Reputation, history: &[Event]) {
    let sum = |weight: fn(&Event) -> u64| history.iter().map(weight).sum::<u64>();
    let paid = sum(|event| if let Pay(fee) = event { *fee } else { 0 });
    let flagged = sum(|event| if let Flag(fee) = event { *fee } else { 0 });
    let compared = sum(|event| if let Compare(weight, _) = event { *weight } else { 0 });
    let preferred = sum(|event| if let Compare(weight, true) = event { *weight } else { 0 });
    let timed = sum(|event| if let Time(fee, _) = event { *fee } else { 0 });
    // Of three lamports at 33.34 % one is fast, of one at 99.99 % none.
    let fast = sum(|event| match event {
        Time(3, 10_000) => 3,
        Time(3, 3_334) => 1,
        _ => 0,
    });
    let audited = sum(|event| if let Audit(fee, _) = event { *fee } else { 0 });
    let passed = sum(|event| if let Audit(fee, true) = event { *fee } else { 0 });

    let success = ratio(paid - flagged.min(paid), paid, PRIOR, 10);
    let (due, kept) = windows(history);
    let uptime = ratio(kept, due, 10, 8);
    let speed = ratio(fast, timed, PRIOR, 8);
    let accuracy = ratio(passed, audited, PRIOR, 8);
    let rating = (4 * uptime + 3 * speed + 2 * accuracy + success) / 10;

    let now = now(history);
    let found = [
        reputation.success_bps(PRIOR),
        reputation.preference_bps(PRIOR),
        reputation.uptime_bps(now, HEARTBEAT_S),
        reputation.speed_bps(PRIOR),
        reputation.accuracy_bps(PRIOR),
        reputation.rating_bps(now, HEARTBEAT_S, PRIOR),
    ];
    let preference = ratio(preferred, compared, PRIOR, 5);
    let expected = [success, preference, uptime, speed, accuracy, rating];
    assert_eq!(found.map(u64::from), expected, "{history:?}");
    assert!(expected.iter().all(|bps| *bps <= 10_000));
}

/// `(part + prior · prior_tenths / 10) / (whole + prior)` in basis points, rounded down.
fn ratio(part: u64, whole: u64, prior: u64, prior_tenths: u64) -> u64 {
    (10 * part + prior * prior_tenths) * 1_000 / (whole + prior)
}

/// Windows that are due and kept: the clock is watched second by second.
fn windows(history: &[Event]) -> (u64, u64) {
    let (mut due, mut kept, mut running_s, mut ended) = (0, 0, 0, 0);
    for event in history {
        match event {
            Wait(seconds) => {
                for _ in 0..*seconds {
                    running_s += 1;
                    if running_s == HEARTBEAT_S {
                        ended += 1;
                        running_s = 0;
                    }
                }
            }
            Beat if ended > 0 => {
                due += ended;
                kept += 1;
                (running_s, ended) = (0, 0);
            }
            _ => {}
        }
    }
    // The last window that ended can still be kept.
    (due + if ended > 0 { ended - 1 } else { 0 }, kept)
}
