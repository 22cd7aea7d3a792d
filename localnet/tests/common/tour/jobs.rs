//! Requests that change jobs.

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, Compared};
use chainference_chain::{Lamports, Pubkey, Signer};

use super::*;

impl Tour {
    pub(super) fn opening_steps(&self) -> Vec<Step> {
        let Market { gateway, operator, .. } = &self.market;
        let mut steps = Vec::new();
        let strangers = [8; 7].map(|byte| Pubkey::new_from_array([byte; 32]));
        for (publish_name, lock_name, names) in [
            ("publish", "lock", &strangers[..0]),
            ("publish to 8 workers", "lock as the last of 8", &strangers[..]),
        ] {
            let mut market = self.market.fork();
            let (terms, session) = market.terms();
            let allowed = [names, &[terms.worker]].concat();
            let args = PublishArgs { allowed, ..publish_args(&terms) };
            let publish = instruction::publish(&terms.authority, &terms.vault, args);
            let job = TestJob { address: terms.job(), session, terms };
            let lock = self.market.lock_instruction(&job);
            steps.push(Step { market, ..self.step(publish_name, gateway, publish.clone()) });
            let mut step = self.step(lock_name, operator, lock);
            step.market.send(&[publish], gateway, &[]).unwrap();
            steps.push(step);
        }
        steps
    }

    /// A claim while the job is locked and before.
    pub(super) fn claim_steps(&self) -> Vec<Step> {
        let mut market = self.market.fork();
        let job = market.locked_job();
        let claims = [
            ("claim", Some(PAID), false),
            ("final claim", Some(PAID), true),
            ("final claim without a voucher", None, true),
        ];
        let step = |(name, totals, is_final)| {
            let claim = instruction::claim(&job.claim(totals, is_final));
            Step { market: market.fork(), ..self.step(name, &market.operator, claim) }
        };
        claims.map(step).into()
    }

    pub(super) fn ending_steps(&self) -> Vec<Step> {
        let Market { gateway, stranger, .. } = &self.market;
        let (key, mut market) = (gateway.pubkey(), self.market.fork());
        let (open, locked) = (market.open_job(), market.locked_job());
        let vault = self.market.vault();
        let after = i64::from(GRACE_S) + SERVE_S;
        let worker = Some(market.worker());
        let say =
            Feedback { verdict: Verdict::Flag, speed_bps: Some(9_000), audit_passed: Some(true) };
        let close = |feedback| self.market.close_instruction(&self.paid, &key, feedback);
        let compared = |job: &TestJob| Compared {
            job: job.address,
            worker: job.terms.worker,
            authority: job.terms.authority,
        };
        let pair = [compared(&self.paid), compared(&self.paid_by_other)];
        let top_up = instruction::top_up(&key, &vault, &locked.address, Lamports(1));
        let expire_open = instruction::expire(&vault, &open.address, None);
        let expire = instruction::expire(&vault, &locked.address, worker);
        let steps = [
            ("finish", gateway, instruction::finish(&key, &vault, &locked.address), 0),
            ("cancel", gateway, instruction::cancel(&key, &vault, &open.address), 0),
            ("expire while open", stranger, expire_open, after),
            ("expire while locked", stranger, expire, after),
            ("top_up", gateway, top_up, 0),
            ("close", gateway, close(Feedback::NONE), 0),
            ("close with all feedback", gateway, close(say), 0),
            ("compare", gateway, instruction::compare(&key, &vault, pair, Preferred::First), 0),
        ];
        let step = |(name, signer, instruction, seconds)| {
            let mut market = market.fork();
            market.warp(0, seconds);
            Step { market, ..self.step(name, signer, instruction) }
        };
        steps.map(step).into()
    }
}
