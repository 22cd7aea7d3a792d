use proptest::prelude::*;

use super::*;

const HOUR_MS: u64 = 3_600_000;

/// Loads a model that there is room for.
fn load(policy: &mut Policy, id: ModelId, now_ms: u64) {
    assert_eq!(policy.want(id, now_ms), Answer::Load { evict: Vec::new() });
    assert_eq!(policy.want(id, now_ms), Answer::Wait, "once is enough");
    policy.loaded(id, now_ms);
    assert_eq!(policy.want(id, now_ms), Answer::Ready);
}

#[test]
fn what_fits_together_stays_together() {
    let mut policy = Policy::new(&[40, 60], 100, Some(HOUR_MS));
    load(&mut policy, 0, 0);
    load(&mut policy, 1, 1);
    assert_eq!(policy.used_bytes(), 100);
    assert!(policy.take_idle(HOUR_MS - 1).is_empty());
    assert_eq!((policy.place(0), policy.place(1)), (Place::In, Place::In));
}

#[test]
fn the_one_used_longest_ago_makes_room_and_no_more_than_needed() {
    let mut policy = Policy::new(&[30, 30, 30, 50], 100, None);
    for id in 0..3 {
        load(&mut policy, id, id as u64);
    }
    assert_eq!(policy.want(0, 10), Answer::Ready); // now 1 is the oldest
    let now_ms = 10 + KEEP_MS;
    assert_eq!(policy.want(3, now_ms), Answer::Load { evict: vec![1, 2] });
    assert_eq!(
        (policy.place(1), policy.place(0)),
        (Place::Leaving { is_promised: true }, Place::In)
    );
    assert_eq!(policy.want(1, now_ms), Answer::Wait, "it must be gone before it can come back");
    policy.left(1);
    policy.left(2);
    policy.loaded(3, now_ms);
    assert_eq!(policy.used_bytes(), 80);
}

#[test]
fn a_model_that_serves_a_call_is_never_taken_away() {
    let mut policy = Policy::new(&[60, 60], 100, Some(HOUR_MS));
    load(&mut policy, 0, 0);
    policy.lease(0);
    policy.lease(0);
    let later_ms = 2 * HOUR_MS;
    assert_eq!(policy.want(1, later_ms), Answer::Full);
    assert!(policy.take_idle(later_ms).is_empty());
    policy.release(0, later_ms);
    assert_eq!(policy.want(1, later_ms), Answer::Full, "one call is left");
    policy.release(0, later_ms);
    assert_eq!(policy.want(1, later_ms), Answer::Wait, "it was used just now");
    assert_eq!(policy.want(1, later_ms + KEEP_MS), Answer::Load { evict: vec![0] });
}

#[test]
fn a_model_on_its_way_is_waited_for() {
    let mut policy = Policy::new(&[60, 60], 100, None);
    assert_eq!(policy.want(0, 0), Answer::Load { evict: Vec::new() });
    assert_eq!(policy.want(1, 0), Answer::Wait, "room may be had once the other is in");
    policy.loaded(0, 5);
    assert_eq!(policy.want(1, 5), Answer::Wait);
    assert_eq!(policy.want(1, 5 + KEEP_MS), Answer::Load { evict: vec![0] });
}

#[test]
fn an_idle_model_goes_after_its_time_and_comes_back_when_wanted() {
    let mut policy = Policy::new(&[60], 100, Some(1_000));
    load(&mut policy, 0, 0);
    assert!(policy.take_idle(999).is_empty());
    assert_eq!(policy.take_idle(1_000), [0]);
    assert!(policy.take_idle(1_000).is_empty(), "once");
    policy.left(0);
    assert_eq!(policy.used_bytes(), 0);
    load(&mut policy, 0, 2_000);
}

#[test]
fn a_model_that_failed_is_tried_again_after_a_pause() {
    let mut policy = Policy::new(&[60], 100, None);
    assert_eq!(policy.want(0, 0), Answer::Load { evict: Vec::new() });
    policy.failed(0, 0);
    assert_eq!(policy.used_bytes(), 0, "what failed takes no room");
    assert_eq!(policy.want(0, RETRY_MS - 1), Answer::Broken);
    assert_eq!(policy.want(0, RETRY_MS), Answer::Load { evict: Vec::new() });
}

#[derive(Clone, Debug)]
enum Step {
    Want(ModelId),
    Release(ModelId),
    Arrive(ModelId, bool),
    Leave(ModelId),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..4_usize;
    prop_oneof![
        4 => id.clone().prop_map(Step::Want),
        2 => id.clone().prop_map(Step::Release),
        3 => (id.clone(), any::<bool>()).prop_map(|(id, fine)| Step::Arrive(id, fine)),
        2 => id.prop_map(Step::Leave),
        2 => (0..10_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order: the budget holds, and no call loses its model.
    #[test]
    fn the_budget_holds_and_no_call_loses_its_model(
        steps in prop::collection::vec(step(), 1..200),
        needs in prop::collection::vec(1..100_u64, 4),
    ) {
        let mut policy = Policy::new(&needs, 100, Some(20_000));
        let mut leases = [0; 4];
        let mut now_ms = 0;
        for step in steps {
            match step {
                Step::Want(id) => match policy.want(id, now_ms) {
                    Answer::Ready => {
                        policy.lease(id);
                        leases[id] += 1;
                    }
                    Answer::Load { evict } => prop_assert!(evict.iter().all(|&id| leases[id] == 0)),
                    Answer::Wait | Answer::Full | Answer::Broken => {}
                },
                Step::Release(id) if leases[id] > 0 => {
                    policy.release(id, now_ms);
                    leases[id] -= 1;
                }
                Step::Arrive(id, true) if policy.place(id) == Place::Loading => policy.loaded(id, now_ms),
                Step::Arrive(id, false) if policy.place(id) == Place::Loading => policy.failed(id, now_ms),
                Step::Leave(id) if matches!(policy.place(id), Place::Leaving { .. }) => policy.left(id),
                Step::Pass(ms) => {
                    now_ms += ms;
                    policy.take_idle(now_ms);
                }
                _ => {}
            }
            prop_assert!(policy.used_bytes() <= 100);
            for (id, &leases) in leases.iter().enumerate() {
                prop_assert!(leases == 0 || policy.place(id) == Place::In);
            }
        }
    }
}
