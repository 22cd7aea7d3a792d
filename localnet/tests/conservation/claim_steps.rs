//! Vouchers and claims: what was vouched, and what a worker would like to have been vouched.

use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{Pubkey, Signer, Totals};
use chainference_market::Voucher as VoucherMessage;

use crate::call::{Call, Claimed, Verb, Voucher};
use crate::job_steps::SMALL_ORDER_KEY;
use crate::jobs::cost;
use crate::model::Model;
use crate::state::{Job, Status};
use crate::steps::Steps;

impl Steps<'_> {
    pub fn claim(&mut self, model: &Model) -> Option<Vec<Call>> {
        let (key, job) = self.job(model, |job| job.status == Status::Locked)?;
        let worker = job.worker.unwrap_or(self.cast.workers[0].account);
        let is_final = self.rng.percent(35);
        let lets_go = self.rng.percent(if is_final { 20 } else { 3 });
        let claimed = if lets_go { None } else { Some(self.claimed(&key, &job)) };
        let operator = self.operator(model, &worker);
        Some(vec![self.claim_call(&key, &job, operator, claimed, is_final)])
    }

    /// Totals to claim: mostly newly vouched, at times with an old, a foreign or a forged voucher.
    fn claimed(&mut self, key: &Pubkey, job: &Job) -> Claimed {
        let (tokens_in, tokens_out) = self.totals(job);
        let mut voucher = self.vouch(key, *key, tokens_in, tokens_out);
        match self.rng.below(100) {
            0..=5 => {
                let old = self.sessions.get(key).map(|session| session.vouchers.clone());
                if let Some(old) = old.filter(|old| !old.is_empty()) {
                    let voucher = self.rng.pick(&old);
                    let (tokens_in, tokens_out) = (voucher.tokens_in, voucher.tokens_out);
                    return Claimed { tokens_in, tokens_out, voucher };
                }
            }
            6..=7 => {
                let others: Vec<_> = self.sessions.keys().copied().collect();
                let other = self.rng.pick(&others);
                let signed = if self.rng.percent(50) { other } else { *key };
                voucher = self.vouch(&other, signed, tokens_in, tokens_out);
            }
            8 => voucher = self.vouch(key, *key, tokens_in, tokens_out.wrapping_sub(1)),
            9 => {
                let bit = self.rng.below(512) as usize;
                voucher.signature[bit / 8] ^= 1 << (bit % 8);
                voucher.signed_by = None;
            }
            10 => {
                voucher.signature = [0; 64];
                voucher.signature[..32].copy_from_slice(&SMALL_ORDER_KEY);
                voucher.signed_by = None;
            }
            _ => {}
        }
        Claimed { tokens_in, tokens_out, voucher }
    }

    /// The key of `session` signs totals of `job`.
    fn vouch(&mut self, session: &Pubkey, job: Pubkey, tokens_in: u64, tokens_out: u64) -> Voucher {
        let totals = Totals { tokens_in, tokens_out };
        let message = VoucherMessage { job: job.to_bytes(), totals }.to_bytes();
        let session = self.sessions.get_mut(session);
        let key = session.as_ref().and_then(|session| session.key.as_ref());
        let mut forged = [0; 64];
        forged[..32].copy_from_slice(&SMALL_ORDER_KEY);
        let signature = key.map_or(forged, |key| key.sign_message(&message).into());
        let signed_by = key.map(|key| key.pubkey());
        let voucher = Voucher { job, signed_by, tokens_in, tokens_out, signature };
        if let Some(session) = session {
            session.vouchers.push(voucher);
        }
        voucher
    }

    /// Totals whose cost is around what is left of the stake.
    fn totals(&mut self, job: &Job) -> (u64, u64) {
        let rng = &mut self.rng;
        if rng.percent(2) {
            return (rng.next() >> rng.below(64), rng.next() >> rng.below(64));
        }
        let left = job.stake - job.credited;
        let budget = if rng.percent(70) { rng.below(left / 3 + 1) } else { rng.amount(left) };
        let exact = u128::from(budget) * 1_000_000;
        let for_input = exact * u128::from(rng.below(101)) / 100;
        let tokens = |lamports: u128, price: u64| {
            let tokens = lamports.checked_div(u128::from(price)).unwrap_or(lamports % 1_000);
            u64::try_from(tokens).unwrap_or(u64::MAX)
        };
        let more_in = tokens(for_input, job.prices.input);
        let mut more_out = tokens(exact - for_input, job.prices.output);
        let total_in = job.tokens_in.saturating_add(more_in);
        // The last lamport: floors leave room that one more token may or may not use up.
        let total_out = job.tokens_out.saturating_add(more_out);
        let costs = cost(&job.prices, total_in, total_out).unwrap_or(u64::MAX);
        more_out = more_out.saturating_add(u64::from(costs < job.stake && rng.percent(10)));
        (total_in, job.tokens_out.saturating_add(more_out))
    }

    /// What the worker of a locked job ends it with: its best voucher, or nothing.
    pub fn last_claim(&mut self, model: &Model, key: &Pubkey) -> Call {
        let job = model.job(key);
        let vouchers =
            self.sessions.get(key).map(|session| session.vouchers.as_slice()).unwrap_or_default();
        let mine = vouchers.iter().filter(|v| v.job == *key && v.signed_by.is_some());
        let rising =
            mine.filter(|v| v.tokens_in >= job.tokens_in && v.tokens_out >= job.tokens_out);
        let priced =
            rising.filter_map(|v| Some((cost(&job.prices, v.tokens_in, v.tokens_out)?, v)));
        let affordable = priced.filter(|(cost, _)| *cost <= job.stake);
        let best = affordable.max_by_key(|(cost, _)| *cost).map(|(_, voucher)| *voucher);
        let claimed = best.map(|voucher| Claimed {
            tokens_in: voucher.tokens_in,
            tokens_out: voucher.tokens_out,
            voucher,
        });
        let operator = model.worker(&job.worker.expect("a locked job has its worker")).operator;
        self.claim_call(key, job, operator, claimed, true)
    }

    fn claim_call(
        &self,
        key: &Pubkey,
        job: &Job,
        operator: Pubkey,
        claimed: Option<Claimed>,
        is_final: bool,
    ) -> Call {
        let voucher = claimed.map(|claimed| {
            let totals = Totals { tokens_in: claimed.tokens_in, tokens_out: claimed.tokens_out };
            (totals, claimed.voucher.signature.into())
        });
        let worker = job.worker.unwrap_or(self.cast.workers[0].account);
        let request =
            ClaimRequest { operator, worker, vault: job.vault, job: *key, voucher, is_final };
        Call::new(Verb::Claim { is_final, claimed }, instruction::claim(&request))
    }
}
