//! One sequence: a seed, its steps, and the comparison after each.

use std::collections::{BTreeMap, VecDeque};

use chainference_chain::{Pubkey, address};

use crate::call::{Tx, Verb};
use crate::cast::Cast;
use crate::model::Model;
use crate::steps::{Step, Steps};
use crate::world::World;

/// How many steps before a failure are told.
const TOLD: usize = 20;

/// How often each kind of instruction was allowed, and refused by which name.
#[derive(Default)]
pub struct Counts {
    pub kinds: BTreeMap<String, Kind>,
    pub instructions: u64,
}

#[derive(Default)]
pub struct Kind {
    pub allowed: u64,
    pub refused: BTreeMap<String, u64>,
}

impl Kind {
    /// Of all that were sent, in percent.
    pub fn allowed_percent(&self) -> u64 {
        self.allowed * 100 / (self.allowed + self.refused.values().sum::<u64>())
    }
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        for (kind, counts) in other.kinds {
            let mine = self.kinds.entry(kind).or_default();
            mine.allowed += counts.allowed;
            for (name, count) in counts.refused {
                *mine.refused.entry(name).or_default() += count;
            }
        }
        self.instructions += other.instructions;
    }
}

/// A step that was made, to be told after a failure.
#[derive(Default)]
pub struct Told {
    slots: u64,
    seconds: i64,
    per_byte: u64,
    tx: Option<Tx>,
    outcome: Option<Result<(), String>>,
}

impl Told {
    pub fn say(&self, cast: &Cast) -> String {
        let Some(tx) = &self.tx else {
            return format!(
                "{} slots and {} s pass; rent {}",
                self.slots, self.seconds, self.per_byte
            );
        };
        let calls: Vec<_> = tx.calls.iter().map(|call| call.say(cast)).collect();
        let outcome = match &self.outcome {
            Some(Ok(())) => "allowed",
            Some(Err(name)) => name,
            None => "?",
        };
        format!("{}\n    → {outcome}", calls.join("\n  and "))
    }
}

pub struct Run<'a> {
    pub cast: &'a Cast,
    pub model: Model,
    pub steps: Steps<'a>,
    pub counts: Counts,
    world: World,
    /// Plain transfers that arrived, by address.
    pub gifts: BTreeMap<Pubkey, u64>,
    pub people_at_first: u128,
    pub market_at_first: u64,
    /// The last steps.
    pub told: VecDeque<Told>,
    /// Each step's outcome: the same for the same seed.
    pub outcomes: Vec<Result<(), String>>,
}

impl<'a> Run<'a> {
    pub fn new(cast: &'a Cast, (world, model): (World, Model), seed: u64) -> Self {
        let people = cast.people();
        let people_at_first = people.iter().map(|key| u128::from(model.lamports(key))).sum();
        let market_at_first =
            model.lamports(&address::config()) + model.lamports(&address::treasury());
        Self {
            cast,
            model,
            steps: Steps::new(cast, seed),
            counts: Counts::default(),
            world,
            gifts: BTreeMap::new(),
            people_at_first,
            market_at_first,
            told: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    /// `count` instructions, and then the end of everything.
    pub fn play(&mut self, count: u64) {
        while self.counts.instructions < count {
            self.step();
        }
        self.wind_up();
    }

    pub fn step(&mut self) {
        match self.steps.next(&self.model) {
            Step::Warp { slots, seconds } => self.warp(slots, seconds),
            Step::Rent { per_byte } => {
                self.tell(Told { per_byte, ..Default::default() });
                self.model.rent_per_byte = per_byte;
                self.world.set_rent(per_byte);
            }
            Step::Send(tx) => _ = self.send(tx),
        }
    }

    pub fn warp(&mut self, slots: u64, seconds: i64) {
        self.tell(Told { slots, seconds, ..Default::default() });
        self.model.slot += slots;
        self.model.now_unix_s += seconds;
        self.world.warp(self.model.slot, self.model.now_unix_s);
    }

    /// Sends, and holds the chain's answer and all that lies there against the model.
    pub fn send(&mut self, tx: Tx) -> Result<(), String> {
        self.tell(Told { tx: Some(tx.clone()), ..Default::default() });
        let outcome = self.world.send(&tx, self.cast);
        let expected = self.model.run(&tx);
        self.told.back_mut().expect("just told").outcome = Some(outcome.clone());
        match (&outcome, &expected) {
            (Ok(()), Ok(())) => {}
            (Err(name), Err(names)) => {
                assert!(
                    names.contains(&name.as_str()),
                    "refused as {name}, not as one of {names:?}"
                );
            }
            (Ok(()), Err(names)) => panic!("allowed, though {names:?}"),
            (Err(name), Ok(())) => panic!("refused as {name}, though nothing speaks against it"),
        }
        self.world.check(&self.model, self.cast);
        self.model.check_invariants();
        self.count(&tx, &outcome);
        self.outcomes.push(outcome.clone());
        outcome
    }

    fn count(&mut self, tx: &Tx, outcome: &Result<(), String>) {
        for call in &tx.calls {
            let counts = self.counts.kinds.entry(call.kind()).or_default();
            match outcome {
                Ok(()) => counts.allowed += 1,
                Err(name) => *counts.refused.entry(name.clone()).or_default() += 1,
            }
            if let (Verb::Transfer(lamports), Ok(())) = (&call.verb, outcome) {
                *self.gifts.entry(call.instruction.accounts[1].pubkey).or_default() += lamports;
            }
        }
        self.counts.instructions += tx.calls.len() as u64;
    }

    fn tell(&mut self, step: Told) {
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back(step);
    }

    pub fn forge(&mut self, key: &Pubkey, lamports: u64) {
        self.world.forge(key, lamports);
    }
}
