//! The end of a sequence: every job ends, every lamport goes home. Nothing of it may need the admin, or anybody who
//! has no interest in it.

use chainference_chain::accounts::{
    FeePart, Feedback, UpdateConfigArgs, UpdateWorkerArgs, WorkerStatus,
};
use chainference_chain::instruction::{self, CloseRequest};
use chainference_chain::{Instruction, Lamports, Pubkey, address};

use crate::call::{Call, Verb};
use crate::model::Model;
use crate::run::Run;
use crate::state::{State, Status};

type Found<T> = Vec<(Pubkey, T)>;

macro_rules! all {
    ($model:expr, $kind:ident) => {{
        let found: Found<_> = $model
            .accounts
            .iter()
            .filter_map(|(key, account)| match &account.state {
                State::$kind(state) => Some((*key, state.clone())),
                _ => None,
            })
            .collect();
        found
    }};
}

impl Run<'_> {
    /// Ends everything; then looks where the money is.
    pub fn wind_up(&mut self) {
        self.maybe_pause();
        self.end_jobs();
        self.close_jobs();
        self.pay_out_fees();
        self.retire_workers();
        self.close_vaults();
        self.check_rest();
    }

    fn must(&mut self, verb: Verb, instruction: Instruction) {
        let call = Call::new(verb, instruction);
        let tx = self.steps.tx(vec![call]);
        let words = tx.calls[0].say(self.cast);
        self.send(tx).unwrap_or_else(|name| panic!("{words} is refused at the end: {name}"));
    }

    /// A market that is paused lets everybody out all the same.
    fn maybe_pause(&mut self) {
        if self.steps.rng.percent(50) {
            let admin = self.model.config(&address::config()).admin;
            let args = UpdateConfigArgs { paused: Some(true), ..Default::default() };
            self.must(Verb::UpdateConfig(args.clone()), instruction::update_config(&admin, args));
        }
    }

    /// Some workers claim what they can still claim; everything else runs out of time.
    fn end_jobs(&mut self) {
        for (key, job) in all!(self.model, Job) {
            if job.status == Status::Locked && self.steps.rng.percent(50) {
                let claim = self.steps.last_claim(&self.model, &key);
                self.must(claim.verb.clone(), claim.instruction);
            }
        }
        let ends = self.model.jobs().map(|(_, job)| job.claim_until_unix_s);
        let last_unix_s = ends.max().unwrap_or(0).max(self.model.now_unix_s);
        self.warp(1_501, last_unix_s - self.model.now_unix_s);
        for (key, job) in all!(self.model, Job) {
            if job.status != Status::Settled {
                self.must(Verb::Expire, instruction::expire(&job.vault, &key, job.worker));
            }
        }
    }

    /// By a stranger, an hour later; the rent goes to who paid it.
    fn close_jobs(&mut self) {
        self.warp(0, 3_600);
        for (key, job) in all!(self.model, Job) {
            let request = CloseRequest {
                closer: self.cast.attacker,
                vault: job.vault,
                job: key,
                authority: job.authority,
                feedback: None,
            };
            self.must(Verb::Close(Feedback::NONE), instruction::close(&request));
        }
    }

    fn pay_out_fees(&mut self) {
        for (key, worker) in all!(self.model, Worker) {
            if worker.fees_platform + worker.fees_stakers > 0 {
                self.must(Verb::SweepFees, instruction::sweep_fees(&key));
            }
        }
        let config = self.model.config(&address::config()).clone();
        let treasury = self.model.treasury(&address::treasury()).clone();
        let parts = [
            (FeePart::Platform, config.platform_payout, treasury.platform),
            (FeePart::Stakers, config.stakers_payout, treasury.stakers),
        ];
        for (part, payout, owed) in parts {
            if owed > 0 {
                // An empty account can't receive less than its own rent: somebody opens it.
                let open = self.steps.transfer(&self.cast.relayer, &payout, 890_880);
                self.must(open.verb, open.instruction);
                let call = self.steps.withdraw_fees_to(part, payout);
                self.must(call.verb, call.instruction);
            }
        }
    }

    fn retire_workers(&mut self) {
        for (key, worker) in all!(self.model, Worker) {
            let owner = worker.owner;
            if worker.earnings > 0 && self.steps.rng.percent(50) {
                self.must(Verb::WithdrawEarnings, instruction::withdraw_earnings(&owner));
            }
            let args =
                UpdateWorkerArgs { status: Some(WorkerStatus::Retiring), ..Default::default() };
            self.must(Verb::UpdateWorker(args.clone()), instruction::update_worker(&owner, args));
            let free_unix_s = self.model.worker(&key).bond_free_unix_s;
            self.warp(0, (free_unix_s - self.model.now_unix_s).max(0));
            self.must(Verb::RetireWorker, instruction::retire_worker(&owner));
        }
        for (key, offer) in all!(self.model, Offer) {
            let pair = self.cast.workers.iter().find(|pair| pair.account == offer.worker);
            let owner = pair.expect("one of ours").cold;
            self.must(Verb::RetractOffer, instruction::retract_offer(&owner, &key, &offer.payer));
        }
    }

    fn close_vaults(&mut self) {
        for (key, vault) in all!(self.model, Vault) {
            assert_eq!(vault.reserved, 0, "nothing is promised any more");
            let free = self.model.free(&key);
            self.must(Verb::Withdraw(free), instruction::withdraw(&vault.owner, Lamports(free)));
            assert_eq!(self.model.lamports(&key), vault.rent, "a vault that is empty");
            self.must(Verb::CloseVault, instruction::close_vault(&vault.owner));
        }
    }

    /// Only the market itself is left, and what was given to nobody; people hold all the rest.
    fn check_rest(&self) {
        let model: &Model = &self.model;
        let people = self.cast.people();
        let (mut with_people, mut given_to_nobody) = (0u128, 0u128);
        for (key, account) in &model.accounts {
            let held = u128::from(account.lamports);
            match &account.state {
                State::Wallet if people.contains(key) => with_people += held,
                State::Wallet => given_to_nobody += held,
                State::Alien | State::Blank(_) | State::Config(_) => {}
                State::Treasury(treasury) => {
                    assert_eq!((treasury.platform, treasury.stakers), (0, 0))
                }
                other => panic!("{} is left over: {other:?}", self.cast.say(key)),
            }
        }
        let market = model.lamports(&address::config()) + model.lamports(&address::treasury());
        let gifts = self.gifts.values().sum::<u64>();
        let market_at_first = self.market_at_first;
        let to_market: u64 = [address::config(), address::treasury()]
            .iter()
            .filter_map(|key| self.gifts.get(key))
            .sum();
        assert_eq!(
            market,
            market_at_first + to_market,
            "the market keeps its rent and what it was given"
        );
        assert!(
            given_to_nobody <= u128::from(gifts),
            "only gifts lie at addresses that nobody opened"
        );
        let spent = u128::from(model.fees_burnt) + u128::from(to_market) + given_to_nobody;
        assert_eq!(with_people, self.people_at_first - spent, "people hold all but fees and gifts");
    }
}
