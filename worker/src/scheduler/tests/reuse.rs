//! What was read once is used again: by whom, and where.

use super::*;

fn moves_and_first(scheduler: &mut Scheduler, id: CallId) -> (Vec<Move>, Work) {
    let step = scheduler.plan();
    let first = of(&step.work, id).expect("it is read");
    for work in step.work.iter().filter(|work| work.samples) {
        scheduler.push(work.id, work.choice, 7);
    }
    (step.moves, first)
}

/// A call that has run and ended, with so long a prompt.
fn ended(scheduler: &mut Scheduler, id: CallId, tokens: Vec<Token>) {
    let steps = tokens.len().div_ceil(LIMITS.step_tokens_max);
    scheduler.add(id, ME, vec![tokens], ALL);
    for _ in 0..steps {
        step(scheduler);
    }
    scheduler.end(id, 0);
}

fn begins_as(one: CallId, common: usize, len: usize) -> Vec<Token> {
    let mut tokens = prompt(one, common);
    tokens.extend((common..len).map(|_| -1));
    tokens
}

#[test]
fn the_next_turn_of_a_chat_begins_where_the_last_one_ended() {
    let mut scheduler = scheduler(2);
    ended(&mut scheduler, 1, prompt(1, 40));
    ended(&mut scheduler, 2, prompt(2, 40));
    scheduler.add(3, ME, vec![begins_as(1, 40, 50)], ALL);
    let (moves, first) = moves_and_first(&mut scheduler, 3);
    assert_eq!(moves, [Move::Cut { slot: 0, len: 40 }]);
    assert_eq!((first.slot, first.from, first.len), (0, 40, 10));
    assert_eq!(scheduler.cached(3, 0), 40);
}

#[test]
fn the_same_prompt_again_reads_its_last_token_only() {
    let mut scheduler = scheduler(1);
    ended(&mut scheduler, 1, prompt(1, 40));
    scheduler.add(2, ME, vec![prompt(1, 40)], ALL);
    let (_, first) = moves_and_first(&mut scheduler, 2);
    assert_eq!((first.from, first.len, first.samples), (39, 1, true));
}

#[test]
fn nothing_is_taken_over_from_another_client() {
    let mut scheduler = scheduler(2);
    ended(&mut scheduler, 1, prompt(1, 40));
    scheduler.add(2, [2; 32], vec![prompt(1, 40)], ALL);
    scheduler.add(3, [3; 32], vec![prompt(1, 40)], ALL);
    let step = scheduler.plan();
    assert!(step.work.iter().all(|work| work.from == 0));
    assert!(step.moves.iter().all(|one| matches!(one, Move::Cut { len: 0, .. })));
    assert_eq!((scheduler.cached(2, 0), scheduler.cached(3, 0)), (0, 0));
}

#[test]
fn a_long_chat_is_not_destroyed_for_a_short_beginning_but_copied_from() {
    let mut scheduler = scheduler(3);
    ended(&mut scheduler, 1, prompt(1, 300));
    scheduler.add(2, ME, vec![begins_as(1, 40, 60)], ALL);
    let (moves, first) = moves_and_first(&mut scheduler, 2);
    assert_eq!(moves, [Move::Copy { from: 0, to: 1, len: 40 }]);
    assert_eq!((first.slot, first.from), (1, 40));
    // A beginning that is read as soon as copied is read.
    scheduler.end(2, 0);
    scheduler.add(3, ME, vec![begins_as(1, 20, 60)], ALL);
    assert_eq!(scheduler.plan().moves, [Move::Cut { slot: 2, len: 0 }]);
}

#[test]
fn prompts_that_arrive_together_read_their_beginning_once() {
    let mut scheduler = scheduler(3);
    scheduler.add(1, ME, vec![prompt(1, 70); 3], ALL);
    let read: Vec<_> = (0..3).map(|_| step(&mut scheduler).len()).collect();
    assert_eq!(read, [1, 1, 1], "the others wait for the first");
    let plan = scheduler.plan();
    let copy = |to| Move::Copy { from: 0, to, len: 69 };
    assert_eq!(plan.moves, [copy(1), copy(2)]);
    assert!(plan.work.iter().all(|work| work.len == 1 && work.samples));
    assert_eq!([0, 1, 2].map(|choice| scheduler.cached(1, choice)), [0, 69, 69]);
}

#[test]
fn who_waits_for_another_goes_on_with_what_there_is_when_that_one_leaves() {
    let mut scheduler = scheduler(2);
    add(&mut scheduler, 1, 100, ALL);
    scheduler.add(2, ME, vec![prompt(1, 100)], ALL);
    assert_eq!(step(&mut scheduler).len(), 1);
    scheduler.remove(1);
    let (moves, first) = moves_and_first(&mut scheduler, 2);
    assert_eq!(moves, [Move::Copy { from: 0, to: 1, len: 32 }]);
    assert_eq!((first.from, scheduler.cached(2, 0)), (32, 32));
}

#[test]
fn a_failed_step_ends_what_had_begun_and_leaves_nothing_to_take_over() {
    let mut scheduler = scheduler(2);
    ended(&mut scheduler, 9, prompt(1, 40));
    for id in 1..=3 {
        scheduler.add(id, ME, vec![prompt(1, 100)], ALL);
    }
    step(&mut scheduler);
    assert_eq!(scheduler.discard(), [1, 2]);
    let (moves, first) = moves_and_first(&mut scheduler, 3);
    assert_eq!((moves, first.from), (vec![Move::Cut { slot: 0, len: 0 }], 0));
}

#[test]
fn a_cache_that_cannot_be_cut_is_emptied() {
    let mut scheduler = Scheduler::new(1, Limits { prefix_reuse: false, ..LIMITS });
    ended(&mut scheduler, 1, prompt(1, 20));
    scheduler.add(2, ME, vec![prompt(1, 20)], ALL);
    let (moves, first) = moves_and_first(&mut scheduler, 2);
    assert_eq!((moves, first.from), (vec![Move::Cut { slot: 0, len: 0 }], 0));
}
