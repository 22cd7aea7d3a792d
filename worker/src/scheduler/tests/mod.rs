mod properties;
mod reuse;

use super::plan::PREFILL_PATIENCE;
use super::*;

const LIMITS: Limits = Limits {
    step_tokens_max: 32,
    prefill_beside_decode_max: 8,
    prefill_enough: 16,
    prefix_reuse: true,
};
const ALL: u64 = u64::MAX;
const ME: Scope = [1; 32];

fn scheduler(slots: usize) -> Scheduler {
    Scheduler::new(slots, LIMITS)
}

/// A prompt that begins like no other's.
fn prompt(id: CallId, len: usize) -> Vec<Token> {
    let id = Token::try_from(id).expect("small");
    (0..len).map(|at| id * 1_000 + Token::try_from(at).expect("small")).collect()
}

fn add(scheduler: &mut Scheduler, id: CallId, len: usize, allowed: u64) {
    scheduler.add(id, ME, vec![prompt(id, len)], allowed);
}

/// A step's work, with a token for each answer that samples.
fn step(scheduler: &mut Scheduler) -> Vec<Work> {
    let work = scheduler.plan().work;
    for work in work.iter().filter(|work| work.samples) {
        scheduler.push(work.id, work.choice, 7);
    }
    work
}

fn of(work: &[Work], id: CallId) -> Option<Work> {
    work.iter().copied().find(|work| work.id == id)
}

#[test]
fn a_prompt_is_read_in_chunks_and_only_its_end_samples() {
    let mut scheduler = scheduler(1);
    add(&mut scheduler, 1, 70, ALL);
    let chunks: Vec<_> =
        (0..3).flat_map(|_| step(&mut scheduler)).map(|w| (w.from, w.len, w.samples)).collect();
    assert_eq!(chunks, [(0, 32, false), (32, 32, false), (64, 6, true)]);
    let next = Work { id: 1, choice: 0, slot: 0, from: 70, len: 1, samples: true };
    assert_eq!(scheduler.plan().work, [next]);
    assert_eq!(scheduler.tokens(&next), [7]);
}

#[test]
fn running_answers_get_their_token_beside_a_long_prompt() {
    let mut scheduler = scheduler(2);
    add(&mut scheduler, 1, 4, ALL);
    step(&mut scheduler);
    add(&mut scheduler, 2, 100, ALL);
    for _ in 0..5 {
        let work = step(&mut scheduler);
        assert!(of(&work, 1).expect("call 1 decodes").samples);
        assert_eq!(of(&work, 2).expect("call 2 is read").len, LIMITS.prefill_beside_decode_max);
    }
}

#[test]
fn short_prompts_share_a_step_and_go_before_long_ones() {
    let mut scheduler = scheduler(4);
    for (id, len) in [(1, 20), (2, 5), (3, 12), (4, 100)] {
        add(&mut scheduler, id, len, 0);
    }
    let lens = |work: &[Work]| work.iter().map(|work| (work.id, work.len)).collect::<Vec<_>>();
    // Together they are enough; one that is enough is read alone.
    assert_eq!(lens(&step(&mut scheduler)), [(1, 17), (2, 4), (3, 11)]);
    assert_eq!(lens(&step(&mut scheduler)), [(1, 2), (4, 30)]);
    assert_eq!(lens(&step(&mut scheduler)), [(4, 32)]);
}

#[test]
fn a_long_prompt_is_not_passed_over_for_ever() {
    let mut scheduler = scheduler(2);
    add(&mut scheduler, 1, 100, ALL);
    let passed_over = (2..100).take_while(|&id| {
        add(&mut scheduler, id, 20, ALL);
        let work = step(&mut scheduler);
        scheduler.end(id, 0);
        of(&work, 1).is_none()
    });
    assert_eq!(passed_over.count(), PREFILL_PATIENCE);
}

#[test]
fn a_call_without_allowance_reads_its_prompt_but_computes_no_answer() {
    let mut scheduler = scheduler(2);
    add(&mut scheduler, 1, 10, 0);
    let work = step(&mut scheduler);
    assert_eq!((work[0].len, work[0].samples), (9, false));
    assert_eq!(step(&mut scheduler), []);
    scheduler.allow(1, 2);
    assert!(step(&mut scheduler)[0].samples);
    assert!(step(&mut scheduler)[0].samples);
    assert_eq!(step(&mut scheduler), []);
    scheduler.allow(1, 1); // less than before: what was allowed stays allowed
    assert_eq!(step(&mut scheduler), []);
    scheduler.allow(1, 3);
    assert!(step(&mut scheduler)[0].samples);
}

#[test]
fn one_waiting_for_allowance_does_not_stop_the_others() {
    let mut scheduler = scheduler(2);
    add(&mut scheduler, 1, 1, 0);
    add(&mut scheduler, 2, 1, ALL);
    for _ in 0..4 {
        let work = step(&mut scheduler);
        assert_eq!((work.len(), work[0].id), (1, 2));
    }
}

#[test]
fn an_allowance_reaches_a_call_in_the_queue() {
    let mut scheduler = scheduler(1);
    add(&mut scheduler, 1, 1, 0);
    step(&mut scheduler);
    add(&mut scheduler, 2, 1, 0);
    scheduler.allow(2, 1);
    scheduler.remove(1);
    assert!(step(&mut scheduler)[0].samples);
}

#[test]
fn answers_of_one_call_share_its_allowance() {
    let mut scheduler = scheduler(2);
    scheduler.add(1, ME, vec![prompt(1, 1), prompt(2, 1)], 3);
    let produced: Vec<_> = (0..4).map(|_| step(&mut scheduler).len()).collect();
    assert_eq!(produced, [2, 1, 0, 0]);
    scheduler.end(1, 0);
    scheduler.allow(1, 5);
    let rest: Vec<_> = (0..3).flat_map(|_| step(&mut scheduler)).map(|w| w.choice).collect();
    assert_eq!(rest, [1, 1], "the other answer may use what is left");
}

#[test]
fn a_removed_call_is_in_no_further_step_and_its_slot_goes_to_the_next() {
    let mut scheduler = scheduler(1);
    for id in 1..=3 {
        add(&mut scheduler, id, 5, ALL);
    }
    assert_eq!(step(&mut scheduler)[0].id, 1);
    scheduler.remove(2);
    scheduler.remove(1);
    scheduler.remove(1); // twice is harmless
    let work = step(&mut scheduler);
    assert_eq!((work.len(), work[0].id, work[0].slot, work[0].from), (1, 3, 0, 0));
}

#[test]
fn a_client_with_many_calls_lets_another_in_after_one() {
    let mut scheduler = scheduler(1);
    for id in 1..=5 {
        add(&mut scheduler, id, 1, ALL);
    }
    scheduler.add(6, [2; 32], vec![prompt(6, 1)], ALL);
    let order: Vec<_> = (0..6)
        .map(|_| {
            let id = step(&mut scheduler)[0].id;
            scheduler.end(id, 0);
            id
        })
        .collect();
    assert_eq!(order, [1, 6, 2, 3, 4, 5]);
}

#[test]
fn answers_that_run_together_lie_side_by_side_in_the_order_of_their_slots() {
    let mut scheduler = scheduler(8);
    // Eight that end one after the other leave slots of all ages.
    (1..=8).for_each(|id| add(&mut scheduler, id, 1, ALL));
    for id in [4, 7, 1, 6, 3, 8, 2, 5] {
        step(&mut scheduler);
        scheduler.end(id, 0);
    }
    (11..=14).for_each(|id| add(&mut scheduler, id, 1, ALL));
    for _ in 0..8 {
        let slots: Vec<Slot> = step(&mut scheduler).iter().map(|work| work.slot).collect();
        assert_eq!(slots, (slots[0]..slots[0] + 4).collect::<Vec<_>>());
    }
}

/// In which steps the first call gets a token while four prompts of three tokens come, after so many.
#[test]
fn whatever_ran_before_answers_that_begin_together_lie_without_a_gap() {
    for before in 0..16 {
        let mut scheduler = scheduler(8);
        for id in 0..before {
            add(&mut scheduler, id, 4, ALL);
            step(&mut scheduler);
            scheduler.end(id, 0);
        }
        for id in 100..104 {
            add(&mut scheduler, id, 4, ALL);
        }
        let work = step(&mut scheduler);
        let first = work[0].slot;
        let slots: Vec<_> = work.iter().map(|work| work.slot).collect();
        assert_eq!(slots, (first..first + 4).collect::<Vec<_>>(), "after {before}");
    }
}

fn decodes_beside_prompts(tokens_before: usize) -> Vec<bool> {
    let mut scheduler = scheduler(5);
    scheduler.limits.prefill_enough = 3;
    add(&mut scheduler, 1, 1, ALL);
    for _ in 0..tokens_before {
        step(&mut scheduler);
    }
    (2..=5).for_each(|id| add(&mut scheduler, id, 3, ALL));
    (0..5).map(|_| of(&step(&mut scheduler), 1).is_some()).collect()
}

#[test]
fn a_running_answer_waits_for_short_prompts_as_long_as_the_pause_is() {
    // Two of them fit into a pause of eight.
    assert_eq!(decodes_beside_prompts(2), [true, false, true, false, true]);
}

#[test]
fn first_tokens_come_before_second_ones() {
    assert_eq!(decodes_beside_prompts(1), [false, false, false, false, true]);
}
