//! What holds whatever comes in whichever order, shown on a model of the cache that knows nothing of
//! how the scheduler decides.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::scheduler::place::Row;

#[derive(Clone, Debug)]
enum Happens {
    Add { scope: u8, family: Token, prompt: usize, answers: usize, allowed: u64 },
    Allow { pick: usize, more: u64 },
    Remove { pick: usize },
    Fail,
    Plan,
}

fn happens() -> impl Strategy<Value = Happens> {
    let add = (0..3u8, 0..3i32, 1..90usize, 1..4usize, 0..6u64);
    prop_oneof![
        3 => add.prop_map(|(scope, family, prompt, answers, allowed)| {
            Happens::Add { scope, family, prompt, answers, allowed }
        }),
        2 => (0..8usize, 0..9u64).prop_map(|(pick, more)| Happens::Allow { pick, more }),
        1 => (0..8usize).prop_map(|pick| Happens::Remove { pick }),
        1 => Just(Happens::Fail),
        6 => Just(Happens::Plan),
    ]
}

/// Prompts of a family begin alike, and part soon or late.
fn prompt_of(family: Token, len: usize, id: usize) -> Vec<Token> {
    let shared = (0..len).map(|at| family * 100 + Token::try_from(at).expect("small"));
    let own = Token::try_from(id).expect("small");
    shared.enumerate().map(|(at, token)| if at > 10 + id % 60 { -own } else { token }).collect()
}

struct Call {
    scope: Scope,
    allowed: u64,
    produced: u64,
    rows: HashMap<Choice, Vec<Token>>,
    /// What the cache held when the answer was first read.
    found: HashMap<Choice, usize>,
}

/// The calls as the test knows them, and a cache that remembers whose each of its cells is.
struct World {
    scheduler: Scheduler,
    cache: Vec<Vec<(Scope, Token)>>,
    calls: HashMap<CallId, Call>,
    order: Vec<CallId>,
}

/// Tokens of an answer after which the test ends it.
const ANSWER_MAX: usize = 12;

impl World {
    fn new(slots: usize) -> Self {
        let (cache, calls) = (vec![Vec::new(); slots], HashMap::new());
        Self { scheduler: scheduler(slots), cache, calls, order: Vec::new() }
    }

    fn happen(&mut self, at: usize, what: Happens) {
        let id = CallId::try_from(at).expect("small");
        match what {
            Happens::Add { scope, family, prompt, answers, allowed } => {
                let (scope, prompts) = ([scope; 32], vec![prompt_of(family, prompt, at); answers]);
                self.scheduler.add(id, scope, prompts.clone(), allowed);
                let rows = (0..).zip(prompts).collect();
                let call = Call { scope, allowed, produced: 0, rows, found: HashMap::new() };
                self.calls.insert(id, call);
                self.order.push(id);
            }
            Happens::Plan => self.step(),
            Happens::Fail => {
                self.cache.iter_mut().for_each(Vec::clear);
                for id in self.scheduler.discard() {
                    self.calls.remove(&id).expect("only live calls are discarded");
                    self.order.retain(|other| *other != id);
                }
            }
            _ if self.order.is_empty() => {}
            Happens::Allow { pick, more } => {
                let id = self.order[pick % self.order.len()];
                let call = self.calls.get_mut(&id).expect("known");
                call.allowed += more;
                self.scheduler.allow(id, call.allowed);
            }
            Happens::Remove { pick } => {
                let id = self.order.remove(pick % self.order.len());
                self.calls.remove(&id);
                self.scheduler.remove(id);
            }
        }
    }

    fn step(&mut self) {
        let step = self.scheduler.plan();
        step.moves.iter().for_each(|one| self.apply(one));
        assert!(step.work.iter().map(|work| work.len).sum::<usize>() <= LIMITS.step_tokens_max);
        let mut slots: Vec<_> = step.work.iter().map(|work| work.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), step.work.len(), "no slot serves two");
        step.work.iter().for_each(|work| self.read(work));
        let waits = step.work.is_empty();
        assert!(!waits || self.calls.values().all(Call::waits_for_allowance) || self.is_full());
    }

    /// Whether every slot holds an answer, so that others may have to wait.
    fn is_full(&self) -> bool {
        self.scheduler.places.iter().all(|place| place.answer.is_some())
    }

    fn apply(&mut self, one: &Move) {
        match *one {
            Move::Cut { slot, len } => {
                assert!(len <= self.cache[slot].len());
                self.cache[slot].truncate(len);
            }
            Move::Copy { from, to, len } => {
                assert!(len <= self.cache[from].len() && from != to);
                self.cache[to] = self.cache[from][..len].to_vec();
            }
        }
    }

    /// The cache must hold exactly what stands before, computed for the same scope; then it holds
    /// this too.
    fn read(&mut self, work: &Work) {
        let call = self.calls.get_mut(&work.id).expect("only live calls are planned");
        let row = call.rows.get_mut(&work.choice).expect("only live answers are planned");
        let of_scope = |tokens: &[Token]| -> Vec<_> {
            tokens.iter().map(|&token| (call.scope, token)).collect()
        };
        let tokens = self.scheduler.tokens(work);
        assert!(work.len > 0);
        assert_eq!(self.cache[work.slot], of_scope(&row[..work.from]));
        assert_eq!(tokens, &row[work.from..work.from + work.len]);
        self.cache[work.slot].extend(of_scope(tokens));
        let cached = *call.found.entry(work.choice).or_insert(work.from);
        assert_eq!(self.scheduler.cached(work.id, work.choice), cached);
        assert_eq!(work.samples, work.from + work.len == row.len());
        if work.samples {
            call.produced += 1;
            assert!(call.produced <= call.allowed, "nothing beyond the allowance");
            row.push(1);
            self.scheduler.push(work.id, work.choice, 1);
            if call.produced.is_multiple_of(ANSWER_MAX as u64) {
                self.end(work.id, work.choice);
            }
        }
    }

    fn end(&mut self, id: CallId, choice: Choice) {
        self.scheduler.end(id, choice);
        let call = self.calls.get_mut(&id).expect("known");
        call.rows.remove(&choice);
        if call.rows.is_empty() {
            self.calls.remove(&id);
            self.order.retain(|other| *other != id);
        }
    }
}

impl Call {
    fn waits_for_allowance(&self) -> bool {
        self.produced >= self.allowed
    }
}

proptest! {
    /// Rows are read without gap or repetition on top of exactly their own beginning, computed for
    /// the same scope; what is reported as cached is what was there; nothing is produced beyond its
    /// allowance; somebody goes on as long as anybody may; and once all are allowed, all end.
    #[test]
    fn every_plan_is_sound(
        events in prop::collection::vec(happens(), 1..150),
        slots in 1..5usize,
    ) {
        let mut world = World::new(slots);
        for (at, event) in events.into_iter().enumerate() {
            world.happen(at + 1, event);
        }
        for id in world.order.clone() {
            world.calls.get_mut(&id).expect("known").allowed = ALL;
            world.scheduler.allow(id, ALL);
        }
        for _ in 0..20_000 {
            if world.calls.is_empty() {
                break;
            }
            world.step();
        }
        prop_assert!(world.calls.is_empty(), "a call never ends");
        prop_assert!(world.scheduler.calls.is_empty(), "an ended call is remembered");
        prop_assert!(world.scheduler.queue.pop().is_none());
    }

    /// While an answer waits at the head of its scope, no other scope is served twice.
    #[test]
    fn the_queue_is_fair(pushes in prop::collection::vec((0..4u8, 0..3usize), 1..60)) {
        let mut queue = Queue::default();
        let mut waiting: HashMap<u8, VecDeque<CallId>> = HashMap::new();
        // How often each other scope was served since this one was, or came.
        let mut overtaken: HashMap<u8, HashMap<u8, u32>> = HashMap::new();
        for (id, (scope, pops)) in (0..).zip(pushes) {
            let row = Row { scope: [scope; 32], tokens: vec![1] };
            queue.push(Answer::new(id, 0, row));
            waiting.entry(scope).or_default().push_back(id);
            overtaken.entry(scope).or_default();
            for _ in 0..pops {
                let Some(answer) = queue.pop() else { break };
                let served = answer.row.scope[0];
                let next = waiting.get_mut(&served).and_then(VecDeque::pop_front);
                prop_assert_eq!(next, Some(answer.id), "a client's own calls come in order");
                overtaken.remove(&served);
                for (scope, others) in &mut overtaken {
                    let times = others.entry(served).or_default();
                    *times += 1;
                    prop_assert!(*times <= 1, "{} waits while {} is served twice", scope, served);
                }
                if !waiting[&served].is_empty() {
                    overtaken.insert(served, HashMap::new());
                }
            }
        }
    }
}
