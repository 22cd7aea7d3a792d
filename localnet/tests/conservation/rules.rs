//! What each instruction may do, and does: the market's settings and fees, workers, offers. (Vaults and jobs have files
//! of their own.)

use chainference::state::{FeePart, Preset, Stored, WorkerStatus, model_hash};
use chainference::{
    PostOfferArgs, RegisterWorkerArgs, UpdateConfigArgs, UpdateOfferArgs, UpdateWorkerArgs,
};
use chainference_chain::{Pubkey, address};
use chainference_market::Reputation;

use crate::call::Verb;
use crate::model::{Broken, Model, Refusals};
use crate::reputation;
use crate::state::{Config, Offer, Prices, State, Worker};

pub type Outcome = Result<(), Refusals>;

impl Model {
    /// Does what `verb` says with these accounts, whose kinds were checked. `broken`: what is wrong already.
    pub fn obey(&mut self, verb: &Verb, k: &[Pubkey], broken: Broken) -> Outcome {
        match verb {
            Verb::Transfer(lamports) => self.transfer(k, *lamports, broken),
            Verb::Initialize => Err(vec!["AccountAlreadyInUse"]),
            Verb::UpdateConfig(args) => self.update_config(k, args, broken),
            Verb::AcceptAdmin => self.accept_admin(k, broken),
            Verb::RegisterWorker(args) => self.register_worker(k, args, broken),
            Verb::UpdateWorker(args) => self.update_worker(k, args, broken),
            Verb::RetireWorker => self.retire_worker(k, broken),
            Verb::Heartbeat => self.heartbeat(k, broken),
            Verb::PostOffer(args) => self.post_offer(k, args, broken),
            Verb::UpdateOffer(args) => self.update_offer(k, args, broken),
            Verb::RetractOffer => self.retract_offer(k, broken),
            Verb::WithdrawEarnings => self.withdraw_earnings(k, broken),
            Verb::SweepFees => self.sweep_fees(k, broken),
            Verb::WithdrawFees(part) => self.withdraw_fees(k, *part, broken),
            Verb::OpenVault => self.open_vault(k, broken),
            Verb::Deposit(lamports) => self.transfer(k, *lamports, broken),
            Verb::SetDelegate(args) => self.set_delegate(k, args, broken),
            Verb::Withdraw(lamports) => self.withdraw(k, *lamports, broken),
            Verb::CloseVault => self.close_vault(k, broken),
            Verb::Publish(args) => self.publish(k, args, broken),
            Verb::Lock => self.lock(k, broken),
            Verb::Claim { is_final, claimed } => self.claim(k, *is_final, claimed.as_ref(), broken),
            Verb::Finish => self.finish(k, broken),
            Verb::Cancel => self.cancel(k, broken),
            Verb::Expire => self.expire(k, broken),
            Verb::TopUp(lamports) => self.top_up(k, *lamports, broken),
            Verb::Close(feedback) => self.close_job(k, feedback, broken),
            Verb::Compare(preferred) => self.compare(k, *preferred, broken),
        }
    }

    fn transfer(&mut self, k: &[Pubkey], lamports: u64, mut broken: Broken) -> Outcome {
        broken.unless(self.lamports(&k[0]) >= lamports, "ResultWithNegativeLamports");
        broken.done()?;
        self.pay(&k[0], &k[1], lamports);
        Ok(())
    }

    fn update_config(
        &mut self,
        k: &[Pubkey],
        args: &UpdateConfigArgs,
        mut broken: Broken,
    ) -> Outcome {
        let old = self.config(&k[1]);
        let new = Config {
            admin: old.admin,
            pending_admin: match args.pending_admin {
                Some(key) => (key != Pubkey::default()).then_some(key),
                None => old.pending_admin,
            },
            platform_payout: args.platform_payout.unwrap_or(old.platform_payout),
            stakers_payout: args.stakers_payout.unwrap_or(old.stakers_payout),
            bond_min: args.bond_min.unwrap_or(old.bond_min),
            reputation_prior: args.reputation_prior.unwrap_or(old.reputation_prior),
            rated_fees_min: args.rated_fees_min.unwrap_or(old.rated_fees_min),
            bond_cooldown_s: args.bond_cooldown_s.unwrap_or(old.bond_cooldown_s),
            grace_s: args.grace_s.unwrap_or(old.grace_s),
            heartbeat_s: args.heartbeat_s.unwrap_or(old.heartbeat_s),
            far: args.preset.map_or(old.far, |preset| preset == Preset::Far),
            paused: args.paused.unwrap_or(old.paused),
        };
        broken.unless(old.admin == k[0], "NotAdmin");
        broken.unless((600..=86_400).contains(&new.grace_s), "BadGrace");
        let limits = new.bond_cooldown_s <= 2_592_000 && (30..=86_400).contains(&new.heartbeat_s);
        broken.unless(limits, "BadLimits");
        broken.done()?;
        *self.config_mut(&k[1]) = new;
        Ok(())
    }

    fn accept_admin(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        broken.unless(self.config(&k[1]).pending_admin == Some(k[0]), "NotAdmin");
        broken.done()?;
        let config = self.config_mut(&k[1]);
        (config.admin, config.pending_admin) = (k[0], None);
        Ok(())
    }

    fn register_worker(
        &mut self,
        k: &[Pubkey],
        args: &RegisterWorkerArgs,
        mut broken: Broken,
    ) -> Outcome {
        let &[owner, config, worker, ..] = k else { unreachable!() };
        let config = self.config(&config);
        broken.unless(!config.paused, "Paused");
        broken.unless(args.bond >= config.bond_min, "BondTooSmall");
        broken.unless(is_endpoint(&args.endpoint), "BadText");
        let bytes = chainference::state::Worker::BYTES;
        let missing = self.can_make(&owner, &worker, address::worker(&owner), bytes, &mut broken);
        let rest = self.lamports(&owner).saturating_sub(missing);
        broken.unless(rest >= args.bond, "ResultWithNegativeLamports");
        broken.done()?;
        let state = Worker {
            owner,
            operator: args.operator,
            rent: self.rent(bytes),
            bond: args.bond,
            earnings: 0,
            fees_platform: 0,
            fees_stakers: 0,
            is_retiring: false,
            bond_free_unix_s: 0,
            last_heartbeat_unix_s: self.now_unix_s,
            live_jobs: 0,
            reputation: Reputation { beats_from_unix_s: self.now_unix_s, ..Default::default() },
        };
        self.make(&owner, &worker, missing, State::Worker(state));
        self.pay(&owner, &worker, args.bond);
        Ok(())
    }

    fn update_worker(
        &mut self,
        k: &[Pubkey],
        args: &UpdateWorkerArgs,
        mut broken: Broken,
    ) -> Outcome {
        broken.unless(self.worker(&k[2]).owner == k[0], "NotWorkerOwner");
        broken.unless(args.endpoint.as_deref().is_none_or(is_endpoint), "BadText");
        broken.done()?;
        let free_unix_s = self.now_unix_s + i64::from(self.config(&k[1]).bond_cooldown_s);
        let worker = self.worker_mut(&k[2]);
        worker.operator = args.operator.unwrap_or(worker.operator);
        match args.status {
            Some(WorkerStatus::Active) => {
                (worker.is_retiring, worker.bond_free_unix_s) = (false, 0)
            }
            Some(WorkerStatus::Retiring) if !worker.is_retiring => {
                (worker.is_retiring, worker.bond_free_unix_s) = (true, free_unix_s);
            }
            _ => {}
        }
        Ok(())
    }

    fn retire_worker(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let worker = self.worker(&k[1]);
        broken.unless(worker.owner == k[0], "NotWorkerOwner");
        broken.unless(worker.is_retiring, "WorkerActive");
        broken.unless(self.now_unix_s >= worker.bond_free_unix_s, "BondCoolingDown");
        broken.unless(worker.live_jobs == 0, "HasJobs");
        broken.unless(worker.fees_platform == 0 && worker.fees_stakers == 0, "UnsweptFees");
        broken.done()?;
        self.close(&k[1], &k[0]);
        Ok(())
    }

    fn heartbeat(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        broken.unless(self.worker(&k[2]).operator == k[0], "NotOperator");
        broken.done()?;
        let (now_unix_s, heartbeat_s) = (self.now_unix_s, self.config(&k[1]).heartbeat_s);
        let worker = self.worker_mut(&k[2]);
        worker.last_heartbeat_unix_s = now_unix_s;
        reputation::beat(&mut worker.reputation, now_unix_s, heartbeat_s);
        Ok(())
    }

    fn post_offer(&mut self, k: &[Pubkey], args: &PostOfferArgs, mut broken: Broken) -> Outcome {
        let &[agent, config, worker, offer, ..] = k else { unreachable!() };
        broken.unless(!self.config(&config).paused, "Paused");
        broken.unless(self.is_agent(&worker, &agent), "NotWorkerAgent");
        let texts = [(&args.model, 96), (&args.revision, 40), (&args.quantisation, 16)];
        let is_name = |(text, bytes_max): (&String, usize)| {
            (1..=bytes_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        broken.unless(texts.into_iter().all(is_name), "BadText");
        let expected = address::offer(&worker, &args.model, &args.quantisation);
        let bytes = chainference::state::Offer::BYTES;
        let missing = self.can_make(&agent, &offer, expected, bytes, &mut broken);
        broken.done()?;
        let prices = Prices {
            input: args.price_in_per_mtok,
            output: args.price_out_per_mtok,
            charge_min: args.charge_min,
        };
        let model_hash = model_hash(&args.model, &args.quantisation);
        let state = Offer { worker, payer: agent, model_hash, prices, active: true };
        self.make(&agent, &offer, missing, State::Offer(state));
        Ok(())
    }

    fn update_offer(
        &mut self,
        k: &[Pubkey],
        args: &UpdateOfferArgs,
        mut broken: Broken,
    ) -> Outcome {
        broken.unless(self.is_agent(&k[1], &k[0]), "NotWorkerAgent");
        broken.unless(self.offer(&k[2]).worker == k[1], "WrongOffer");
        broken.done()?;
        let offer = self.offer_mut(&k[2]);
        offer.prices.input = args.price_in_per_mtok.unwrap_or(offer.prices.input);
        offer.prices.output = args.price_out_per_mtok.unwrap_or(offer.prices.output);
        offer.prices.charge_min = args.charge_min.unwrap_or(offer.prices.charge_min);
        offer.active = args.active.unwrap_or(offer.active);
        Ok(())
    }

    fn retract_offer(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let &[owner, worker, offer, payer, ..] = k else { unreachable!() };
        broken.unless(worker == address::worker(&owner), "ConstraintSeeds");
        broken.unless(self.offer(&offer).worker == worker, "WrongOffer");
        broken.unless(self.offer(&offer).payer == payer, "WrongDestination");
        broken.done()?;
        self.close(&offer, &payer);
        Ok(())
    }

    fn is_agent(&self, worker: &Pubkey, key: &Pubkey) -> bool {
        let worker = self.worker(worker);
        worker.owner == *key || worker.operator == *key
    }

    fn withdraw_earnings(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let earnings = self.worker(&k[0]).earnings;
        broken.unless(self.worker(&k[0]).owner == k[1], "WrongDestination");
        broken.unless(earnings > 0, "NothingOwed");
        broken.done()?;
        self.worker_mut(&k[0]).earnings = 0;
        self.pay(&k[0], &k[1], earnings);
        Ok(())
    }

    fn sweep_fees(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let worker = self.worker_mut(&k[0]);
        let (platform, stakers) = (worker.fees_platform, worker.fees_stakers);
        broken.unless(platform > 0 || stakers > 0, "NothingOwed");
        broken.done()?;
        (worker.fees_platform, worker.fees_stakers) = (0, 0);
        self.treasury_mut(&k[1]).platform += platform;
        self.treasury_mut(&k[1]).stakers += stakers;
        self.pay(&k[0], &k[1], platform + stakers);
        Ok(())
    }

    fn withdraw_fees(&mut self, k: &[Pubkey], part: FeePart, mut broken: Broken) -> Outcome {
        let (config, treasury) = (self.config(&k[0]), self.treasury(&k[1]));
        let (payout, lamports) = match part {
            FeePart::Platform => (config.platform_payout, treasury.platform),
            FeePart::Stakers => (config.stakers_payout, treasury.stakers),
        };
        broken.unless(payout == k[2], "WrongDestination");
        broken.unless(lamports > 0, "NothingOwed");
        broken.done()?;
        match part {
            FeePart::Platform => self.treasury_mut(&k[1]).platform = 0,
            FeePart::Stakers => self.treasury_mut(&k[1]).stakers = 0,
        }
        self.pay(&k[1], &k[2], lamports);
        Ok(())
    }
}

fn is_endpoint(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://"))
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
