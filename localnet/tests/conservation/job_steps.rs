//! What clients and workers do with jobs.

use chainference_chain::accounts::{Feedback, Filters, Preferred, PublishArgs, Verdict};
use chainference_chain::instruction::{self, CloseRequest, Compared};
use chainference_chain::{Keypair, Lamports, Pubkey, Signer, address};

use crate::call::{Call, Verb};
use crate::cast::PAIRS;
use crate::model::Model;
use crate::state::{Job, State, Status};
use crate::steps::{Session, Steps};

/// The point of order one: under it, and a signature made of it, everything verifies that is not checked strictly.
pub const SMALL_ORDER_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

impl Steps<'_> {
    pub fn publish(&mut self, model: &Model) -> Option<Vec<Call>> {
        let clients = &self.cast.clients;
        let vault = self.pair(clients, |client| model.exists(&client.account)).1.account;
        let authority = self.client(model, &vault);
        let args = self.publish_args(model, &vault);
        Some(vec![self.publish_with(&authority, &vault, args)])
    }

    fn publish_with(&self, authority: &Pubkey, vault: &Pubkey, args: PublishArgs) -> Call {
        let instruction = instruction::publish(authority, vault, args.clone());
        Call::new(Verb::Publish(args), instruction)
    }

    fn publish_args(&mut self, model: &Model, vault: &Pubkey) -> PublishArgs {
        let is_small_order = self.rng.percent(2);
        let key = (!is_small_order).then(|| Keypair::new_from_array(self.rng.bytes()));
        let session_key = key.as_ref().map_or(SMALL_ORDER_KEY.into(), |key| key.pubkey());
        let rng = &mut self.rng;
        let age = if rng.percent(90) {
            rng.below(20)
        } else {
            rng.pick(&[0, 1_499, 1_500, 1_501, u64::MAX])
        };
        let open_slot = model.slot.wrapping_sub(age);
        let ahead_s = 1 + rng.below(600) as i64;
        let edges = [0, -1, 1, 86_400, 86_401, i64::MAX, i64::MIN];
        let ahead_s = if rng.percent(94) { ahead_s } else { rng.pick(&edges) };
        let stake =
            if rng.percent(90) { 2_000 + rng.below(3_000_000) } else { rng.amount(5_000_000) };
        let price = |rng: &mut crate::rng::Rng| {
            if rng.percent(94) { u64::MAX } else { rng.amount(2_000_000) }
        };
        let filters = Filters {
            fees_completed_min: if rng.percent(93) { 0 } else { rng.below(20_000) },
            success_bps_min: if rng.percent(93) { 0 } else { 9_000 + rng.below(1_002) as u16 },
            preference_bps_min: if rng.percent(95) { 0 } else { 4_000 + rng.below(2_000) as u16 },
        };
        let args = PublishArgs {
            session_key,
            open_slot,
            model_hash: if rng.percent(97) {
                rng.pick(&self.cast.model_hashes)
            } else {
                rng.bytes()
            },
            stake,
            max_price_in_per_mtok: price(rng),
            max_price_out_per_mtok: price(rng),
            max_charge_min: price(rng),
            serve_until_unix_s: model.now_unix_s.saturating_add(ahead_s),
            filters,
            allowed: self.allowed(),
        };
        let job = address::job(vault, &session_key, open_slot);
        self.sessions.insert(job, Session { key, vouchers: Vec::new() });
        args
    }

    fn allowed(&mut self) -> Vec<Pubkey> {
        let count = if self.rng.percent(75) { 0 } else { 1 + self.rng.below(9) };
        (0..count)
            .map(|_| self.cast.workers[self.rng.below(PAIRS as u64) as usize].account)
            .collect()
    }

    /// In one transaction, as a gateway and a worker agree on it.
    pub fn publish_and_lock(&mut self, model: &Model) -> Option<Vec<Call>> {
        let publish = self.publish(model)?.remove(0);
        let Verb::Publish(args) = &publish.verb else { unreachable!() };
        let (vault, job) =
            (publish.instruction.accounts[2].pubkey, publish.instruction.accounts[3].pubkey);
        let (model_hash, allowed) = (args.model_hash, args.allowed.clone());
        let lock = self.lock_of(model, &vault, &job, &model_hash, &allowed);
        Some(vec![publish, lock])
    }

    /// Someone has sent money to the job's address before it is published.
    pub fn publish_onto_a_donation(&mut self, model: &Model) -> Option<Vec<Call>> {
        let publish = self.publish(model)?;
        let job = publish[0].instruction.accounts[3].pubkey;
        self.queue.push_back(publish);
        let amount = self.rng.pick(&[890_880, 890_881, 2_000_000, 3_500_000, 10_000_000]);
        let from = self.person();
        Some(vec![self.transfer(&from, &job, amount)])
    }

    pub fn lock(&mut self, model: &Model) -> Option<Vec<Call>> {
        let is_lockable =
            |job: &Job| job.status == Status::Open && model.now_unix_s < job.serve_until_unix_s;
        let (key, job) = self.job(model, is_lockable)?;
        Some(vec![self.lock_of(model, &job.vault, &key, &job.model_hash, &job.allowed)])
    }

    fn lock_of(
        &mut self,
        model: &Model,
        vault: &Pubkey,
        job: &Pubkey,
        model_hash: &[u8; 32],
        allowed: &[Pubkey],
    ) -> Call {
        let fits = |offer: &Pubkey| match model.state(offer) {
            Some(State::Offer(state)) => {
                state.model_hash == *model_hash
                    && state.active
                    && (allowed.is_empty() || allowed.contains(&state.worker))
                    && state.prices.charge_min < 3_000
                    && matches!(model.state(&state.worker),
                        Some(State::Worker(worker)) if !worker.is_retiring)
            }
            _ => false,
        };
        let all = self.cast.offers.iter().zip(&self.cast.workers);
        let all: Vec<_> =
            all.flat_map(|(offers, worker)| offers.map(|offer| (worker.account, offer))).collect();
        let fitting: Vec<_> = all.iter().copied().filter(|(_, offer)| fits(offer)).collect();
        let from = if self.rng.percent(92) && !fitting.is_empty() { fitting } else { all };
        let (worker, offer) = self.rng.pick(&from);
        let operator = self.operator(model, &worker);
        Call::new(Verb::Lock, instruction::lock(&operator, &worker, &offer, vault, job))
    }

    pub fn finish(&mut self, model: &Model) -> Option<Vec<Call>> {
        let (key, job) = self.job(model, |job| job.status == Status::Locked)?;
        let client = self.client(model, &job.vault);
        Some(vec![Call::new(Verb::Finish, instruction::finish(&client, &job.vault, &key))])
    }

    pub fn cancel(&mut self, model: &Model) -> Option<Vec<Call>> {
        let (key, job) = self.job(model, |job| job.status == Status::Open)?;
        let client = self.client(model, &job.vault);
        Some(vec![Call::new(Verb::Cancel, instruction::cancel(&client, &job.vault, &key))])
    }

    pub fn expire(&mut self, model: &Model) -> Option<Vec<Call>> {
        let is_overdue = |job: &Job| match job.status {
            Status::Open => model.now_unix_s >= job.serve_until_unix_s,
            Status::Locked => model.now_unix_s >= job.claim_until_unix_s,
            Status::Settled => false,
        };
        let (key, job) = self.job(model, is_overdue)?;
        let given =
            if self.rng.percent(95) { job.worker } else { Some(self.cast.workers[0].account) };
        Some(vec![Call::new(Verb::Expire, instruction::expire(&job.vault, &key, given))])
    }

    pub fn top_up(&mut self, model: &Model) -> Option<Vec<Call>> {
        let is_served =
            |job: &Job| job.status != Status::Settled && model.now_unix_s < job.serve_until_unix_s;
        let (key, job) = self.job(model, is_served)?;
        let client = self.client(model, &job.vault);
        let lamports = self.rng.amount(1_000_000);
        let instruction = instruction::top_up(&client, &job.vault, &key, Lamports(lamports));
        Some(vec![Call::new(Verb::TopUp(lamports), instruction)])
    }

    pub fn close_job(&mut self, model: &Model) -> Option<Vec<Call>> {
        let (key, job) = self.job(model, |job| is_closable(model, job))?;
        let feedback = self.feedback(job.credited > 0);
        let closer =
            if self.rng.percent(80) { self.client(model, &job.vault) } else { self.person() };
        let worker = job.worker.filter(|_| self.rng.percent(97));
        let request = CloseRequest {
            closer,
            vault: job.vault,
            job: key,
            authority: job.authority,
            feedback: worker.map(|worker| (worker, feedback)),
        };
        let said = if worker.is_some() { feedback } else { Feedback::NONE };
        Some(vec![Call::new(Verb::Close(said), instruction::close(&request))])
    }

    fn feedback(&mut self, is_paid: bool) -> Feedback {
        let rng = &mut self.rng;
        if !is_paid && rng.percent(75) || rng.percent(40) {
            return Feedback::NONE;
        }
        let speeds = [None, Some(0), Some(8_000), Some(10_000), Some(rng.below(10_001) as u16)];
        Feedback {
            verdict: rng.pick(&[Verdict::None, Verdict::Ok, Verdict::Flag]),
            speed_bps: if rng.percent(97) { rng.pick(&speeds) } else { Some(10_001) },
            audit_passed: rng.pick(&[None, Some(false), Some(true)]),
        }
    }

    pub fn compare(&mut self, model: &Model) -> Option<Vec<Call>> {
        let (first, a) = self.job(model, |job| is_closable(model, job) && job.credited > 0)?;
        let (is_any, is_near) = (self.rng.percent(3), self.rng.percent(4));
        let is_rival = |job: &Job| {
            let compares = job.model_hash == a.model_hash && job.worker != a.worker;
            is_closable(model, job)
                && job.vault == a.vault
                && job.credited > 0
                && (compares || is_near)
        };
        let rivals: Vec<_> = model.jobs().filter(|(_, job)| is_any || is_rival(job)).collect();
        if rivals.is_empty() {
            return None;
        }
        let (second, b) = self.rng.pick(&rivals);
        let fallback = self.cast.workers[0].account;
        let compared = |key, job: &Job| Compared {
            job: key,
            worker: job.worker.unwrap_or(fallback),
            authority: job.authority,
        };
        let client = self.client(model, &a.vault);
        let preferred = self.rng.pick(&[Preferred::First, Preferred::Second]);
        let both = [compared(first, &a), compared(*second, b)];
        let instruction = instruction::compare(&client, &a.vault, both, preferred);
        Some(vec![Call::new(Verb::Compare(preferred), instruction)])
    }
}

fn is_closable(model: &Model, job: &Job) -> bool {
    job.status == Status::Settled && model.slot > job.open_slot + 1_500
}
