use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { step_tokens_max: 32, prefill_beside_decode_max: 8 };
const ALL: u64 = u64::MAX;

fn scheduler(slots: usize) -> Scheduler {
    Scheduler::new(slots, LIMITS)
}

fn of(plan: &[Work], id: CallId) -> Option<Work> {
    plan.iter().copied().find(|work| work.id == id)
}

#[test]
fn a_prompt_is_read_in_chunks_and_only_its_end_samples() {
    let mut scheduler = scheduler(1);
    scheduler.add(1, 70, ALL);
    let chunks: Vec<_> =
        (0..3).flat_map(|_| scheduler.plan()).map(|w| (w.from, w.len, w.samples)).collect();
    assert_eq!(chunks, [(0, 32, false), (32, 32, false), (64, 6, true)]);
    assert_eq!(scheduler.plan(), [Work { id: 1, slot: 0, from: 70, len: 1, samples: true }]);
}

#[test]
fn running_answers_get_their_token_beside_a_long_prompt() {
    let mut scheduler = scheduler(2);
    scheduler.add(1, 4, ALL);
    scheduler.plan();
    scheduler.add(2, 100, ALL);
    for _ in 0..5 {
        let plan = scheduler.plan();
        assert!(of(&plan, 1).expect("call 1 decodes").samples);
        assert_eq!(of(&plan, 2).expect("call 2 is read").len, LIMITS.prefill_beside_decode_max);
    }
}

#[test]
fn prompts_share_a_step_and_a_short_one_leaves_its_rest() {
    let mut scheduler = scheduler(3);
    scheduler.add(1, 100, ALL);
    scheduler.add(2, 2, ALL);
    scheduler.add(3, 100, ALL);
    let plan = scheduler.plan();
    let mut lens: Vec<_> = (1..=3).map(|id| of(&plan, id).expect("all are read").len).collect();
    assert_eq!(lens.iter().sum::<usize>(), LIMITS.step_tokens_max);
    assert_eq!(lens.remove(1), 2);
    assert!(lens[0].abs_diff(lens[1]) <= 1, "{lens:?}");
}

#[test]
fn a_call_without_allowance_reads_its_prompt_but_computes_no_answer() {
    let mut scheduler = scheduler(2);
    scheduler.add(1, 10, 0);
    let plan = scheduler.plan();
    assert_eq!((plan[0].len, plan[0].samples), (9, false));
    assert_eq!(scheduler.plan(), []);
    scheduler.allow(1, 2);
    assert!(scheduler.plan()[0].samples);
    assert!(scheduler.plan()[0].samples);
    assert_eq!(scheduler.plan(), []);
    scheduler.allow(1, 1); // less than before: what was allowed stays allowed
    assert_eq!(scheduler.plan(), []);
    scheduler.allow(1, 3);
    assert!(scheduler.plan()[0].samples);
}

#[test]
fn one_waiting_for_allowance_does_not_stop_the_others() {
    let mut scheduler = scheduler(2);
    scheduler.add(1, 1, 0);
    scheduler.add(2, 1, ALL);
    for _ in 0..4 {
        let plan = scheduler.plan();
        assert_eq!((plan.len(), plan[0].id), (1, 2));
    }
}

#[test]
fn an_allowance_reaches_a_call_in_the_queue() {
    let mut scheduler = scheduler(1);
    scheduler.add(1, 1, 0);
    scheduler.plan();
    scheduler.add(2, 1, 0);
    scheduler.allow(2, 1);
    assert_eq!(scheduler.remove(1), Some(0));
    assert!(scheduler.plan()[0].samples);
}

#[test]
fn a_removed_call_is_in_no_further_step_and_its_slot_goes_to_the_next() {
    let mut scheduler = scheduler(1);
    for id in 1..=3 {
        scheduler.add(id, 5, ALL);
    }
    assert_eq!(scheduler.plan()[0].id, 1);
    assert_eq!(scheduler.remove(2), None, "it only waited");
    assert_eq!(scheduler.remove(1), Some(0));
    assert_eq!(scheduler.remove(1), None, "twice is harmless");
    let plan = scheduler.plan();
    assert_eq!((plan.len(), plan[0].id, plan[0].slot, plan[0].from), (1, 3, 0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Add { prompt: usize, allowed: u64 },
    Allow { pick: usize, more: u64 },
    Remove { pick: usize },
    Plan,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..90usize, 0..6u64).prop_map(|(prompt, allowed)| Step::Add { prompt, allowed }),
        (0..8usize, 0..9u64).prop_map(|(pick, more)| Step::Allow { pick, more }),
        (0..8usize).prop_map(|pick| Step::Remove { pick }),
        Just(Step::Plan),
        Just(Step::Plan),
    ]
}

/// What the test knows of a call by itself: prompt, allowance, tokens read and produced.
#[derive(Debug)]
struct Model {
    prompt: usize,
    allowed: u64,
    read: usize,
    produced: u64,
}

proptest! {
    /// Whatever comes in whichever order: rows are read without gap or repetition, nothing is
    /// produced beyond its allowance, no step is too large, no slot serves two, and as long as
    /// somebody with a slot may go on the plan isn't empty.
    #[test]
    fn every_plan_is_sound(steps in prop::collection::vec(step(), 1..120), slots in 1..5usize) {
        let mut scheduler = scheduler(slots);
        let mut calls: HashMap<CallId, Model> = HashMap::new();
        let mut order: Vec<CallId> = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add { prompt, allowed } => {
                    let id = at as CallId;
                    scheduler.add(id, prompt, allowed);
                    calls.insert(id, Model { prompt, allowed, read: 0, produced: 0 });
                    order.push(id);
                }
                Step::Allow { pick, more } if !order.is_empty() => {
                    let id = order[pick % order.len()];
                    let call = calls.get_mut(&id).expect("known");
                    call.allowed += more;
                    scheduler.allow(id, call.allowed);
                }
                Step::Remove { pick } if !order.is_empty() => {
                    let id = order.remove(pick % order.len());
                    calls.remove(&id);
                    scheduler.remove(id);
                }
                Step::Allow { .. } | Step::Remove { .. } => {}
                Step::Plan => {
                    let could = order.iter().take(slots).any(|id| {
                        let call = &calls[id];
                        call.produced < call.allowed || call.read + 1 < call.prompt
                    });
                    let plan = scheduler.plan();
                    prop_assert!(!could || !plan.is_empty() || order.len() > slots);
                    prop_assert!(plan.iter().map(|w| w.len).sum::<usize>() <= LIMITS.step_tokens_max);
                    let mut used: Vec<_> = plan.iter().map(|w| w.slot).collect();
                    used.sort_unstable();
                    used.dedup();
                    prop_assert_eq!(used.len(), plan.len());
                    for work in plan {
                        let call = calls.get_mut(&work.id).expect("only live calls are planned");
                        prop_assert!(work.len > 0);
                        prop_assert_eq!(work.from, call.read);
                        call.read += work.len;
                        let known = call.prompt + usize::try_from(call.produced).expect("small");
                        prop_assert!(call.read <= known);
                        prop_assert_eq!(work.samples, call.read == known);
                        call.produced += u64::from(work.samples);
                        prop_assert!(call.produced <= call.allowed);
                    }
                }
            }
        }
    }
}
