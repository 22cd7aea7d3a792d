//! A job's life and money, as the protocol tells it.

use chainference::PublishArgs;
use chainference_chain::{PROGRAM_ID, Pubkey, address};

use crate::call::Claimed;
use crate::model::{Broken, Model};
use crate::reputation;
use crate::rules::Outcome;
use crate::state::{Job, Prices, State, Status};

impl Model {
    pub fn publish(&mut self, k: &[Pubkey], args: &PublishArgs, mut broken: Broken) -> Outcome {
        let &[authority, config, vault, job, ..] = k else { unreachable!() };
        let (paused, grace_s) = (self.config(&config).paused, self.config(&config).grace_s);
        broken.unless(!paused, "Paused");
        broken.unless(self.vault(&vault).is_client(&authority), "NotClient");
        broken.unless(args.allowed.len() <= 8, "TooManyAllowed");
        let ahead_s = i128::from(args.serve_until_unix_s) - i128::from(self.now_unix_s);
        broken.unless((1..=86_400).contains(&ahead_s), "BadServeUntil");
        let age = i128::from(self.slot) - i128::from(args.open_slot);
        broken.unless((0..=1_500).contains(&age), "BadOpenSlot");
        broken.unless(args.stake > 0, "StakeTooSmall");
        let expected = address::job(&vault, &args.session_key, args.open_slot);
        let bytes = chainference::state::Job::space(args.allowed.len().min(8));
        let missing = self.can_make(&authority, &job, expected, bytes, &mut broken);
        let mut purse = self.reserve(&vault, args.stake, &authority, &mut broken);
        broken.done()?;
        purse.unclosed_jobs += 1;
        *self.vault_mut(&vault) = purse;
        let state = published(args, vault, authority, grace_s);
        self.make(&authority, &job, missing, State::Job(state));
        Ok(())
    }

    pub fn lock(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let &[operator, config, vault, job, worker, offer, ..] = k else { unreachable!() };
        let config = self.config(&config).clone();
        let (job_state, record) = (self.job(&job), self.worker(&worker));
        let (purse, offered) = (self.vault(&vault), self.offer(&offer));
        broken.unless(!config.paused, "Paused");
        broken.unless(job_state.status == Status::Open, "WrongStatus");
        broken.unless(job_state.vault == vault, "WrongVault");
        broken.unless(record.operator == operator, "NotOperator");
        broken.unless(!record.is_retiring, "WorkerRetiring");
        let is_client = |key: &Pubkey| purse.is_client(key) || job_state.authority == *key;
        let is_own = is_client(&record.owner) || is_client(&record.operator);
        broken.unless(!is_own, "WorkerIsClient");
        let of_model = offered.model_hash == job_state.model_hash;
        broken.unless(offered.worker == worker && offered.active && of_model, "WrongOffer");
        let is_named = job_state.allowed.is_empty() || job_state.allowed.contains(&worker);
        let (reputation, prior) = (&record.reputation, config.reputation_prior);
        let passes = reputation::success_bps(reputation, prior) >= job_state.success_bps_min
            && reputation::preference_bps(reputation, prior) >= job_state.preference_bps_min
            && reputation.fees_completed >= job_state.fees_completed_min;
        broken.unless(is_named && passes, "WorkerNotAllowed");
        broken.unless(self.now_unix_s < job_state.serve_until_unix_s, "TooLateToLock");
        let prices = offered.prices;
        let within = prices.input <= job_state.max_input
            && prices.output <= job_state.max_output
            && prices.charge_min <= job_state.max_charge_min;
        broken.unless(within, "PriceTooHigh");
        broken.unless(prices.charge_min <= job_state.stake, "StakeTooSmall");
        broken.done()?;
        let shares = reputation::shares_bps(reputation, &config, self.now_unix_s);
        let rating_bps = reputation::rating_bps(reputation, &config, self.now_unix_s);
        let job = self.job_mut(&job);
        (job.status, job.worker, job.prices) = (Status::Locked, Some(worker), prices);
        (job.worker_bps, job.stakers_bps) = shares;
        job.rating_bps = rating_bps;
        self.worker_mut(&worker).live_jobs += 1;
        Ok(())
    }

    pub fn claim(
        &mut self,
        k: &[Pubkey],
        is_final: bool,
        claimed: Option<&Claimed>,
        mut broken: Broken,
    ) -> Outcome {
        let &[operator, job, vault, worker, ..] = k else { unreachable!() };
        let state = self.job(&job);
        broken.unless(state.vault == vault, "WrongVault");
        broken.unless(state.worker == Some(worker), "WrongWorker");
        broken.unless(self.worker(&worker).operator == operator, "NotOperator");
        broken.unless(is_final || claimed.is_some(), "NoVoucher");
        let is_vouched = claimed.is_none_or(|claimed| claimed.is_vouched(&job, &state.session_key));
        broken.unless(is_vouched, "BadVoucherSignature");
        broken.unless(state.status == Status::Locked, "WrongStatus");
        let old = (state.tokens_in, state.tokens_out);
        let (tokens_in, tokens_out) = claimed.map_or(old, |new| (new.tokens_in, new.tokens_out));
        broken.unless(tokens_in >= old.0 && tokens_out >= old.1, "VoucherGoesBack");
        let cost = cost(&state.prices, tokens_in, tokens_out);
        broken.unless(cost.is_some(), "Overflow");
        let cost = cost.unwrap_or(0);
        broken.unless(cost <= state.stake, "BeyondStake");
        broken.done()?;
        let paid = cost - state.credited;
        let job = self.job_mut(&job);
        (job.tokens_in, job.tokens_out, job.credited) = (tokens_in, tokens_out, cost);
        self.pay_worker(&k[1], paid);
        if is_final {
            self.settle(&k[1]);
        }
        Ok(())
    }

    /// Moves what a claim is worth, in the parts that the job was locked on.
    fn pay_worker(&mut self, key: &Pubkey, paid: u64) {
        let now_unix_s = self.now_unix_s;
        let job = self.job_mut(key);
        let part = |bps: u16| (u128::from(paid) * u128::from(bps) / 10_000) as u64;
        let (to_worker, to_stakers) = (part(job.worker_bps), part(job.stakers_bps));
        let to_platform = paid - to_worker - to_stakers;
        job.fees_platform += to_platform;
        let (vault, worker) = (job.vault, job.worker.expect("a locked job has its worker"));
        let record = self.worker_mut(&worker);
        record.earnings += to_worker;
        record.fees_platform += to_platform;
        record.fees_stakers += to_stakers;
        record.reputation.fees_completed += to_platform;
        let purse = self.vault_mut(&vault);
        purse.roll(now_unix_s);
        purse.reserved -= paid;
        purse.settled += paid;
        self.pay(&vault, &worker, paid);
    }

    /// Ends a job: what is left of its stake is free again.
    fn settle(&mut self, key: &Pubkey) {
        let now_unix_s = self.now_unix_s;
        let job = self.job_mut(key);
        let (vault, worker, credited) = (job.vault, job.worker, job.credited);
        let refund = job.stake - job.credited;
        (job.status, job.settled_unix_s) = (Status::Settled, now_unix_s);
        self.vault_mut(&vault).reserved -= refund;
        if let Some(worker) = worker {
            let record = self.worker_mut(&worker);
            record.live_jobs -= 1;
            record.reputation.jobs_completed += u32::from(credited > 0);
        }
    }

    pub fn finish(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        self.by_client(&k[0], &k[1], &k[2], &mut broken);
        broken.unless(self.job(&k[2]).status == Status::Locked, "WrongStatus");
        broken.done()?;
        let now_unix_s = self.now_unix_s;
        let job = self.job_mut(&k[2]);
        let soonest_unix_s = now_unix_s + i64::from(job.grace_s);
        job.claim_until_unix_s = job.claim_until_unix_s.min(soonest_unix_s);
        Ok(())
    }

    pub fn cancel(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        self.by_client(&k[0], &k[1], &k[2], &mut broken);
        broken.unless(self.job(&k[2]).status == Status::Open, "WrongStatus");
        broken.done()?;
        let now_unix_s = self.now_unix_s;
        self.vault_mut(&k[1]).roll(now_unix_s);
        self.settle(&k[2]);
        Ok(())
    }

    pub fn expire(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let &[vault, job, worker, ..] = k else { unreachable!() };
        let state = self.job(&job);
        let given = (worker != PROGRAM_ID).then_some(worker);
        broken.unless(state.vault == vault, "WrongVault");
        broken.unless(given.is_none() || given == state.worker, "WrongWorker");
        let over_unix_s = match state.status {
            Status::Open => state.serve_until_unix_s,
            Status::Locked => state.claim_until_unix_s,
            Status::Settled => i64::MIN,
        };
        broken.unless(state.status != Status::Settled, "WrongStatus");
        broken.unless(state.status != Status::Locked || given.is_some(), "WrongWorker");
        broken.unless(self.now_unix_s >= over_unix_s, "TooEarlyToExpire");
        broken.done()?;
        let now_unix_s = self.now_unix_s;
        self.vault_mut(&vault).roll(now_unix_s);
        self.settle(&job);
        Ok(())
    }

    pub fn top_up(&mut self, k: &[Pubkey], lamports: u64, mut broken: Broken) -> Outcome {
        let &[client, vault, job, ..] = k else { unreachable!() };
        self.by_client(&client, &vault, &job, &mut broken);
        let state = self.job(&job);
        broken.unless(state.status != Status::Settled, "WrongStatus");
        broken.unless(self.now_unix_s < state.serve_until_unix_s, "ServingOver");
        broken.unless(lamports > 0, "StakeTooSmall");
        broken.unless(state.stake.checked_add(lamports).is_some(), "Overflow");
        let purse = self.reserve(&vault, lamports, &client, &mut broken);
        broken.done()?;
        *self.vault_mut(&vault) = purse;
        self.job_mut(&job).stake += lamports;
        Ok(())
    }

    fn by_client(&self, client: &Pubkey, vault: &Pubkey, job: &Pubkey, broken: &mut Broken) {
        broken.unless(self.vault(vault).is_client(client), "NotClient");
        broken.unless(self.job(job).vault == *vault, "WrongVault");
    }
}

/// The account of a job that nobody has locked yet.
fn published(args: &PublishArgs, vault: Pubkey, authority: Pubkey, grace_s: u32) -> Job {
    Job {
        vault,
        worker: None,
        authority,
        session_key: args.session_key,
        model_hash: args.model_hash,
        open_slot: args.open_slot,
        stake: args.stake,
        max_input: args.max_price_in_per_mtok,
        max_output: args.max_price_out_per_mtok,
        max_charge_min: args.max_charge_min,
        serve_until_unix_s: args.serve_until_unix_s,
        claim_until_unix_s: args.serve_until_unix_s + i64::from(grace_s),
        grace_s,
        fees_completed_min: args.filters.fees_completed_min,
        success_bps_min: args.filters.success_bps_min,
        preference_bps_min: args.filters.preference_bps_min,
        allowed: args.allowed.clone(),
        status: Status::Open,
        prices: Prices::default(),
        worker_bps: 0,
        stakers_bps: 0,
        rating_bps: 0,
        tokens_in: 0,
        tokens_out: 0,
        credited: 0,
        fees_platform: 0,
        settled_unix_s: 0,
    }
}

/// `max(charge_min, ⌈…/10⁶⌉)`; nothing for nothing, and `None` beyond 64 bits.
pub fn cost(prices: &Prices, tokens_in: u64, tokens_out: u64) -> Option<u64> {
    if (tokens_in, tokens_out) == (0, 0) {
        return Some(0);
    }
    let input = u128::from(tokens_in) * u128::from(prices.input);
    let output = u128::from(tokens_out) * u128::from(prices.output);
    let lamports = input.checked_add(output)?.div_ceil(1_000_000);
    u64::try_from(lamports).ok().map(|lamports| lamports.max(prices.charge_min))
}
